"""`test:` and `bench:` probes: how their results are told."""

from __future__ import annotations

import re

from pytrace.kernel import Kernel
from pytrace.output import Json, Text
from pytrace.program import EventSpec, Program
from pytrace.program import TestRun as Run
from pytrace.runtime import Symbols
from pytrace.runtime.selftest import run_benchmarks, run_tests
from pytrace.types import INT64
from tests.asm import FORCE_WAKEUP, Asm, printf, prog, program, sends
from tests.live.runtime.conftest import Sink


def cases() -> Program:
    exits = Asm().value(1, "counters").store_u32(1, 0, 1).mov(7, 2).store(10, -8, 7).send(2, 1, FORCE_WAKEUP).exit()
    return program(
        prog(sends(0, 0), Run("test", "good")),
        prog(Asm().exit(3), Run("test", "returns")),
        prog(sends(0, 1), Run("test", "says")),
        prog(exits, Run("test", "exits")),
        prog(sends(0, 0), Run("test", "last")),
        prog(sends(0, 3), Run("end")),
        events=(
            printf(0, "output\n"),
            EventSpec(1, "errorf", (INT64,), printf(1, "wrong\n").format, location=("-e", 1, 2)),
            EventSpec(2, "exit", (INT64,), control=True),
            printf(3, "end\n"),
        ),
    )


def test_each_way_to_fail() -> None:
    out, symbols = Sink(), Symbols(Kernel.running())
    assert run_tests(cases(), Text(out, Sink(), symbols), symbols, show_maps=False) == 1
    told = dict(re.findall(r"^\[ *(OK|FAILED) *\] (\w+) \(", out.text, re.MULTILINE)[i][::-1] for i in range(5))
    assert told == {"good": "OK", "returns": "FAILED", "says": "FAILED", "exits": "FAILED", "last": "OK"}
    assert out.lines[0] == "[==========] Running 5 tests."
    assert out.lines[-7:] == [
        "[==========] 5 tests ran.",
        "[  PASSED  ] 2 tests.",
        "[  FAILED  ] 3 tests, listed below:",
        "[  FAILED  ] returns",
        "[  FAILED  ] says",
        "[  FAILED  ] exits",
        "end",
    ]
    assert "wrong" in out.text


def test_a_result_holds_what_was_printed() -> None:
    out, symbols = Sink(), Symbols(Kernel.running())
    run_tests(cases(), Json(out, Sink(), symbols), symbols, show_maps=False)
    assert '"good"' in out.lines[0]
    assert '"passed": true, "output": "output\\n"' in out.lines[0]
    assert '"says"' in out.lines[2]
    assert "wrong" in out.lines[2]


def test_benchmarks_are_run_often_and_keep_quiet() -> None:
    out, symbols = Sink(), Symbols(Kernel.running())
    spec = program(
        prog(sends(0), Run("bench", "sends")), prog(Asm().exit(), Run("bench", "empty")), events=(printf(0, "x\n"),)
    )
    assert run_benchmarks(spec, Text(out, Sink(), symbols), symbols, show_maps=False) == 0
    rows = {line.split()[0]: [int(n) for n in line.split()[1:]] for line in out.lines[2:]}
    assert rows["sends"][1] == rows["empty"][1] == 20_000
    assert "x\n" not in out.text
