"""The counters that the kernel half keeps: the exit flag, and what was lost, exactly."""

from __future__ import annotations

import struct
import time

from pytrace.program import COUNTERS_HEADER, EXIT_CODE, EXIT_FLAG, START_TIME, TAI_OFFSET, Counter, Program


def tai_offset() -> int:
    """How many ns CLOCK_TAI is ahead of CLOCK_BOOTTIME, by a reading between two of the latter as close as they get."""
    found: list[tuple[int, int]] = []
    for _ in range(8):
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        tai = time.clock_gettime_ns(time.CLOCK_TAI)
        after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        found.append((after - before, tai - (before + after) // 2))
    return min(found)[1]


class Books:
    """Reads the counters map of a loaded program through memory. Loss is reported once: `news` gives what was added
    since it was last asked."""

    def __init__(self, program: Program, memory: memoryview) -> None:
        self._counters, self._cpus, self._stride = program.counters, program.cpus, program.counter_stride
        self._memory = memory
        self._told = [0] * len(self._counters)
        struct.pack_into("=Q", memory, START_TIME, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
        struct.pack_into("=q", memory, TAI_OFFSET, tai_offset())

    @property
    def exiting(self) -> bool:
        """Whether `exit()` was called in the kernel half."""
        return bool(struct.unpack_from("=I", self._memory, EXIT_FLAG)[0])

    @property
    def exit_code(self) -> int:
        """What `exit()` was given."""
        return int(struct.unpack_from("=I", self._memory, EXIT_CODE)[0])

    def resume(self) -> None:
        """Takes an `exit()` back: programs run again."""
        struct.pack_into("=II", self._memory, EXIT_FLAG, 0, 0)

    def silence(self) -> None:
        """Sets the exit flag, at which programs return before they do anything."""
        struct.pack_into("=I", self._memory, EXIT_FLAG, 1)

    def totals(self) -> list[int]:
        """The sum over CPUs of each counter of `Program.counters`."""
        count = len(self._counters)
        totals = [0] * count
        row = struct.Struct(f"={count}Q")
        for cpu in range(self._cpus):
            for i, n in enumerate(row.unpack_from(self._memory, COUNTERS_HEADER + cpu * self._stride)):
                totals[i] += n
        return totals

    @property
    def lost(self) -> int:
        """Records that found no room in the ring, so far."""
        return sum(n for counter, n in zip(self._counters, self.totals(), strict=True) if counter.kind == "lost")

    def take_new(self) -> list[tuple[Counter, int]]:
        """Counters that grew since the last call, and by how much."""
        totals = self.totals()
        if totals == self._told:
            return []
        grown = [
            (counter, now - before)
            for counter, now, before in zip(self._counters, totals, self._told, strict=True)
            if now != before
        ]
        self._told = totals
        return grown
