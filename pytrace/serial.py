"""Programs as bytes: `dump` and `load`.

A file is a magic line, the release that wrote it, and one value in a tagged encoding of None, bools, integers, strings,
bytes, tuples, enumerators and the records of `program`, `types` and `format`; nothing in it is ever run. The header
carries a checksum of the value and a fingerprint of those records, so that damage, and files of a release whose
records look different, are told apart and refused (`BadProgram`).

Native code is left out unless both sides ask for it: only the compile cache does, which nobody else can write to.
"""

from __future__ import annotations

import enum
import zlib
from functools import cache
from typing import Any

import pytrace
from pytrace import format, program, types
from pytrace.record import Layout, is_record, replace

MAGIC = b"pytrace program\n"

_NONE, _FALSE, _TRUE, _INT, _STR, _BYTES, _TUPLE, _AGAIN, _ENUM, _RECORD = range(10)


class BadProgram(ValueError):
    """Not a program file, or not one that this release can read. The text says which."""


class _Kinds:
    """Every class a program may be made of, numbered by name."""

    def __init__(self) -> None:
        self.records: list[type] = []
        self.enums: list[type[enum.Enum]] = []
        for module in (format, program, types):
            for _, kind in sorted(vars(module).items()):
                if not isinstance(kind, type) or kind.__module__ != module.__name__:
                    continue
                if issubclass(kind, enum.Enum):
                    self.enums.append(kind)
                elif "__record__" in kind.__dict__:
                    self.records.append(kind)
        self.names = [tuple(_layout(kind).fields) for kind in self.records]
        self.numbers: dict[type, int] = {
            kind: i for kinds in (self.records, self.enums) for i, kind in enumerate(kinds)
        }
        shape = [(k.__name__, n) for k, n in zip(self.records, self.names, strict=True)]
        members = [(k.__name__, [(m.name, m.value) for m in k]) for k in self.enums]
        self.fingerprint = zlib.crc32(repr((shape, members)).encode())


def _layout(kind: type) -> Layout:
    layout: Layout = kind.__record__  # type: ignore[attr-defined]
    return layout


@cache
def _kinds() -> _Kinds:
    return _Kinds()


class _Writer:
    def __init__(self) -> None:
        self.out = bytearray()
        self.kinds = _kinds()
        # Numbers of values already written. Strings and bytes by value, records by identity: those are kept alive by
        # the program, and hashing a kernel struct of 200 fields for every mention would cost more than it saves.
        self.seen: dict[object, int] = {}

    def number(self, n: int) -> None:
        while n > 0x7F:
            self.out.append(n & 0x7F | 0x80)
            n >>= 7
        self.out.append(n)

    def _again(self, key: object) -> bool:
        at = self.seen.get(key)
        if at is None:
            return False
        self.out.append(_AGAIN)
        self.number(at)
        return True

    def value(self, value: Any) -> None:
        out = self.out
        if value is None:
            out.append(_NONE)
        elif value is True or value is False:
            out.append(_TRUE if value else _FALSE)
        elif isinstance(value, enum.Enum):
            out.append(_ENUM)
            self.number(self.kinds.numbers[type(value)])
            self.value(value.value)
        elif type(value) is int:
            out.append(_INT)
            # Small numbers, of either sign, are short.
            self.number(value << 1 if value >= 0 else (-value << 1) - 1)
        elif type(value) in (str, bytes):
            key = (type(value), value)
            if not self._again(key):
                data = value if isinstance(value, bytes) else value.encode(errors="surrogatepass")
                out.append(_BYTES if data is value else _STR)
                self.number(len(data))
                out += data
                self.seen[key] = len(self.seen)
        elif type(value) is tuple:
            out.append(_TUPLE)
            self.number(len(value))
            for item in value:
                self.value(item)
        elif is_record(value):
            if not self._again(id(value)):
                kind = self.kinds.numbers[type(value)]
                out.append(_RECORD)
                self.number(kind)
                for name in self.kinds.names[kind]:
                    self.value(getattr(value, name))
                self.seen[id(value)] = len(self.seen)
        else:
            raise TypeError(f"{type(value).__name__} cannot be a part of a program")


class _Reader:
    def __init__(self, data: bytes) -> None:
        self.data = data
        self.at = 0
        self.kinds = _kinds()
        self.seen: list[Any] = []

    def number(self) -> int:
        data, at = self.data, self.at
        byte = data[at]
        at += 1
        n, shift = byte & 0x7F, 7
        while byte & 0x80:
            byte = data[at]
            at += 1
            n |= (byte & 0x7F) << shift
            shift += 7
        self.at = at
        return n

    def _text(self) -> bytes:
        length = self.number()
        data = self.data[self.at : self.at + length]
        if len(data) != length:
            raise IndexError
        self.at += length
        return data

    def value(self) -> Any:
        tag = self.data[self.at]
        self.at += 1
        if tag == _INT:
            n = self.number()
            return -((n + 1) >> 1) if n & 1 else n >> 1
        if tag == _STR:
            self.seen.append(text := self._text().decode(errors="surrogatepass"))
            return text
        if tag == _AGAIN:
            return self.seen[self.number()]
        if tag == _RECORD:
            kind = self.number()
            make = self.kinds.records[kind]
            made = make(**{name: self.value() for name in self.kinds.names[kind]})
            self.seen.append(made)
            return made
        if tag == _TUPLE:
            return tuple([self.value() for _ in range(self.number())])
        if tag == _BYTES:
            self.seen.append(data := self._text())
            return data
        if tag == _ENUM:
            return self.kinds.enums[self.number()](self.value())
        if tag == _NONE:
            return None
        if tag in (_FALSE, _TRUE):
            return tag == _TRUE
        raise IndexError


def dump(subject: program.Program, *, native: bool = False) -> bytes:
    """The contents of a program file, with the user half's machine code if `native`."""
    writer = _Writer()
    writer.value(subject if native or subject.native is None else replace(subject, native=None))
    release = pytrace.__version__.encode()
    header = MAGIC + release + b"\n" + _kinds().fingerprint.to_bytes(4, "little")
    return header + zlib.crc32(writer.out).to_bytes(4, "little") + writer.out


def load(data: bytes, *, native: bool = False) -> program.Program:
    """The program of a file's contents; machine code in it is dropped unless `native`. Raises `BadProgram`."""
    if not data.startswith(MAGIC):
        raise BadProgram("this is not a compiled pytrace program")
    end = data.find(b"\n", len(MAGIC), len(MAGIC) + 64)
    body = end + 9
    if end < 0 or len(data) <= body:
        raise BadProgram("the program file is cut short")
    if data[end + 1 : end + 5] != _kinds().fingerprint.to_bytes(4, "little"):
        release = data[len(MAGIC) : end].decode("ascii", "replace")
        raise BadProgram(
            f"the program was compiled by another release of pytrace ({release}; this is {pytrace.__version__}): "
            "compile the script again"
        )
    if data[end + 5 : body] != zlib.crc32(data[body:]).to_bytes(4, "little"):
        raise BadProgram("the program file is damaged")
    reader = _Reader(data[body:])
    try:
        found = reader.value()
    except (IndexError, TypeError, ValueError, RecursionError):
        raise BadProgram("the program file is damaged") from None
    if not isinstance(found, program.Program) or reader.at != len(reader.data):
        raise BadProgram("the program file is damaged")
    return found if native or found.native is None else replace(found, native=None)
