"""The command of `-c` before it is let run."""

from __future__ import annotations

import os
import time
from pathlib import Path

from pytrace.runtime import Child


def _context_switches(pid: int) -> list[str]:
    return [line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "ctxt_switches" in line]


def test_a_settled_child_does_nothing_more_before_it_is_released() -> None:
    for _ in range(20):
        with Child("true") as child:
            child.settle()
            before = _context_switches(child.pid)
            time.sleep(0.005)
            assert _context_switches(child.pid) == before
            child.release()
            assert child.reap() == 0


def test_a_child_that_is_gone_is_not_waited_for() -> None:
    with Child("true") as child:
        os.kill(child.pid, 9)
        assert child.reap() == 128 + 9
        child.settle()
