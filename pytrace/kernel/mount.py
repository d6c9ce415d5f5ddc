"""Mounts that no path leads to."""

from __future__ import annotations

import os

from pytrace.kernel.errors import KernelError

# These numbers are the same on every architecture (include/uapi/asm-generic/unistd.h, since 5.2).
_FSOPEN, _FSCONFIG, _FSMOUNT = 430, 431, 432
_CLOEXEC = 1
_FSCONFIG_CMD_CREATE = 6
_MOUNT_ATTR_NOSUID_NODEV_NOEXEC = 2 | 4 | 8


def mount_privately(kind: str) -> int:
    """An O_PATH fd of the root of a fresh mount of the file system `kind`. The mount is in no namespace and ends when
    the last fd below it is closed. Raises `KernelError` (Linux before 5.2, no CAP_SYS_ADMIN, unknown kind)."""
    # The backend alone, without cffi.FFI().cdef(): the C parser behind that takes 40 ms to import.
    import _cffi_backend  # type: ignore[import-untyped]

    ffi = _cffi_backend.FFI()
    libc = _cffi_backend.load_library(None)
    syscall = libc.load_function(ffi.typeof("long(*)(long, long, long, long, long, long)"), "syscall")

    def call(what: str, number: int, *arguments: int) -> int:
        result: int = syscall(number, *arguments, *(0,) * (5 - len(arguments)))
        if result < 0:
            why = os.strerror(ffi.errno)
            raise KernelError(f"{kind} is not mounted and cannot be mounted: {what}: {why}", "run as root")
        return result

    name = ffi.new("char[]", kind.encode())
    context = call("fsopen", _FSOPEN, int(ffi.cast("uintptr_t", name)), _CLOEXEC)
    try:
        call("fsconfig", _FSCONFIG, context, _FSCONFIG_CMD_CREATE)
        return call("fsmount", _FSMOUNT, context, _CLOEXEC, _MOUNT_ATTR_NOSUID_NODEV_NOEXEC)
    finally:
        os.close(context)
