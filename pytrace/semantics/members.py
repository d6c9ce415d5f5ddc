"""Getting inside values: fields, elements, pointers; in traced memory and in what the program holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pytrace import types as t
from pytrace.diagnostics import Span
from pytrace.probes.base import CtxLoad, StackAddress
from pytrace.semantics import typed
from pytrace.semantics.hints import did_you_mean
from pytrace.semantics.once import once, stable
from pytrace.semantics.widen import convert
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.semantics.expressions import ExpressionChecker

CHAR = t.Int(8, True)


def complete(c: ExpressionChecker, kind: t.Type) -> t.Type:
    return c.names.complete(kind)


def pointee_size(c: ExpressionChecker, pointer: t.Pointer) -> int:
    """What a pointer steps by: its target's size, 1 for void."""
    return max(1, complete(c, pointer.to).size)


def space_of(c: ExpressionChecker, pointer: t.Pointer) -> str:
    """Where a pointer points; one that nobody said anything about belongs to the probe's address space."""
    return pointer.space or (c.context.space if c.context else "kernel")


def memory(
    c: ExpressionChecker, address: typed.Expr, kind: t.Type, space: str, span: Span, bits: tuple[int, int] | None = None
) -> typed.Expr:
    """What stands at an address of the traced system, or of the program for a pointer made by `&`."""
    kind = t.shown(complete(c, kind))
    kind = _spaced(kind, space)
    offset = _context_offset(address)
    if offset is not None and bits is None and t.is_word(kind):
        return typed.ContextLoad(CtxLoad(offset), type=kind, span=span)
    where = "user" if space == "user" else "kernel"
    return typed.Memory(address, where, bits, type=kind, span=span)  # type: ignore[arg-type]  # one of the two


def _context_offset(address: typed.Expr) -> int | None:
    """How far into the probe's context an address is, or None. The verifier makes of such loads what they mean: a
    struct that stands in the kernel's headers is not what stands in its memory."""
    match address:
        case typed.ContextPointer():
            return 0
        case typed.Convert(typed.ContextPointer()):
            return 0
        case typed.Binary("+", left, typed.Const(number)):
            start = _context_offset(left)
            return None if start is None else start + number
    return None


def _spaced(kind: t.Type, space: str) -> t.Type:
    """A pointer found in memory points where that memory is."""
    if isinstance(kind, t.Pointer) and not kind.space and space in ("kernel", "user"):
        return t.Pointer(kind.to, space)  # type: ignore[arg-type]  # just checked
    return kind


def dereference(c: ExpressionChecker, pointer: typed.Expr, span: Span) -> typed.Expr:
    kind = pointer.type
    if isinstance(kind, t.Unknown):
        return c.error(span)
    if isinstance(kind, t.Int):
        return memory(c, pointer, t.INT64, space_of(c, t.Pointer(t.VOID)), span)
    if not isinstance(kind, t.Pointer):
        return c.error(span, f"Cannot dereference a value of type '{kind}': it is not a pointer")
    if isinstance(kind.to, t.Void):
        return c.error(span, "Cannot dereference a 'void *'", "cast it to a pointer to what is there")
    if kind.space == "program" and isinstance(pointer, typed.AddressOf):
        return pointer.target
    return memory(c, pointer, kind.to, space_of(c, kind), span)


def address_of(c: ExpressionChecker, n: ast.Unary) -> typed.Expr:
    target = c.expr(n.operand)
    if isinstance(target.type, t.Unknown):
        return c.error(n.span)
    if isinstance(target, typed.Memory) and target.bits is None:
        return typed.Convert(target.address, type=t.Pointer(target.type, target.space), span=n.span)
    if isinstance(target, typed.Var | typed.MapGet):
        if isinstance(target, typed.Var):
            target.symbol.captured = True
        return typed.AddressOf(target, type=t.Pointer(target.type, "program"), span=n.span)
    return c.error(n.span, "Cannot take the address of this", "& works on variables, maps and what pointers point to")


def _offset(c: ExpressionChecker, address: typed.Expr, offset: int) -> typed.Expr:
    if offset == 0:
        return address
    number = typed.Const(offset, type=t.INT64, span=address.span)
    base = convert(address, t.INT64)
    return typed.Binary("+", base, number, type=t.INT64, span=address.span)


def field(c: ExpressionChecker, n: ast.Field) -> typed.Expr:
    """`a.b`, `a->b`, `args.b`, tuple and record members."""
    if isinstance(n.object, ast.Identifier) and n.object.name in ("args", "ctx"):
        context = c.expr(n.object) if n.object.name == "ctx" else None
        struct = c.context.struct if c.context else None
        if context is None or (struct and isinstance(context.type, t.Pointer) and context.type.to is struct):
            return _argument(c, n)
        return member(c, context, n.name, n.span)
    if isinstance(n.object, ast.Call) and n.object.name == "args" and not n.object.args:
        return _argument(c, n)
    return member(c, c.expr(n.object), n.name, n.span)


def no_arguments(c: ExpressionChecker, span: Span) -> typed.Expr:
    """Says that the probe has nothing that `args` could be."""
    positional = c.context.positional if c.context else ()
    hint = f"use arg0 to arg{len(positional) - 1}" if positional else None
    return c.error(span, f"{c.where()} have no args", hint)


def _argument(c: ExpressionChecker, n: ast.Field) -> typed.Expr:
    args = c.context.args if c.context else None
    if args is None:
        return no_arguments(c, n.object.span)
    for arg in args:
        if arg.name == n.name:
            return load_argument(c, arg.type, typed.ContextLoad(arg.load, type=arg.type, span=n.span), n.span)
    for name, why in c.context.unreadable if c.context else ():
        if name == n.name:
            return c.error(n.span, f"The argument '{name}' cannot be read", why)
    probe = c.points[0].name if c.points else "this probe"
    names = [a.name for a in args]
    hint = did_you_mean(n.name, names) or ("it has: " + ", ".join(names) if names else "it has no arguments at all")
    known = (n.span.start, n.name) in c.names.reported  # another of the body's probes has none either
    c.names.reported.add((n.span.start, n.name))
    return c.error(n.span, "" if known else f"Probe {probe} has no argument '{n.name}'", hint)


def load_argument(c: ExpressionChecker, kind: t.Type, load: typed.ContextLoad, span: Span) -> typed.Expr:
    """Words are loaded; arrays and structs in the context are memory at an address in the kernel, those on the stack of
    a program at one of its own."""
    if t.is_word(kind):
        return load
    space: Literal["kernel", "user"] = "user" if isinstance(load.load, StackAddress) else "kernel"
    address = typed.ContextLoad(load.load, type=t.Pointer(kind, space), span=span)
    return memory(c, address, kind, space, span)


def member(c: ExpressionChecker, value: typed.Expr, name: str, span: Span) -> typed.Expr:
    kind = value.type
    if isinstance(kind, t.Unknown):
        return c.error(span)
    if isinstance(kind, t.Stats) and isinstance(value, typed.MapGet):
        return _statistic(c, value, kind, name, span)
    if isinstance(kind, t.Tuple) and name.isdigit():
        return _element(c, value, int(name), span)
    if isinstance(kind, t.Record):
        index = kind.index(name)
        if index is None:
            return c.error(span, f"the record has no field '{name}'", did_you_mean(name, [f for f, _ in kind.fields]))
        return _element(c, value, index, span)
    if isinstance(kind, t.Pointer):
        return _member_of_pointer(c, value, kind, name, span)
    kind = complete(c, kind)
    if isinstance(kind, t.Struct):
        found = _find(c, kind, name, span)
        if found is None:
            return c.error(span)
        bits = (found.bit_offset, found.bit_size) if found.bit_size else None
        if isinstance(value, typed.Memory):
            return memory(c, _offset(c, value.address, found.offset), found.type, value.space, span, bits)
        return typed.Part(value, found.offset, bits, type=t.shown(complete(c, found.type)), span=span)
    return c.error(span, f"Cannot access field '{name}' on a value of type '{kind}'")


def _statistic(c: ExpressionChecker, value: typed.MapGet, kind: t.Stats, name: str, span: Span) -> typed.Expr:
    """`@m.count`, `@m.average` (or `avg`), `@m.total` of a map of stats(); bpftrace has no such thing."""
    match name:
        case "count":
            return typed.MapGet(value.map, value.key, "count", type=t.UINT64, span=span)
        case "average" | "avg":
            return typed.MapGet(value.map, value.key, "average", type=t.Int(64, kind.signed), span=span)
        case "total":
            return typed.MapGet(value.map, value.key, "total", type=t.Int(64, kind.signed), span=span)
    return c.error(span, f"statistics have no field '{name}'", "they have count, average and total")


def _member_of_pointer(c: ExpressionChecker, value: typed.Expr, kind: t.Pointer, name: str, span: Span) -> typed.Expr:
    if kind.space == "program" and isinstance(value, typed.AddressOf):
        return member(c, value.target, name, span)
    target = complete(c, kind.to)
    if isinstance(target, t.Pointer):
        return member(c, dereference(c, value, span), name, span)
    if not isinstance(target, t.Struct):
        return c.error(span, f"Cannot access field '{name}' through a '{kind}'")
    if target.fields is None:
        return c.error(span, f"'{target}' is not known here", "is it in this kernel's BTF, or declared in the script?")
    found = _find(c, target, name, span)
    if found is None:
        return c.error(span)
    bits = (found.bit_offset, found.bit_size) if found.bit_size else None
    return memory(c, _offset(c, value, found.offset), found.type, space_of(c, kind), span, bits)


def _find(c: ExpressionChecker, struct: t.Struct, name: str, span: Span) -> t.Field | None:
    found = struct.field(name)
    if found is None:
        c.error(span, f"{struct} does not contain a field named '{name}'", did_you_mean(name, struct.field_names()))
    return found


def _element(c: ExpressionChecker, value: typed.Expr, index: int, span: Span) -> typed.Expr:
    kind = value.type
    assert isinstance(kind, t.Tuple | t.Record)
    parts = kind.elements if isinstance(kind, t.Tuple) else tuple(p for _, p in kind.fields)
    if index >= len(parts):
        return c.error(span, f"Invalid tuple index: {index}. Found {len(parts)} elements in tuple.")
    if isinstance(value, typed.TupleExpr) and all(map(stable, value.elements)):
        return value.elements[index]
    return typed.Part(value, kind.offsets[index], type=parts[index], span=span)


def _bounded(c: ExpressionChecker, address: typed.Expr, index: typed.Expr, count: int) -> typed.Expr:
    """The address of an element that may not be there."""
    element = c.binary("+", address, index, index.span)
    return typed.Bounded(element, index, count, type=element.type, span=index.span)


def index(c: ExpressionChecker, n: ast.Index) -> typed.Expr:
    """`a[i]` on pointers, arrays, strings and tuples."""
    value = c.expr(n.object)
    number = c.integer(n.index)
    kind = value.type
    if isinstance(kind, t.Unknown) or isinstance(number.type, t.Unknown):
        return c.error(n.span)
    if isinstance(kind, t.Tuple):
        if not isinstance(number, typed.Const):
            return c.error(n.index.span, "a tuple's index must be a literal")
        return _element(c, value, number.value, n.span)
    if isinstance(number, typed.Const) and number.value < 0:
        return c.error(n.index.span, "an index cannot be negative")
    if isinstance(kind, t.Pointer):
        if isinstance(kind.to, t.Void):
            return c.error(n.span, "Cannot index a 'void *'", "cast it to a pointer to what is there")
        address = c.binary("+", value, number, n.span)
        return dereference(c, address, n.span)
    if isinstance(kind, t.String):
        element: t.Type = CHAR
        count = kind.capacity
    elif isinstance(kind, t.Array):
        element, count = kind.element, kind.count
    else:
        return c.error(n.span, f"The array index operator [] cannot be used on a value of type '{kind}'")
    if isinstance(number, typed.Const) and count and number.value >= count:
        return c.error(n.index.span, f"the index {number.value} is out of bounds for an array of {count}")
    if isinstance(value, typed.Memory):
        size = complete(c, element).size
        address = typed.Convert(value.address, type=t.Pointer(element, value.space), span=n.span)
        if size == 0:
            return c.error(n.span, f"'{element}' has no known size")
        if isinstance(number, typed.Const) or not count:
            return dereference(c, c.binary("+", address, number, n.span), n.span)
        return dereference(c, once(convert(number, t.UINT64), lambda i: _bounded(c, address, i, count)), n.span)
    return typed.Element(value, convert(number, t.UINT64), type=element, span=n.span)
