"""Casts: which are allowed and what each one means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert, wrap
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.semantics.expressions import ExpressionChecker


def cast(c: ExpressionChecker, n: ast.Cast) -> typed.Expr:
    """`(T)e` for integers, bool, enums, pointers, strings, buffers, and integers to and from arrays of their size."""
    to = c.names.resolve(n.type)
    value = c.materialize(c.expr(n.operand))
    if to is None or isinstance(value.type, t.Unknown):
        return c.error(n.span)
    source = value.type
    if isinstance(to, t.Struct):
        return _to_struct(c, n, value, to)
    if isinstance(to, t.Pointer):
        return _to_pointer(c, n, value, to)
    if isinstance(to, t.Bool) and isinstance(source, t.String):
        if isinstance(value, typed.Str):
            return typed.Const(int(value.value[:1] not in (b"", b"\0")), type=to, span=n.span)
        empty = typed.Str(b"", type=t.String(1), span=n.span)
        return typed.Compare("!=", value, empty, type=to, span=n.span)
    if isinstance(to, t.Int | t.Bool | t.Enum) and t.is_word(source):
        if isinstance(value, typed.Const):
            return typed.Const(wrap(value.value, to), type=to, span=n.span)
        return typed.Convert(value, type=to, span=n.span)
    if isinstance(to, t.Array):
        return _to_array(c, n, value, to)
    if isinstance(to, t.Int) and isinstance(source, t.Array | t.Mac) and source.size <= to.size:
        return typed.Reinterpret(value, type=to, span=n.span)
    if isinstance(to, t.String) and isinstance(source, t.String):
        return convert(value, to)
    if isinstance(to, t.String) and isinstance(source, t.Pointer):
        pointer = t.Pointer(source.to, members.space_of(c, source))  # type: ignore[arg-type]  # a Space
        return typed.Call("str", (typed.Convert(value, type=pointer, span=n.span),), None, type=to, span=n.span)
    if isinstance(to, t.Buffer) and isinstance(source, t.Buffer):
        return convert(value, to)
    if isinstance(to, t.Tuple | t.Record) and type(to) is type(source):
        return convert(value, to)
    if to == source:
        return value
    return c.error(n.span, f'Cannot cast from "{source}" to "{to}"')


def _to_struct(c: ExpressionChecker, n: ast.Cast, value: typed.Expr, to: t.Struct) -> typed.Expr:
    """A struct is one already: numbers become pointers to structs."""
    if value.type == to:
        return value
    return c.error(n.span, f'Cannot cast from "{value.type}" to "{to}"', f"did you mean '({to} *)'?")


def _to_pointer(c: ExpressionChecker, n: ast.Cast, value: typed.Expr, to: t.Pointer) -> typed.Expr:
    source = value.type
    if isinstance(source, t.Pointer):
        to = t.Pointer(to.to, source.space)
    elif isinstance(source, t.Array | t.Struct) and isinstance(value, typed.Memory):
        return typed.Convert(value.address, type=t.Pointer(to.to, value.space), span=n.span)
    elif not isinstance(source, t.Int | t.Enum | t.KSym):
        return c.error(n.span, f'Cannot cast from "{source}" to "{to}"')
    return typed.Convert(value, type=to, span=n.span)


def _to_array(c: ExpressionChecker, n: ast.Cast, value: typed.Expr, to: t.Array) -> typed.Expr:
    source = value.type
    size = source.size if isinstance(source, t.Int | t.Array | t.String) else 0
    count = to.count or (size // to.element.size if to.element.size else 0)
    kind = t.Array(to.element, count)
    if isinstance(source, t.Pointer):
        return members.memory(c, value, kind, members.space_of(c, source), n.span)
    if isinstance(value, typed.Const) and value.literal and kind.size in (1, 2, 4, 8):  # a literal is as wide as asked
        bits = kind.size * 8
        wide = t.Int(bits, False)  # type: ignore[arg-type]  # one of the four
        return typed.Reinterpret(typed.Const(wrap(value.value, wide), type=wide, span=n.span), type=kind, span=n.span)
    if size == 0 or kind.size != size:
        return c.error(n.span, f'Cannot cast from "{source}" to "{kind}": the sizes differ')
    if isinstance(value, typed.Const):
        value = typed.Const(value.value, type=source, span=n.span)
    return typed.Reinterpret(value, type=kind, span=n.span)
