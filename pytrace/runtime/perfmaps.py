"""Names of code that a program makes while it runs (node, java, Python, …), from the list that it writes for profilers:
/tmp/perf-PID.map with lines `START SIZE NAME`, in hex.

Whoever can write to /tmp could write such a file for a process that is not theirs: only one that belongs to the
process's user, or to root, is believed, as perf does.
"""

from __future__ import annotations

import os
import stat
from bisect import bisect_right
from collections.abc import Iterator

from pytrace.kernel.process import Process
from pytrace.output import Symbol
from pytrace.record import record

_LARGEST = 256 << 20
_KEEP = 64


@record(frozen=False)
class _List:
    """A file as it was read: `state` is its size and time then. Later lines are about newer code."""

    path: str
    state: tuple[int, int]
    starts: list[int]
    entries: list[tuple[int, int, str]]


class PerfMaps:
    """The lists of processes; each is read when an address is asked for, and again when it has changed."""

    def __init__(self) -> None:
        self._lists: dict[int, _List] = {}
        self._places: dict[int, tuple[int, int]] = {}

    def symbol(self, address: int, pid: int) -> Symbol | None:
        """The function that an address is in, if the process says so."""
        known = self._lists.get(pid)
        found = _at(known, address) if known else None
        fresh = self._read(pid, known)
        if fresh is not None and fresh is not known:
            self._lists[pid] = fresh
            found = _at(fresh, address) or found
            while len(self._lists) > _KEEP:
                self._lists.pop(next(iter(self._lists)))
        return found

    def _read(self, pid: int, known: _List | None) -> _List | None:
        owner, inside = self._places.get(pid) or _place(pid)
        if not inside:
            return None
        self._places[pid] = owner, inside  # it may be asked for again when the process is gone
        paths = [f"/proc/{pid}/root/tmp/perf-{inside}.map", f"/tmp/perf-{inside}.map"]
        for path in paths[:1] if os.path.exists(f"/proc/{pid}") else paths[1:]:
            try:
                fd = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
            except OSError:
                continue
            with os.fdopen(fd, "rb") as file:
                info = os.fstat(fd)
                if not stat.S_ISREG(info.st_mode) or info.st_uid not in (owner, 0) or info.st_size > _LARGEST:
                    continue
                state = info.st_size, info.st_mtime_ns
                if known is not None and known.state == state:
                    return known
                entries = sorted(_entries(file.read(_LARGEST)), key=lambda entry: entry[0])
            return _List(f"/tmp/perf-{inside}.map", state, [start for start, _, _ in entries], entries)
        return None


def _place(pid: int) -> tuple[int, int]:
    """The user of a process, and its id as it knows it itself; of one that is gone, what is most likely."""
    try:
        owner = os.stat(f"/proc/{pid}").st_uid
    except OSError:
        return os.geteuid(), pid
    return owner, Process(pid).namespace_pid


def _entries(text: bytes) -> Iterator[tuple[int, int, str]]:
    for line in text.split(b"\n"):
        parts = line.split(b" ", 2)
        try:
            start, size = int(parts[0], 16), int(parts[1], 16)
            name = parts[2].strip().decode("utf-8", "surrogateescape")
        except (ValueError, IndexError):
            continue  # the last line may be half written
        if size and name:
            yield start, start + size, name


def _at(known: _List, address: int) -> Symbol | None:
    at = bisect_right(known.starts, address) - 1
    # Of several that begin at one address the last is the newest; one before may reach over those behind it.
    for start, end, name in reversed(known.entries[max(0, at - 8) : at + 1]):
        if start <= address < end:
            return Symbol(address, name, address - start, known.path)
    return None
