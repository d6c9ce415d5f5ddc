"""Clocks and dates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function, nullary
from pytrace.program import START_TIME, TAI_OFFSET
from pytrace.semantics import typed
from pytrace.semantics.widen import convert
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.semantics.expressions import ExpressionChecker

GROUP = "Time"
_CLOCKS = {"boot": Helper.ktime_get_boot_ns, "monotonic": Helper.ktime_get_ns, "tai": Helper.ktime_get_tai_ns}


def _lower_nsecs(lo: Lower, e: typed.Call) -> str:
    f = lo.f
    if e.args:  # the difference of the clocks, as it was when the session began
        ahead = f.load(f.offset(lo.unit.value("counters"), TAI_OFFSET))
        return f.binary("add", f.helper(Helper.ktime_get_boot_ns), ahead)
    return f.helper(_CLOCKS[e.data])


@function(
    "nsecs([monotonic | boot | tai | sw_tai]) -> uint64",
    "Nanoseconds of a clock: time since boot with (boot, the default) or without (monotonic) time asleep, or TAI, from "
    "the kernel (tai, Linux 6.1) or worked out from boot time (sw_tai).",
    "tracepoint:syscalls:sys_enter_read { @start[tid] = nsecs; }",
    group=GROUP,
    bare=True,
    lower=_lower_nsecs,
)
def nsecs(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0, 1):
        return c.error(n.span)
    clock = "boot"
    if n.args:
        mode = n.args[0]
        clock = mode.name if isinstance(mode, ast.Identifier | ast.NamedType) else ""
        if clock == "sw_tai":
            return c.call(n, t.UINT64, typed.Const(1, type=t.BOOL, span=n.span), data="tai")
        if clock not in _CLOCKS:
            return c.error(mode.span, "unknown clock", "it is one of monotonic, boot, tai, sw_tai")
    return c.call(n, t.UINT64, data=clock)


def _lower_elapsed(lo: Lower, e: typed.Call) -> str:
    f = lo.f
    start = f.load(f.offset(lo.unit.value("counters"), START_TIME))
    return f.op(f"sub i64 {f.helper(Helper.ktime_get_boot_ns)}, {start}")


function(
    "elapsed() -> uint64",
    "Nanoseconds since the script was started.",
    'interval:s:1 { printf("%d ms\\n", elapsed / 1000000); }',
    group=GROUP,
    bare=True,
    lower=_lower_elapsed,
)(nullary(t.UINT64))


function(
    "jiffies() -> uint64",
    "The kernel's jiffies counter.",
    "interval:s:1 { print(jiffies); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.helper(Helper.jiffies64),
)(nullary(t.UINT64))


def _lower_time(lo: Lower, e: typed.Call) -> None:
    lo.send("time", (), e.span, text=e.data)


@function(
    'time([string format = "%H:%M:%S\\n"])',
    "Prints the wall time, formatted as strftime(3) does.",
    'interval:s:1 { time("%H:%M:%S\\n"); }',
    group=GROUP,
    lower=_lower_time,
)
def time(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0, 1):
        return c.error(n.span)
    text: str | None = "%H:%M:%S\n"
    if n.args:
        text = c.string_literal(n.args[0], "the format of time()")
    return c.error(n.span) if text is None else c.call(n, t.VOID, data=text)


@function(
    "strftime(string format, uint64 nsecs) -> timestamp",
    "A time stamp of `nsecs` as text, formatted as strftime(3) does, plus %f for microseconds.",
    'begin { printf("%s\\n", strftime("%H:%M:%S.%f", nsecs)); }',
    group=GROUP,
    lower=lambda lo, e: lo.word(e.args[0]),
)
def strftime(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 2):
        return c.error(n.span)
    text = c.string_literal(n.args[0], "the format of strftime()")
    value = c.integer(n.args[1], "nanoseconds")  # type: ignore[arg-type]  # a type is reported as not a value
    if text is None or isinstance(value.type, t.Unknown):
        return c.error(n.span)
    clock: Any = value.data if isinstance(value, typed.Call) and value.name == "nsecs" else "boot"
    return c.call(n, t.Timestamp(text, clock), convert(value, t.UINT64))
