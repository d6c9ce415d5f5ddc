"""Strings: reading them from the traced system, their length and capacity, joining them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import access, text
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.codegen.writers import Writer
    from pytrace.semantics.expressions import ExpressionChecker

GROUP = "Strings"


# --- str ------------------------------------------------------------------------------------------------


def _lower_str(lo: Lower, e: typed.Call) -> Writer:
    """Reads up to the NUL, the given length or the capacity. A string that its type's capacity cut has no NUL, which
    is how everybody knows; one that the script asked to be short has one."""
    source = e.args[0]
    if isinstance(source.type, t.String):
        return _lower_prefix(lo, e)
    assert isinstance(source.type, t.Pointer)
    user = source.type.space == "user"
    helper = Helper.probe_read_user_str if user else Helper.probe_read_kernel_str
    address = lo.word(source)
    capacity = e.type.size
    limit = lo.word(e.args[1]) if len(e.args) > 1 else str(capacity)
    may_cut = e.data != "short"

    def write(to: str) -> None:
        f = lo.f
        length = limit if limit.isdigit() else f.clamp(limit, capacity, capacity)
        result = f.helper(helper, f"ptr {to}", f"i32 {f.op(f'trunc i64 {length} to i32')}", f"i64 {address}")
        result = f.extend(result, 32, True)
        with f.when(f.compare("slt", result, 1), "unread"):
            f.store(0, to, 8)
            if lo.unit.options.helper_errors:
                lo.count("helper_error", helper.name, e.span)
        if may_cut:  # the helper ends with a NUL, come what may: put back the byte that it covered
            with f.when(f.compare("eq", result, capacity), "full"):
                access.read(
                    lo, f.offset(to, capacity - 1), 1, f.add(address, capacity - 1), "user" if user else "kernel"
                )

    return write


def _lower_prefix(lo: Lower, e: typed.Call) -> Writer:
    """The first bytes of a string that the program holds."""
    f = lo.f
    source = lo.place(e.args[0])
    size = e.type.size
    length = lo.word(e.args[1])
    limit = f.clamp(f.select(f.compare("eq", length, 0), "1", length), size, size)

    def write(to: str) -> None:
        narrow = f.op(f"trunc i64 {limit} to i32")
        f.helper(Helper.probe_read_kernel_str, f"ptr {to}", f"i32 {narrow}", f"ptr {source}")

    return write


@function(
    "str(char *p[, int length]) -> string",
    "The string at a pointer or the beginning of a string, at most `length` bytes with its NUL (config max_strlen by "
    "default). Of a literal, its first `length` characters.",
    'tracepoint:syscalls:sys_enter_openat { printf("%s\\n", str(args.filename)); }',
    group=GROUP,
    lower=_lower_str,
)
def str_(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 2):
        return c.error(n.span)
    value = c.materialize(c.expr(n.args[0]))
    length: typed.Expr | None = None
    if len(n.args) > 1:
        length = c.integer(n.args[1], "a length for str()")  # type: ignore[arg-type]  # types are reported there
        if isinstance(length.type, t.Unknown):
            return c.error(n.span)
        if isinstance(length, typed.Const) and length.value < 0:
            return c.error(n.args[1].span, f"str() cannot take a length of {length.value}")
    kind = value.type
    if isinstance(kind, t.Unknown):
        return c.error(n.span)
    if isinstance(kind, t.String | t.Named):
        return _prefix(c, n, as_string(c, value), length)
    if isinstance(kind, t.Array) and isinstance(value, typed.Memory):
        value = typed.Convert(value.address, type=t.Pointer(kind.element, value.space), span=n.span)
        kind = value.type
    if isinstance(kind, t.Int):
        kind = t.Pointer(members.CHAR)
    if not isinstance(kind, t.Pointer):
        return c.error(n.span, f"str() expects a pointer, an integer or a string, not a value of type '{kind}'")
    return read_string(c, typed.Convert(value, type=kind, span=n.span), length)


def read_string(c: ExpressionChecker, pointer: typed.Expr, length: typed.Expr | None = None) -> typed.Expr:
    """`str(pointer, length)` for operands that are typed already."""
    assert isinstance(pointer.type, t.Pointer)
    capacity = c.config.max_strlen
    kind = t.Pointer(pointer.type.to, members.space_of(c, pointer.type))  # type: ignore[arg-type]  # a Space
    address = typed.Convert(pointer, type=kind, span=pointer.span)
    extra: tuple[typed.Expr, ...] = ()
    data = None
    if isinstance(length, typed.Const) and length.value < capacity:
        capacity = length.value + 1
        extra = (typed.Const(length.value, type=t.UINT64, span=pointer.span),)
        data = "short"
    elif length is not None and not isinstance(length, typed.Const):
        extra = (convert(length, t.UINT64),)
    return typed.Call("str", (address, *extra), data, type=t.String(capacity), span=pointer.span)


def _prefix(c: ExpressionChecker, n: ast.Call, value: typed.Expr, length: typed.Expr | None) -> typed.Expr:
    if length is None:
        return value
    if isinstance(length, typed.Const):
        size = min(c.config.max_strlen, length.value)
        if isinstance(value, typed.Str):
            data = value.value[: min(size, c.config.max_strlen - 1)]
            return typed.Str(data, type=t.String(len(data) + 1), span=n.span)
        return convert(value, t.String(min(max(size, 1), value.type.size)))
    return c.call(n, value.type, value, convert(length, t.UINT64))


# --- what counts as a string ------------------------------------------------------------------------------


def as_string(c: ExpressionChecker, value: typed.Expr) -> typed.Expr:
    """A string-like value as a string: pointers to and arrays of characters are read, names looked up. Anything else
    comes back as it was."""
    kind = value.type
    match kind:
        case t.Pointer(to=t.Int(bits=8)):
            return read_string(c, value)
        case t.Array(element=t.Int(bits=8)):
            return typed.Reinterpret(value, type=t.String(kind.count, whole=True), span=value.span)
        case t.Named():
            from pytrace.functions.tables import spelt

            return spelt(value)
    return value


def string_argument(c: ExpressionChecker, node: ast.Expr | ast.TypeExpr) -> typed.Expr | None:
    """An argument that must be string-like, as a string; None after a diagnostic."""
    value = as_string(c, c.materialize(c.expr(node)))
    if isinstance(value.type, t.String):
        return value
    if not isinstance(value.type, t.Unknown):
        message = f"string-like values must be either strings, arrays or pointers, not '{value.type}'"
        c.error(node.span, message, "str() reads the string that an integer or pointer leads to")
    return None


@function(
    "assert_str(value)",
    "Refuses the script unless the value is string-like: a string, or an array of or pointer to characters.",
    'begin { assert_str(comm); print("it is"); }',
    group=GROUP,
    lower=lambda lo, e: None,
)
def assert_str(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    value = string_argument(c, n.args[0]) if c.arity(n, 1) else None
    return c.error(n.span) if value is None else c.call(n, t.VOID)


# --- length ---------------------------------------------------------------------------------------------


@function(
    "strlen(string s) -> uint64",
    "The number of bytes before the string's end.",
    'begin { print(strlen("hello")); }',
    group=GROUP,
    lower=lambda lo, e: text.length(lo, lo.place(e.args[0]), e.args[0].type.size),
)
def strlen(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    value = string_argument(c, n.args[0]) if c.arity(n, 1) else None
    if value is None:
        return c.error(n.span)
    if isinstance(value, typed.Str):
        return typed.Const(len(value.value.split(b"\0")[0]), type=t.UINT64, span=n.span)
    return c.call(n, t.UINT64, value)


@function(
    "strcap(string s) -> uint64",
    "The number of bytes that the string's memory has room for: known at compile time.",
    "begin { print(strcap(comm)); }",
    group=GROUP,
)
def strcap(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    value = string_argument(c, n.args[0]) if c.arity(n, 1) else None
    return c.error(n.span) if value is None else typed.Const(value.type.size, type=t.UINT64, span=n.span)


def _lower_concat(lo: Lower, e: typed.Call) -> Writer:
    room = text.concatenated(lo, e.args[0], e.args[1])
    return lambda to: access.copy_string(lo, room, to, e.type.size)


@function(
    "str_concat(string a, string b) -> string",
    "The two strings joined.",
    'begin { print(str_concat("foo", "bar")); }',
    group=GROUP,
    lower=_lower_concat,
)
def str_concat(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 2):
        return c.error(n.span)
    a, b = string_argument(c, n.args[0]), string_argument(c, n.args[1])
    if a is None or b is None:
        return c.error(n.span)
    if isinstance(a, typed.Str) and isinstance(b, typed.Str):
        data = a.value.split(b"\0")[0] + b.value
        return typed.Str(data, type=t.String(len(data) + 1), span=n.span)
    most = max(c.config.max_strlen, a.type.size, b.type.size)  # what is joined to itself again and again has an end
    return c.call(n, t.String(min(a.type.size + b.type.size, most)), a, b)


@function(
    "default_str_length() -> uint64",
    "The length of strings that nothing else limits: config max_strlen.",
    "begin { print(default_str_length); }",
    group=GROUP,
    bare=True,
)
def default_str_length(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return typed.Const(c.config.max_strlen, type=t.UINT64, span=n.span) if c.arity(n, 0) else c.error(n.span)
