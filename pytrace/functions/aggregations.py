"""Aggregating functions: what may stand on the right of `@map = …`. `codegen.aggregate` lowers them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import quantile as quantiles
from pytrace.functions.base import function, nullary
from pytrace.semantics import typed
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Aggregation"
NAMES = frozenset(("count", "sum", "avg", "min", "max", "stats", "hist", "lhist", "tseries"))
MAX_LHIST_BUCKETS = 1000
MAX_TSERIES = 1_000_000


def _sample(c: ExpressionChecker, n: ast.Call) -> tuple[typed.Expr, bool] | None:
    """The first argument as a 64-bit sample, and whether it is signed."""
    value = c.integer(n.args[0], f"a number for {n.name}()")  # type: ignore[arg-type]  # types are reported there
    if isinstance(value.type, t.Unknown):
        return None
    signed = isinstance(value.type, t.Int | t.Enum) and value.type.signed
    return convert(value, t.INT64 if signed else t.UINT64), signed


function(
    "count()",
    "Counts how often it was called.",
    "tracepoint:syscalls:sys_enter_read { @[comm] = count(); }",
    group=GROUP,
)(nullary(t.Count()))


def _numeric(c: ExpressionChecker, n: ast.Call, kind: type[t.Sum | t.Avg | t.Min | t.Max | t.Stats]) -> typed.Expr:
    sample = _sample(c, n) if c.arity(n, 1) else None
    return c.error(n.span) if sample is None else c.call(n, kind(sample[1]), sample[0])


@function(
    "sum(int n)", "Adds up `n`.", "tracepoint:syscalls:sys_enter_read { @bytes[comm] = sum(args.count); }", group=GROUP
)
def sum_(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _numeric(c, n, t.Sum)


@function(
    "avg(int n)", "The average of `n`.", "tracepoint:syscalls:sys_enter_read { @size = avg(args.count); }", group=GROUP
)
def avg(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _numeric(c, n, t.Avg)


@function(
    "min(int n)",
    "The smallest `n` seen.",
    "tracepoint:syscalls:sys_enter_read { @least = min(args.count); }",
    group=GROUP,
)
def min_(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _numeric(c, n, t.Min)


@function(
    "max(int n)",
    "The largest `n` seen.",
    "tracepoint:syscalls:sys_enter_read { @most = max(args.count); }",
    group=GROUP,
)
def max_(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _numeric(c, n, t.Max)


@function(
    "stats(int n)",
    "Count, average and total of `n`.",
    "tracepoint:syscalls:sys_enter_read { @[comm] = stats(args.count); print(@[comm].average); }",
    group=GROUP,
)
def stats(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _numeric(c, n, t.Stats)


@function(
    "hist(int n[, int k])",
    "A histogram of `n` with power-of-two buckets, each power divided into 2^k (k from 0, the default, to 5).",
    "tracepoint:syscalls:sys_exit_read { @bytes = hist(args.ret); }",
    group=GROUP,
)
def hist(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 2):
        return c.error(n.span)
    bits: int | None = 0
    if len(n.args) > 1:
        bits = c.constant(n.args[1], "the second argument of hist()")
        if bits is not None and not 0 <= bits <= 5:
            return c.error(n.args[1].span, f"hist() takes 0 to 5 bits, not {bits}")
    sample = _sample(c, n)
    return c.error(n.span) if sample is None or bits is None else c.call(n, t.Hist(bits), sample[0])


@function(
    "lhist(int n, const int min, const int max, const int step)",
    "A histogram of `n` with buckets of equal width from `min` to `max`, and one on either side.",
    "tracepoint:syscalls:sys_exit_read { @bytes = lhist(args.ret, 0, 2000, 200); }",
    group=GROUP,
)
def lhist(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 4):
        return c.error(n.span)
    sample = _sample(c, n)
    low, high, step = (
        c.constant(a, f"lhist() {name}") for a, name in zip(n.args[1:], ("min", "max", "step"), strict=True)
    )
    if sample is None or low is None or high is None or step is None:
        return c.error(n.span)
    if step < 1:
        return c.error(n.args[3].span, f"lhist() step must be >= 1 ({step} provided)")
    if high <= low:
        return c.error(n.args[2].span, f"lhist() min must be less than max (provided min {low} and max {high})")
    if (high - low) // step > MAX_LHIST_BUCKETS:
        return c.error(
            n.span, f"lhist() too many buckets, must be <= {MAX_LHIST_BUCKETS} (would need {(high - low) // step})"
        )
    return c.call(n, t.LHist(low, high, step), convert(sample[0], t.INT64))


@function(
    'tseries(int n, const int interval_ns, const int num_intervals[, "avg" | "max" | "min" | "sum"])',
    "The last `num_intervals` intervals of `n`: its latest value, or what the fourth argument says.",
    'tracepoint:syscalls:sys_exit_read { @[comm] = tseries(args.ret, 100ms, 20, "sum"); }',
    group=GROUP,
)
def tseries(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 3, 4):
        return c.error(n.span)
    sample = _sample(c, n)
    interval = c.constant(n.args[1], "tseries() interval")
    number = c.constant(n.args[2], "tseries() number of intervals")
    merge: str | None = c.string_literal(n.args[3], "tseries() aggregation") if len(n.args) > 3 else ""
    if sample is None or interval is None or number is None or merge is None:
        return c.error(n.span)
    if interval < 1:
        return c.error(n.args[1].span, f"tseries() interval_ns must be >= 1 ({interval} provided)")
    if not 1 <= number < MAX_TSERIES:
        return c.error(
            n.args[2].span, f"tseries() num_intervals must be between 1 and {MAX_TSERIES} ({number} provided)"
        )
    if merge not in ("", "avg", "max", "min", "sum"):
        return c.error(
            n.args[3].span, "tseries() expects one of the following aggregation functions: avg, max, min, sum"
        )
    if c.config.unstable_tseries == "error":
        return c.error(n.span, "tseries is not enabled", "enable it: config = { unstable_tseries=enable }")
    if c.config.unstable_tseries == "warn":
        hint = "say that you know: config = { unstable_tseries=enable }"
        c.diagnostics.warning(n.span, "tseries is an unstable feature: its output may change", hint)
    kind = t.TSeries(interval, number, merge, sample[1])  # type: ignore[arg-type]  # checked above
    return c.call(n, kind, sample[0])


@function(
    "quantile(hist h, int percent) -> int64",
    "The value below which `percent` of 100 of a histogram's values lie, as far as its buckets tell. `h` is a map, or "
    "an element of one, filled by hist() or lhist(). Not in bpftrace.",
    "interval:s:1 { @ = hist(nsecs % 1000); print(quantile(@, 99)); }",
    group=GROUP,
    lower=quantiles.quantile,
)
def quantile(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 2):
        return c.error(n.span)
    histogram = c.expr(n.args[0])
    percent = c.integer(n.args[1], "a percentage")  # type: ignore[arg-type]  # types are reported there
    kind = histogram.type
    if isinstance(kind, t.Unknown) or isinstance(percent.type, t.Unknown):
        return c.error(n.span)
    if not isinstance(histogram, typed.MapGet) or not isinstance(kind, t.Hist | t.LHist):
        found = histogram.map.value if isinstance(histogram, typed.MapGet) else kind
        return c.error(n.args[0].span, f"quantile() wants a map of hist() or lhist(), found '{found}'")
    if isinstance(percent, typed.Const) and not 0 <= percent.value <= 100:
        return c.error(n.args[1].span, f"quantile() takes a percentage from 0 to 100, not {percent.value}")
    if kind.buckets * c.kernel.possible_cpus > quantiles.MOST_STEPS:
        return c.error(n.span, "this histogram has too many buckets for so many CPUs", "take fewer bits in hist()")
    return c.call(n, t.INT64, histogram, convert(percent, t.UINT64))
