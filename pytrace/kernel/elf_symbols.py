"""The symbols of an ELF file, as its sections hold them."""

from __future__ import annotations

import struct
from functools import cached_property
from typing import NamedTuple

SHT_SYMTAB, SHT_DYNSYM = 2, 11
_FUNCTIONS = (2, 10)  # STT_FUNC, STT_GNU_IFUNC


class Symbol(NamedTuple):
    """A defined symbol. `address` is as the file says it, before any load bias; `type` is an STT_ number."""

    name: str
    address: int
    size: int
    type: int

    @property
    def is_function(self) -> bool:
        return self.type in _FUNCTIONS


class SymbolTable:
    """A symbol table with its strings; `type` is the SHT_ number of its section."""

    def __init__(self, type: int, data: bytes, strings: bytes) -> None:
        self.type, self._strings = type, strings
        self._data = data[: len(data) // 24 * 24]

    @cached_property
    def symbols(self) -> tuple[Symbol, ...]:
        """All that are defined here and have a name."""
        strings, found = self._strings, []
        for name, info, _, section, address, size in struct.iter_unpack("<IBBHQQ", self._data):
            if section and name and address:
                # Old linkers keep the version of a symbol in its name.
                text = strings[name : strings.find(b"\0", name)].decode("utf-8", "replace").partition("@")[0]
                found.append(Symbol(text, address, size, info & 15))
        return tuple(found)

    def lookup(self, name: str) -> list[Symbol]:
        """The defined symbols of that name. Does not make the whole table: a browser has half a million symbols."""
        encoded, starts, at = name.encode() + b"\0", set(), -1
        # A linker may let one name end another: any place where the text stands will do.
        while (at := self._strings.find(encoded, at + 1)) >= 0:
            starts.add(at)
        if not starts:
            return []
        found = []
        offsets = memoryview(self._data).cast("I")[::6].tolist()
        for start in starts:
            at = -1
            while True:
                try:
                    at = offsets.index(start, at + 1)
                except ValueError:
                    break
                _, info, _, section, address, size = struct.unpack_from("<IBBHQQ", self._data, at * 24)
                if section and address:
                    found.append((at, Symbol(name, address, size, info & 15)))
        return [symbol for _, symbol in sorted(found)]
