"""What can be had of a compilation besides a run: `--emit-elf`, `--emit-llvm`, `--aot`, `--mode codegen` and
`--mode compiler-bench`."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, TypeVar

from pytrace.arguments import UsageError
from pytrace.codegen import bpf, llvm
from pytrace.codegen.unit import Unit
from pytrace.compiler import analyse, compile_script

if TYPE_CHECKING:
    from pytrace.arguments import Arguments
    from pytrace.options import Options

T = TypeVar("T")
ROUNDS = 20


def emit(arguments: Arguments, name: str, text: str, options: Options) -> bool:
    """Writes what was asked for; whether that is all. Raises `ScriptError`, and `UsageError` for files that cannot be
    written."""
    params, named = arguments.positional, arguments.named

    def analysed() -> Unit:
        return analyse(text, name=name, params=params, named=named, options=options).unit

    if arguments.time_stages:
        _time(name, text, analysed)
        return True
    if arguments.emit_elf or arguments.emit_llvm or not arguments.aot:
        unit, elf = bpf.assemble(analysed())
    if arguments.emit_elf:
        _write(arguments.emit_elf, elf)
    if arguments.emit_llvm:
        ir = unit.text()
        _write(f"{arguments.emit_llvm}.original.ll", ir.encode())
        _write(f"{arguments.emit_llvm}.optimized.ll", str(llvm.optimise(ir)).encode())
    if arguments.aot:
        program = compile_script(text, name=name, params=params, named=named, options=options, native=False)
        sys.stderr.writelines(f"{warning}\n" for warning in program.warnings)
        try:
            program.save(arguments.aot)
        except OSError as error:
            raise UsageError(f"cannot write to '{arguments.aot}': {error.strerror}") from error
    return bool(arguments.aot) or arguments.only_compile


def _write(name: str, data: bytes) -> None:
    try:
        with open(name, "wb") as file:
            file.write(data)
    except OSError as error:
        raise UsageError(f"cannot write to '{name}': {error.strerror}") from error


def _time(name: str, text: str, analysed: Callable[[], Unit]) -> None:
    """How long the stages take: the best and the mean of some rounds, after one that fills the caches."""
    from pytrace.codegen.user import compile_user
    from pytrace.diagnostics import Source
    from pytrace.syntax import parse

    unit = analysed()
    ir = unit.text()
    module = llvm.optimise(ir)
    program = bpf.finish(unit, name, text)
    stages: list[tuple[str, Callable[[], object]]] = [
        ("parse", lambda: parse(Source(name, text))),
        ("analyse", analysed),  # which parses first
        ("optimise", lambda: llvm.optimise(ir)),
        ("emit", lambda: llvm.emit_object(module)),
        ("link", lambda: bpf.finish(unit, name, text)),  # which optimises and emits first
        ("user half", lambda: compile_user(program.events, program.timestamps)),
    ]
    sys.stdout.write(f"{'Stage':<12}{'Rounds':>8}{'Best (us)':>12}{'Mean (us)':>12}\n")
    for stage, run in stages:
        taken = []
        for _ in range(ROUNDS):
            began = time.perf_counter_ns()
            run()
            taken.append(time.perf_counter_ns() - began)
        best, mean = min(taken) // 1000, sum(taken) // len(taken) // 1000
        sys.stdout.write(f"{stage:<12}{ROUNDS:>8}{best:>12}{mean:>12}\n")
