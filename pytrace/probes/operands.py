"""The argument texts of USDT notes, `-4@%edi 8@-16(%rbp)`: operands as the assembler of each machine writes them.

An operand that cannot be read (a floating-point register, thread-local memory, an unknown form) says why in
`UsdtOperand.unreadable`; asking for that argument is an error, the probe's other arguments are not harmed by it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytrace.probes.base import UsdtOperand
from pytrace.probes.regs import MACHINES
from pytrace.record import replace

if TYPE_CHECKING:
    from pytrace.kernel.elf import Elf

_STT_TLS = 6
_SIZED = re.compile(r"(?:(-?)(\d+)(f?)\s*@)?(.*)", re.DOTALL)
_NUMBER = r"(?:0[xX][0-9a-fA-F]+|0[bB][01]+|\d+)"
_SUM = re.compile(rf"\s*([+-]?)\s*({_NUMBER}|[A-Za-z_.$][\w.$@]*)")
_X86_MEMORY = re.compile(
    r"(?P<where>[^()%]*)\(\s*(?P<base>%\w+)?\s*(?:,\s*(?P<index>%\w+)?\s*(?:,\s*(?P<scale>[1248])?)?)?\s*\)"
)
_ARM_MEMORY = re.compile(
    rf"\[\s*(?P<base>\w+)\s*(?:,\s*(?:#?(?P<add>-?{_NUMBER})|(?P<index>x\d+)\s*(?:,\s*lsl\s*#?(?P<shift>[0-4]))?))?\s*\]"
)
_ARM_VECTOR = re.compile(r"[bhsdqv]\d+(?:\..*)?")


class _Unreadable(Exception):
    """Why an operand cannot be read, as the end of "its place …"."""


def parse(text: str, machine: str, elf: Elf | None = None, address: int = 0) -> list[UsdtOperand]:
    """The operands of a note whose probe is at `address` of the file `elf`, which symbols are looked up in."""
    return [_operand(word, machine, elf, address) for word in split(text)]


def split(text: str) -> list[str]:
    """The operands' texts. Blanks separate them, except within brackets and around punctuation that joins."""
    words: list[str] = []
    for piece in re.findall(r"(?:\([^)]*\)|\[[^\]]*\]|[^\s(\[])+|\S", text):
        if words and _joins(words[-1], piece):
            words[-1] += piece
        else:
            words.append(piece)
    return words


def _joins(before: str, piece: str) -> bool:
    if before[-1] in ",+-*@" or piece[0] in ",+*@)]" or piece == "-":
        return True
    # `-4 (%rbp)` is one operand, `%rax (%rbx)` are two
    return piece[0] == "(" and not re.search(r"%\w+$|\)$|\$[^%]*$", before)


def _operand(word: str, machine: str, elf: Elf | None, address: int) -> UsdtOperand:
    m = _SIZED.fullmatch(word)
    assert m is not None  # everything in it is optional
    size, signed = int(m[2] or 8), m[1] == "-"
    try:
        if m[3]:
            raise _Unreadable("is a floating-point number")
        if size not in (1, 2, 4, 8):
            raise _Unreadable(f"is {size} bytes wide; 1, 2, 4 or 8 can be read")
        read = _arm if machine == "aarch64" else _x86
        found, width = read(m[4].strip(), elf, address)
    except _Unreadable as reason:
        return UsdtOperand(8, signed, unreadable=f"'{word}' {reason}")
    # A register may be narrower than the size that the note says: what is beyond it belongs to something else.
    size = min(size, width) if not found.deref else size
    if found.constant is not None:
        found = replace(found, constant=_truncated(found.constant, size, signed))
    return replace(found, size=size, signed=signed)


def _truncated(value: int, size: int, signed: bool) -> int:
    """What is left of a number in `size` bytes."""
    value &= (1 << 8 * size) - 1
    return value - (1 << 8 * size) if signed and value >> (8 * size - 1) else value


def _sum(text: str, elf: Elf | None) -> tuple[int, bool]:
    """The value of numbers and at most one symbol that are added up, and whether there is a symbol."""
    at, total, symbol = 0, 0, False
    while at < len(text):
        m = _SUM.match(text, at)
        if m is None or (at and not m[1]):
            raise _Unreadable("is of a form that is not known")
        if m[2][0].isdigit():
            value = _number(m[2])
        else:
            if symbol or m[1] == "-":
                raise _Unreadable("is of a form that is not known")
            value, symbol = _address(m[2], elf), True
        total += -value if m[1] == "-" else value
        at = m.end()
    return total, symbol


def _number(text: str) -> int:
    """A number as an assembler reads it: a leading 0 means octal."""
    try:
        return int(text, 8) if re.fullmatch(r"0\d+", text) else int(text, 0)
    except ValueError:
        raise _Unreadable("has a digit that is not octal") from None


def _address(name: str, elf: Elf | None) -> int:
    """The address of a symbol in the file."""
    if "@" in name:
        raise _Unreadable(f"goes through a table of the linker ({name.partition('@')[2]})")
    found = elf.lookup(name) if elf else []
    if not found:
        raise _Unreadable(f"is relative to {name}, which is no symbol of the file")
    if len({s.address for s in found}) > 1:
        raise _Unreadable(f"is relative to {name}, and the file has {len(found)} symbols of that name")
    if found[0].type == _STT_TLS:
        raise _Unreadable("is in memory of the thread")
    return found[0].address


# --- x86-64: AT&T syntax --------------------------------------------------------------------------


def _x86_registers() -> dict[str, tuple[int, int, int]]:
    """For each name: where it is in pt_regs, its size in bytes, how many bits it stands above bit 0."""
    offsets = MACHINES["x86_64"].offsets
    names: dict[str, tuple[int, int, int]] = {}
    for letter in "abcd":
        at = offsets[f"{letter}x"]
        names |= {f"r{letter}x": (at, 8, 0), f"e{letter}x": (at, 4, 0), f"{letter}x": (at, 2, 0)}
        names |= {f"{letter}l": (at, 1, 0), f"{letter}h": (at, 1, 8)}
    for name in ("si", "di", "bp", "sp"):
        at = offsets[name]
        names |= {f"r{name}": (at, 8, 0), f"e{name}": (at, 4, 0), name: (at, 2, 0), f"{name}l": (at, 1, 0)}
    for i in range(8, 16):
        names |= {f"r{i}{s}": (offsets[f"r{i}"], w, 0) for s, w in (("", 8), ("d", 4), ("w", 2), ("b", 1), ("l", 1))}
    return names | {"rip": (offsets["ip"], 8, 0), "eip": (offsets["ip"], 4, 0)}


_X86 = _x86_registers()
_IP = _X86["rip"][0]


def _x86(text: str, elf: Elf | None, address: int) -> tuple[UsdtOperand, int]:
    if text.startswith("$"):
        value, symbol = _sum(text[1:], elf) if text[1:] else _nothing()
        return (_at(value - address, deref=False) if symbol else UsdtOperand(8, False, constant=value)), 8
    if text.startswith("%") and ":" not in text:
        if text[1:] not in _X86:
            raise _Unreadable("is in a register that is not saved for probes")
        at, width, shift = _X86[text[1:]]
        return UsdtOperand(width, False, base=at, shift=shift), width
    if ":" in text:
        raise _Unreadable("is relative to a segment register")
    if m := _X86_MEMORY.fullmatch(text):
        return _x86_memory(m, elf, address), 8
    value, symbol = _sum(text, elf) if text else _nothing()
    return _at(value - address) if symbol else UsdtOperand(8, False, displacement=value, deref=True), 8


def _nothing() -> tuple[int, bool]:
    raise _Unreadable("is missing")


def _at(distance: int, *, deref: bool = True) -> UsdtOperand:
    """What stands at a symbol, or the symbol's address: as far from the instruction pointer as it is from the probe,
    wherever the file was loaded."""
    return UsdtOperand(8, False, base=_IP, displacement=distance, deref=deref)


def _x86_memory(m: re.Match[str], elf: Elf | None, address: int) -> UsdtOperand:
    base, index = m["base"], m["index"]
    where, symbol = _sum(m["where"].strip(), elf)
    if base == "%rip":
        if index or not symbol:
            raise _Unreadable("is relative to an instruction that is not known")
        return _at(where - address)
    if symbol and (elf is None or not elf.is_executable):
        raise _Unreadable("is relative to where the file was loaded")
    if not base and not index:
        raise _Unreadable("is of a form that is not known")
    for name in filter(None, (base, index)):
        if _X86.get(name[1:], (0, 0, 0))[1] != 8:
            raise _Unreadable(f"is at an address made of {name}")
    if index in ("%rsp", "%rip"):
        raise _Unreadable("is of a form that is not known")
    return UsdtOperand(
        8,
        False,
        base=_X86[base[1:]][0] if base else None,
        index=_X86[index[1:]][0] if index else None,
        scale=int(m["scale"] or 1),
        displacement=where,
        deref=True,
    )


# --- aarch64 ----------------------------------------------------------------------------------------


def _arm_register(name: str) -> tuple[int, int] | None:
    """Where a register is in the saved registers, and its size in bytes."""
    offsets = MACHINES["aarch64"].offsets
    width = 4 if name.startswith("w") else 8
    if re.fullmatch(r"[xw](?:[0-9]|[12][0-9]|30)", name):
        return offsets[f"r{name[1:]}"], width
    return (offsets["sp"], width) if name in ("sp", "wsp") else None


def _arm(text: str, elf: Elf | None, address: int) -> tuple[UsdtOperand, int]:
    if re.fullmatch(rf"#?[+-]?{_NUMBER}", text):
        return UsdtOperand(8, False, constant=_sum(text.removeprefix("#"), elf)[0]), 8
    if text in ("xzr", "wzr"):
        return UsdtOperand(8, False, constant=0), 8
    if (register := _arm_register(text)) is not None:
        return UsdtOperand(register[1], False, base=register[0]), register[1]
    if m := _ARM_MEMORY.fullmatch(text):
        base = _arm_register(m["base"])
        index = _arm_register(m["index"]) if m["index"] else None
        if base is None or base[1] != 8 or (m["index"] and index is None):
            raise _Unreadable("is of a form that is not known")
        return UsdtOperand(
            8,
            False,
            base=base[0],
            index=index[0] if index else None,
            scale=1 << int(m["shift"] or 0),
            displacement=_sum(m["add"] or "", elf)[0],
            deref=True,
        ), 8
    if _ARM_VECTOR.fullmatch(text):
        raise _Unreadable("is in a register that is not saved for probes")
    value, symbol = _sum(text, elf) if text else _nothing()
    if not symbol:
        raise _Unreadable("is of a form that is not known")
    distance = value - address
    return UsdtOperand(8, False, base=MACHINES["aarch64"].offsets["pc"], displacement=distance, deref=True), 8
