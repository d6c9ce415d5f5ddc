"""BPF instructions as text, in the words of the kernel's own disassembler, with the script's lines between them."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from pytrace.program import ProgSpec

# Instruction classes, modes and sources of linux/bpf_common.h and linux/bpf.h.
LD, LDX, ST, STX, ALU, JMP, JMP32, ALU64 = range(8)
_ALU = {
    0: "+=",
    1: "-=",
    2: "*=",
    3: "/=",
    4: "|=",
    5: "&=",
    6: "<<=",
    7: ">>=",
    9: "%=",
    10: "^=",
    11: "=",
    12: "s>>=",
}
_JUMP = {1: "==", 2: ">", 3: ">=", 4: "&", 5: "!=", 6: "s>", 7: "s>=", 10: "<", 11: "<=", 12: "s<", 13: "s<="}
_SIZE = {0: "u32", 1: "u16", 2: "u8", 3: "u64"}
_ATOMIC = {0x00: ("+=", "add"), 0x40: ("|=", "or"), 0x50: ("&=", "and"), 0xA0: ("^=", "xor")}
_MEMSX, _ATOMIC_MODE = 4, 6

Name = Callable[[int], str]


def disassemble(program: ProgSpec, helper: Name = str, line: Callable[[int], str] = lambda insn: "") -> Iterator[str]:
    """A line for each instruction, its index before it. `helper` names a helper by its number; `line` gives the text
    that stands before an instruction, or nothing. A load of 64 bits has two slots and is one line."""
    relocated = {r.insn: r for r in program.relocs}
    functions = {r.insn: r.name for r in program.func_relocs}
    slots = list(struct.iter_unpack("<BBhi", program.insns))
    at = 0
    while at < len(slots):
        if text := line(at):
            yield f"; {text}"
        code, registers, offset, immediate = slots[at]
        dst, src = f"r{registers & 15}", f"r{registers >> 4}"
        if code == 0x18:
            value = immediate & 0xFFFFFFFF | (slots[at + 1][3] & 0xFFFFFFFF) << 32
            yield f"{at:5}: {dst} = {_wide(relocated.get(at), registers >> 4, at, value)}"
            at += 2
            continue
        if at in functions:
            yield f"{at:5}: call {functions[at]}"
        else:
            yield f"{at:5}: {_one(at, code, dst, src, offset, immediate, helper)}"
        at += 1


def _wide(reloc: object, pseudo: int, at: int, value: int) -> str:
    from pytrace.program import Reloc

    if isinstance(reloc, Reloc):
        if reloc.value:
            return f"map[{reloc.map}][0]+{reloc.addend} ll"
        return f"map[{reloc.map}] ll"
    if pseudo == 4:  # BPF_PSEUDO_FUNC: the address of a function, relative to this instruction
        value = value & 0xFFFFFFFF
        return f"func[{at + 1 + (value - (1 << 32) if value >> 31 else value)}] ll"
    return f"{value:#x} ll"


def _one(at: int, code: int, dst: str, src: str, offset: int, immediate: int, helper: Name) -> str:
    kind, high = code & 7, code >> 4
    operand = src if code & 8 else hex(immediate & 0xFFFFFFFF) if kind in (JMP, JMP32) else str(immediate)
    match kind:
        case 4 | 7:  # ALU, ALU64
            return _arithmetic(kind, high, dst, src, operand, offset, immediate, bool(code & 8))
        case 5 | 6:  # JMP, JMP32
            return _jump(at, kind, high, dst, operand, offset, immediate, helper, int(src[1:]))
    size = _SIZE[code >> 3 & 3]
    place = f"({dst if kind != LDX else src} {'+' if offset >= 0 else '-'} {abs(offset)})"
    match kind, code >> 5:
        case 1, mode:
            signed = size.replace("u", "s") if mode == _MEMSX else size
            return f"{dst} = *({signed} *){place}"
        case 2, _:
            return f"*({size} *){place} = {immediate}"
        case 3, mode if mode == _ATOMIC_MODE:
            return _atomic(size, place, src, immediate)
        case 3, _:
            return f"*({size} *){place} = {src}"
    return f"code {code:#04x}"


def _arithmetic(
    kind: int, high: int, dst: str, src: str, operand: str, offset: int, immediate: int, register: bool
) -> str:
    if kind == ALU:
        dst, operand = dst.replace("r", "w"), operand.replace("r", "w")
    match high:
        case 8:
            return f"{dst} = -{dst}"
        case 13:  # byte swaps; of ALU64 unconditional
            name = "bswap" if kind == ALU64 else "be" if register else "le"
            return f"{dst.replace('w', 'r')} = {name}{immediate} {dst.replace('w', 'r')}"
        case 11 if offset:
            return f"{dst} = (s{offset}){operand}"
        case 3 | 9 if offset:
            return f"{dst} s{_ALU[high]} {operand}"
    return f"{dst} {_ALU.get(high, '?')} {operand}"


def _jump(
    at: int, kind: int, high: int, dst: str, operand: str, offset: int, immediate: int, helper: Name, pseudo: int
) -> str:
    match high:
        case 0:
            return f"goto {at + 1 + (offset if kind == JMP else immediate)}"
        case 8:
            # BPF_PSEUDO_CALL: a function of the same program, relative to the next instruction.
            return f"call func[{at + 1 + immediate}]" if pseudo == 1 else f"call {helper(immediate)}"
        case 9:
            return "exit"
    if kind == JMP32:
        dst, operand = dst.replace("r", "w"), operand.replace("r", "w")
    return f"if {dst} {_JUMP.get(high, '?')} {operand} goto {at + 1 + offset}"


def _atomic(size: str, place: str, src: str, immediate: int) -> str:
    match immediate:
        case 0xE1:
            return f"{src} = atomic_xchg(({size} *){place}, {src})"
        case 0xF1:
            return f"r0 = atomic_cmpxchg(({size} *){place}, r0, {src})"
    operation, name = _ATOMIC.get(immediate & ~1, ("?", "?"))
    if immediate & 1:
        return f"{src} = atomic_fetch_{name}(({size} *){place}, {src})"
    return f"lock *({size} *){place} {operation} {src}"
