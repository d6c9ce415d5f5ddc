"""The argument texts of USDT notes, `-4@%edi 8@-16(%rbp)`: operands as the assembler of each machine writes them.

An operand that cannot be read (a floating-point register, %ah, an unknown form) has neither constant nor base; asking
for that argument is an error, the probe's other arguments are not harmed by it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from pytrace.probes.base import UsdtOperand
from pytrace.probes.regs import MACHINES

if TYPE_CHECKING:
    from pytrace.kernel.elf import Elf

_SPLIT = re.compile(r"\s+(?=-?\d+f?@|$)")
_SIZED = re.compile(r"(?:(-?)(\d+)(f?)@)?(.*)", re.DOTALL)
_NUMBER = r"[+-]?(?:0x[0-9a-fA-F]+|\d+)"
_MEMORY = re.compile(r"(?P<where>[^()]*)\((?P<base>%\w+)?\s*(?:,\s*(?P<index>%\w+)\s*(?:,\s*(?P<scale>[1248]))?)?\s*\)")
_SYMBOL = re.compile(r"(?P<name>[A-Za-z_.$][\w.$@]*)(?P<add>(?:[+-](?:0x[0-9a-fA-F]+|\d+))*)")
_ARM_MEMORY = re.compile(
    rf"\[\s*(?P<base>\w+)\s*(?:,\s*(?:#?(?P<add>{_NUMBER})|(?P<index>x\d+)\s*(?:,\s*lsl\s*#?(?P<shift>[0-3]))?))?\s*\]"
)


def parse(text: str, machine: str, elf: Elf | None = None, address: int = 0) -> list[UsdtOperand]:
    """The operands of a note whose probe is at `address` of the file `elf`, which symbols are looked up in."""
    operands = []
    for word in _SPLIT.split(text.strip()):
        if word:
            operands.append(_operand(word, machine, elf, address))
    return operands


def _operand(word: str, machine: str, elf: Elf | None, address: int) -> UsdtOperand:
    m = _SIZED.fullmatch(word)
    assert m is not None  # everything in it is optional
    size, signed = int(m[2] or 8), m[1] == "-"
    unreadable = UsdtOperand(8, signed)
    if m[3] or size not in (1, 2, 4, 8):
        return unreadable
    if machine == "aarch64":
        return _arm(m[4].strip(), size, signed, elf, address) or unreadable
    return _x86(m[4].strip(), size, signed, elf, address) or unreadable


# --- x86-64: AT&T syntax --------------------------------------------------------------------------


def _x86_registers() -> dict[str, int]:
    offsets = MACHINES["x86_64"].offsets
    names: dict[str, int] = {}
    for letter in "abcd":
        at = offsets[f"{letter}x"]
        names |= {f"r{letter}x": at, f"e{letter}x": at, f"{letter}x": at, f"{letter}l": at}
    for name in ("si", "di", "bp", "sp"):
        names |= {f"r{name}": offsets[name], f"e{name}": offsets[name], name: offsets[name], f"{name}l": offsets[name]}
    for i in range(8, 16):
        names |= {f"r{i}{suffix}": offsets[f"r{i}"] for suffix in ("", "d", "w", "b", "l")}
    return names | {"rip": offsets["ip"], "eip": offsets["ip"]}


_X86 = _x86_registers()


def _x86(text: str, size: int, signed: bool, elf: Elf | None, address: int) -> UsdtOperand | None:
    if text.startswith("$"):
        if re.fullmatch(_NUMBER, text[1:]):
            return UsdtOperand(size, signed, constant=int(text[1:], 0))
        return _symbol(text[1:], size, signed, elf, address, _X86["rip"], deref=False)
    if text.startswith("%"):
        register = _X86.get(text[1:])
        return None if register is None else UsdtOperand(size, signed, base=register)
    if m := _MEMORY.fullmatch(text):
        return _x86_memory(m, size, signed, elf, address)
    return _symbol(text, size, signed, elf, address, _X86["rip"], deref=True)


def _x86_memory(m: re.Match[str], size: int, signed: bool, elf: Elf | None, address: int) -> UsdtOperand | None:
    where, base, index = m["where"].strip(), m["base"], m["index"]
    if base == "%rip":
        return None if index else _symbol(where, size, signed, elf, address, _X86["rip"], deref=True)
    if where and not re.fullmatch(_NUMBER, where):
        return None
    base_at = _X86.get(base[1:]) if base else None
    index_at = _X86.get(index[1:]) if index else None
    if (base and base_at is None) or (index and index_at is None) or not (base or index):
        return None
    return UsdtOperand(
        size,
        signed,
        base=base_at,
        index=index_at,
        scale=int(m["scale"] or 1),
        displacement=int(where, 0) if where else 0,
        deref=True,
    )


def _symbol(
    text: str, size: int, signed: bool, elf: Elf | None, address: int, ip: int, *, deref: bool
) -> UsdtOperand | None:
    """What stands at a symbol, or the symbol's address: as far from the instruction pointer as it is from the probe,
    wherever the file was loaded."""
    m = _SYMBOL.fullmatch(text)
    found = elf.lookup(m["name"].partition("@")[0]) if m and elf else []
    if not m or not found:
        return None
    add = sum(int(n, 0) for n in re.findall(_NUMBER, m["add"]))
    return UsdtOperand(size, signed, base=ip, displacement=found[0].address + add - address, deref=deref)


# --- aarch64 ----------------------------------------------------------------------------------------


def _arm_register(name: str) -> int | None:
    m = MACHINES["aarch64"]
    if re.fullmatch(r"[xw]([0-9]|[12][0-9]|30)", name):
        return m.offsets[f"r{name[1:]}"]
    return m.offsets["sp"] if name in ("sp", "wsp") else None


def _arm(text: str, size: int, signed: bool, elf: Elf | None, address: int) -> UsdtOperand | None:
    if re.fullmatch(rf"#?{_NUMBER}", text):
        return UsdtOperand(size, signed, constant=int(text.lstrip("#"), 0))
    if text in ("xzr", "wzr"):
        return UsdtOperand(size, signed, constant=0)
    if (register := _arm_register(text)) is not None:
        return UsdtOperand(size, signed, base=register)
    if m := _ARM_MEMORY.fullmatch(text):
        base = _arm_register(m["base"])
        index = _arm_register(m["index"]) if m["index"] else None
        if base is None:
            return None
        return UsdtOperand(
            size,
            signed,
            base=base,
            index=index,
            scale=1 << int(m["shift"] or 0),
            displacement=int(m["add"] or "0", 0),
            deref=True,
        )
    return _symbol(text, size, signed, elf, address, MACHINES["aarch64"].offsets["pc"], deref=True)
