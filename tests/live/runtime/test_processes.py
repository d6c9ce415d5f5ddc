"""What the kernel reports of processes, and what it could not report."""

from __future__ import annotations

import os
import subprocess
import sys

from pytrace.kernel import Kernel
from pytrace.runtime.processes import RECORD_MMAP2, Stream

MAPPINGS = 3000
"""More than the buffer of a CPU holds."""
MAP_OFTEN = f"""
import mmap, os, sys
file = os.open(sys.executable, os.O_RDONLY)
for _ in range({MAPPINGS}):
    mmap.mmap(file, 4096, mmap.MAP_PRIVATE, mmap.PROT_READ | mmap.PROT_EXEC).close()
"""


def run_on(cpu: int, *command: str) -> int:
    """Runs a command on one CPU, and returns its pid."""
    process = subprocess.Popen(command, preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
    process.wait()
    return process.pid


def test_reports_that_found_no_room_are_counted() -> None:
    cpu = Kernel.running().online_cpus[0]
    stream = Stream(cpu)
    try:
        pid = run_on(cpu, sys.executable, "-c", MAP_OFTEN)
        records = stream.take()
        run_on(cpu, "true")  # the kernel says what was lost when there is room again
        records += stream.take()
        seen = sum(1 for _, kind, data in records if kind == RECORD_MMAP2 and int.from_bytes(data[:4], "little") == pid)
        assert 0 < seen < MAPPINGS
        assert seen + stream.lost >= MAPPINGS
    finally:
        stream.close()
