"""The Python values that events and map entries decode to.

Numbers, strings, bytes and tuples are Python's own; where that would lose meaning (a truncated string, an enumerator,
an address) they are subclasses, so that they still compare and hash as what they are. Everything else is a small frozen
record. Nothing here knows how it prints: `text.py` and `json.py` do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from pytrace.output.histogram import Histogram
from pytrace.record import record
from pytrace.types import StackMode

_UNITS = " KMGTPE"


class CutString(str):
    """A string that filled its buffer: it was, or may have been, cut. Renderers append the trailer (`..`)."""

    __slots__ = ()


class EnumValue(int):
    """An enumerator: an integer with a `name`, which is empty if the enum has no member of that value."""

    name: str

    def __new__(cls, value: int, name: str = "") -> EnumValue:
        self = super().__new__(cls, value)
        self.name = name
        return self

    def __repr__(self) -> str:
        return f"<{self.name or '?'}: {int(self)}>"


class PointerValue(int):
    """An address."""

    __slots__ = ()

    def __repr__(self) -> str:
        return hex(self)


class RecordValue(Mapping[str, Any]):
    """A record or a C struct: its members by name, as attributes or as items, in order. Hashable.

    An attribute that `Mapping` itself defines (`keys`, `get`, …) is reached as an item.
    """

    __slots__ = ("_names", "_values")
    _names: tuple[str, ...]
    _values: tuple[Any, ...]

    def __init__(self, names: tuple[str, ...], values: tuple[Any, ...]) -> None:
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_values", values)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__") or name in RecordValue.__slots__:
            raise AttributeError(name)
        try:
            return self[name]
        except KeyError:
            raise AttributeError(f"no field {name!r}; there are {', '.join(self._names)}") from None

    def __setattr__(self, name: str, value: object) -> None:
        raise AttributeError("records are immutable")

    def __getitem__(self, name: str) -> Any:
        try:
            return self._values[self._names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __hash__(self) -> int:
        return hash((self._names, self._values))

    def __eq__(self, other: object) -> bool:
        if isinstance(other, RecordValue):
            return self._names == other._names and self._values == other._values
        return NotImplemented

    def __reduce__(self) -> tuple[type[RecordValue], tuple[tuple[str, ...], tuple[Any, ...]]]:
        return RecordValue, (self._names, self._values)

    def __repr__(self) -> str:
        return f"({', '.join(f'{n}={v!r}' for n, v in zip(self._names, self._values, strict=True))})"


@record
class KSymValue:
    address: int


@record
class USymValue:
    address: int
    pid: int


@record
class StackValue:
    """A stack by reference: `id` in the stacks map of its `depth`, `frames` of them used; `id` 0 is no stack."""

    kind: Literal["kernel", "user"]
    mode: StackMode
    depth: int
    id: int
    pid: int
    frames: int


@record
class UsernameValue:
    uid: int


@record
class CgroupPathValue:
    id: int
    filter: str


@record
class TimestampValue:
    """`ns` of `clock`, to be shown by the strftime string `format`."""

    ns: int
    format: str
    clock: Literal["boot", "monotonic", "tai", "wall"]


@record
class NamedValue:
    number: int
    table: Literal["strerror", "signal", "syscall"]


@record
class InetValue:
    """An IPv4 (4 bytes) or IPv6 (16 bytes) address in network order. `str()` is its usual notation."""

    family: int
    address: bytes

    def __str__(self) -> str:
        import socket

        try:
            return socket.inet_ntop(self.family, self.address)
        except (OSError, ValueError):
            return ""


@record
class PrefixValue:
    """A network: an address of which the first `length` bits count."""

    family: int
    address: bytes
    length: int

    def __str__(self) -> str:
        return f"{InetValue(self.family, self.address)}/{self.length}"


@record
class MacValue:
    """`str()` is `AA:BB:CC:DD:EE:FF`."""

    address: bytes

    def __str__(self) -> str:
        return ":".join(f"{b:02X}" for b in self.address)


def divided(total: int, count: int) -> int:
    """C division, towards zero; 0 of nothing."""
    if not count:
        return 0
    return total // count if total >= 0 else -(-total // count)


@record
class AvgValue:
    """A mean that can still be merged. `average` (also `int()`) rounds towards zero, as the kernel half does."""

    total: int
    count: int

    @property
    def average(self) -> int:
        return divided(self.total, self.count)

    def __int__(self) -> int:
        return self.average


@record
class StatsValue:
    """Count, total and (rounded towards zero) average."""

    total: int
    count: int

    @property
    def average(self) -> int:
        return divided(self.total, self.count)


@record
class HistValue(Histogram):
    """A power-of-two histogram with `2**bits` buckets for each power; see `Histogram`."""

    bits: int

    def bounds(self, index: int) -> tuple[int | None, int | None]:
        if index == 0:
            return None, 0
        n = index - 1
        sub = 1 << self.bits
        if n < sub:
            return n, n + 1
        shift = (n >> self.bits) - 1
        low = (sub + (n & (sub - 1))) << shift
        return low, low + (1 << shift)

    def unit(self, bound: int) -> str:
        # Buckets halve each power of two `bits` times: the unit is that of the bucket's width.
        power = max(0, bound.bit_length() - 1 - self.bits)
        return f"{bound >> power << power % 10}{_UNITS[power // 10].strip()}"

    __repr__ = Histogram.__repr__

    def _like(self, counts: tuple[int, ...]) -> HistValue:
        return HistValue(counts, self.bits)


@record
class LHistValue(Histogram):
    """A linear histogram from `min` in whole steps of `step` up to `max`; see `Histogram`."""

    min: int
    max: int
    step: int

    def bounds(self, index: int) -> tuple[int | None, int | None]:
        if index == 0:
            return None, self.min
        low = self.min + (index - 1) * self.step
        return low, None if index == len(self.counts) - 1 else low + self.step

    def unit(self, bound: int) -> str:
        if self.step % 1024:
            return str(bound)
        power = 0
        while bound and bound % 1024 == 0:
            bound //= 1024
            power += 1
        return f"{bound}{_UNITS[power].strip()}"

    __repr__ = Histogram.__repr__

    def _like(self, counts: tuple[int, ...]) -> LHistValue:
        return LHistValue(counts, self.min, self.max, self.step)


@record
class TSeriesValue:
    """Time series: for each interval with samples, (its number since boot, value, samples), oldest first.

    For `avg` and `sum` the kept value is a sum. Without a merge function it is the latest value, and `samples` is its
    time stamp, which is what merging needs.
    """

    interval: int
    count: int
    merge: Literal["", "avg", "max", "min", "sum"]
    slots: tuple[tuple[int, int, int], ...]

    def points(self, until: int | None = None) -> tuple[tuple[int, int | None], ...]:
        """(start of the interval in ns since boot, value or None where there was no sample), oldest first, without
        gaps: from the first interval with a sample to the last, or to interval number `until`; at most `count`."""
        known = {epoch: (value, n) for epoch, value, n in self.slots}
        if not known:
            return ()
        last = max(known) if until is None else until
        within = [epoch for epoch in known if last - self.count < epoch <= last]
        points: list[tuple[int, int | None]] = []
        for epoch in range(min(within, default=last + 1), last + 1):
            value, n = known.get(epoch, (None, 0))
            if value is not None and self.merge == "avg":
                value = divided(value, n)
            points.append((epoch * self.interval, value))
        return tuple(points)
