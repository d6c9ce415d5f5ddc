"""The rules by which types meet: what holds both of two values, and how a value becomes another type.

`join` answers "which type has room for both", for maps and variables that are assigned several times, for the
arms of a ternary and for both sides of a comparison. `convert` makes the conversion a node of the tree.
"""

from __future__ import annotations

from pytrace import types as t
from pytrace.semantics import typed

_BITS = (8, 16, 32, 64)


def literal_type(value: int) -> t.Int:
    """The smallest signed type of an integer literal; uint64 for what only that can hold."""
    for bits in _BITS:
        if -(1 << (bits - 1)) <= value < 1 << (bits - 1):
            return t.Int(bits, True)  # type: ignore[arg-type]  # one of the four
    return t.UINT64


def join_ints(a: t.Int, b: t.Int) -> t.Int:
    """Same sign: the wider. Otherwise the smallest signed type that holds both, at most int64."""
    if a.signed == b.signed:
        return a if a.bits >= b.bits else b
    signed, unsigned = (a, b) if a.signed else (b, a)
    if signed.bits > unsigned.bits:
        return signed
    return t.Int(min(64, unsigned.bits * 2), True)  # type: ignore[arg-type]  # a power of two up to 64


def join(a: t.Type, b: t.Type) -> t.Type | None:
    """The type that holds values of both, or None where there is none."""
    if a == b or isinstance(b, t.Unknown):
        return a
    if isinstance(a, t.Unknown):
        return b
    match a, b:
        case t.Int(), t.Int():
            return join_ints(a, b)
        case t.String(), t.String():
            longer = max(a.capacity, b.capacity)
            return t.String(longer, all(s.whole or s.capacity < longer for s in (a, b)) and (a.whole or b.whole))
        case t.Buffer(), t.Buffer():
            return a if a.capacity >= b.capacity else b
        case t.Pointer(), t.Pointer():
            return _join_pointers(a, b)
        case t.Pointer(), t.Int():
            return a
        case t.Int(), t.Pointer():
            return b
        case t.Tuple(), t.Tuple() if len(a.elements) == len(b.elements):
            parts = [join(x, y) for x, y in zip(a.elements, b.elements, strict=True)]
            return None if None in parts else t.Tuple(tuple(p for p in parts if p is not None))
        case t.Record(), t.Record() if {n for n, _ in a.fields} == {n for n, _ in b.fields}:
            other = dict(b.fields)
            return _record([(n, join(x, other[n])) for n, x in a.fields])
        case ((t.Count() | t.Sum() | t.Min() | t.Max() | t.Avg() | t.Stats()), _) if type(a) is type(b):
            return a if getattr(a, "signed", True) else b
        case (t.Enum(), t.Int()) | (t.Int(), t.Enum()):
            enum, number = (a, b) if isinstance(a, t.Enum) else (b, a)
            return join_ints(t.Int(enum.bits, enum.signed), number)  # type: ignore[arg-type, attr-defined]
        case (t.Bool(), t.Int()) | (t.Int(), t.Bool()):
            return a if isinstance(a, t.Int) else b
        case t.Stack(), t.Stack() if a.kind == b.kind and a.mode == b.mode:
            return None
    return None


def _record(fields: list[tuple[str, t.Type | None]]) -> t.Record | None:
    """The record of these fields, if each has a type."""
    known = tuple((name, kind) for name, kind in fields if kind is not None)
    return t.Record(known) if len(known) == len(fields) else None


def _join_pointers(a: t.Pointer, b: t.Pointer) -> t.Pointer:
    if a.to == b.to:
        return t.Pointer(a.to, a.space or b.space)
    if isinstance(a.to, t.Void):
        return b
    return a


def is_literal(value: typed.Expr) -> bool:
    return isinstance(value, typed.Const) and value.literal


def join_expr(a: t.Type, value: typed.Expr) -> t.Type | None:
    """Like `join(a, value.type)`, but an integer literal adapts to an unsigned type that can hold it."""
    if isinstance(value, typed.Const) and value.literal and isinstance(a, t.Int) and not a.signed:
        for bits in _BITS:
            if bits >= a.bits and 0 <= value.value < 1 << bits:
                return t.Int(bits, False)  # type: ignore[arg-type]  # one of the four
    if isinstance(value, typed.TupleExpr) and isinstance(a, t.Tuple) and isinstance(value.type, t.Tuple):
        if len(a.elements) != len(value.elements):
            return None
        parts = [join_expr(x, e) for x, e in zip(a.elements, value.elements, strict=True)]
        return None if None in parts else t.Tuple(tuple(p for p in parts if p is not None))
    if isinstance(value, typed.TupleExpr) and isinstance(a, t.Record) and isinstance(value.type, t.Record):
        given = dict(zip((name for name, _ in value.type.fields), value.elements, strict=True))
        if given.keys() != dict(a.fields).keys():
            return None
        return _record([(name, join_expr(x, given[name])) for name, x in a.fields])
    return join(a, value.type)


_ROOM = 64


def roomy(a: t.Type) -> t.Type:
    """The type with 64 bits for each integer in it and 64 bytes at least for each string: what a map of a live session
    has, because nobody knows what will be put into it later."""
    match a:
        case t.String(capacity) if capacity < _ROOM:
            return t.String(_ROOM)
        case t.Int(bits, signed):
            return t.Int(64, signed or bits < 64)
        case t.Tuple(elements):
            return t.Tuple(tuple(map(roomy, elements)))
        case t.Record(fields):
            return t.Record(tuple((name, roomy(f)) for name, f in fields))
    return a


KEY_LIMIT = 512
"""Bytes of a map's key before Linux 5.16: keys were to stand on a program's stack."""


def shortened(a: t.Type, limit: int) -> t.Type:
    """The type with its longest strings made short enough for `limit` bytes, as far as that can be."""
    longest = max(_capacities(a), default=0)
    while a.size > limit and longest > 16:
        longest -= 8
        a = _cut(a, longest)
    return a


def _capacities(a: t.Type) -> list[int]:
    match a:
        case t.String():
            return [a.capacity]
        case t.Tuple(elements):
            return [n for e in elements for n in _capacities(e)]
        case t.Record(fields):
            return [n for _, f in fields for n in _capacities(f)]
    return []


def _cut(a: t.Type, capacity: int) -> t.Type:
    match a:
        case t.String():
            return t.String(capacity) if capacity < a.capacity else a
        case t.Tuple(elements):
            return t.Tuple(tuple(_cut(e, capacity) for e in elements))
        case t.Record(fields):
            return t.Record(tuple((name, _cut(f, capacity)) for name, f in fields))
    return a


def fits(a: t.Type, joined: t.Type) -> bool:
    """Whether what `join` gave for `a` and another type can be kept as `a`: it is the same, or differs in the sign of
    64-bit integers only."""
    match a, joined:
        case t.Int(64), t.Int(64):
            return True
        case t.Tuple(), t.Tuple() if len(a.elements) == len(joined.elements):
            return all(map(fits, a.elements, joined.elements))
        case t.Record(), t.Record():
            return all(
                fits(x, y) for (_, x), (_, y) in zip(a.fields, joined.fields, strict=True)
            )  # both have a's order
    return a == joined


def convertible(value: typed.Expr, to: t.Type) -> bool:
    """Whether `convert` can do it without losing anything that the types promise."""
    return join_expr(to, value) == to


def loses(value: typed.Expr, to: t.Type) -> bool:
    """Whether some integer of the value's type is another number as `to`; of a constant, whether it is."""
    if not (isinstance(value.type, t.Int) and isinstance(to, t.Int)):
        return False
    if isinstance(value, typed.Const):
        return wrap(value.value, to) != value.value
    return join_ints(to, value.type) != to or value.type == t.UINT64 != to


def convert(value: typed.Expr, to: t.Type) -> typed.Expr:
    """`value` as type `to`, which must be what `join` gave or a cast allows."""
    if value.type == to:
        return value
    if isinstance(value, typed.Const) and isinstance(to, t.Int | t.Bool | t.Enum | t.Pointer):
        return typed.Const(value=wrap(value.value, to), type=to, span=value.span)
    if isinstance(value, typed.TupleExpr) and isinstance(to, t.Tuple):
        parts = tuple(convert(e, p) for e, p in zip(value.elements, to.elements, strict=True))
        return typed.TupleExpr(parts, type=to, span=value.span)
    if isinstance(value, typed.TupleExpr) and isinstance(value.type, t.Record) and isinstance(to, t.Record):
        kinds = dict(to.fields)
        written = tuple((name, kinds[name]) for name, _ in value.type.fields)
        if written != to.fields:  # what has an effect has it in the order of the script
            return typed.Convert(convert(value, t.Record(written)), type=to, span=value.span)
        parts = tuple(convert(e, p) for e, (_, p) in zip(value.elements, to.fields, strict=True))
        return typed.TupleExpr(parts, type=to, span=value.span)
    return typed.Convert(value, type=to, span=value.span)


def wrap(value: int, to: t.Type) -> int:
    """The value that an integer has in a type: two's complement, or 0/1 for bool."""
    if isinstance(to, t.Bool):
        return int(value != 0)
    bits, signed = (to.bits, to.signed) if isinstance(to, t.Int | t.Enum) else (64, False)
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value
