"""Strings and bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower, Writer
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Strings and bytes"


def _lower_str(lo: Lower, e: typed.Call) -> Writer:
    """Reads up to the NUL or the capacity. What fills its memory is left without a NUL: it was cut, or may have been."""
    pointer = e.args[0]
    assert isinstance(pointer.type, t.Pointer)
    helper = Helper.probe_read_user_str if pointer.type.space == "user" else Helper.probe_read_kernel_str
    address = lo.word(pointer)
    limit = lo.word(e.args[1]) if len(e.args) > 1 else None
    size = e.type.size

    def write(to: str) -> None:
        f = lo.f
        length = str(size) if limit is None else _clamped(lo, limit, size)
        result = f.helper(helper, f"ptr {to}", f"i32 {f.op(f'trunc i64 {length} to i32')}", f"i64 {address}")
        failed = f.compare("slt", f.extend(result, 32, True), 1)
        with f.when(failed, "unread"):
            f.store(0, to, 8)
            if lo.unit.options.helper_errors:
                lo.count("helper_error", helper.name, e.span)

    return write


def _clamped(lo: Lower, length: str, most: int) -> str:
    """A length plus its NUL, never above the capacity."""
    return lo.f.clamp(lo.f.add(length, 1), most, most)


@function(
    "str(char *p[, int length]) -> string",
    "The string at a pointer, up to `length` bytes (config max_strlen by default).",
    'tracepoint:syscalls:sys_enter_openat { printf("%s\\n", str(args.filename)); }',
    group=GROUP,
    lower=_lower_str,
)
def str_(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 2):
        return c.error(n.span)
    value = c.materialize(c.expr(n.args[0]))
    capacity = c.config.max_strlen
    extra: tuple[typed.Expr, ...] = ()
    if len(n.args) > 1:
        length = c.integer(n.args[1], "a length for str()")  # type: ignore[arg-type]  # types are reported there
        if isinstance(length.type, t.Unknown):
            return c.error(n.span)
        if isinstance(length, typed.Const):
            if length.value < 0:
                return c.error(n.args[1].span, f"str() cannot take a length of {length.value}")
            capacity = min(capacity, length.value + 1)
        else:
            extra = (convert(length, t.UINT64),)
    kind = value.type
    if isinstance(kind, t.String):
        return value if not extra and len(n.args) == 1 else convert(value, t.String(capacity))
    if isinstance(kind, t.Unknown):
        return c.error(n.span)
    if isinstance(kind, t.Array) and isinstance(value, typed.Memory):
        value = typed.Convert(value.address, type=t.Pointer(kind.element, value.space), span=n.span)
        kind = value.type
    if isinstance(kind, t.Int):
        kind = t.Pointer(members.CHAR)
    if not isinstance(kind, t.Pointer):
        return c.error(n.span, f"str() expects a pointer, an integer or a string, not a value of type '{kind}'")
    pointer = t.Pointer(kind.to, members.space_of(c, kind))  # type: ignore[arg-type]  # a Space
    address = typed.Convert(value, type=pointer, span=n.span)
    return c.call(n, t.String(capacity), address, *extra)
