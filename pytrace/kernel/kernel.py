"""The running kernel, each fact read when it is first asked for."""

from __future__ import annotations

import os
from functools import cached_property

TYPE_CHECKING = False  # what type checkers look for; importing `typing` would cost 4 ms
if TYPE_CHECKING:
    from pytrace.kernel.btf import Btf
    from pytrace.kernel.features import Features
    from pytrace.kernel.kallsyms import Kallsyms
    from pytrace.kernel.syscalls import Syscalls
    from pytrace.kernel.traceable import Traceable
    from pytrace.kernel.tracefs import Tracefs

_running: Kernel | None = None


def parse_version(release: str) -> tuple[int, int, int]:
    """Major, minor and patch level of a release like `6.1.0-18-cloud-amd64`; missing parts are 0."""
    numbers = []
    for part in release.split("-")[0].split(".")[:3]:
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        numbers.append(int(digits or 0))
    major, minor, patch = (*numbers, 0, 0, 0)[:3]
    return major, minor, patch


def parse_cpu_list(text: str) -> list[int]:
    """The CPU numbers of a kernel list like `0-3,8`."""
    cpus: list[int] = []
    for part in text.strip().split(","):
        if part:
            first, _, last = part.partition("-")
            cpus.extend(range(int(first), int(last or first) + 1))
    return cpus


class Kernel:
    """Facts about the kernel this process runs on. Whatever cannot be had raises `KernelError` when it is asked
    for; making a Kernel reads nothing but uname(2). `Kernel.running()` gives the one that all share."""

    def __init__(self) -> None:
        name = os.uname()
        self.release: str = name.release
        self.machine: str = name.machine
        self.version: tuple[int, int, int] = parse_version(name.release)

    @staticmethod
    def running() -> Kernel:
        """The kernel of this process, made once."""
        global _running
        if _running is None:
            _running = Kernel()
        return _running

    @cached_property
    def cpus(self) -> tuple[int, ...]:
        """The numbers of the CPUs that could ever be online: a per-CPU map has a value for each, in this order."""
        with open("/sys/devices/system/cpu/possible") as file:
            return tuple(parse_cpu_list(file.read()))

    @property
    def online_cpus(self) -> tuple[int, ...]:
        """The numbers of the CPUs that are online now."""
        with open("/sys/devices/system/cpu/online") as file:
            return tuple(parse_cpu_list(file.read()))

    @property
    def possible_cpus(self) -> int:
        """How many CPUs could ever be online. Where their numbers have gaps, `max(cpus) + 1` is greater."""
        return len(self.cpus)

    @cached_property
    def btf(self) -> Btf:
        """BTF of vmlinux (since 5.4). Raises `KernelError` where the kernel was built without CONFIG_DEBUG_INFO_BTF."""
        from pytrace.kernel.btf import Btf

        return Btf.vmlinux()

    @cached_property
    def tracefs(self) -> Tracefs:
        """Event formats and lists. Raises `KernelError` where tracefs can neither be found nor mounted."""
        from pytrace.kernel.tracefs import Tracefs

        return Tracefs.find()

    @cached_property
    def kallsyms(self) -> Kallsyms:
        """Kernel symbols as they were at the first question. Raises `KernelError` where they are hidden."""
        from pytrace.kernel.kallsyms import Kallsyms

        return Kallsyms.read()

    @cached_property
    def clones(self) -> dict[str, tuple[str, ...]]:
        """By the name in the source, the symbols of functions that there are clones of only. Raises as `kallsyms`."""
        from pytrace.kernel.clones import find

        return find(lambda: self.kallsyms)

    @cached_property
    def traceable(self) -> Traceable:
        """The functions that kprobes and fentry may go to."""
        from pytrace.kernel.traceable import Traceable

        return Traceable(self, self._functions_file)

    _functions_file = ""

    def choose_from(self, path: str) -> None:
        """Makes a file say which functions are traceable, in the format of tracefs's `available_filter_functions`; an
        empty path, this kernel."""
        if path != self._functions_file:
            self._functions_file = path
            self.__dict__.pop("traceable", None)

    @cached_property
    def features(self) -> Features:
        """What this kernel can do for BPF, found out by trial."""
        from pytrace.kernel.features import Features

        return Features(self)

    @cached_property
    def syscalls(self) -> Syscalls:
        """Names and numbers of this machine's system calls."""
        from pytrace.kernel.syscalls import Syscalls

        return Syscalls.of(self.machine)
