"""LLVM through the C entry points of llvmlite's library, without llvmlite's Python half.

That half imports half the standard library and describes 400 functions to ctypes: 35 ms of a start that needs twenty
functions for 10 ms. They are not a public interface, so they are only called in the releases whose declarations
these are (`RELEASES`); with any other, `pytrace.codegen.llvm` goes through `llvmlite.binding`.

Every module lives in an LLVM context of its own and every target machine has a lock, so that several threads can
work at once. Calls into the library release Python's lock.
"""

from __future__ import annotations

import os
import threading
from typing import Any

import _cffi_backend  # type: ignore[import-untyped]

RELEASES = ("0.50.",)

STACK_OPTION = "-bpf-stack-size=30000"
"""LLVM ends the process over a function that needs more: it is looked at afterwards instead."""
_FUNCTIONS = {
    "ContextCreate": "void *(*)(void)",
    "ContextDispose": "void (*)(void *)",
    "ParseAssembly": "void *(*)(void *, char *, char **)",
    "VerifyModule": "_Bool (*)(void *, char **)",
    "PrintModuleToString": "void (*)(void *, char **)",
    "DisposeModule": "void (*)(void *)",
    "DisposeString": "void (*)(char *)",
    "InitializeAllTargetInfos": "void (*)(void)",
    "InitializeAllTargets": "void (*)(void)",
    "InitializeAllTargetMCs": "void (*)(void)",
    "InitializeAllAsmPrinters": "void (*)(void)",
    "GetTargetFromTriple": "void *(*)(char *, char **)",
    "CreateTargetMachine": "void *(*)(void *, char *, char *, char *, int, char *, char *, int, int, char *)",
    "CreatePipelineTuningOptions": "void *(*)(void)",
    "DisposePipelineTuningOptions": "void (*)(void *)",
    "CreatePassBuilder": "void *(*)(void *, void *)",
    "DisposePassBuilder": "void (*)(void *)",
    "buildPerModuleDefaultPipeline": "void *(*)(void *, int)",
    "RunNewModulePassManager": "void (*)(void *, void *, void *)",
    "TargetMachineEmitToMemory": "void *(*)(void *, void *, int, char **)",
    "SetCommandLine": "void (*)(char *, char *)",
    "GetBufferStart": "char *(*)(void *)",
    "GetBufferSize": "size_t (*)(void *)",
    "DisposeMemoryBuffer": "void (*)(void *)",
}

_ffi: Any = _cffi_backend.FFI()


class Module:
    """A module and the context it lives in; gone when the last reference is."""

    def __init__(self, llvm: LibLlvm, text: str) -> None:
        self._llvm = llvm
        self.pointer: Any = None
        self._context = llvm.call("ContextCreate")
        error = llvm.string()
        self.pointer = llvm.call("ParseAssembly", self._context, _text(text), error)
        if error[0] or not self.pointer:
            raise RuntimeError(f"LLVM IR parsing error\n{llvm.take(error)}")

    def __del__(self) -> None:
        if self.pointer:
            self._llvm.call("DisposeModule", self.pointer)
        self._llvm.call("ContextDispose", self._context)

    def __str__(self) -> str:
        text = self._llvm.string()
        self._llvm.call("PrintModuleToString", self.pointer, text)
        return self._llvm.take(text)


class Machine:
    """A target machine, which stays for good. Only one thread can use it at a time."""

    def __init__(self, pointer: Any) -> None:
        self.pointer = pointer
        self.lock = threading.Lock()


class LibLlvm:
    """What is needed of LLVM. Mistakes in IR are `RuntimeError`s with LLVM's words.

    Raises OSError if there is no library at `path`, AttributeError if it lacks a function.
    """

    def __init__(self, path: str) -> None:
        # Its functions do not keep it: without this reference it would be unloaded under them.
        self._library = _cffi_backend.load_library(path, os.RTLD_NOW)
        self._functions = {
            name: self._library.load_function(_ffi.typeof(kind), f"LLVMPY_{name}") for name, kind in _FUNCTIONS.items()
        }
        for name in ("TargetInfos", "Targets", "TargetMCs", "AsmPrinters"):
            self.call(f"InitializeAll{name}")
        self.call("SetCommandLine", b"pytrace", STACK_OPTION.encode())

    def call(self, function: str, *arguments: Any) -> Any:
        return self._functions[function](*arguments)

    @staticmethod
    def string() -> Any:
        """Room for a string that the library makes."""
        return _ffi.new("char **")

    def take(self, made: Any) -> str:
        """The text of such a string, which is given back."""
        if not made[0]:
            return ""
        text: bytes = _ffi.string(made[0])
        self.call("DisposeString", made[0])
        return text.decode(errors="replace")

    def machine(
        self, triple: str, cpu: str, level: int, reloc: str = "default", codemodel: str = "jitdefault"
    ) -> Machine:
        """A target machine. Raises RuntimeError for a triple that this LLVM does not know."""
        error = self.string()
        target = self.call("GetTargetFromTriple", _text(triple), error)
        if error[0] or not target:
            raise RuntimeError(self.take(error))
        words = (_text(triple), _text(cpu), b"")
        machine = self.call("CreateTargetMachine", target, *words, level, _text(reloc), _text(codemodel), 0, 0, b"")
        if not machine:
            raise RuntimeError(f"no target machine for {triple}")
        return Machine(machine)

    def parse(self, text: str) -> Module:
        """A module of IR text that LLVM's verifier accepts."""
        module, error = Module(self, text), self.string()
        if self.call("VerifyModule", module.pointer, error):
            raise RuntimeError(self.take(error))
        return module

    def optimise(self, module: Module, machine: Machine, level: int) -> None:
        options = self.call("CreatePipelineTuningOptions")
        with machine.lock:
            builder = self.call("CreatePassBuilder", machine.pointer, options)
            manager = self.call("buildPerModuleDefaultPipeline", builder, level)
            self.call("RunNewModulePassManager", manager, module.pointer, builder)
            # There is no function to dispose of a manager; llvmlite does not either.
            self.call("DisposePassBuilder", builder)
        self.call("DisposePipelineTuningOptions", options)

    def emit(self, machine: Machine, module: Module) -> bytes:
        """An ELF object."""
        error = self.string()
        with machine.lock:
            memory = self.call("TargetMachineEmitToMemory", machine.pointer, module.pointer, 1, error)
        if not memory:
            raise RuntimeError(self.take(error))
        data = bytes(_ffi.buffer(self.call("GetBufferStart", memory), self.call("GetBufferSize", memory)))
        self.call("DisposeMemoryBuffer", memory)
        return data


def _text(text: str) -> bytes:
    return text.encode()


def library_path() -> str:
    """Where llvmlite keeps its library; empty if this release of llvmlite, or its way of being installed, is not known
    here."""
    import llvmlite

    if not llvmlite.__version__.startswith(RELEASES):
        return ""
    path = os.path.join(os.path.dirname(llvmlite.__file__), "binding", "libllvmlite.so")
    return path if os.path.exists(path) else ""
