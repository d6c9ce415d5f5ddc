"""What these tests share: system calls of this process in known numbers, and what the kernel has of us."""

from __future__ import annotations

import os
import struct
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

import pytrace
from pytrace.kernel import bpf


def on(call: str, body: str) -> str:
    """A script that does something at each call of a system call by this process."""
    return f"tracepoint:syscalls:sys_enter_{call} /pid == {os.getpid()}/ {{ {body} }}"


def call(times: int) -> None:
    """That many calls of getppid(2)."""
    for _ in range(times):
        os.getppid()


def programs() -> set[int]:
    """The ids of all BPF programs in the kernel."""
    found: set[int] = set()
    id = 0
    while True:
        attr = bytearray(struct.pack("=III", id, 0, 0))
        try:
            bpf.bpf(bpf.Cmd.PROG_GET_NEXT_ID, attr)
        except OSError:
            return found
        id = struct.unpack_from("=I", attr, 4)[0]
        found.add(id)


def programs_held() -> set[int]:
    """The ids of the BPF programs that this process has a descriptor of, or a link to."""
    held: set[int] = set()
    for info in Path("/proc/self/fdinfo").iterdir():
        try:
            text = info.read_text()
        except OSError:
            continue
        held |= {int(line.split()[1]) for line in text.splitlines() if line.startswith("prog_id:")}
    return held


def descriptors() -> list[str]:
    return sorted(os.listdir("/proc/self/fd"))


def own_comm() -> str:
    """What `comm` is in this process."""
    return Path("/proc/self/comm").read_text().strip()


@pytest.fixture(scope="session")
def warm() -> None:
    """What is known of the kernel is read once and kept: descriptors of it are no leak."""
    with pytrace.trace(on("getppid", '@[kstack, ustack, ksym(kaddr("schedule"))] = count();')) as t:
        call(1)
    assert t.maps["@"]


@pytest.fixture
def nothing_left(warm: None) -> Iterator[Callable[[], None]]:
    """Fails if file descriptors, threads or BPF programs of this process are left, at the end or when it is called."""
    before = descriptors(), set(threading.enumerate())

    def check() -> None:
        assert descriptors() == before[0]
        assert set(threading.enumerate()) == before[1]
        assert programs_held() == set()

    yield check
    check()
