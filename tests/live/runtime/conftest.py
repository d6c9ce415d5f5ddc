"""What the tests share: a sink that remembers, system calls in known numbers, and what the kernel has of us."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from pytrace.kernel import Kernel, bpf
from pytrace.output import Text
from pytrace.program import Program
from pytrace.runtime import Child, Session, Symbols


class Sink:
    """Collects what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def isatty(self) -> bool:
        return False

    @property
    def text(self) -> str:
        return self.data.decode()

    @property
    def lines(self) -> list[str]:
        return self.text.split("\n")[:-1]


class Bench:
    """Makes sessions whose output can be looked at: `out` and `err`."""

    def __init__(self) -> None:
        self.out, self.err = Sink(), Sink()
        self.kernel = Kernel.running()

    def session(self, program: Program | None = None, **options: object) -> Session:
        symbols = Symbols(self.kernel)
        output = Text(self.out, self.err, symbols)
        return Session(program, output=output, symbols=symbols, **options)  # type: ignore[arg-type]

    def traced(self, program: Program, command: list[str], **options: object) -> list[str]:
        """The lines of output of a session around a command."""
        with self.session(program, child=Child(command), show_maps=False, **options) as session:
            session.run()
        return self.out.lines


@pytest.fixture
def bench() -> Bench:
    return Bench()


@pytest.fixture
def needs() -> Callable[[str], None]:
    """needs("kprobe"): skips where the feature table says that the kernel has no kprobes, in its words."""

    def check(feature: str) -> None:
        features = Kernel.running().features
        if not features.has(feature):
            pytest.skip(f"{feature}: {features.why(feature)}")

    return check


CALLER = """
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>
volatile long total;
__attribute__((noinline)) long twice(long x) { total += x; return 2 * x; }
__attribute__((noinline)) long thrice(long x) { total += x; return 3 * x; }
int main(int argc, char **argv) {
    long calls = atol(argv[1]);
    for (long i = 0; i < calls; i++) { syscall(SYS_getppid); getpgid(0); twice(i); thrice(i); }
    return argc > 2 ? atoi(argv[2]) : 0;
}
"""


@pytest.fixture(scope="session")
def caller(compile_c: Callable[..., Path]) -> Path:
    """Makes argv[1] calls each of getppid(2), getpgid(2), twice() and thrice(), and exits with argv[2]."""
    return compile_c(CALLER)


def programs_named(name: str) -> int:
    """How many BPF programs of that name the kernel has."""
    found, id = 0, 0
    while True:
        attr = bytearray(struct.pack("=III", id, 0, 0))
        try:
            bpf.bpf(bpf.Cmd.PROG_GET_NEXT_ID, attr)
        except OSError:
            return found
        id = struct.unpack_from("=I", attr, 4)[0]
        try:
            fd = bpf.fd_by_id(bpf.Cmd.PROG_GET_FD_BY_ID, id)
        except OSError:
            continue
        info = bpf.object_info(fd)
        os.close(fd)
        found += info[64:80].partition(b"\0")[0].decode() == name


@pytest.fixture
def no_leaks() -> Iterator[Callable[[str], int]]:
    """Fails if file descriptors are left; gives `programs_named`."""
    before = sorted(os.listdir("/proc/self/fd"))
    yield programs_named
    assert sorted(os.listdir("/proc/self/fd")) == before
