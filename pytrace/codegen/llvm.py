"""The only place that talks to LLVM: IR text in, object file out."""

from __future__ import annotations

import threading
from functools import cache
from typing import Any

from pytrace.codegen.libllvm import STACK_OPTION, LibLlvm, library_path

BPF = ("bpf", "v3", 2)
"""Triple, processor and level of optimisation of the kernel half."""

_lock = threading.Lock()


class Binding:
    """The same as `LibLlvm` through llvmlite's own Python half, for the releases that `LibLlvm` does not know."""

    def __init__(self) -> None:
        import llvmlite.binding

        self._llvm: Any = llvmlite.binding
        self._llvm.initialize_all_targets()
        self._llvm.initialize_all_asmprinters()
        self._llvm.set_option("pytrace", STACK_OPTION)

    def machine(self, triple: str, cpu: str, level: int, reloc: str = "default", codemodel: str = "jitdefault") -> Any:
        target = self._llvm.Target.from_triple(triple)
        return target.create_target_machine(cpu=cpu, opt=level, reloc=reloc, codemodel=codemodel)

    def parse(self, text: str) -> Any:
        module = self._llvm.parse_assembly(text, self._llvm.create_context())
        module.verify()
        return module

    def optimise(self, module: Any, machine: Any, level: int) -> None:
        options = self._llvm.create_pipeline_tuning_options(speed_level=level)
        builder = self._llvm.create_pass_builder(machine, options)
        builder.getModulePassManager().run(module, builder)

    def emit(self, machine: Any, module: Any) -> bytes:
        data: bytes = machine.emit_object(module)
        return data


@cache
def _library() -> LibLlvm | Binding:
    if path := library_path():
        try:
            return LibLlvm(path)
        except (OSError, AttributeError):
            pass  # not built as expected: llvmlite itself knows what to do, or what to complain about
    return Binding()


def library() -> LibLlvm | Binding:
    """LLVM with all its targets."""
    with _lock:
        return _library()


@cache
def machine(triple: str, cpu: str, level: int, reloc: str = "default", codemodel: str = "jitdefault") -> Any:
    """A target machine. Raises RuntimeError for a triple that this LLVM does not know."""
    return library().machine(triple, cpu, level, reloc, codemodel)


def optimise(text: str, target: tuple[str, str, int] = BPF) -> Any:
    """Parses, verifies and optimises a module; its `str()` is its IR. Raises RuntimeError with LLVM's words where
    that is wrong."""
    llvm = library()
    module = llvm.parse(text)
    llvm.optimise(module, machine(*target), target[2])
    return module


def emit_object(module: Any, target: tuple[str, str, int] = BPF) -> bytes:
    """The ELF object of an optimised module."""
    return library().emit(machine(*target), module)
