"""The native drain as the one consumer of a real ring buffer, while the kernel is producing into it."""

from __future__ import annotations

import os
import platform
import struct
from contextlib import ExitStack, closing

from pytrace.codegen.user import compile_user
from pytrace.format import parse_format
from pytrace.kernel import bpf
from pytrace.program import EventSpec, MapType
from pytrace.runtime.native import Drain, map_code
from pytrace.runtime.ring import Ring
from pytrace.types import INT64

CALLS = 100_000
SIZE = 1 << 20
GETPPID = {"x86_64": 110}.get(platform.machine(), 173)


def insn(code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> bytes:
    return struct.pack("<BBhi", code, dst | src << 4, off, imm)


def producer(pid: int, ring: int, counts: int) -> bytes:
    """On sys_enter of getppid in `pid`: sends the event 0 with the number of the call, or counts a loss.
    `counts` is an array of one element: u64 fired, u64 lost."""
    return b"".join(
        [
            insn(0xBF, 6, 1),  # r6 = ctx
            insn(0x85, imm=14),  # get_current_pid_tgid
            insn(0x77, 0, imm=32),
            insn(0x55, 0, off=20, imm=pid),
            insn(0x79, 1, 6, 8),  # r1 = the number of the system call
            insn(0x55, 1, off=18, imm=GETPPID),
            insn(0x18, 7, 2, imm=counts) + insn(0),  # r7 = the address of the array's value
            insn(0x79, 1, 7, 0),
            insn(0x7B, 10, 1, -8),
            insn(0x07, 1, imm=1),
            insn(0x7B, 7, 1, 0),
            insn(0x7A, 10, off=-16, imm=0),
            insn(0x18, 1, 1, imm=ring) + insn(0),
            insn(0xBF, 2, 10),
            insn(0x07, 2, imm=-16),
            insn(0xB7, 3, imm=16),
            insn(0xB7, 4, imm=1),  # BPF_RB_NO_WAKEUP
            insn(0x85, imm=130),  # ringbuf_output
            insn(0x15, 0, off=3, imm=0),
            insn(0x79, 1, 7, 8),
            insn(0x07, 1, imm=1),
            insn(0x7B, 7, 1, 8),
            insn(0xB7, 0, imm=0),
            insn(0x95),
        ]
    )


def test_nothing_is_missing_or_doubled_under_a_flood() -> None:
    event = EventSpec(0, "printf", (INT64,), parse_format("%ld\n"))
    code = map_code(compile_user((event,), timestamps=False))
    assert code
    text: list[bytes] = []
    with ExitStack() as stack:

        def owned(fd: int) -> int:
            stack.callback(os.close, fd)
            return fd

        stack.enter_context(code)
        ring_fd = owned(bpf.map_create(MapType.RINGBUF, 0, 0, SIZE))
        counts_fd = owned(bpf.map_create(MapType.ARRAY, 4, 16, 1))
        ring = stack.enter_context(closing(Ring(ring_fd, SIZE)))
        go, start = map(owned, os.pipe())
        child = os.fork()
        if not child:
            os.read(go, 1)
            for _ in range(CALLS):
                os.getppid()
            os._exit(0)
        program = owned(bpf.prog_load(bpf.ProgType.RAW_TRACEPOINT, producer(child, ring_fd, counts_fd)))
        owned(bpf.raw_tracepoint_open(program, "sys_enter"))
        drain = Drain(code, ring, events=1, write=lambda data: text.append(bytes(data)), handle=lambda record: True)
        os.write(start, b"x")
        while os.waitpid(child, os.WNOHANG) == (0, 0):
            drain.drain()
        while drain.pending:
            drain.drain()
        value = bytearray(16)
        bpf.map_lookup(counts_fd, bytes(4), value)
    fired, lost = struct.unpack("<QQ", value)
    numbers = [int(line) for line in b"".join(text).split()]
    assert fired == CALLS
    assert len(numbers) + lost == CALLS
    assert drain.counts == (len(numbers),)
    assert numbers == sorted(set(numbers))
    if lost == 0:
        assert numbers == list(range(CALLS))
