"""The maps of a script, read by their layout: keys and values as Python values, whatever kernel map keeps them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from pytrace import output
from pytrace.output import Entry
from pytrace.output.values import AvgValue, StatsValue
from pytrace.program import Storage, UserMap
from pytrace.runtime.maps import KernelMap
from pytrace.types import Aggregation, Avg, Stats, Type


class ScriptMap:
    """One map of a script, `@name`. Reads what is in the kernel at that moment; after `keep`, what was there then."""

    def __init__(self, user_map: UserMap, kernel_map: KernelMap, cpus: int) -> None:
        self.user_map, self.kernel_map, self._cpus = user_map, kernel_map, cpus
        self._zeroed = False
        self._kept: list[Entry] | None = None

    @property
    def name(self) -> str:
        return self.user_map.name

    def entries(self) -> list[Entry]:
        """(key, value) of every entry, in no order; the key of a scalar map is None. Aggregations are merged over
        CPUs."""
        if self._kept is not None:
            return list(self._kept)
        return list(self._read())

    def lookup(self, key: Any) -> Any:
        """The value of one key of a map with keys. Raises `KeyError` if it is not there."""
        if self._kept is None and self.user_map.key is not None:
            raw = output.encode(self.user_map.key, key)
            if raw is not None:
                content = self.kernel_map.lookup(raw)
                if content is None:
                    raise KeyError(key)
                return self._value(content)
        for known, value in self.entries():
            if known == key:
                return value
        raise KeyError(key)

    def _read(self) -> Iterator[Entry]:
        spec, value_type = self.user_map, self.user_map.value
        match spec.storage:
            case Storage.SLOT:
                slot = bytes(self.kernel_map.view[: self.kernel_map.spec.value_size])
                flag = (value_type.size + 7) & ~7
                if int.from_bytes(slot[flag : flag + 8], "little"):
                    yield None, output.decode(value_type, slot)
            case Storage.PERCPU_SLOT:
                memory = self.kernel_map.view
                rows = [bytes(memory[i * spec.stride : (i + 1) * spec.stride]) for i in range(self._cpus)]
                value = _merged(value_type, rows)
                if value is None and self._zeroed:
                    value = output.zero(value_type) if isinstance(value_type, Aggregation) else None
                if value is not None:
                    yield None, value
            case Storage.HASH | Storage.PERCPU_HASH | Storage.STRIPED_HASH:
                for key, content in self.kernel_map.items().items():
                    yield self._key(key), self._value(content)
            case Storage.QUEUE:
                return  # its elements cannot be looked at without being taken

    def _value(self, content: bytes) -> Any:
        """The value of an element of a hash, merged over CPUs."""
        type, size = self.user_map.value, self.user_map.stride or self.kernel_map.stride
        if self.user_map.storage is Storage.HASH:
            return output.decode(type, content)
        merged = _merged(type, [content[i : i + size] for i in range(0, len(content), size)])
        return output.zero(type) if merged is None and isinstance(type, Aggregation) else merged

    def _key(self, key: bytes) -> Any:
        return None if self.user_map.key is None else output.decode(self.user_map.key, key)

    def clear(self) -> None:
        """Removes every entry."""
        self._zeroed = False
        self.kernel_map.clear()

    def zero(self) -> None:
        """Sets every value to zero and keeps the entries."""
        match self.user_map.storage:
            case Storage.SLOT:
                size = (self.user_map.value.size + 7) & ~7
                self.kernel_map.view[:size] = bytes(size)
            case Storage.PERCPU_SLOT:
                self._zeroed = self._zeroed or any(self._read())
                self.kernel_map.clear()
            case Storage.HASH | Storage.PERCPU_HASH | Storage.STRIPED_HASH:
                self.kernel_map.zero()
            case Storage.QUEUE:
                self.kernel_map.clear()

    def keep(self) -> None:
        """Reads everything now, so that it can be asked for when the kernel map is gone."""
        self._kept = list(self._read())


def scalar(user_map: UserMap, values: Sequence[Any]) -> Any:
    """The value of a scalar map that a `print_scalar` record holds."""
    match user_map.value:
        case Avg():
            return AvgValue(*values)
        case Stats():
            return StatsValue(*values)
    return values[0]


def _merged(type: Type, rows: list[bytes]) -> Any:
    """One value of the rows of all CPUs. What is no aggregation (`let @m = percpuhash(n)`): the sum of numbers, else
    the row of the first CPU that has one."""
    if isinstance(type, Aggregation):
        return output.merge(type, rows)
    values = [output.decode(type, row) for row in rows]
    if all(isinstance(v, int) and not isinstance(v, bool) for v in values):
        return sum(values)
    filled = [value for row, value in zip(rows, values, strict=True) if any(row)]
    return filled[0] if filled else values[0]
