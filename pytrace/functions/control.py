"""Functions that change what they observe, and assertions."""

from __future__ import annotations

import signal as signals
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.format import parse_format
from pytrace.functions.base import function
from pytrace.functions.probe import SPECIAL
from pytrace.program import Kprobe, KprobeMulti
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Control"
MAX_SIGNAL = 64
MAX_WRITE = 4096


# --- assert ---------------------------------------------------------------------------------------------


def _lower_assert(lo: Lower, e: typed.Call) -> None:
    from pytrace.functions.output import leave

    f = lo.f
    with f.when(f.op(f"xor i1 {lo.condition(e.args[0])}, true"), "refuted"):
        lo.send("errorf", (), e.span, format=e.data, text=e.span.place)
        leave(lo, typed.Const(1, type=t.INT64, span=e.span), e.span)


@function(
    "assert(bool condition, const string message)",
    "Ends the script with the message and status 1 unless the condition holds.",
    'begin { assert(pid > 0, "no process has this id"); }',
    group=GROUP,
    lower=_lower_assert,
)
def assert_(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 2):
        return c.error(n.span)
    condition = c.condition(n.args[0])  # type: ignore[arg-type]  # types are reported there
    message = c.string_literal(n.args[1], "the message of assert()")
    if message is None:
        return c.error(n.span)
    return c.call(n, t.VOID, condition, data=parse_format("assert failed: " + message.replace("%", "%%")))


# --- signals ----------------------------------------------------------------------------------------------


def _lower_signal(lo: Lower, e: typed.Call) -> None:
    helper = Helper.send_signal if e.name == "signal" else Helper.send_signal_thread
    number = lo.f.op(f"trunc i64 {lo.word(e.args[0])} to i32")
    lo.f.helper(helper, f"i32 {number}")


def _number(name: str) -> int | None:
    """The number of a signal by its name, with or without SIG."""
    full = name if name.startswith("SIG") else f"SIG{name}"
    found = signals.Signals.__members__.get(full)
    return None if found is None else int(found)


def _signal(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1):
        return c.error(n.span)
    kind = c.points[0].name.split(":")[0] if c.points else ""
    if kind in SPECIAL or kind == "interval":
        shown = "special" if kind in SPECIAL else kind
        return c.error(
            n.span, f"{n.name}() can not be used for this probetype {shown}", "no process is being traced here"
        )
    value = c.expr(n.args[0])
    if isinstance(value, typed.Str):
        name = value.value.decode("utf-8", "replace")
        number = _number(name)
        if number is None:
            return c.error(n.args[0].span, f"Invalid string for signal: {name}")
        value = typed.Const(number, type=t.UINT64, span=n.span)
    if isinstance(value.type, t.Unknown):
        return c.error(n.span)
    wrong = isinstance(value, typed.Const) and not 1 <= value.value <= MAX_SIGNAL
    if wrong or not t.is_integral(value.type):
        message = f"{n.name}() accepts a string literal or an integer between 1 and {MAX_SIGNAL} (inclusive)"
        return c.error(n.span, message)
    return c.call(n, t.VOID, convert(value, t.UINT64))


@function(
    'signal(int number | const string "NAME")',
    "Sends a signal to the traced process.",
    'tracepoint:syscalls:sys_enter_openat /comm == "cat"/ { signal("TERM"); }',
    group=GROUP,
    unsafe=True,
    lower=_lower_signal,
)
def signal(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _signal(c, n)


@function(
    'signal_thread(int number | const string "NAME")',
    "Sends a signal to the traced thread.",
    'tracepoint:syscalls:sys_enter_openat /comm == "cat"/ { signal_thread(15); }',
    group=GROUP,
    unsafe=True,
    lower=_lower_signal,
)
def signal_thread(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _signal(c, n)


# --- override, write_user ------------------------------------------------------------------------------------


def _lacks(c: ExpressionChecker, n: ast.Call, feature: str) -> bool:
    """Whether the kernel cannot do it; reports that."""
    why = c.kernel.features.why(feature)
    if why:
        c.error(n.span, f"this kernel has no {n.name}(): {why}")
    return bool(why)


def _lower_override(lo: Lower, e: typed.Call) -> None:
    lo.f.helper(Helper.override_return, f"ptr {lo.context()}", f"i64 {lo.word(e.args[0])}")


@function(
    "override(uint64 rc)",
    "Keeps the probed kernel function from running; it returns `rc` instead. For kprobes on functions that allow error "
    "injection, in kernels with CONFIG_BPF_KPROBE_OVERRIDE.",
    'kprobe:__x64_sys_getuid /comm == "id"/ { override(2 << 21); }',
    group=GROUP,
    unsafe=True,
    lower=_lower_override,
)
def override(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1):
        return c.error(n.span)
    value = c.integer(n.args[0], "a return value")  # type: ignore[arg-type]  # types are reported there
    entries = [p.attach for p in c.points if isinstance(p.attach, Kprobe | KprobeMulti) and not p.attach.returns]
    if not entries or len(entries) < len(c.points):
        return c.error(n.span, f"override can not be used in {c.where()}", "it works in kprobes only")
    if isinstance(value.type, t.Unknown) or _lacks(c, n, "override"):
        return c.error(n.span)
    return c.call(n, t.VOID, convert(value, t.UINT64))


def _lower_write(lo: Lower, e: typed.Call) -> None:
    address, source, count = e.args
    assert isinstance(count, typed.Const)
    target = lo.word(address)
    room = lo.room(source.type.size)
    lo.writer(source, exact=True)(room)
    lo.f.helper(Helper.probe_write_user, f"i64 {target}", f"ptr {room}", f"i32 {count.value}")


@function(
    "write_user(void *to, value, const int length)",
    "Writes the first `length` bytes of a value into the traced process's memory.",
    'tracepoint:syscalls:sys_enter_openat /comm == "cat"/ { write_user(args.filename, "/dev/null", 10); }',
    group=GROUP,
    unsafe=True,
    lower=_lower_write,
)
def write_user(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 3):
        return c.error(n.span)
    target = c.word(n.args[0], "an address")  # type: ignore[arg-type]  # types are reported there
    source = c.materialize(c.expr(n.args[1]))
    size = c.constant(n.args[2], "the length for write_user()")
    if size is None or isinstance(target.type, t.Unknown) or isinstance(source.type, t.Unknown):
        return c.error(n.span)
    if isinstance(source, typed.AddressOf):
        source = source.target
    elif isinstance(source.type, t.Pointer):
        space = members.space_of(c, source.type)
        source = members.memory(c, source, t.Array(t.Int(8, False), max(size, 1)), space, n.span)
    if not 1 <= size <= min(source.type.size, MAX_WRITE):
        message = f"write_user() cannot take {size} bytes of a '{source.type}', which has {source.type.size}"
        return c.error(n.args[2].span, message)
    if _lacks(c, n, "write_user"):
        return c.error(n.span)
    count = typed.Const(size, type=t.UINT64, span=n.span)
    return c.call(n, t.VOID, convert(target, t.UINT64), source, count)


@function(
    "unwatch(void *address)",
    "Removes the script's watchpoints on an address. Done in user space, in order.",
    "watchpoint:0x10000000:8:rw { unwatch(0x10000000); }",
    group=GROUP,
    lower=lambda lo, e: lo.send("unwatch", e.args, e.span),
)
def unwatch(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1):
        return c.error(n.span)
    value = c.word(n.args[0], "an address")  # type: ignore[arg-type]  # types are reported there
    return value if isinstance(value.type, t.Unknown) else c.call(n, t.VOID, convert(value, t.UINT64))
