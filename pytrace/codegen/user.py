"""The user half: one native function that drains a script's ring buffer and writes the text of its events.

`user_ir(events, timestamps)` is its LLVM IR, `compile_user` the machine code: free of relocations, for any processor
of the architecture, so that it can be kept and mapped where there is no LLVM. `nativestate` says how it is called.
"""

from __future__ import annotations

import os
import struct

from pytrace.codegen import llvm
from pytrace.codegen import user_ir as parts
from pytrace.codegen.user_drain import drain_loop
from pytrace.codegen.user_text import lower_event
from pytrace.program import EventSpec, NativeCode

_CPUS = {"x86_64": "x86-64", "aarch64": "generic"}
_NEEDS = {"dec": ("settle",), "radix": ("settle",)}
_WRITERS = {"dec": parts.DEC, "radix": parts.RADIX, "settle": parts.SETTLE, "pad": parts.PAD, "text": parts.TEXT}


def user_ir(events: tuple[EventSpec, ...], timestamps: bool, machine: str = "") -> str:
    """LLVM IR of the user half; empty if no event has a native form, so that there is nothing to win by one."""
    lowered = {e.id: low for e in events if (low := lower_event(e, timestamps))}
    if not lowered:
        return ""
    writers = {name for low in lowered.values() for name in low.writers}
    writers |= {needed for name in writers for needed in _NEEDS.get(name, ())}
    bound = max(low.bound for low in lowered.values())
    loop = drain_loop(bound, [(id, low.length) for id, low in lowered.items()], len(events))
    return "\n".join(
        [
            f'target triple = "{machine or os.uname().machine}-unknown-linux-gnu"',
            loop,
            *(low.ir for low in lowered.values()),
            *(text for name, text in _WRITERS.items() if name in writers),
            parts.ATTRIBUTES,
        ]
    )


def compile_user(events: tuple[EventSpec, ...], timestamps: bool, machine: str = "") -> NativeCode | None:
    """The machine code of the user half for `machine` (default: this one). None where no event has a native form or
    the architecture is not supported: then the Python decoder does it all. It runs in a thread while others go on."""
    machine = machine or os.uname().machine
    if machine not in _CPUS:
        return None
    text = user_ir(events, timestamps, machine)
    if not text:
        return None
    library = llvm.library()
    # Level 0: 1.5 ms to compile and 38 ns for a record of three fields; level 1: 11 ms and 26 ns; level 2: 25 ms and
    # 20 ns. Raising such a record costs several hundred.
    target = llvm.machine(f"{machine}-unknown-linux-gnu", _CPUS[machine], 0, reloc="pic", codemodel="small")
    return _extract(library.emit(target, library.parse(text)), machine)


_EHDR = struct.Struct("<16sHHIQQQIHHHHHH")
_SHDR = struct.Struct("<IIQQQQIIQQ")
_SYM = struct.Struct("<IBBHQQ")
_SYMTAB, _RELA, _REL = 2, 4, 9


def _extract(elf: bytes, machine: str) -> NativeCode:
    """The text section and the offset of @drain in it."""
    header = _EHDR.unpack_from(elf)
    offset, count = header[6], header[12]
    sections = [_SHDR.unpack_from(elf, offset + i * _SHDR.size) for i in range(count)]
    strings = sections[header[13]]

    def name(at: int, table: tuple[int, ...]) -> str:
        start = table[4] + at
        return elf[start : elf.index(b"\0", start)].decode()

    def contents(section: tuple[int, ...]) -> bytes:
        return elf[section[4] : section[4] + section[5]]

    text = next(i for i, s in enumerate(sections) if name(s[0], strings) == ".text")
    if any(s[1] in (_RELA, _REL) and s[7] == text for s in sections):
        raise AssertionError("the user half has relocations")
    symtab = next(s for s in sections if s[1] == _SYMTAB)
    for symbol in _SYM.iter_unpack(contents(symtab)):
        if symbol[3] == text and name(symbol[0], sections[symtab[6]]) == "drain":
            return NativeCode(machine, contents(sections[text]), symbol[4])
    raise AssertionError("the user half has no entry")
