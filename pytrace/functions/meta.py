"""What is known at compile time: types of values, the kernel's functions, settings; and refusing what should not be."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.format import FormatError, parse_format
from pytrace.functions.base import function
from pytrace.kernel import KernelError
from pytrace.semantics import typed
from pytrace.syntax import ast

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.semantics.expressions import ExpressionChecker

GROUP = "Compile time"


# --- types ------------------------------------------------------------------------------------------------


def _answer(n: ast.Call, yes: bool) -> typed.Expr:
    return typed.Const(int(yes), type=t.BOOL, span=n.span)


def _asks(c: ExpressionChecker, n: ast.Call, about: Callable[[t.Type], bool]) -> typed.Expr:
    kind = c.names.type_of(n.args[0]) if c.arity(n, 1) else None
    return c.error(n.span) if kind is None else _answer(n, about(kind))


@function("is_str(value) -> bool", "Whether a value is a string.", 'begin { print(is_str("a")); }', group=GROUP)
def is_str(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _asks(c, n, lambda kind: isinstance(kind, t.String | t.Named))


@function("is_ptr(value) -> bool", "Whether a value is a pointer.", "begin { print(is_ptr(curtask)); }", group=GROUP)
def is_ptr(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _asks(c, n, lambda kind: isinstance(kind, t.Pointer))


@function(
    "is_array(value) -> bool",
    "Whether a value is an array.",
    "begin { $a = (uint8[4])(uint32)1; print(is_array($a)); }",
    group=GROUP,
)
def is_array(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _asks(c, n, lambda kind: isinstance(kind, t.Array))


@function(
    "is_integer(value) -> bool", "Whether a value is an integer.", "begin { print(is_integer(pid)); }", group=GROUP
)
def is_integer(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _asks(c, n, lambda kind: isinstance(kind, t.Int | t.Enum))


@function(
    "is_unsigned_integer(value) -> bool",
    "Whether a value is an unsigned integer.",
    "begin { print(is_unsigned_integer(pid)); }",
    group=GROUP,
)
def is_unsigned_integer(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _asks(c, n, lambda kind: isinstance(kind, t.Int | t.Enum) and not kind.signed)


def _is_literal(node: object) -> bool:
    match node:
        case ast.Integer() | ast.String() | ast.Boolean():
            return True
        case ast.Unary(op="-" | "+" | "~" | "!"):
            return _is_literal(node.operand)
        case ast.Binary():
            return _is_literal(node.left) and _is_literal(node.right)
    return False


@function(
    "is_literal(value) -> bool",
    "Whether an expression is a literal, or an operation on literals.",
    "begin { print(is_literal(1)); }",
    group=GROUP,
)
def is_literal(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1) or isinstance(c.expr(n.args[0]).type, t.Unknown):
        return c.error(n.span)
    return _answer(n, _is_literal(n.args[0]))


MAX_ERRNO = 4095


@function(
    "is_err(pointer) -> bool",
    "Whether a pointer that the kernel returned is an error number instead.",
    "begin { print(is_err(curtask)); }",
    group=GROUP,
)
def is_err(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1):
        return c.error(n.span)
    value = c.word(n.args[0], "a pointer")  # type: ignore[arg-type]  # types are reported there
    if isinstance(value.type, t.Unknown):
        return value
    number = typed.Convert(value, type=t.UINT64, span=n.span)
    least = typed.Const((1 << 64) - MAX_ERRNO, type=t.UINT64, span=n.span)
    return typed.Binary(">=", number, least, type=t.BOOL, span=n.span)


# --- the kernel's functions ------------------------------------------------------------------------------


def _known(c: ExpressionChecker, n: ast.Call) -> str | None:
    """The name that a call asks about if the kernel has a function of that name, else ""; None after a diagnostic."""
    name = c.string_literal(n.args[0], f"the argument of {n.name}()") if c.arity(n, 1) else None
    if name is None:
        return None
    try:
        return name if c.kernel.btf.function(name) is not None else ""
    except KernelError as error:
        c.error(n.span, error.message, error.hint)
        return None


@function(
    "kfunc_exist(const string name) -> bool",
    "Whether the kernel's BTF has a function of that name.",
    'begin { print(kfunc_exist("bpf_rcu_read_lock")); }',
    group=GROUP,
)
def kfunc_exist(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    name = _known(c, n)
    return c.error(n.span) if name is None else _answer(n, bool(name))


@function(
    "kfunc_allowed(const string name) -> bool",
    "Whether programs of this probe's kind may call the kernel function: found out by trying.",
    'iter:task { print(kfunc_allowed("bpf_rcu_read_lock")); }',
    group=GROUP,
)
def kfunc_allowed(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    name = _known(c, n)
    if name is None:
        return c.error(n.span)
    return _answer(n, bool(name) and may_call(c, name))


def may_call(c: ExpressionChecker, name: str) -> bool:
    """Whether this probe's programs may call a kernel function."""
    context = c.context
    if context is None:
        return False
    return c.kernel.features.allows(name, context.prog_type, context.expected_attach_type, context.attach_btf)


# --- settings ----------------------------------------------------------------------------------------------


@function(
    "config() -> record",
    "The script's settings; config.max_strlen is one of them.",
    "begin { print(config.max_strlen); }",
    group=GROUP,
    bare=True,
)
def config(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0):
        return c.error(n.span)
    parts: list[tuple[str, typed.Expr]] = []
    for name, value in c.config.record():
        match value:
            case bool():
                part: typed.Expr = typed.Const(int(value), type=t.BOOL, span=n.span)
            case int():
                part = typed.Const(value, type=t.UINT64, span=n.span)
            case _:
                data = value.encode("utf-8", "surrogateescape")
                part = typed.Str(data, type=t.String(len(data) + 1), span=n.span)
        parts.append((name, part))
    kind = t.Record(tuple((name, part.type) for name, part in parts))
    return typed.TupleExpr(tuple(part for _, part in parts), type=kind, span=n.span)


# --- refusing ------------------------------------------------------------------------------------------------


@function(
    "static_assert(const bool condition, const string message)",
    "Refuses the script unless the condition holds, which must be known at compile time.",
    'begin { static_assert(sizeof(uint64) == 8, "strange machine"); }',
    group=GROUP,
    lower=lambda lo, e: None,
)
def static_assert(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 2):
        return c.error(n.span)
    condition = c.constant(n.args[0], "the condition of static_assert()")
    message: str | None = "static assertion failed"
    if len(n.args) > 1:
        message = c.string_literal(n.args[1], "the message of static_assert()")
    if condition is None or message is None:
        return c.error(n.span)
    return c.call(n, t.VOID) if condition else c.error(n.span, message)


@function(
    "fail(const string format, …)",
    "Refuses the script with a message, wherever it stands; for `if comptime` and macros.",
    'begin { if comptime ($# > 9) { fail("%d parameters are too many", $#); } }',
    group=GROUP,
)
def fail(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 1000):
        return c.error(n.span)
    text = c.string_literal(n.args[0], "the format of fail()")
    values = [c.expr(a) for a in n.args[1:]]
    if text is None or any(isinstance(v.type, t.Unknown) for v in values):
        return c.error(n.span)
    known: list[int | str] = []
    for value in values:
        if isinstance(value, typed.Str):
            known.append(value.value.decode("utf-8", "surrogateescape"))
        elif isinstance(value, typed.Const):
            known.append(value.value)
        else:
            return c.error(value.span, "fail() can show only what is known at compile time")
    from pytrace.output.printf import format_text
    from pytrace.output.resolver import NoResolver
    from pytrace.output.words import Words

    try:
        message = format_text(parse_format(text), [v.type for v in values], known, Words(NoResolver()))
    except FormatError as error:
        return c.error(n.args[0].span, str(error))
    return c.error(n.span, message)
