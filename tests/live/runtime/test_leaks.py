"""Attaching and detaching again and again leaves nothing: no descriptors, no programs, no maps, no links."""

from __future__ import annotations

import os
import struct

import pytest

from pytrace.compiler import compile_script
from pytrace.kernel import Kernel, bpf
from pytrace.kernel.bpf import Cmd
from pytrace.output import Text
from pytrace.runtime import Session, Symbols
from tests.live.runtime.conftest import Sink

KINDS = (Cmd.PROG_GET_NEXT_ID, Cmd.MAP_GET_NEXT_ID, Cmd.LINK_GET_NEXT_ID)


def ids(command: Cmd) -> set[int]:
    """The ids of all objects of a kind."""
    found: set[int] = set()
    id = 0
    while True:
        attr = bytearray(struct.pack("=III", id, 0, 0))
        try:
            bpf.bpf(command, attr)
        except OSError:
            return found
        id = struct.unpack_from("=I", attr, 4)[0]
        found.add(id)


@pytest.mark.parametrize(
    "script, times",
    [
        ("rawtracepoint:sys_enter { @[pid] = count(); }", 500),
        ("tracepoint:syscalls:sys_enter_getppid,tracepoint:syscalls:sys_exit_getppid { @ = count(); }", 150),
        ("begin { @s = 1; } end { @s = 2; }", 250),
        ("profile:hz:49 { @ = count(); }", 50),
        ('interval:s:1 { printf("x\\n"); }', 50),
        ("software:page-faults:100 { @ = count(); }", 50),
        ("iter:task { @ = count(); }", 30),
        ("uprobe:libc:getppid { @ = count(); } uretprobe:libc:getppid { @r = count(); }", 10),
        ("tracepoint:sched:sched_process_exit { @ = count(); }", 50),
        ("tracepoint:sched:sched_process_exit { @ = args.pid; }", 5),
    ],
)
def test_a_thousand_sessions(script: str, times: int) -> None:
    """The kernel frees programs some time after their last descriptor, and other tracers come and go: what each session
    left would be more than that."""
    kernel = Kernel.running()
    program = compile_script(script, kernel=kernel)
    symbols = Symbols(kernel)

    def trace() -> None:
        with Session(program, output=Text(Sink(), Sink(), symbols), symbols=symbols, announce=False, show_maps=False):
            os.getppid()

    trace()  # what is opened once stays open
    before = {kind: ids(kind) for kind in KINDS}
    descriptors, memory = os.listdir("/proc/self/fd"), resident()
    for _ in range(times):
        trace()
    assert sorted(os.listdir("/proc/self/fd")) == sorted(descriptors)
    assert max(len(ids(kind) - there) for kind, there in before.items()) < 40
    assert resident() - memory < 4 << 20


def resident() -> int:
    """Bytes of this process's memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * 4096
