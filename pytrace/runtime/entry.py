"""Holds a process where its program begins: when everything that it is linked with is mapped, and none of it has run
but for what libraries do first.

ptrace(2) stops it behind its exec, a breakpoint of the processor at the program's entry, where the dynamic loader goes
when it is done. Nothing is written into the process.
"""

from __future__ import annotations

import os
import signal
import struct
from collections.abc import Callable
from typing import Any

import _cffi_backend  # type: ignore[import-untyped]

_ffi: Any = _cffi_backend.FFI()
# Variadic in libc's header; with integers only, the calling conventions of Linux do not tell the difference.
_ptrace: Any = _cffi_backend.load_library(None, 0).load_function(
    _ffi.typeof("long (*)(long, long, long, long)"), "ptrace"
)
_POKEUSER, _CONT, _DETACH, _SEIZE = 6, 7, 17, 0x4206
_TRACE_EXEC = 1 << 4
_EVENT_EXEC = 4
_DEBUG_REGISTERS = 848  # u_debugreg of `struct user` on x86-64
_EXECUTE_0 = 1  # in register 7: register 0 is an address, to stop before executing what is there
_AT_ENTRY = 9


def run_to_entry(pid: int, go: Callable[[], object], arrived: Callable[[], object]) -> int | None:
    """Lets a child of ours go (`go`), which is about to exec, and calls `arrived` when it has, and again when it stands
    before the first instruction of its program. Then it is on its own. Where it may not be traced it just goes.

    If it ended before, its wait status."""
    if _ptrace(_SEIZE, pid, 0, _TRACE_EXEC) < 0:
        go()
        return None
    go()
    status = _next_stop(pid, _EVENT_EXEC)
    if not os.WIFSTOPPED(status):
        return status
    arrived()
    entry = _entry(pid)
    if entry and _ptrace(_POKEUSER, pid, _DEBUG_REGISTERS, entry) == 0:
        if _ptrace(_POKEUSER, pid, _DEBUG_REGISTERS + 7 * 8, _EXECUTE_0) == 0:
            _ptrace(_CONT, pid, 0, 0)
            status = _next_stop(pid, 0)
            if not os.WIFSTOPPED(status):
                return status
            arrived()
        _ptrace(_POKEUSER, pid, _DEBUG_REGISTERS + 7 * 8, 0)
    _ptrace(_DETACH, pid, 0, 0)
    return None


def _next_stop(pid: int, event: int) -> int:
    """Waits until it traps, for this event, or ends; signals on the way are its own. The wait status."""
    while True:
        _, status = os.waitpid(pid, 0)
        if not os.WIFSTOPPED(status):
            return status
        if os.WSTOPSIG(status) == signal.SIGTRAP and status >> 16 == event:
            return status
        # Other events are stops of the whole group, which it has to leave again: nobody else may wait for it yet.
        _ptrace(_CONT, pid, 0, 0 if status >> 16 else os.WSTOPSIG(status))


def _entry(pid: int) -> int:
    """Where the program begins, as the kernel told it; 0 if that is not known."""
    try:
        with open(f"/proc/{pid}/auxv", "rb") as file:
            words = file.read()
    except OSError:
        return 0
    for kind, value in struct.iter_unpack("=QQ", words[: len(words) & ~15]):
        if kind == _AT_ENTRY:
            return value if value < 1 << 47 else 0
    return 0
