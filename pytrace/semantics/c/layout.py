"""Where C puts the members of a struct: the rules of the System V ABI, which compilers follow on every 64-bit Linux."""

from __future__ import annotations

from typing import Literal

from pytrace import types as t
from pytrace.record import record, replace
from pytrace.types import align_up


@record
class Member:
    """A member before it has a place. `bits` is a bitfield's width, None for an ordinary member; `align` is what an
    `aligned` attribute asks for, 0 for nothing; `natural` is its type's own alignment."""

    name: str
    type: t.Type
    natural: int
    bits: int | None = None
    align: int = 0
    packed: bool = False


def lay_out(
    tag: Literal["struct", "union"], name: str, members: list[Member], packed: bool, aligned: int
) -> tuple[t.Struct, int]:
    """The struct or union, and its alignment (which `types.Struct` does not keep)."""
    at = end = 0  # in bits
    alignment = max(1, aligned)
    fields: list[t.Field] = []
    for m in members:
        loose = packed or m.packed
        boundary = max(1 if loose else m.natural, m.align)
        if tag == "union":
            at = 0
        if m.bits is None:
            alignment = max(alignment, boundary)
            at = align_up(at, 8 * boundary)
            fields.append(t.Field(m.name, m.type, at // 8))
            at += 8 * m.type.size
        elif m.bits == 0:
            at = align_up(at, 8 * m.natural)
        else:
            unit = 8 * m.type.size
            # A bitfield does not straddle a unit of its own type, unless it is packed.
            if not loose and at // unit != (at + m.bits - 1) // unit:
                at = align_up(at, unit)
            if m.align:
                at = align_up(at, 8 * m.align)
            if m.name:  # an unnamed one takes room, and nothing else
                alignment = max(alignment, boundary)
                fields.append(t.Field(m.name, m.type, at // 8, at % 8, m.bits))
            at += m.bits
        end = max(end, at)
    size = align_up(align_up(end, 8) // 8, alignment)
    return t.Struct(tag, name, size, tuple(_storage(f, size) for f in fields)), alignment


def _storage(field: t.Field, size: int) -> t.Field:
    """A bitfield at its aligned storage unit, where that holds it, so that one load of its type gets all of it."""
    if not field.bit_size:
        return field
    bit, unit = 8 * field.offset + field.bit_offset, field.type.size
    offset = bit // (8 * unit) * unit
    if bit - 8 * offset + field.bit_size > 8 * unit or offset + unit > size:
        offset = max(0, min(bit // 8, size - unit))
    return replace(field, offset=offset, bit_offset=bit - 8 * offset)


def alignment(kind: t.Type) -> int:
    """The alignment of a type whose declaration was not seen here (it came from BTF): that of its members, less where
    their places show that it was packed."""
    match kind:
        case t.Array():
            return alignment(kind.element)
        case t.Struct():
            plain = [f for f in kind.fields or () if not f.bit_size]
            if any(f.offset % alignment(f.type) for f in plain):
                return 1
            found = max((alignment(f.type) for f in kind.fields or ()), default=1)
            while found > 1 and kind.byte_size % found:
                found //= 2
            return found
        case _:
            return kind.align
