"""What aggregating functions do to their value, and how values of several CPUs become one number.

The layouts are those that `types` documents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.program import TAI_OFFSET
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower


def _add(lo: Lower, place: str, amount: str | int, shared: bool) -> None:
    f = lo.f
    if shared:
        lo.atomic_add(place, str(amount))
    else:
        f.store(f.add(f.load(place), str(amount)), place)


def update(lo: Lower, kind: t.Type, place: str, args: list[str], s: typed.Aggregate, shared: bool) -> None:
    """Puts one sample into the value at `place`."""
    f = lo.f
    match kind:
        case t.Count():
            _add(lo, place, 1, shared)
        case t.Sum() | t.Avg() | t.Stats():
            _add(lo, place, args[0], shared)
            _add(lo, f.offset(place, 8), 1, shared)
        case t.Min() | t.Max():
            _extreme(lo, kind, place, args[0])
        case t.Hist():
            _bucket(lo, place, log_bucket(lo, args[0], kind.bits), kind.buckets, args[1:], shared)
        case t.LHist():
            _bucket(lo, place, linear_bucket(lo, args[0], kind), kind.buckets, args[1:], shared)
        case t.TSeries():
            _time_series(lo, kind, place, args[0])


def _bucket(lo: Lower, place: str, bucket: str, buckets: int, weight: list[str], shared: bool) -> None:
    """Adds to a bucket; the comparison tells the verifier what the arithmetic guarantees."""
    f = lo.f
    with f.inside(bucket, buckets, "bucket") as index:
        _add(lo, f.offset(place, f.binary("mul", index, 8)), weight[0] if weight else 1, shared)


def _extreme(lo: Lower, kind: t.Min | t.Max, place: str, value: str) -> None:
    f = lo.f
    count = f.offset(place, 8)
    old, n = f.load(place), f.load(count)
    predicate = ("s" if kind.signed else "u") + ("lt" if isinstance(kind, t.Min) else "gt")
    better = f.op(f"or i1 {f.compare('eq', n, 0)}, {f.compare(predicate, value, old)}")
    with f.when(better, "better"):
        f.store(value, place)
    f.store(f.add(n, 1), count)


def log_bucket(lo: Lower, value: str, bits: int) -> str:
    """The bucket of a power-of-two histogram: see `types.Hist`. A value is signed whatever its type, because error
    numbers come out of kretprobes, whose `retval` is unsigned."""
    f = lo.f
    power, rest = "0", value
    for step in (32, 16, 8, 4, 2, 1):
        large = f.compare("uge", rest, 1 << step)
        rest = f.select(large, f.binary("lshr", rest, step), rest)
        power = f.binary("or", power, f.select(large, str(step), "0"))
    # `power` is the number of the highest set bit
    shift = f.op(f"sub i64 {power}, {bits}")
    group = f.binary("shl", f.add(shift, 1), bits)
    masked_shift = f.binary("and", shift, 63)
    within = f.binary("and", f.binary("lshr", value, masked_shift), (1 << bits) - 1)
    large_bucket = f.add(f.binary("add", group, within), 1)
    bucket = f.select(f.compare("ult", value, 1 << bits), f.add(value, 1), large_bucket)
    return f.select(f.compare("slt", value, 0), "0", bucket)


def linear_bucket(lo: Lower, value: str, kind: t.LHist) -> str:
    f = lo.f
    inner = f.add(f.binary("udiv", f.op(f"sub i64 {value}, {kind.min}"), kind.step), 1)
    bucket = f.select(f.compare("sge", value, kind.max), str(kind.buckets - 1), inner)
    return f.select(f.compare("slt", value, kind.min), "0", bucket)


def _time_series(lo: Lower, kind: t.TSeries, place: str, value: str) -> None:
    f = lo.f
    # By TAI, so that intervals begin with the second, the minute, ... on the clock that they are shown with.
    ahead = f.load(f.offset(lo.unit.value("counters"), TAI_OFFSET))
    now = f.binary("add", f.helper(Helper.ktime_get_boot_ns), ahead)
    epoch = f.add(f.binary("udiv", now, kind.interval), 1)
    with f.inside(f.binary("urem", epoch, kind.count), kind.count, "slot") as slot:
        row = f.offset(place, f.binary("mul", slot, 24))
        held, count = f.offset(row, 8), f.offset(row, 16)
        with f.when(f.compare("ne", f.load(row), epoch), "fresh"):
            f.store(epoch, row)
            f.store(0, held)
            f.store(0, count)
        n = f.load(count)
        old = f.load(held)
        match kind.merge:
            case "avg" | "sum":
                f.store(f.binary("add", old, value), held)
            case "min" | "max":
                predicate = ("s" if kind.signed else "u") + ("lt" if kind.merge == "min" else "gt")
                better = f.op(f"or i1 {f.compare('eq', n, 0)}, {f.compare(predicate, value, old)}")
                f.store(f.select(better, value, old), held)
            case "":
                f.store(value, held)
        f.store(now if kind.merge == "" else f.add(n, 1), count)


def merged(lo: Lower, kind: t.Type, row: Callable[[str], str], nullable: bool = False, part: str = "") -> str:
    """The number that an aggregation reads as, over all CPUs: a loop that the verifier can follow. `part` is what to
    read of statistics."""
    f = lo.f
    index, total, samples = f.alloca(8), f.alloca(8), f.alloca(8)
    for place in (index, total, samples):
        f.store(0, place)
    loop, body, step, end = (f.label(n) for n in ("cpus", "row", "step", "merged"))
    f.place(loop)
    cpu = f.load(index)
    pointer = row(cpu)
    if nullable:
        f.branch(f.is_null(pointer), step, body)
    f.place(body)
    _merge_row(lo, kind, pointer, total, samples)
    f.jump(step)
    f.place(step)
    following = f.add(cpu, 1)
    f.store(following, index)
    f.branch(f.compare("ult", following, lo.unit.cpus), loop, end)
    f.place(end)
    if part == "count":
        return f.load(samples)
    if isinstance(kind, t.Avg) or (isinstance(kind, t.Stats) and part == "average"):
        return _average(lo, f.load(total), f.load(samples), kind.signed)
    return f.load(total)


def _merge_row(lo: Lower, kind: t.Type, pointer: str, total: str, samples: str) -> None:
    f = lo.f
    value = f.load(pointer)
    if isinstance(kind, t.Count):
        f.store(f.binary("add", f.load(total), value), total)
        return
    n = f.load(f.offset(pointer, 8))
    seen = f.load(samples)
    old = f.load(total)
    if isinstance(kind, t.Min | t.Max):
        predicate = ("s" if kind.signed else "u") + ("lt" if isinstance(kind, t.Min) else "gt")
        first = f.compare("eq", seen, 0)
        better = f.op(f"or i1 {first}, {f.compare(predicate, value, old)}")
        filled = f.compare("ne", n, 0)
        f.store(f.select(f.op(f"and i1 {filled}, {better}"), value, old), total)
    else:
        f.store(f.binary("add", old, value), total)
    f.store(f.binary("add", seen, n), samples)


def _average(lo: Lower, total: str, samples: str, signed: bool) -> str:
    """total / samples, rounded towards zero; 0 without samples."""
    f = lo.f
    divisor = f.select(f.compare("eq", samples, 0), "1", samples)
    if not signed:
        return f.binary("udiv", total, divisor)
    negative = f.compare("slt", total, 0)
    magnitude = f.select(negative, f.op(f"sub i64 0, {total}"), total)
    quotient = f.binary("udiv", magnitude, divisor)
    return f.select(negative, f.op(f"sub i64 0, {quotient}"), quotient)
