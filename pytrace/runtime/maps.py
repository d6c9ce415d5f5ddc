"""Kernel maps: made from a `MapSpec`, read and written by key, or through memory where the kernel maps them."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Self

from pytrace.kernel import KernelError, bpf
from pytrace.program import BPF_F_MMAPABLE, BPF_F_RDONLY_PROG, MapSpec, MapType

_PER_CPU = (MapType.PERCPU_HASH, MapType.PERCPU_ARRAY, MapType.LRU_PERCPU_HASH)
_QUEUES = (MapType.QUEUE, MapType.STACK)
_BATCH_BYTES = 1 << 20
_BATCH_LEAST = 64


class MapError(KernelError):
    """A map could not be made; the message says which and why."""


class KernelMap:
    """One map in the kernel. `fd` is its descriptor; a mmapable array is in memory as `view` (read-only if frozen).

    Keys and values are bytes as the kernel has them. A per-CPU value is one value for each possible CPU in a row, each
    padded to a multiple of 8 bytes (`stride`).
    """

    def __init__(self, spec: MapSpec, possible_cpus: int) -> None:
        self.spec = spec
        self.stride = (spec.value_size + 7) & ~7
        self.value_bytes = self.stride * possible_cpus if spec.type in _PER_CPU else spec.value_size
        inner = KernelMap(spec.inner, possible_cpus) if spec.inner is not None else None
        sizes = spec.key_size, spec.value_size, spec.max_entries
        try:
            self.fd: int = bpf.map_create(
                spec.type, *sizes, spec.flags, spec.name.lstrip("@"), inner.fd if inner is not None else 0
            )
        except OSError as error:
            raise MapError(f"cannot create map {spec.name}: {_reason(error, spec)}") from error
        finally:
            if inner is not None:
                inner.close()
        self._mapping: bpf.Mapping | None = None
        try:
            if spec.data:
                bpf.map_update(self.fd, bytes(spec.key_size), spec.data.ljust(spec.value_size, b"\0"))
            if spec.frozen:
                bpf.map_freeze(self.fd)
            if spec.flags & BPF_F_MMAPABLE:
                writable = not spec.frozen
                prot = bpf.PROT_READ | (bpf.PROT_WRITE if writable else 0)
                self._mapping = bpf.Mapping(self.fd, _pages(self.stride * spec.max_entries), prot)
        except OSError as error:
            self.close()
            raise MapError(f"cannot prepare map {spec.name}: {error.strerror}") from error

    @property
    def view(self) -> memoryview:
        """The memory of a mmapable array, element after element. Raises `ValueError` for any other map."""
        if self._mapping is None:
            raise ValueError(f"map {self.spec.name} is not mapped")
        return self._mapping.view

    def lookup(self, key: bytes) -> bytes | None:
        value = bytearray(self.value_bytes)
        try:
            bpf.map_lookup(self.fd, key, value)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return bytes(value)

    def update(self, key: bytes, value: bytes) -> None:
        bpf.map_update(self.fd, key, value)

    def delete(self, key: bytes) -> bool:
        """Whether the key was there."""
        try:
            bpf.map_delete(self.fd, key)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return False
            raise
        return True

    def keys(self) -> Iterator[bytes]:
        """All keys, each once. Keys that come and go meanwhile may or may not be among them."""
        seen: set[bytes] = set()
        key: bytes | None = None
        following = bytearray(self.spec.key_size)
        # A key deleted under the walk sends the kernel back to the start; then every key from there on is looked at
        # again.
        for _ in range(2 * self.spec.max_entries + 1):
            if not bpf.map_next_key(self.fd, key, following):
                return
            key = bytes(following)
            if key not in seen:
                seen.add(key)
                yield key

    def items(self) -> dict[bytes, bytes]:
        """All entries. Reads them many at a time where the kernel can (5.6+), else key by key."""
        try:
            return dict(self._batches())
        except OSError as error:
            if error.errno not in (errno.EINVAL, errno.EOPNOTSUPP, _ENOTSUPP):
                raise
        entries: dict[bytes, bytes] = {}
        for key in self.keys():
            value = self.lookup(key)
            if value is not None:
                entries[key] = value
        return entries

    def _batches(self) -> Iterator[tuple[bytes, bytes]]:
        key_size, value_size = self.spec.key_size, self.value_bytes
        count = min(self.spec.max_entries, max(_BATCH_LEAST, _BATCH_BYTES // (key_size + value_size)))
        place = b""
        done = False
        while not done:
            keys, values = bytearray(key_size * count), bytearray(value_size * count)
            following = bytearray(max(key_size, 8))
            try:
                found, done = bpf.map_lookup_batch(self.fd, place, following, keys, values, count)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise
                count *= 2
                continue
            place = bytes(following)
            for i in range(found):
                yield (
                    bytes(keys[i * key_size : (i + 1) * key_size]),
                    bytes(values[i * value_size : (i + 1) * value_size]),
                )

    def clear(self) -> None:
        """Deletes every entry; empties a queue; sets an array to zeros."""
        if self._mapping is not None:
            self.view[: self.stride * self.spec.max_entries] = bytes(self.stride * self.spec.max_entries)
        elif self.spec.type in _QUEUES:
            while self.pop() is not None:
                pass
        elif self.spec.type in (MapType.ARRAY, MapType.PERCPU_ARRAY):
            self.zero()
        else:
            for key in list(self.keys()):
                self.delete(key)

    def zero(self) -> None:
        """Sets every value to zeros and keeps the keys."""
        zeros = bytes(self.value_bytes)
        for key in list(self.keys()):
            self.update(key, zeros)

    def pop(self) -> bytes | None:
        """Takes the next element out of a queue or stack; None if it is empty."""
        value = bytearray(self.value_bytes)
        try:
            bpf.map_lookup_and_delete(self.fd, b"", value)
        except OSError as error:
            if error.errno == errno.ENOENT:
                return None
            raise
        return bytes(value)

    def close(self) -> None:
        if self._mapping is not None:
            self._mapping.close()
            self._mapping = None
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


class Maps(Mapping[str, KernelMap]):
    """The kernel maps of a loaded program, by the name of their spec. Those that it did not make are `shared` and are
    left open when it closes."""

    def __init__(
        self, specs: tuple[MapSpec, ...], possible_cpus: int, shared: Mapping[str, KernelMap] | None = None
    ) -> None:
        self._own: list[KernelMap] = []
        self._maps: dict[str, KernelMap] = {}
        try:
            for spec in specs:
                found = (shared or {}).get(spec.name)
                if found is None:
                    found = KernelMap(spec, possible_cpus)
                    self._own.append(found)
                self._maps[spec.name] = found
        except MapError:
            self.close()
            raise

    def __getitem__(self, name: str) -> KernelMap:
        return self._maps[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._maps)

    def __len__(self) -> int:
        return len(self._maps)

    def release(self, name: str) -> None:
        """Leaves a map open when this closes: somebody else will close it."""
        self._own = [m for m in self._own if m.spec.name != name]

    def close(self) -> None:
        for map in self._own:
            map.close()
        self._own.clear()
        self._maps.clear()


_ENOTSUPP = 524  # of the kernel, without a name in user space


def _pages(size: int) -> int:
    return (size + bpf.PAGE - 1) // bpf.PAGE * bpf.PAGE


def _reason(error: OSError, spec: MapSpec) -> str:
    match error.errno:
        case errno.EPERM:
            return "not permitted (it needs root, or CAP_BPF and CAP_PERFMON)"
        case errno.ENOMEM | errno.E2BIG:
            return f"no memory for {spec.max_entries} entries of {spec.key_size + spec.value_size} bytes"
        case errno.EINVAL:
            return f"this kernel has no {spec.type.name} map with flags {spec.flags:#x}"
        case _:
            return error.strerror or str(error)


__all__ = ["BPF_F_RDONLY_PROG", "KernelMap", "MapError", "Maps"]
