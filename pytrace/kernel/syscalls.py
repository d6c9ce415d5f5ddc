"""Names and numbers of system calls, without headers."""

from __future__ import annotations

from collections.abc import Mapping

from pytrace.kernel.errors import KernelError
from pytrace.kernel.syscall_tables import AARCH64, X86_64

# The kernel calls some functions (and so tracefs some events) otherwise than its headers call the numbers.
_KERNEL_NAMES = {
    "newstat": "stat",
    "newfstat": "fstat",
    "newlstat": "lstat",
    "newuname": "uname",
    "sendfile64": "sendfile",
    "umount": "umount2",
    "fadvise64_64": "fadvise64",
}


class Syscalls:
    """The system calls of one architecture. `number` accepts a call's name in the uapi headers and that of its
    tracepoint (`sys_enter_newstat` → `newstat` → 4 on x86_64); `name` gives the headers'."""

    def __init__(self, names: Mapping[int, str]) -> None:
        self._names = dict(names)
        self._numbers = {name: number for number, name in names.items()}
        for kernel, header in _KERNEL_NAMES.items():
            if kernel not in self._numbers and header in self._numbers:
                self._numbers[kernel] = self._numbers[header]

    @staticmethod
    def of(machine: str) -> Syscalls:
        """The 64-bit system calls of a machine as uname(2) calls it. Raises `KernelError` for one that is unknown."""
        runs = {"x86_64": X86_64, "aarch64": AARCH64}.get(machine)
        if runs is None:
            raise KernelError(f"the system calls of {machine} are not known", "x86_64 and aarch64 are supported")
        return Syscalls({first + i: name for first, run in runs.items() for i, name in enumerate(run.split())})

    def number(self, name: str) -> int | None:
        return self._numbers.get(name)

    def name(self, number: int) -> str | None:
        return self._names.get(number)

    @property
    def names(self) -> Mapping[int, str]:
        """All names by number, ascending."""
        return self._names
