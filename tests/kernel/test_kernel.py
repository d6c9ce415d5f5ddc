from __future__ import annotations

import os
import subprocess
import sys

import pytest

from pytrace.kernel import Kernel, KernelError
from pytrace.kernel.kernel import parse_cpu_list, parse_version
from pytrace.kernel.syscalls import Syscalls


@pytest.mark.parametrize(
    ("release", "version"),
    [
        ("6.18.44-custom-1", (6, 18, 44)),
        ("5.10.0-28-cloud-amd64", (5, 10, 0)),
        ("6.12+", (6, 12, 0)),
        ("7.2-rc1", (7, 2, 0)),
        ("6.1.76rc2", (6, 1, 76)),
    ],
)
def test_versions_of_releases(release: str, version: tuple[int, int, int]) -> None:
    assert parse_version(release) == version


def test_cpu_lists() -> None:
    assert parse_cpu_list("0-3,8,10-11\n") == [0, 1, 2, 3, 8, 10, 11]
    assert parse_cpu_list("0\n") == [0] and parse_cpu_list("\n") == []


def test_the_running_kernel_is_one_object_and_this_one() -> None:
    kernel = Kernel.running()
    assert kernel is Kernel.running()
    assert kernel.release == os.uname().release == subprocess.check_output(["uname", "-r"], text=True).strip()
    assert kernel.possible_cpus >= len(os.sched_getaffinity(0))
    assert set(kernel.online_cpus) <= set(kernel.cpus)


def test_asking_for_the_kernel_imports_nothing_heavy() -> None:
    code = "import sys; from pytrace.kernel import Kernel; Kernel.running(); print(*sys.modules)"
    loaded = set(subprocess.check_output([sys.executable, "-c", code], text=True).split())
    assert not loaded & {"dataclasses", "re", "mmap", "hashlib", "cffi", "_cffi_backend", "lark", "llvmlite"}


def test_syscalls_of_this_machine_by_its_own_headers() -> None:
    program = "#include <sys/syscall.h>\n" + "".join(f"{n} SYS_{n}\n" for n in ("read", "openat", "execve", "clone3"))
    text = subprocess.check_output(["gcc", "-E", "-P", "-x", "c", "-"], input=program, text=True)
    pairs = [line.split() for line in text.splitlines() if len(line.split()) == 2 and line.split()[1].isdigit()]
    assert len(pairs) == 4
    syscalls = Kernel.running().syscalls
    for name, number in pairs:
        assert (syscalls.number(name), syscalls.name(int(number))) == (int(number), name)


def test_names_and_numbers_of_syscalls_go_both_ways() -> None:
    for machine in ("x86_64", "aarch64"):
        syscalls = Syscalls.of(machine)
        assert len(set(syscalls.names.values())) == len(syscalls.names)
        assert all(syscalls.number(name) == number for number, name in syscalls.names.items())
        # the calls since 5.1 have one number on all architectures
        assert [syscalls.name(n) for n in (425, 437, 449, 462)] == ["io_uring_setup", "openat2", "futex_waitv", "mseal"]
    assert [Syscalls.of("aarch64").number(n) for n in ("openat", "read", "execve", "open")] == [56, 63, 221, None]
    assert Syscalls.of("x86_64").number("newstat") == Syscalls.of("x86_64").number("stat") == 4
    assert Syscalls.of("x86_64").name(9999) is None


def test_an_unknown_machine_is_an_error() -> None:
    with pytest.raises(KernelError, match="m68k"):
        Syscalls.of("m68k")
