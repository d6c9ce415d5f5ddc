"""System calls that Python's `os` does not have, through the ABI mode of cffi, and memory by its address."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from functools import lru_cache
from typing import Any

# Only the C half of cffi: the Python half parses declarations with pycparser, which takes 50 ms to import.
import _cffi_backend  # type: ignore[import-untyped]

from pytrace.kernel.bpf.abi import Cmd

_NUMBERS = {"x86_64": (321, 298), "aarch64": (280, 241), "riscv64": (280, 241), "loongarch64": (280, 241)}
_SYS_BPF, _SYS_PERF_EVENT_OPEN = _NUMBERS.get(os.uname().machine, (280, 241))

_ffi: Any = _cffi_backend.FFI()
_libc: Any = _cffi_backend.load_library(None, 0)
# libc's syscall() is variadic in C; with integers only, the calling conventions of Linux do not tell the difference.
_syscall: Any = _libc.load_function(_ffi.typeof("long (*)(long, long, long, long, long, long, long)"), "syscall")
_mmap: Any = _libc.load_function(_ffi.typeof("intptr_t (*)(intptr_t, size_t, int, int, int, long)"), "mmap")
_munmap: Any = _libc.load_function(_ffi.typeof("int (*)(intptr_t, size_t)"), "munmap")

Readable = bytes | bytearray | memoryview
PAGE = os.sysconf("SC_PAGE_SIZE")
PROT_READ, PROT_WRITE = 1, 2
_MAP_SHARED, _MAP_PRIVATE, _MAP_ANONYMOUS, _MAP_NORESERVE = 1, 2, 0x20, 0x4000


def address(buffer: Readable) -> int:
    """Returns the address of an object's bytes, or 0 if it has none. The caller keeps the object alive as long as it is
    used."""
    return int(_ffi.cast("uintptr_t", _ffi.from_buffer(buffer))) if len(buffer) else 0


def _check(result: int, what: str) -> int:
    if result < 0:
        raise OSError(_ffi.errno, os.strerror(_ffi.errno), what)
    return result


def bpf(cmd: Cmd, attr: bytearray) -> int:
    """Calls bpf(2). `attr` is a `union bpf_attr` of any length, into which the kernel writes what it returns."""
    result = int(_syscall(_SYS_BPF, cmd, address(attr), len(attr), 0, 0, 0))
    if result < 0 and _ffi.errno == errno.EPERM and _lift_memlock():
        result = int(_syscall(_SYS_BPF, cmd, address(attr), len(attr), 0, 0, 0))
    return _check(result, f"BPF_{cmd.name}") if result < 0 else result


@lru_cache(maxsize=1)
def _lift_memlock() -> bool:
    """Returns whether the call is worth repeating. Before Linux 5.11 maps and programs count as locked memory, of which
    a process may have 64 KiB by default; the limit is lifted once, after the first refusal."""
    before = _ffi.errno
    version = re.match(r"(\d+)\.(\d+)", os.uname().release)
    lifted = False
    if version and (int(version[1]), int(version[2])) < (5, 11):
        import resource

        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_MEMLOCK, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
            lifted = True
    _ffi.errno = before
    return lifted


def perf_event(attr: bytearray, pid: int, cpu: int, flags: int) -> int:
    """Calls perf_event_open(2) and returns the event's descriptor."""
    return _check(_syscall(_SYS_PERF_EVENT_OPEN, address(attr), pid, cpu, -1, flags, 0), "perf_event_open")


class Mapping:
    """`length` bytes of a file, mapped shared, or anonymous memory if `fd` is -1. `view` is writable if `prot` says so.

    `close` unmaps: no view of the memory may be used afterwards.
    """

    def __init__(self, fd: int, length: int, prot: int = PROT_READ | PROT_WRITE, offset: int = 0) -> None:
        flags = _MAP_SHARED if fd >= 0 else _MAP_PRIVATE | _MAP_ANONYMOUS | _MAP_NORESERVE
        self.address = int(_mmap(0, length, prot, flags, fd, offset))
        if self.address == -1:
            _check(-1, "mmap")
        self.length = length
        view = memoryview(_ffi.buffer(_ffi.cast("char *", self.address), length)).cast("B")
        self.view = view if prot & PROT_WRITE else view.toreadonly()

    def close(self) -> None:
        if self.address:
            _munmap(self.address, self.length)
            self.address = 0
            self.view = memoryview(b"")


def read_u64(at: int) -> int:
    """Reads the u64 at an address with one load."""
    return int(_ffi.cast("uint64_t *", at)[0])


def write_u64(at: int, value: int) -> None:
    """Writes the u64 at an address with one store."""
    _ffi.cast("uint64_t *", at)[0] = value
