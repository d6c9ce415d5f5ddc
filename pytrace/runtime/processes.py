"""Which files processes have mapped where, also those that have ended: what user addresses need to become names.

/proc tells about the living only, and a traced command is often gone before its stacks are shown. So while a session
wants user symbols, a perf event for each CPU reports every executable mapping and every fork on the machine. Where
that is not allowed, /proc has to do.
"""

from __future__ import annotations

import os
import struct
from collections import OrderedDict
from typing import TYPE_CHECKING

from pytrace.kernel import bpf
from pytrace.kernel.bpf import PerfType
from pytrace.kernel.process import Mapping, Process, processes

if TYPE_CHECKING:
    from pytrace.kernel import Kernel

_DUMMY = 9  # PERF_COUNT_SW_DUMMY
_SAMPLE_TIME = 1 << 2
_MMAP, _TASK, _SAMPLE_ID_ALL, _MMAP2, _COMM, _COMM_EXEC = 1 << 8, 1 << 13, 1 << 18, 1 << 23, 1 << 9, 1 << 24
RECORD_LOST, RECORD_FORK, RECORD_MMAP2 = 2, 7, 10
_PAGES = 16
_KEEP = 4096
_SCAN = 16


class _Seen:
    """What is known of one process: its own mappings, latest last, and those it had from its parent."""

    __slots__ = ("mappings", "parent")

    def __init__(self, parent: _Seen | None = None) -> None:
        self.mappings: list[Mapping] = []
        self.parent = parent

    def locate(self, address: int) -> Mapping | None:
        at: _Seen | None = self
        for _ in range(16):  # generations of forks without an exec
            if at is None:
                return None
            for mapping in reversed(at.mappings):
                if mapping.start <= address < mapping.end:
                    return mapping
            at = at.parent
        return None


class Processes:
    """Answers by what was seen first, and asks /proc where nothing was."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._seen: OrderedDict[int, _Seen] = OrderedDict()
        self._streams: list[Stream] = []
        self._unseen: list[int] = []
        self.watching = False
        self.lost = 0
        """How many reports of mappings and forks the kernel dropped, so far."""

    def locate(self, address: int, pid: int) -> tuple[Mapping, int] | None:
        """The mapping of a file that the address is in, and the offset in the file."""
        self.poll()
        seen = self._seen.get(pid)
        found = seen.locate(address) if seen else None
        if found is None:
            self.refresh(pid)
            seen = self._seen.get(pid)
            found = seen.locate(address) if seen else None
        if found is None or not found.is_file:
            return None
        return found, address - found.start + found.offset

    def refresh(self, pid: int) -> None:
        """Remembers a process as /proc shows it now, if it is still there."""
        maps = [m for m in Process(pid).maps() if m.executable]
        if maps:
            seen = self._seen.setdefault(pid, _Seen())
            known = set(seen.mappings)
            seen.mappings += [m for m in maps if m not in known]

    def generation(self, pid: int) -> int:
        """Another number after every mapping that a process is known to have made."""
        seen = self._seen.get(pid)
        return len(seen.mappings) if seen else 0

    def watch(self) -> None:
        """From now on remembers every process on the machine: those that are there bit by bit, in `poll`."""
        if self.watching:
            return
        self.watching = True
        self._unseen = processes()
        try:
            for cpu in self._kernel.online_cpus:
                self._streams.append(Stream(cpu))
        except OSError:
            self._close_streams()  # not allowed: /proc alone, then

    def poll(self) -> None:
        """Takes in what has happened; call it every now and then."""
        if not self.watching:
            return
        records: list[tuple[int, int, bytes]] = []
        for stream in self._streams:
            records += stream.take()
            self.lost += stream.lost
            stream.lost = 0
        records.sort(key=lambda record: record[0])
        for _, kind, data in records:
            if kind == RECORD_FORK:
                self._fork(data)
            else:
                self._map(data)
        for pid in self._unseen[-_SCAN:]:
            self.refresh(pid)
        del self._unseen[-_SCAN:]
        while len(self._seen) > _KEEP:
            self._seen.popitem(last=False)

    def _fork(self, data: bytes) -> None:
        pid, parent = struct.unpack_from("=II", data)
        if pid == parent:
            return  # a thread
        if parent not in self._seen:
            self.refresh(parent)
        self._seen[pid] = _Seen(self._seen.get(parent))
        self._seen.move_to_end(pid)

    def _map(self, data: bytes) -> None:
        pid, _, start, length, offset, major, minor, inode = struct.unpack_from("=IIQQQIIQ", data)
        path = data[64:].partition(b"\0")[0].decode("utf-8", "surrogateescape")
        place = start, start + length, "r-xp", offset
        self._seen.setdefault(pid, _Seen()).mappings.append(Mapping(*place, f"{major:02x}:{minor:02x}", inode, path))

    def _close_streams(self) -> None:
        for stream in self._streams:
            stream.close()
        self._streams.clear()

    def close(self) -> None:
        """Stops watching; what was seen stays known."""
        if self._streams:
            self.poll()
        self._close_streams()
        self.watching = False


class Stream:
    """The perf buffer of one CPU: what processes map and start there. `fd` is readable when it is filling, or with
    `prompt` when something has happened. `struct perf_event_mmap_page` holds data_head at 1024 and data_tail at
    1032."""

    def __init__(self, cpu: int, prompt: bool = False) -> None:
        self.fd = bpf.perf_event_open(
            PerfType.SOFTWARE,
            _DUMMY,
            cpu=cpu,
            sample_type=_SAMPLE_TIME,
            flags=_MMAP | _TASK | _SAMPLE_ID_ALL | _MMAP2 | _COMM | _COMM_EXEC,
            watermark=1 if prompt else 0,
        )
        self.lost = 0
        """How many records the kernel dropped because the buffer was full (PERF_RECORD_LOST)."""
        self._size = _PAGES * bpf.PAGE
        try:
            self._memory = bpf.Mapping(self.fd, bpf.PAGE + self._size)
        except OSError:
            os.close(self.fd)
            raise

    def take(self) -> list[tuple[int, int, bytes]]:
        """(time, type, body) of each new MMAP2 and FORK record."""
        base = self._memory.address
        head, tail = bpf.read_u64(base + 1024), bpf.read_u64(base + 1032)
        if head == tail:
            return []
        start, end = tail % self._size, head % self._size
        data = self._memory.view[bpf.PAGE :]
        content = bytes(data[start:end]) if start < end else bytes(data[start:]) + bytes(data[:end])
        bpf.write_u64(base + 1032, head)
        found, at = [], 0
        while at + 8 <= len(content):
            kind, _, size = struct.unpack_from("=IHH", content, at)
            if size < 8:
                break
            if kind == RECORD_LOST:
                self.lost += struct.unpack_from("=Q", content, at + 16)[0]
            elif kind in (RECORD_FORK, RECORD_MMAP2):
                time = struct.unpack_from("=Q", content, at + size - 8)[0]
                found.append((time, kind, content[at + 8 : at + size - 8]))
            at += size
        return found

    def close(self) -> None:
        self._memory.close()
        os.close(self.fd)
