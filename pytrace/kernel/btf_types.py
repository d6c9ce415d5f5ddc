"""From BTF's types to the language's: what a program computes with and a renderer prints.

Typedefs, qualifiers and type tags vanish. Structs held by value are complete; those behind a pointer are names to
look up, unless they have no name. Pointers to functions are `void *`.
"""

from __future__ import annotations

from typing import Literal, Protocol, cast

from pytrace.kernel import btf_raw as k
from pytrace.kernel.btf_raw import info_kind
from pytrace.types import BOOL, VOID, Array, Enum, Field, Int, Pointer, Struct, Type

# No C has as many typedefs and qualifiers on top of each other; damaged BTF might have a circle of them.
_LONGEST_CHAIN = 256
_TRANSPARENT = (k.TYPEDEF, k.VOLATILE, k.CONST, k.RESTRICT, k.TYPE_TAG)
_INT_SIGNED, _INT_BOOL = 1, 4
_CHAR = Int(8, True)
_INTS = {(size, signed): Int(size * 8, signed) for size in (1, 2, 4, 8) for signed in (False, True)}  # type: ignore[arg-type]  # 8 … 64 by construction

Bits = Literal[8, 16, 32, 64]


class Source(Protocol):
    """Where types are read from: a `Btf`."""

    signed_enums: bool

    def record(self, id: int) -> list[int]:
        """The words of a type: name offset, info, size or type, and what follows them."""

    def text(self, offset: int) -> str:
        """A name."""

    def owner(self, id: int) -> Source:
        """The BTF that a type is in: this one or the one that it extends."""

    @property
    def types(self) -> Types: ...

    def sized(self, tag: Literal["struct", "union"], name: str) -> int:
        """The size of a struct that may be declared only where it is used, or 0."""


class Types:
    """Makes and keeps the language's types of one BTF. The same id always gives the same object."""

    def __init__(self, source: Source) -> None:
        self._source = source
        self._made: dict[int, Type] = {}
        self._behind: dict[int, Type] = {}

    def get(self, id: int) -> Type:
        """The complete type of an id."""
        made = self._made.get(id)
        if made is None:
            owner = self._source.owner(id)
            made = self._make(id) if owner is self._source else owner.types.get(id)
            self._made[id] = made
        return made

    def behind_pointer(self, id: int) -> Type:
        """The type of an id as a pointer's target: named structs are incomplete there, which keeps types finite."""
        made = self._behind.get(id)
        if made is None:
            owner = self._source.owner(id)
            made = self._make_behind(id) if owner is self._source else owner.types.behind_pointer(id)
            self._behind[id] = made
        return made

    def _make_behind(self, id: int) -> Type:
        if id == 0:
            return VOID
        record = self._source.record(id)
        kind = info_kind(record[1])
        if kind in (k.STRUCT, k.UNION) and record[0]:
            return Struct(_tag(kind == k.UNION), self._source.text(record[0]), record[2], None)
        if kind == k.ARRAY:
            return Array(self.behind_pointer(record[3]), record[5])
        if kind in _TRANSPARENT:
            return self.behind_pointer(record[2])
        return self.get(id)

    def _make(self, id: int) -> Type:
        if id == 0:
            return VOID
        record = self._source.record(id)
        info, size = record[1], record[2]
        match info_kind(info):
            case k.INT:
                return self._int(record)
            case k.PTR:
                return Pointer(self.behind_pointer(size))
            case k.ARRAY:
                return Array(self.get(record[3]), record[5])
            case k.STRUCT | k.UNION:
                return self._struct(id, record)
            case k.ENUM | k.ENUM64:
                return self._enum(record)
            case k.FWD:
                name, tag = self._source.text(record[0]), _tag(info >> 31 == 1)
                return Struct(tag, name, self._source.sized(tag, name), None)
            case k.FLOAT:
                # A program cannot compute with floats; their bytes can be looked at.
                return Array(_INTS[1, False], size)
            case k.TYPEDEF | k.VOLATILE | k.CONST | k.RESTRICT | k.TYPE_TAG:
                return self.get(size)
            case k.VAR:
                return self.get(size)
            case _:
                return VOID

    def _int(self, record: list[int]) -> Type:
        size, encoding = record[2], record[3] >> 24
        if encoding & _INT_BOOL and size == 1:
            return BOOL
        # Whether char is signed depends on how the kernel was compiled; the language says it is.
        if size == 1 and self._source.text(record[0]) == "char":
            return _CHAR
        whole = _INTS.get((size, bool(encoding & _INT_SIGNED)))
        return whole or Array(
            _INTS[8, False] if size % 8 == 0 else _INTS[1, False], size // 8 if size % 8 == 0 else size
        )

    def _enum(self, record: list[int]) -> Enum:
        info, size = record[1], record[2]
        signed = info >> 31 == 1
        members = []
        if info_kind(info) == k.ENUM64:
            for name, low, high in zip(record[3::3], record[4::3], record[5::3], strict=True):
                value = high << 32 | low
                members.append((self._source.text(name), value - (1 << 64) if signed and value >> 63 else value))
        else:
            values = record[4::2]
            # pahole before 1.24 left no mark on signed enums.
            signed = signed or (not self._source.signed_enums and any(v >> 31 for v in values))
            for name, value in zip(record[3::2], values, strict=True):
                members.append((self._source.text(name), value - (1 << 32) if signed and value >> 31 else value))
        bits = cast(Bits, size * 8 if size in (1, 2, 4, 8) else 32)
        return Enum(self._source.text(record[0]), bits, signed, tuple(members))

    def _struct(self, id: int, record: list[int]) -> Struct:
        source, info, size = self._source, record[1], record[2]
        tag, name = _tag(info_kind(info) == k.UNION), source.text(record[0])
        # Damaged BTF might hold a struct within itself.
        self._made[id] = Struct(tag, name, size, None)
        bitfields = info >> 31
        fields = []
        for at in range(3, len(record), 3):
            type = self._made.get(record[at + 1]) or self.get(record[at + 1])
            where = record[at + 2]
            if bitfields:
                width, bit = where >> 24, where & 0xFFFFFF
            else:
                width, bit = self._old_bitfield(record[at + 1], where)
            if width:
                offset, shift = _storage(type.size, size, bit, width)
                fields.append(Field(source.text(record[at]), type, offset, shift, width))
            else:
                fields.append(Field(source.text(record[at]), type, bit >> 3))
        return Struct(tag, name, size, tuple(fields))

    def _old_bitfield(self, type_id: int, bit: int) -> tuple[int, int]:
        """Width (0: not a bitfield) and bit offset in the encoding of BTF before 5.0, where the int type itself tells
        its number of bits."""
        for _ in range(_LONGEST_CHAIN):
            record = self._source.record(type_id)
            kind = info_kind(record[1])
            if kind in _TRANSPARENT:
                type_id = record[2]
                continue
            if kind == k.INT:
                width, start = record[3] & 0xFF, record[3] >> 16 & 0xFF
                if width != record[2] * 8 or (bit + start) % 8:
                    return width, bit + start
            break
        return 0, bit


def _tag(union: bool) -> Literal["struct", "union"]:
    return "union" if union else "struct"


def _storage(unit: int, struct_size: int, bit: int, width: int) -> tuple[int, int]:
    """Byte offset to load `unit` bytes from, and bit offset within them, of a bitfield: its aligned storage unit, as
    compilers use, or in packed structs where that does not hold it, the byte that it begins in."""
    offset = bit // (8 * unit) * unit if unit else bit // 8
    if bit - offset * 8 + width > unit * 8 or offset + unit > struct_size:
        offset = bit // 8
        if offset + unit > struct_size and struct_size - unit >= 0:
            offset = struct_size - unit
    return offset, bit - offset * 8
