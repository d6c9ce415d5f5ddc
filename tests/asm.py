"""A small assembler for BPF programs, and Programs around them: what the compiler would make, made by hand.

Registers are numbers; jumps go to labels. `ring` and `counters` are maps that every Program here has.
"""

from __future__ import annotations

import struct
from collections.abc import Callable

from pytrace.format import parse_format
from pytrace.kernel import Kernel
from pytrace.kernel.bpf import AttachType, ProgType
from pytrace.program import (
    BPF_F_MMAPABLE,
    COUNTERS_HEADER,
    Attach,
    Counter,
    EventSpec,
    MapSpec,
    MapType,
    Program,
    ProgSpec,
    Reloc,
    UserMap,
)
from pytrace.types import UINT64

CPUS = 1 << (Kernel.running().possible_cpus - 1).bit_length()
STRIDE = 64
GET_CURRENT_PID_TGID, KTIME_GET_NS, RINGBUF_OUTPUT, GET_SMP_PROCESSOR_ID, GET_ATTACH_COOKIE = 14, 5, 130, 8, 174
NO_WAKEUP, FORCE_WAKEUP = 1, 2


class Asm:
    """Instructions in order. Every method returns the assembler itself."""

    def __init__(self) -> None:
        self._insns: list[bytes | tuple[int, int, int, int, str]] = []
        self._labels: dict[str, int] = {}
        self.relocs: list[Reloc] = []

    def raw(self, code: int, dst: int = 0, src: int = 0, off: int = 0, imm: int = 0) -> Asm:
        self._insns.append(struct.pack("<BBhi", code, dst | src << 4, off, imm))
        return self

    def mov(self, dst: int, imm: int) -> Asm:
        return self.raw(0xB7, dst, imm=imm)

    def copy(self, dst: int, src: int) -> Asm:
        return self.raw(0xBF, dst, src)

    def add(self, dst: int, imm: int) -> Asm:
        return self.raw(0x07, dst, imm=imm)

    def shift_right(self, dst: int, imm: int) -> Asm:
        return self.raw(0x77, dst, imm=imm)

    def multiply(self, dst: int, imm: int) -> Asm:
        return self.raw(0x27, dst, imm=imm)

    def add_register(self, dst: int, src: int) -> Asm:
        return self.raw(0x0F, dst, src)

    def bitand(self, dst: int, imm: int) -> Asm:
        return self.raw(0x57, dst, imm=imm)

    def load(self, dst: int, src: int, off: int) -> Asm:
        """dst = *(u64 *)(src + off)"""
        return self.raw(0x79, dst, src, off)

    def store(self, dst: int, off: int, src: int) -> Asm:
        """*(u64 *)(dst + off) = src"""
        return self.raw(0x7B, dst, src, off)

    def store_imm(self, dst: int, off: int, imm: int) -> Asm:
        return self.raw(0x7A, dst, off=off, imm=imm)

    def store_u32(self, dst: int, off: int, imm: int) -> Asm:
        return self.raw(0x62, dst, off=off, imm=imm)

    def atomic_add(self, dst: int, off: int, src: int) -> Asm:
        return self.raw(0xDB, dst, src, off)

    def jump_eq(self, dst: int, imm: int, label: str) -> Asm:
        self._insns.append((0x15, dst, 0, imm, label))
        return self

    def jump_ne(self, dst: int, imm: int, label: str) -> Asm:
        self._insns.append((0x55, dst, 0, imm, label))
        return self

    def label(self, name: str) -> Asm:
        self._labels[name] = len(self._insns)
        return self

    def call(self, helper: int) -> Asm:
        return self.raw(0x85, imm=helper)

    def map(self, dst: int, name: str) -> Asm:
        """dst = the map itself"""
        self.relocs.append(Reloc(len(self._insns), name))
        return self.raw(0x18, dst).raw(0)

    def value(self, dst: int, name: str, addend: int = 0) -> Asm:
        """dst = address of the element 0 of an array map, plus `addend`"""
        self.relocs.append(Reloc(len(self._insns), name, value=True, addend=addend))
        return self.raw(0x18, dst).raw(0)

    def exit(self, value: int = 0) -> Asm:
        return self.mov(0, value).raw(0x95)

    def only_pid(self, pid: int) -> Asm:
        """Ends the program (returning 0) in any other process."""
        return self.call(GET_CURRENT_PID_TGID).shift_right(0, 32).jump_ne(0, pid, "out")

    def count(self, index: int) -> Asm:
        """Adds 1 to counter `index` of this CPU."""
        return (
            self.call(GET_SMP_PROCESSOR_ID)
            .bitand(0, CPUS - 1)
            .multiply(0, STRIDE)
            .value(1, "counters", COUNTERS_HEADER)
            .add_register(1, 0)
            .mov(2, 1)
            .atomic_add(1, 8 * index, 2)
        )

    def send(self, event: int, words: int = 1, flags: int = NO_WAKEUP) -> Asm:
        """Sends a record of `words` u64 that stand on the stack below -8, first one lowest; counts a loss in counter
        0."""
        start = -8 * (words + 1)
        label = f"sent{len(self._insns)}"
        return (
            self.store_imm(10, start, event)
            .map(1, "ring")
            .copy(2, 10)
            .add(2, start)
            .mov(3, 8 * (words + 1))
            .mov(4, flags)
            .call(RINGBUF_OUTPUT)
            .jump_eq(0, 0, label)
            .count(0)
            .label(label)
        )

    @property
    def code(self) -> bytes:
        done = b""
        for at, insn in enumerate(self._insns):
            if isinstance(insn, tuple):
                code, dst, src, imm, label = insn
                insn = struct.pack("<BBhi", code, dst | src << 4, self._labels[label] - at - 1, imm)
            done += insn
        return done


def prog(
    asm: Asm,
    *attach: Attach,
    type: int = ProgType.RAW_TRACEPOINT,
    expected: int = 0,
    name: str = "test",
    attach_btf: str = "",
    line_info: bytes = b"",
    func_info: bytes = b"",
) -> ProgSpec:
    return ProgSpec(
        name, type, expected, asm.code, tuple(asm.relocs), func_info, line_info, attach, attach_btf=attach_btf
    )


def printf(id: int, text: str, args: int = 1, control: bool = False) -> EventSpec:
    return EventSpec(id, "printf", (UINT64,) * args, parse_format(text), control=control)


def program(
    *progs: ProgSpec,
    events: tuple[EventSpec, ...] = (),
    maps: tuple[MapSpec, ...] = (),
    user_maps: tuple[UserMap, ...] = (),
    ring: int = 1 << 16,
    counters: tuple[Counter, ...] = (Counter("lost"),),
    config: tuple[tuple[str, str | int | bool], ...] = (),
    btf: bytes = b"",
    probes: tuple[str, ...] = ("test",),
) -> Program:
    own = (
        MapSpec("ring", MapType.RINGBUF, 0, 0, ring),
        MapSpec("counters", MapType.ARRAY, 4, COUNTERS_HEADER + CPUS * STRIDE, 1, BPF_F_MMAPABLE),
    )
    return Program(
        name="test",
        text="",
        kernel="",
        cpus=CPUS,
        maps=own + maps,
        user_maps=user_maps,
        progs=progs,
        events=events,
        counters=counters,
        counter_stride=STRIDE,
        btf=btf,
        probes=probes,
        config=config,
    )


def sends(pid: int, event: int = 0, value: Callable[[Asm], Asm] | None = None, flags: int = NO_WAKEUP) -> Asm:
    """A program that, in process `pid` (0: any), sends a record with one u64: what `value` left in register 7, or 7."""
    asm = Asm().copy(6, 1).mov(7, 7)
    if pid:
        asm.only_pid(pid)
    if value is not None:
        asm = value(asm)
    return asm.store(10, -8, 7).send(event, 1, flags).label("out").exit()


__all__ = ["CPUS", "Asm", "AttachType", "ProgType", "printf", "prog", "program", "sends"]
