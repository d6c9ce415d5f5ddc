"""Names of numbers: system calls, signals, errors. They are numbers until they are printed or used as strings."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Literal

from pytrace import types as t
from pytrace.functions.base import function
from pytrace.semantics import typed
from pytrace.semantics.once import once
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.codegen.writers import Writer
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Symbols and names"
_ENTRIES = {"syscall": 512, "signal": 65, "strerror": 134}
"""How many numbers of each table have names; the entry after the last one is what all others print as."""


@lru_cache
def names(table: Literal["strerror", "signal", "syscall"]) -> tuple[bytes, ...]:
    """All names of a table by number, and at the end the one of numbers that have none."""
    from pytrace.output.values import NamedValue
    from pytrace.output.words import name_of

    return tuple(name_of(NamedValue(i, table)).encode() for i in (*range(_ENTRIES[table]), (1 << 32) - 1))


def spelt(value: typed.Expr) -> typed.Expr:
    """A named number as the string that it prints as, which can be compared and measured."""
    assert isinstance(value.type, t.Named)
    size = max(len(name) for name in names(value.type.table)) + 1
    number = typed.Convert(value, type=t.UINT64, span=value.span)
    kind = t.String(t.align_up(size, 8))
    return typed.Call(_FUNCTIONS[value.type.table], (number,), value.type.table, type=kind, span=value.span)


_FUNCTIONS = {"syscall": "syscall_name", "signal": "signal_name", "strerror": "strerror"}


def _lower_named(lo: Lower, e: typed.Call) -> str | Writer:
    number = lo.word(e.args[0])
    if not isinstance(e.type, t.String):
        return number
    size = e.type.size
    texts = names(e.data)
    data = b"".join(text.ljust(size, b"\0") for text in texts)
    f = lo.f
    row = f.binary("mul", f.clamp(number, len(texts), len(texts) - 1), size)
    source = f.offset(f.offset(lo.unit.value("rodata"), lo.unit.rodata(data)), row)
    return lambda to: lo.copy(source, to, size, 8)


def _without_sign(number: typed.Expr) -> typed.Expr:
    zero = typed.Const(0, type=t.INT64, span=number.span)
    below = typed.Binary("<", number, zero, type=t.BOOL, span=number.span)
    negative = typed.Unary("-", number, type=t.INT64, span=number.span)
    return typed.Ternary(below, negative, number, type=t.INT64, span=number.span)


def _named(c: ExpressionChecker, n: ast.Call, table: Literal["strerror", "signal", "syscall"]) -> typed.Expr:
    if not c.arity(n, 1):
        return c.error(n.span)
    number = c.integer(n.args[0], f"a number for {n.name}()")  # type: ignore[arg-type]  # types are reported there
    if isinstance(number.type, t.Unknown):
        return c.error(n.span)
    if table == "strerror":  # what the kernel returns is the error's negative
        number = convert(number, t.INT32)
        if isinstance(number, typed.Const):
            number = typed.Const(abs(number.value), type=t.INT64, span=n.span)
        else:
            number = once(convert(number, t.INT64), _without_sign)
    return c.call(n, t.Named(table), convert(convert(number, t.UINT32), t.UINT64))


@function(
    "syscall_name(int number) -> string",
    "The name of a system call.",
    "tracepoint:raw_syscalls:sys_enter { @[syscall_name(args.id)] = count(); }",
    group=GROUP,
    lower=_lower_named,
)
def syscall_name(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _named(c, n, "syscall")


@function(
    "signal_name(int number) -> string",
    "What a signal is called.",
    "tracepoint:signal:signal_generate { @[signal_name(args.sig)] = count(); }",
    group=GROUP,
    lower=_lower_named,
)
def signal_name(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _named(c, n, "signal")


@function(
    "strerror(int error) -> string",
    "What an error number means; a negative one, as system calls return it, means the same.",
    "tracepoint:syscalls:sys_exit_openat /args.ret < 0/ { @[strerror(args.ret)] = count(); }",
    group=GROUP,
    lower=_lower_named,
)
def strerror(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _named(c, n, "strerror")
