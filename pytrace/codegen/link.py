"""From the object that LLVM emits to what bpf(2) takes.

Every function has a section of its own. A program is its entry function followed by every function that it
reaches; calls between them and function pointers become instruction offsets, references to maps become relocations
that the runtime fills in, and `.BTF.ext` is cut to the program's own func_info and line_info.

The ELF is read with `struct`: it is our own output, with five section kinds, and this runs at every start.
"""

from __future__ import annotations

import struct

from pytrace.codegen.ir import SECTION
from pytrace.program import FuncReloc, Reloc
from pytrace.record import record

BPF_PSEUDO_CALL = 1
BPF_PSEUDO_KFUNC_CALL = 2
BPF_PSEUDO_FUNC = 4
CONSTANTS = ".rodata"
"""How the sections of tables that LLVM makes begin; such a section becomes a read-only map of its name."""
_R_BPF_64_64 = 1
_R_BPF_64_32 = 10
_CALL = 0x85
_LD_IMM64 = 0x18
_LDX, _ST, _STX = 1, 2, 3
_ADD_K, _MOV_X = 0x07, 0xBF
_FRAME = 10


@record
class Linked:
    """A program's code and its debug records, as `program.ProgSpec` wants them."""

    insns: bytes
    relocs: tuple[Reloc, ...]
    func_relocs: tuple[FuncReloc, ...]
    func_info: bytes
    line_info: bytes


@record(frozen=False)
class _Section:
    data: bytes
    relocs: list[tuple[int, int, str, int]]  # offset, type, symbol, symbol value


class Object:
    """A relocatable BPF ELF object, taken apart."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self.sections: dict[str, _Section] = {}
        self._read()
        self.btf = self.sections[".BTF"].data if ".BTF" in self.sections else b""
        self._stacks: dict[str, tuple[int, int]] = {}
        self._funcs: dict[str, bytes] = {}
        self._lines: dict[str, bytes] = {}
        if ".BTF.ext" in self.sections:
            self._read_ext()

    def _read(self) -> None:
        data = self._data
        shoff, shentsize, shnum, shstrndx = struct.unpack_from("<Q10xHHH", data, 40)
        headers = [struct.unpack_from("<IIQQQQIIQQ", data, shoff + i * shentsize) for i in range(shnum)]

        def content(h: tuple[int, ...]) -> bytes:
            return data[h[4] : h[4] + h[5]] if h[1] != 8 else b""

        names = content(headers[shstrndx])
        titles = [_string(names, h[0]) for h in headers]
        symbols: list[tuple[str, int]] = []
        for h in headers:
            if h[1] != 2:
                continue
            table, strings = content(h), content(headers[h[6]])
            for i in range(0, len(table), 24):
                name, info, _, section, value, _ = struct.unpack_from("<IBBHQQ", table, i)
                title = titles[section] if info & 15 == 3 else _string(strings, name)
                symbols.append((title, value))
        for title, h in zip(titles, headers, strict=True):
            if h[1] == 1:
                self.sections[title] = _Section(content(h), [])
        for h in headers:
            if h[1] != 9 or titles[h[7]] not in self.sections:
                continue
            table = content(h)
            for i in range(0, len(table), 16):
                offset, info = struct.unpack_from("<QQ", table, i)
                symbol, value = symbols[info >> 32]
                symbol = SECTION + symbol if SECTION + symbol in self.sections else symbol
                self.sections[titles[h[7]]].relocs.append((offset, info & 0xFFFFFFFF, symbol, value))

    def _read_ext(self) -> None:
        ext = self.sections[".BTF.ext"].data
        header_length, func_off, func_len, line_off, line_len = struct.unpack_from("<4xIIIII", ext, 0)
        strings_off, strings_len, header = struct.unpack_from("<II", self.btf, 16) + struct.unpack_from(
            "<I", self.btf, 4
        )
        strings = self.btf[header + strings_off : header + strings_off + strings_len]
        for start, length, into in ((func_off, func_len, self._funcs), (line_off, line_len, self._lines)):
            at = header_length + start
            end = at + length
            (record,) = struct.unpack_from("<I", ext, at)
            at += 4
            while at < end:
                section, count = struct.unpack_from("<II", ext, at)
                at += 8
                into[_string(strings, section)] = ext[at : at + record * count]
                at += record * count

    def link(self, entry: str) -> Linked:
        """The program whose entry function is `entry`."""
        order = [SECTION + entry]
        for name in order:
            for _, _, symbol, _ in self.sections[name].relocs:
                if symbol in self.sections and symbol not in order and not symbol.startswith(CONSTANTS):
                    order.append(symbol)
        base: dict[str, int] = {}
        code = bytearray()
        for name in order:
            base[name] = len(code) // 8
            code += self.sections[name].data
        relocs: list[Reloc] = []
        func_relocs: list[FuncReloc] = []
        for name in order:
            for offset, kind, symbol, _ in self.sections[name].relocs:
                at = base[name] * 8 + offset
                self._relocate(code, at, kind, symbol, base, relocs, func_relocs)
        return Linked(
            bytes(code),
            tuple(relocs),
            tuple(func_relocs),
            _moved(self._funcs, order, base, "<II"),
            _moved(self._lines, order, base, "<IIII"),
        )

    def reached(self, name: str) -> list[str]:
        """The functions that one calls or hands to a helper."""
        symbols = dict.fromkeys(symbol for _, _, symbol, _ in self.sections[name].relocs)
        return [s for s in symbols if s in self.sections and not s.startswith(CONSTANTS)]

    def stack(self, entry: str) -> tuple[int, int]:
        """Bytes of stack and number of frames of a program, by the worst of its chains of calls, as the verifier
        counts them."""
        return self._stack(SECTION + entry)

    def _stack(self, name: str) -> tuple[int, int]:
        if name not in self._stacks:
            self._stacks[name] = self._deepest(name)
        return self._stacks[name]

    def _deepest(self, name: str) -> tuple[int, int]:
        below = [self._stack(callee) for callee in self.reached(name)]
        own = max(1, _depth(self.sections[name].data))
        return (
            (own + 31) // 32 * 32 + max((size for size, _ in below), default=0),
            1 + max((frames for _, frames in below), default=0),
        )

    def _relocate(
        self,
        code: bytearray,
        at: int,
        kind: int,
        symbol: str,
        base: dict[str, int],
        relocs: list[Reloc],
        func_relocs: list[FuncReloc],
    ) -> None:
        insn = at // 8
        (addend,) = struct.unpack_from("<i", code, at + 4)
        registers = code[at + 1] & 15
        if kind == _R_BPF_64_32:
            if symbol in base:
                code[at + 1] = registers | BPF_PSEUDO_CALL << 4
                struct.pack_into("<i", code, at + 4, base[symbol] - insn - 1)
            else:
                func_relocs.append(FuncReloc(insn, symbol))
        elif kind == _R_BPF_64_64 and symbol in base:
            code[at + 1] = registers | BPF_PSEUDO_FUNC << 4
            struct.pack_into("<i", code, at + 4, base[symbol] - insn - 1)
        elif kind == _R_BPF_64_64 and symbol.startswith(CONSTANTS):
            relocs.append(Reloc(insn, symbol, True, addend))
        elif kind == _R_BPF_64_64:
            space, _, name = symbol.partition(".")
            relocs.append(Reloc(insn, name, space == "val", addend))
        else:
            raise ValueError(f"unexpected relocation {kind} of {symbol}")


def _depth(code: bytes) -> int:
    """How far below its frame pointer a function reaches."""
    deepest = 0
    copied = -1
    for at in range(0, len(code), 8):
        opcode, registers, offset, number = struct.unpack_from("<BBhi", code, at)
        to, source = registers & 15, registers >> 4
        kind = opcode & 7
        if (kind == _LDX and source == _FRAME) or (kind in (_ST, _STX) and to == _FRAME):
            deepest = max(deepest, -offset)
        elif opcode == _ADD_K and to == copied:
            deepest = max(deepest, -number)
        copied = to if opcode == _MOV_X and source == _FRAME else -1
    return deepest


def _string(table: bytes, offset: int) -> str:
    return table[offset : table.index(b"\0", offset)].decode()


def _moved(records: dict[str, bytes], order: list[str], base: dict[str, int], layout: str) -> bytes:
    """Records of the functions in order, their byte offsets turned into instruction numbers of the whole program."""
    out = bytearray()
    size = struct.calcsize(layout)
    for name in order:
        data = records.get(name, b"")
        for at in range(0, len(data), size):
            offset, *rest = struct.unpack_from(layout, data, at)
            out += struct.pack(layout, base[name] + offset // 8, *rest)
    return bytes(out)
