"""The disassembler against the kernel's own: the same program in the words of both."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
from collections.abc import Iterator
from pathlib import Path

from pytrace.commands.disassembly import disassemble
from pytrace.kernel import bpf
from pytrace.program import ProgSpec

_RAW_TRACEPOINT = 17
_ARITHMETIC = (0x0, 0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0x9, 0xA, 0xB, 0xC)
_COMPARISONS = (0x1, 0x2, 0x3, 0x4, 0x5, 0x6, 0x7, 0xA, 0xB, 0xC, 0xD)


def _instruction(code: int, dst: int, src: int = 0, offset: int = 0, immediate: int = 0) -> bytes:
    return struct.pack("<BBhi", code, dst | src << 4, offset, immediate)


def _every_form() -> Iterator[bytes]:
    """Every arithmetic and jump instruction, loads and stores of every size, atomics, calls, and a wide constant."""
    # Values that the verifier cannot know, or it would take out what they make unreachable.
    for register in (0, 2, 3, 4, 5, 6, 7, 8, 9, 1):
        yield _instruction(0x79, register, 1)
    for kind in (0x04, 0x07):
        for operation in _ARITHMETIC:
            # The verifier rewrites divisions, by a register most of all, so that is left out.
            yield _instruction(kind | operation << 4, 2, immediate=7)
            if operation not in (0x3, 0x9):
                yield _instruction(kind | operation << 4 | 8, 2, 3)
        yield _instruction(kind | 0x80, 4)
    for width in (16, 32, 64):
        yield _instruction(0xD4, 5, immediate=width)
        yield _instruction(0xDC, 5, immediate=width)
    for kind in (0x05, 0x06):
        for comparison in _COMPARISONS:
            yield _instruction(kind | comparison << 4, 2, offset=1, immediate=9)
            yield _instruction(kind | comparison << 4 | 8, 3, 4, offset=0)
    yield _instruction(0x15, 2, offset=1, immediate=9) + _instruction(0x05, 0, offset=1) + _instruction(0xB7, 2)
    yield _instruction(0x85, 0, immediate=5)  # bpf_ktime_get_ns
    for register in range(1, 6):
        yield _instruction(0xB7, register, immediate=1)
    for size, code in ((1, 0x10), (2, 0x08), (4, 0x00), (8, 0x18)):
        yield _instruction(0x62 | code, 10, offset=-8 * size, immediate=3)
        yield _instruction(0x63 | code, 10, 4, offset=-8 * size)
        yield _instruction(0x61 | code, 5, 10, offset=-8 * size)
    for operation in (0x00, 0x40, 0x50, 0xA0, 0x01, 0x41, 0x51, 0xA1, 0xE1, 0xF1):
        yield _instruction(0xDB, 10, 4, offset=-64, immediate=operation)
    yield _instruction(0x18, 6, immediate=-2) + _instruction(0, 0, immediate=0x12345678)
    yield _instruction(0xB7, 0)
    yield _instruction(0x95, 0)


def _kernels_words(at: int, text: str) -> str:
    """A line of the kernel's in ours: no opcode, jumps with the index they go to, helpers by number."""
    text = re.sub(r"^\([0-9a-f]{2}\) ", "", text)
    text = re.sub(r"goto pc([+-]\d+)", lambda m: f"goto {at + 1 + int(m[1])}", text)
    text = re.sub(r"call \w+#\d+", "call 5", text)
    text = re.sub(r"\(r(\d+) ([+-])(\d+)\)", r"(r\1 \2 \3)", text)
    text = re.sub(r"atomic64_", "atomic_", text)
    return re.sub(r"(0x[0-9a-f]+)$", r"\1 ll", text) if text.startswith("r6 = 0x") else text


def test_the_kernel_says_the_same() -> None:
    insns = b"".join(_every_form())
    fd = bpf.prog_load(_RAW_TRACEPOINT, insns)
    try:
        number = re.search(r"^prog_id:\s+(\d+)$", Path(f"/proc/self/fdinfo/{fd}").read_text(), re.MULTILINE)
        assert number
        dump = ["bpftool", "-j", "prog", "dump", "xlated", "id", number[1]]
        entries = json.loads(subprocess.run(dump, check=True, capture_output=True).stdout)
    finally:
        os.close(fd)
    spec = ProgSpec("p", _RAW_TRACEPOINT, 0, insns, (), b"", b"", ())
    ours = [line.split(": ", 1) for line in disassemble(spec)]
    theirs = [_kernels_words(int(at), entry["disasm"]) for (at, _), entry in zip(ours, entries, strict=True)]
    assert [text for _, text in ours] == theirs
