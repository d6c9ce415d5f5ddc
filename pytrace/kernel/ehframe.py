"""How to get from a function's frame to its caller's, for every instruction of an ELF file: its .eh_frame as a table.

The table is an array of u64, ascending: the low 32 bits are a *rule*, the high 32 bits the address (as the file says
it) of the first instruction that the rule is for; it holds up to the address of the next row. On x86-64, at that
instruction

    bits 0-3    the kind: where the canonical frame address (CFA) is, which is the caller's stack pointer; see below
    bits 4-5    where the caller's rbp is: SAME (untouched), SAVED (at CFA - 8n), HERE (where rbp points to), LOST
    bits 6-15   n
    bits 16-31  m, signed

    NONE      nothing is known: no function, or one whose rules do not fit in here
    END       there is no caller
    RSP       CFA = rsp + 8m
    RBP       CFA = rbp + 8m
    PLT       CFA = rsp + 8, + 8 if the low 4 bits of the instruction's address are at least m
    AT_RBP    CFA = the word at rbp + 8m
    AT_RSP    CFA = the word at rsp + 8m, + 8
    SIGNAL    a signal's handler returns here: rsp + 8m points into the ucontext, to the interrupted rsp; rip stands
              behind that, rbp five words before

and the return address is at CFA - 8 (but for SIGNAL). Both the walk in BPF (`codegen.unwind`) and the tests go by this.
"""

from __future__ import annotations

import struct
from array import array
from typing import NamedTuple

from pytrace.kernel.elf import EM_X86_64, Elf
from pytrace.kernel.errors import KernelError

NONE, END, RSP, RBP, PLT, AT_RBP, AT_RSP, SIGNAL = range(8)
SAME, SAVED, HERE, LOST = (n << 4 for n in range(4))

_PT_GNU_EH_FRAME = 0x6474E550
_RBP, _RSP, _RIP = 6, 7, 16
_FORMAT, _PC_RELATIVE = 0x0F, 0x10
# DW_EH_PE_*: how pointers are written, but for the two of variable length
_FORMS = {
    form: struct.Struct(f"<{code}")
    for form, code in {0: "Q", 2: "H", 3: "I", 4: "Q", 10: "h", 11: "i", 12: "q"}.items()
}

_Rows = tuple[tuple[int, int], ...]  # (bytes from the start of the function, rule)


class _State(NamedTuple):
    """What holds at an instruction: the CFA is `offset` from a register, unless `special` is its rule; the bits that
    say where rbp is; whether there is a caller, and whether its address is where it always is."""

    register: int = -1
    offset: int = 0
    special: int | None = None
    rbp: int = SAME
    called: bool = True
    usual: bool = True


class _Cie(NamedTuple):
    """The common part of many functions' records."""

    code_align: int
    data_align: int
    pointers: int
    augmented: bool
    signal: bool
    initial: _State


def table(elf: Elf) -> bytes:
    """The table of a file; empty where it has no .eh_frame. Raises `KernelError` where it is damaged, or of another
    machine than x86-64."""
    if elf.machine != EM_X86_64:
        raise KernelError(f"{elf.path}: stacks are unwound on x86-64 only")
    place = _section(elf)
    if place is None:
        return b""
    try:
        functions = _Reader(elf, *place).functions()
    except (IndexError, ValueError, struct.error) as error:
        raise KernelError(f"{elf.path}: .eh_frame is damaged") from error
    functions.sort(key=lambda function: function[0])
    rows = array("Q")
    append = rows.append
    end, last = -1, NONE
    for start, size, own in functions:
        if start < end:
            continue  # described twice
        if start != end and last != NONE:
            append(end << 32)
            last = NONE
        for offset, rule in own:
            if rule != last:
                append(start + offset << 32 | rule)
                last = rule
        end = start + size
    if last != NONE:
        append(end << 32)
    return rows.tobytes()


def _section(elf: Elf) -> tuple[int, int, int | None] | None:
    """Where .eh_frame is: its address, its offset in the file, and where it ends there if that is known."""
    section = elf.section(".eh_frame")
    if section is not None:
        return section.address, section.offset, section.offset + section.size
    for segment in elf.segments:
        if segment.type == _PT_GNU_EH_FRAME:
            # .eh_frame_hdr: version, three encodings, and where .eh_frame is, which linkers say relative to itself
            header = elf.data[segment.offset : segment.offset + 8]
            if len(header) == 8 and header[:2] == b"\x01\x1b":
                address = segment.address + 4 + int.from_bytes(header[4:], "little", signed=True)
                offset = elf.offset_of(address)
                if offset is not None:
                    return address, offset, None
    return None


class _Reader:
    """One pass over the records of an .eh_frame. Many functions have the very same instructions: what they mean is
    worked out once."""

    def __init__(self, elf: Elf, address: int, start: int, end: int | None) -> None:
        self._data = elf.data[start:end]
        self._address = address
        self._ends_at_zero = end is None
        self._cies: dict[int, _Cie | None] = {}
        self._known: dict[tuple[int, bytes], _Rows] = {}

    def functions(self) -> list[tuple[int, int, _Rows]]:
        """Address, size and rows of every function."""
        data, known, cies = self._data, self._known, self._cies
        unpack = struct.Struct("<II").unpack_from
        found: list[tuple[int, int, _Rows]] = []
        at, last = 0, len(data) - 8
        while at <= last:
            length, id = unpack(data, at)
            if length == 0:  # the end, or padding between what the linker put together
                if self._ends_at_zero:
                    break
                at += 4
                continue
            if length == 0xFFFFFFFF:
                raise struct.error
            end = at + 4 + length
            if id:
                where = at + 4 - id
                if where not in cies:
                    cies[where] = self._cie(where)
                cie = cies[where]
                if cie is not None:
                    start, body = self._pointer(at + 8, cie.pointers)
                    size, body = self._pointer(body, cie.pointers & _FORMAT)
                    if cie.augmented:
                        skip, body = _uleb(data, body)
                        body += skip
                    key = where, data[body:end]
                    rows = known.get(key)
                    if rows is None:
                        rows = known[key] = _run(cie, key[1])[0]
                    if size > 0:
                        found.append((start, size, rows))
            at = end
        return found

    def _cie(self, at: int) -> _Cie | None:
        """The common part of functions' records; None where it is of a kind that nobody makes any more."""
        data = self._data
        end = at + 4 + struct.unpack_from("<I", data, at)[0]
        version = data[at + 8]
        at += 9
        augmentation, at = data[at : data.index(b"\0", at)].decode("latin-1"), data.index(b"\0", at) + 1
        if version not in (1, 3) or augmentation.startswith("eh"):
            return None
        code_align, at = _uleb(data, at)
        data_align, at = _sleb(data, at)
        _, at = (0, at + 1) if version == 1 else _uleb(data, at)
        pointers = 0
        if augmentation.startswith("z"):
            size, at = _uleb(data, at)
            place, at = at, at + size
            for letter in augmentation[1:]:
                if letter == "R":
                    pointers = data[place]
                if letter == "P":
                    _, place = self._pointer(place + 1, data[place] & _FORMAT)
                elif letter in "RL":
                    place += 1
        if pointers & ~_FORMAT not in (0, _PC_RELATIVE):
            return None
        plain = _Cie(code_align, data_align, pointers, augmentation.startswith("z"), "S" in augmentation, _State())
        return plain._replace(initial=_run(plain, data[at:end])[1])

    def _pointer(self, at: int, encoding: int) -> tuple[int, int]:
        """An encoded pointer, and where it ends."""
        form = encoding & _FORMAT
        if form == 1:
            value, end = _uleb(self._data, at)
        elif form == 9:
            value, end = _sleb(self._data, at)
        else:
            code = _FORMS.get(form)
            if code is None:
                raise struct.error
            value, end = code.unpack_from(self._data, at)[0], at + code.size
        if encoding & _PC_RELATIVE:
            value = value + self._address + at & 0xFFFFFFFFFFFFFFFF
        return value, end


def _run(cie: _Cie, code: bytes) -> tuple[_Rows, _State]:
    """What the instructions of a function say: its rows, and the state at its end."""
    register, offset, special, rbp, called, usual = cie.initial
    rows: list[tuple[int, int]] = []
    kept: list[_State] = []
    at, where = 0, 0
    while at < len(code):
        op = code[at]
        at += 1
        high, low = op & 0xC0, op & 0x3F
        if high == 0x40 or op in _ADVANCES:
            step = low
            if high != 0x40:
                size = _ADVANCES[op]
                step = int.from_bytes(code[at : at + size], "little")
                at += size
            rows.append((where, _rule(cie, register, offset, special, rbp, called, usual)))
            where += step * cie.code_align
        elif high == 0x80 or op in (0x05, 0x11, 0x2F):  # offset, offset_extended, _sf, GNU_negative_offset_extended
            if high != 0x80:
                low, at = _uleb(code, at)
            factored, at = _sleb(code, at) if op == 0x11 else _uleb(code, at)
            distance = factored * cie.data_align * (-1 if op == 0x2F else 1)
            if low == _RBP:
                n, rest = divmod(-distance, 8)
                rbp = SAVED | n << 6 if rest == 0 and 0 <= n < 1024 else LOST
            elif low == _RIP:
                called, usual = True, distance == -8
        elif high == 0xC0 or op == 0x06:  # restore, restore_extended
            if high != 0xC0:
                low, at = _uleb(code, at)
            if low == _RBP:
                rbp = cie.initial.rbp
            elif low == _RIP:
                called, usual = cie.initial.called, cie.initial.usual
        elif op in (0x0C, 0x12):  # def_cfa, _sf
            register, at = _uleb(code, at)
            offset, at = _uleb(code, at) if op == 0x0C else _sleb(code, at)
            offset *= 1 if op == 0x0C else cie.data_align
            special = None
        elif op == 0x0D:  # def_cfa_register
            register, at = _uleb(code, at)
            special = None
        elif op == 0x0E:  # def_cfa_offset
            offset, at = _uleb(code, at)
        elif op == 0x13:  # def_cfa_offset_sf
            offset, at = _sleb(code, at)
            offset *= cie.data_align
        elif op == 0x0A:  # remember_state
            kept.append(_State(register, offset, special, rbp, called, usual))
        elif op == 0x0B:  # restore_state
            register, offset, special, rbp, called, usual = kept.pop()
        elif op == 0x0F:  # def_cfa_expression
            size, at = _uleb(code, at)
            special = _expression(code[at : at + size])
            at += size
        elif op in (0x10, 0x16):  # expression, val_expression
            low, at = _uleb(code, at)
            size, at = _uleb(code, at)
            if low == _RBP:
                rbp = HERE if op == 0x10 and code[at : at + size] == b"\x76\x00" else LOST
            elif low == _RIP:
                usual = False
            at += size
        elif op in (0x07, 0x08):  # undefined, same_value
            low, at = _uleb(code, at)
            if low == _RBP:
                rbp = LOST if op == 0x07 else SAME
            elif low == _RIP:
                called, usual = op != 0x07, False
        elif op in (0x09, 0x14, 0x15):  # register, val_offset, _sf
            low, at = _uleb(code, at)
            _, at = _uleb(code, at)
            if low == _RBP:
                rbp = LOST
            elif low == _RIP:
                usual = False
        elif op == 0x2E:  # GNU_args_size
            _, at = _uleb(code, at)
        elif op != 0:  # nop; set_loc is made by nobody, others are not for this machine
            raise ValueError(op)
    rows.append((where, _rule(cie, register, offset, special, rbp, called, usual)))
    return tuple(rows), _State(register, offset, special, rbp, called, usual)


_ADVANCES = {0x02: 1, 0x03: 2, 0x04: 4}


def _rule(cie: _Cie, register: int, offset: int, special: int | None, rbp: int, called: bool, usual: bool) -> int:
    """A state as the bits of a row; NONE where it does not fit."""
    if not called:
        return END
    if cie.signal:
        # The CFA is the word at rsp + m, the rest follows from that.
        return special & ~0xF | SIGNAL if special is not None and special & 0xF == _WORD_AT_RSP else NONE
    if not usual:
        return NONE
    if special is not None:
        return special | rbp if special & 0xF != _WORD_AT_RSP else NONE
    kind = {_RSP: RSP, _RBP: RBP}.get(register, NONE)
    return _bits(kind, offset) | rbp if kind and _fits(offset) else NONE


_WORD_AT_RSP = 15  # a kind that no row has


def _fits(distance: int) -> bool:
    return distance % 8 == 0 and -0x40000 <= distance < 0x40000


def _bits(kind: int, distance: int) -> int:
    return kind | (distance // 8 & 0xFFFF) << 16


def _expression(code: bytes) -> int:
    """The kind and m of a CFA that is given by an expression of one of the forms that are in use; NONE for others."""
    # DW_OP_breg7 8, breg16 0, lit15, and, lit(m), ge, lit3, shl, plus: what linkers say of a PLT
    if len(code) == 11 and code[:6] == b"\x77\x08\x80\x00\x3f\x1a" and code[7:] == b"\x2a\x33\x24\x22":
        return _bits(PLT, (code[6] - 0x30) * 8)
    # DW_OP_breg6 or breg7 distance, deref; and plus_uconst 8
    if code[:1] in (b"\x76", b"\x77"):
        distance, at = _sleb(code, 1)
        if _fits(distance):
            form = code[0], code[at:]
            kind = {(0x76, b"\x06"): AT_RBP, (0x77, b"\x06"): _WORD_AT_RSP, (0x77, b"\x06\x23\x08"): AT_RSP}.get(form)
            if kind is not None:
                return _bits(kind, distance)
    return NONE


def _uleb(data: bytes, at: int) -> tuple[int, int]:
    """An unsigned LEB128 number, and where it ends."""
    byte = data[at]
    at += 1
    if byte < 0x80:
        return byte, at
    value, shift = byte & 0x7F, 7
    while byte & 0x80:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
    return value, at


def _sleb(data: bytes, at: int) -> tuple[int, int]:
    """A signed one."""
    start = at
    value, at = _uleb(data, at)
    return value - (1 << 7 * (at - start)) if data[at - 1] & 0x40 else value, at
