"""ELF files: where functions are, so that probes can be put on them and addresses get names.

64-bit little-endian files only, read by hand: what is needed of ELF fits on two screens, and importing a library
for it takes longer (40 ms) than a one-liner on a uprobe may.
"""

from __future__ import annotations

import os
import struct
from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property
from typing import NamedTuple

from pytrace.kernel.btf_raw import Blob, map_fd
from pytrace.kernel.elf_symbols import SHT_DYNSYM, SHT_SYMTAB, Symbol, SymbolTable
from pytrace.kernel.errors import KernelError
from pytrace.kernel.glob import compile_glob

EM_X86_64, EM_AARCH64 = 62, 183
ET_EXEC, ET_DYN = 2, 3
_PT_LOAD, _PT_INTERP, _PT_NOTE = 1, 3, 4
_SHT_NOBITS = 8
_PF_X = 1


class Section(NamedTuple):
    name: str
    type: int
    address: int
    offset: int
    size: int
    link: int


class Segment(NamedTuple):
    type: int
    flags: int
    offset: int
    address: int
    file_size: int
    size: int


class Elf:
    """One ELF file, mapped. Raises `KernelError` where it is not one, or not for this kind of machine."""

    def __init__(self, data: Blob, path: str = "") -> None:
        self.data, self.path = data, path
        if len(data) < 64 or data[:4] != b"\x7fELF":
            raise KernelError(f"{path or 'data'} is not an ELF file")
        if data[4] != 2 or data[5] != 1:
            raise KernelError(f"{path or 'data'} is not a 64-bit little-endian ELF file")
        header = struct.unpack_from("<HHIQQQIHHHHHH", data, 16)
        self.type: int = header[0]
        self.machine: int = header[1]
        self.entry: int = header[3]
        self._programs = header[4], header[8], header[9]
        self._sections = header[5], header[10], header[11], header[12]

    @staticmethod
    def open(path: str) -> Elf:
        """The file at a path. The same object is given again as long as the file stays the same. Raises `KernelError`
        where it cannot be read."""
        try:
            fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)
        except OSError as error:
            raise KernelError(f"{path} cannot be read: {error.strerror}") from error
        try:
            info = os.fstat(fd)
            return _open(path, fd, (info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns))
        finally:
            os.close(fd)

    # --- parts -----------------------------------------------------------------------------------

    @cached_property
    def segments(self) -> tuple[Segment, ...]:
        """The program headers."""
        offset, size, count = self._programs
        found = []
        for at in range(offset, offset + size * count, size or 1):
            type, flags, where, address, _, in_file, in_memory, _ = self._unpack("<IIQQQQQQ", at)
            found.append(Segment(type, flags, where, address, in_file, in_memory))
        return tuple(found)

    @cached_property
    def sections(self) -> tuple[Section, ...]:
        """The section headers; none in a file that was stripped of them."""
        offset, size, count, names = self._sections
        if not offset or not size:
            return ()
        if count == 0:  # too many for the header: the first section says
            count = self._unpack("<Q", offset + 32)[0]
        raw = [self._unpack("<IIQQQQI", at) for at in range(offset, offset + size * count, size)]
        if names == 0xFFFF:
            names = raw[0][6]
        base = raw[names][4] if names < len(raw) else 0
        return tuple(Section(self.string(base + r[0]), r[1], r[3], r[4], r[5], r[6]) for r in raw)

    def _unpack(self, form: str, at: int) -> tuple[int, ...]:
        try:
            return struct.unpack_from(form, self.data, at)
        except struct.error as error:
            raise KernelError(f"{self.path or 'data'} is cut short or damaged") from error

    def string(self, at: int) -> str:
        """The NUL-terminated string at a file offset."""
        end = self.data.find(b"\0", at)
        return self.data[at:end].decode("utf-8", "replace") if end >= 0 else ""

    def section(self, name: str) -> Section | None:
        return next((s for s in self.sections if s.name == name), None)

    def contents(self, section: Section) -> bytes:
        """What the file holds of a section: nothing for one that is only in memory."""
        return b"" if section.type == _SHT_NOBITS else self.data[section.offset : section.offset + section.size]

    def notes(self, data: bytes) -> Iterator[tuple[str, int, bytes]]:
        """Owner, type and description of each note in the contents of a note section."""
        at = 0
        while at + 12 <= len(data):
            name_size, size, type = struct.unpack_from("<III", data, at)
            at += 12
            name = data[at : at + name_size].rstrip(b"\0").decode("ascii", "replace")
            at += (name_size + 3) & ~3
            yield name, type, data[at : at + size]
            at += (size + 3) & ~3

    @cached_property
    def build_id(self) -> str:
        """The GNU build id in hex, "" if there is none."""
        blocks = [self.data[s.offset : s.offset + s.file_size] for s in self.segments if s.type == _PT_NOTE]
        for block in blocks or [self.contents(s) for s in self.sections if s.name == ".note.gnu.build-id"]:
            for owner, type, description in self.notes(block):
                if owner == "GNU" and type == 3:
                    return description.hex()
        return ""

    @property
    def is_executable(self) -> bool:
        """Whether it is a program at a fixed address (no PIE, no library)."""
        return self.type == ET_EXEC

    @property
    def is_static(self) -> bool:
        """Whether it runs without a dynamic loader."""
        return not any(s.type == _PT_INTERP for s in self.segments)

    # --- addresses and offsets -------------------------------------------------------------------

    def offset_of(self, address: int) -> int | None:
        """The offset in the file of what the file loads at an address; executable segments are looked at first."""
        for wanted in (True, False):
            for s in self.segments:
                executable = bool(s.flags & _PF_X)
                if s.type == _PT_LOAD and executable == wanted and 0 <= address - s.address < s.file_size:
                    return address - s.address + s.offset
        return None

    def address_of(self, offset: int) -> int | None:
        """The address that the file says for an offset in it."""
        for wanted in (True, False):
            for s in self.segments:
                executable = bool(s.flags & _PF_X)
                if s.type == _PT_LOAD and executable == wanted and 0 <= offset - s.offset < s.file_size:
                    return offset - s.offset + s.address
        return None

    # --- symbols -----------------------------------------------------------------------------------

    @cached_property
    def tables(self) -> tuple[SymbolTable, ...]:
        """The symbol tables of this file alone: .symtab, then .dynsym."""
        tables = []
        for type in (SHT_SYMTAB, SHT_DYNSYM):
            for s in self.sections:
                if s.type == type and 0 < s.link < len(self.sections):
                    tables.append(SymbolTable(type, self.contents(s), self.contents(self.sections[s.link])))
        return tuple(tables)

    @cached_property
    def all_tables(self) -> tuple[SymbolTable, ...]:
        """`tables`, and where there is no .symtab, those of the separate debug file for this one."""
        if any(t.type == SHT_SYMTAB for t in self.tables):
            return self.tables
        from pytrace.kernel.debugfile import find_debug_file

        debug = find_debug_file(self)
        return self.tables + debug.tables if debug else self.tables

    @property
    def stripped(self) -> bool:
        """Whether only dynamic symbols are known, here and in a debug file."""
        return not any(t.type == SHT_SYMTAB for t in self.all_tables)

    def lookup(self, name: str) -> list[Symbol]:
        """The defined symbols of that name, functions first; several addresses where versions or static functions
        share it, each once."""
        found: dict[int, Symbol] = {}
        for table in self.all_tables:
            for symbol in table.lookup(name):
                found.setdefault(symbol.address, symbol)
        return sorted(found.values(), key=lambda s: not s.is_function)

    def function(self, name: str) -> Symbol | None:
        """The first function of that name."""
        return next((s for s in self.lookup(name) if s.is_function), None)

    @cached_property
    def functions(self) -> tuple[Symbol, ...]:
        """All functions, sorted by name, each name and address once."""
        found = {(s.name, s.address): s for table in reversed(self.all_tables) for s in table.symbols if s.is_function}
        return tuple(sorted(found.values()))

    def match(self, pattern: str) -> list[Symbol]:
        """The functions whose names match a glob, sorted by name."""
        accepts = compile_glob(pattern).fullmatch
        return [s for s in self.functions if accepts(s.name)]

    @cached_property
    def _by_address(self) -> tuple[list[int], list[Symbol]]:
        found: dict[int, Symbol] = {}
        for table in self.all_tables:
            for s in table.symbols:
                if s.is_function or (s.type == 0 and s.size):
                    kept = found.get(s.address)
                    if kept is None or (kept.size == 0 and s.size):
                        found[s.address] = s
        addresses = sorted(found)
        return addresses, [found[address] for address in addresses]

    def at(self, address: int) -> tuple[Symbol, int] | None:
        """The function that an address of the file is in, and the offset into it."""
        addresses, symbols = self._by_address
        at = bisect_right(addresses, address) - 1
        if at < 0:
            return None
        symbol = symbols[at]
        # Hand-written code often has no size; it reaches to the next symbol then.
        return (symbol, address - symbol.address) if address - symbol.address < symbol.size or not symbol.size else None


_kept: dict[tuple[int, ...], Elf] = {}


def _open(path: str, fd: int, identity: tuple[int, ...]) -> Elf:
    found = _kept.get(identity)
    if found is None:
        if len(_kept) >= 256:
            _kept.clear()
        found = _kept[identity] = Elf(map_fd(fd), path)
    return found
