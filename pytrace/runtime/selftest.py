"""`--test` and `--bench`: the `test:` and `bench:` probes of a Program, each run by itself."""

from __future__ import annotations

import os
import struct
import time
from typing import Any, cast

from pytrace.kernel import bpf
from pytrace.output import Renderer, Text
from pytrace.program import Program
from pytrace.runtime.progs import LoadedProgram
from pytrace.runtime.session import Session
from pytrace.runtime.symbols import Symbols

_ITERATIONS = 20_000


class _Capture:
    """A sink that keeps what was written since it was last asked."""

    def __init__(self) -> None:
        self._data = bytearray()

    def write(self, data: bytes) -> None:
        self._data += data

    def isatty(self) -> bool:
        return False

    def take(self) -> bytes:
        data, self._data = bytes(self._data), bytearray()
        return data


class _Switch:
    """A renderer that hands everything on to `now`."""

    def __init__(self, now: Renderer) -> None:
        self.now = now

    def __getattr__(self, name: str) -> Any:
        return getattr(self.now, name)


def _session(program: Program, symbols: Symbols, options: dict[str, Any]) -> tuple[Session, _Switch, _Capture]:
    capture = _Capture()
    switch = _Switch(Text(capture, capture, symbols))
    session = Session(program, output=cast(Renderer, switch), symbols=symbols, native=False, announce=False, **options)
    return session, switch, capture


def run_tests(program: Program, output: Renderer, symbols: Symbols, **options: Any) -> int:
    """Runs each `test:` probe and tells how it went: it passes if it returns 0, says no `errorf` and does not `exit()`
    with something else than 0. What it prints is part of its result. The `end` probes and the maps come afterwards.

    Gives the exit status: 1 if a test failed. `options` are those of `Session`.
    """
    session, switch, capture = _session(program, symbols, options)
    failed: list[str] = []
    with session:
        tests = session.loaded[0].runs("test")
        _headline(output, f"[==========] Running {_counted(len(tests))}.\n")
        for name, prog in tests:
            errors = session.errors
            start = time.monotonic_ns()
            returned = prog.run()
            duration = time.monotonic_ns() - start
            session.drain()
            exited = session.take_exit() or 0
            passed = not returned and not exited and session.errors == errors
            if not passed:
                failed.append(name)
            output.test_result(name, passed, duration, capture.take())
        _headline(output, _summary(len(tests), failed))
        switch.now = output
    return 1 if failed else 0


def _headline(output: Renderer, text: str) -> None:
    if isinstance(output, Text):
        output.raw(text.encode())


def _counted(n: int) -> str:
    return f"{n} test{'' if n == 1 else 's'}"


def _summary(count: int, failed: list[str]) -> str:
    lines = [f"[==========] {_counted(count)} ran.", f"[  PASSED  ] {_counted(count - len(failed))}."]
    if failed:
        lines.append(f"[  FAILED  ] {_counted(len(failed))}, listed below:")
        lines += [f"[  FAILED  ] {name}" for name in failed]
    return "\n".join(lines) + "\n"


def run_benchmarks(program: Program, output: Renderer, symbols: Symbols, **options: Any) -> int:
    """Runs each `bench:` probe 20,000 times and tells the average time by the kernel's own account (5.8+), which
    includes what reading the clock takes. What benchmarks print is dropped. Gives the exit status, 0."""
    session, switch, capture = _session(program, symbols, options)
    with session:
        results = []
        for name, prog in session.loaded[0].runs("bench"):
            results.append((name, *_measure(prog, session)))
            capture.take()
        output.benchmarks(results)
        switch.now = output
    return 0


def _measure(prog: LoadedProgram, session: Session) -> tuple[int, int]:
    """Average ns and how often it ran."""
    stats = bpf.enable_stats()
    try:
        before = _account(prog)
        for i in range(_ITERATIONS):
            prog.run()
            if i % 256 == 255:
                session.drain()
                if session.take_exit() is not None:
                    break
        session.drain()
        after = _account(prog)
    finally:
        os.close(stats)
    count = after[1] - before[1]
    return ((after[0] - before[0]) // count if count else 0), count


def _account(prog: LoadedProgram) -> tuple[int, int]:
    """ns that a program ran and how often, as the kernel counts while statistics are on."""
    return cast("tuple[int, int]", struct.unpack_from("=QQ", bpf.object_info(prog.fd), 192))
