"""The only place that talks to LLVM about BPF: IR text in, object file out."""

from __future__ import annotations

from functools import cache
from typing import Any

import llvmlite.binding as llvm


@cache
def _target_machine(cpu: str, level: int) -> Any:
    llvm.initialize_all_targets()
    llvm.initialize_all_asmprinters()
    return llvm.Target.from_triple("bpf").create_target_machine(cpu=cpu, opt=level)


def optimise(text: str, cpu: str = "v3", level: int = 2) -> Any:
    """Parses, verifies and optimises a module. Raises RuntimeError with LLVM's words where the IR is wrong."""
    machine = _target_machine(cpu, level)
    module = llvm.parse_assembly(text)
    module.verify()
    builder = llvm.create_pass_builder(machine, llvm.create_pipeline_tuning_options(speed_level=level))
    builder.getModulePassManager().run(module, builder)
    return module


def emit_object(module: Any, cpu: str = "v3", level: int = 2) -> bytes:
    """The ELF object of an optimised module."""
    data: bytes = _target_machine(cpu, level).emit_object(module)
    return data


def assembly(module: Any, cpu: str = "v3", level: int = 2) -> str:
    """The module as BPF assembly, for `-d asm`."""
    text: str = _target_machine(cpu, level).emit_assembly(module)
    return text
