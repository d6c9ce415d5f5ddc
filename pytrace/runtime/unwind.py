"""What `dw_ustack` unwinds stacks by: fills the two maps that `program` tells of.

Which processes: those that were named, and what they start. Where they have mapped code is read from /proc, at first
and whenever the kernel reports that one has mapped more of it or forked. The table of a file is worked out once and
kept on disk by its build id; in the kernel it is once for all processes.
"""

from __future__ import annotations

import struct
import time
from collections.abc import Callable, Iterable, Iterator

from pytrace import cache
from pytrace.kernel import KernelError, bpf, ehframe
from pytrace.kernel.elf import Elf
from pytrace.kernel.process import Mapping as Mapped
from pytrace.kernel.process import Process, parse_maps
from pytrace.program import (
    RANGE,
    RANGE_NO_PROGRAM,
    RANGE_PID_SHIFT,
    UNWIND_RANGES,
    UNWIND_TABLES,
    MapSpec,
)
from pytrace.record import record, replace
from pytrace.runtime.maps import KernelMap
from pytrace.runtime.processes import RECORD_MMAP2, Stream

_MAGIC = b"ptUnwin1"
_WORTH_KEEPING, _MOST_KEPT = 1 << 16, 100
"""Bytes of a table that is kept on disk, and how many of them are."""
_LOOK_AGAIN = 0.5
"""Seconds between looks at /proc where the kernel does not say what processes map."""
_VDSO = "[vdso]"


@record
class _Table:
    """Where the rows of a file are, and its segments of code: (offset, size, address)."""

    number: int
    first: int
    count: int
    code: tuple[tuple[int, int, int], ...]


class Unwinding:
    """The maps of a session. `pids` are the processes whose stacks are wanted; those of `later` have yet to begin their
    program. `cpus` are those that are online; `warn` gets what went wrong, once. Raises `MapError`."""

    def __init__(
        self,
        specs: Iterable[MapSpec],
        possible_cpus: int,
        cpus: Iterable[int],
        pids: Iterable[int],
        later: Iterable[int],
        warn: Callable[[str], object],
    ) -> None:
        self._warn = warn
        self._streams: list[Stream] = []
        self._ranges: dict[int, list[bytes]] = {pid: [_range(pid, 0, RANGE_NO_PROGRAM * bpf.PAGE)] for pid in later}
        self._tables: dict[tuple[str, int, str], _Table | None] = {}
        self._number = 0
        self._half = 0
        self._looked = 0.0
        self._warned: set[str] = set()
        self.maps: dict[str, KernelMap] = {}
        try:
            for spec in specs:
                if spec.name in (UNWIND_RANGES, UNWIND_TABLES):
                    self.maps[spec.name] = KernelMap(spec, possible_cpus)
            self._listen(cpus)
            self.refresh(pids)
        except BaseException:
            self.close()
            raise

    def refresh(self, pids: Iterable[int]) -> None:
        """Takes in where processes have mapped code by now."""
        found = {pid: [m for m in Process(pid).maps() if m.executable] for pid in pids}
        self._load([(pid, m) for pid, mapped in found.items() for m in mapped if _key(m) not in self._tables])
        for pid, mapped in found.items():
            if mapped:
                self._ranges[pid] = [_range(pid), *(r for m in mapped for r in self._range_of(pid, m))]
            else:  # it is gone
                self._ranges.pop(pid, None)
        self._publish()

    def poll(self) -> None:
        """Takes in what the processes have done since; call it every now and then."""
        due: set[int] = set()
        for pid, parent in self._reports():
            if parent in self._ranges or (not parent and pid in self._ranges):
                due.add(pid)
            elif parent and pid in self._ranges:
                # Its number was given to a process that is nobody's here.
                self._ranges.pop(pid)
                due.discard(pid)
        now = time.monotonic()
        if not self._streams and now - self._looked >= _LOOK_AGAIN:
            self._looked = now
            due.update(self._ranges)
        if due:
            self.refresh(due)

    def _listen(self, cpus: Iterable[int]) -> None:
        try:
            for cpu in cpus:
                self._streams.append(Stream(cpu, prompt=True))
        except OSError:  # not allowed: /proc alone, then
            for stream in self._streams:
                stream.close()
            self._streams.clear()

    @property
    def fds(self) -> list[int]:
        """Descriptors that are readable when there is something for `poll`."""
        return [stream.fd for stream in self._streams]

    def _reports(self) -> Iterator[tuple[int, int]]:
        """Every process that has mapped code, with 0, and every one that began, with its parent, as it happened."""
        records = [record for stream in self._streams for record in stream.take()]
        if any(stream.lost for stream in self._streams):
            # Which processes they were about is not known, so all are looked at again.
            for stream in self._streams:
                stream.lost = 0
            yield from ((pid, 0) for pid in list(self._ranges))
        for _, kind, data in sorted(records, key=lambda record: record[0]):
            pid, parent = struct.unpack_from("=II", data)
            if kind == RECORD_MMAP2:
                yield pid, 0
            elif pid != parent:  # no thread
                yield pid, parent

    def _load(self, wanted: list[tuple[int, Mapped]]) -> None:
        """Puts the tables of new files into the kernel."""
        contents = bytearray()
        by_build: dict[str, _Table] = {}
        for pid, mapped in wanted:
            key = _key(mapped)
            if key in self._tables:
                continue
            self._tables[key] = None
            try:
                elf = _elf(pid, mapped)
                rows = _rows(elf) if elf is not None else b""
            except KernelError as error:
                self._complain(f"{mapped.path}: stacks end there: {error}")
                continue
            if elf is None or not rows:
                continue
            known = by_build.get(elf.build_id) if elf.build_id else None
            if known is None:
                code = tuple((s.offset, s.file_size, s.address) for s in elf.segments if s.type == 1 and s.flags & 1)
                known = _Table(self._number, len(contents) // 8, len(rows) // 8, code)
                by_build[elf.build_id] = known
                contents += rows
            self._tables[key] = known
        if not contents:
            return
        outer = self.maps[UNWIND_TABLES]
        if self._number == outer.spec.max_entries:
            self._complain("stacks end in code that was mapped late: there is no room for more unwind tables")
            return
        assert outer.spec.inner is not None
        with KernelMap(replace(outer.spec.inner, max_entries=len(contents) // 8), 1) as inner:
            inner.view[: len(contents)] = contents
            outer.update(struct.pack("=I", self._number), struct.pack("=I", inner.fd))
        self._number += 1

    def _range_of(self, pid: int, mapped: Mapped) -> Iterator[bytes]:
        table = self._tables.get(_key(mapped))
        for offset, size, address in table.code if table else ():
            if offset & -bpf.PAGE <= mapped.offset < offset + size:
                assert table is not None
                bias = mapped.start - (address - offset + mapped.offset)
                yield _range(pid, mapped.start, mapped.end, bias, table)

    def _publish(self) -> None:
        """Writes the ranges where the kernel half does not look, and then has it look there."""
        ranges = self.maps[UNWIND_RANGES]
        room = (ranges.spec.max_entries - 1) // 2
        records = [r for _, own in sorted(self._ranges.items()) for r in own]
        if len(records) > room:
            self._complain(f"stacks of some processes are cut: all have mapped code at more than {room} places")
            del records[room:]
        first = 1 + self._half * room
        self._half = 1 - self._half
        view, size = ranges.view, ranges.stride
        view[first * size : (first + len(records)) * size] = b"".join(records)
        view[:8].cast("Q")[0] = len(records) << 32 | first  # at once

    def _complain(self, text: str) -> None:
        if text not in self._warned:
            self._warned.add(text)
            self._warn(f"WARNING: {text}")

    def close(self) -> None:
        for stream in self._streams:
            stream.close()
        self._streams.clear()
        for kernel_map in self.maps.values():
            kernel_map.close()
        self.maps.clear()


def _key(mapped: Mapped) -> tuple[str, int, str]:
    return mapped.device, mapped.inode, mapped.path


def _range(pid: int, start: int = 0, end: int = 0, bias: int = 0, table: _Table | None = None) -> bytes:
    key = pid << RANGE_PID_SHIFT | start // bpf.PAGE
    place = (table.number, table.first, table.count) if table else (0, 0, 0)
    return struct.pack(RANGE, key, bias & 0xFFFFFFFFFFFFFFFF, (end - start) // bpf.PAGE, *place)


def _elf(pid: int, mapped: Mapped) -> Elf | None:
    """The file of a mapping; None for memory that is of no file. Raises `KernelError`."""
    if mapped.path == _VDSO:
        return _own_vdso()
    return Elf.open(Process(pid).path(mapped)) if mapped.is_file else None


def _own_vdso() -> Elf | None:
    """Code that the kernel maps into every process, the same into all."""
    try:
        with open("/proc/self/maps") as maps, open("/proc/self/mem", "rb") as memory:
            for mapped in parse_maps(maps.read()):
                if mapped.path == _VDSO:
                    memory.seek(mapped.start)
                    return Elf(memory.read(mapped.end - mapped.start), _VDSO)
    except OSError:
        pass
    return None


def _rows(elf: Elf) -> bytes:
    """The table of a file, kept on disk by the file's build id. Raises `KernelError`."""
    name = f"unwind-{elf.build_id}"
    if elf.build_id:
        kept = cache.read(name)
        if kept is not None and kept.startswith(_MAGIC) and len(kept) % 8 == 0:
            return kept[8:]
    rows = ehframe.table(elf)
    if elf.build_id and len(rows) >= _WORTH_KEEPING:
        cache.write(name, _MAGIC + rows)
        cache.trim("unwind-", _MOST_KEPT)
    return rows
