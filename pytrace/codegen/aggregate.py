"""What aggregating functions do to their value, and how values of several CPUs become one number.

The layouts are those that `types` documents.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.program import TAI_OFFSET
from pytrace.record import record

if TYPE_CHECKING:
    from pytrace.codegen.layout import MapLayout
    from pytrace.codegen.lower import Lower


def _add(lo: Lower, place: str, amount: str | int, shared: bool) -> None:
    f = lo.f
    if shared:
        lo.atomic_add(place, str(amount))
    else:
        f.store(f.add(f.load(place), str(amount)), place)


ATTEMPTS = 8
"""How often a shared extreme is tried again, because another program changed it in between."""


def update(lo: Lower, m: MapLayout, place: str, args: list[str]) -> None:
    """Puts one sample into the value at `place`."""
    f = lo.f
    kind, shared = m.user.value, m.shared
    rival = m.user.name if shared and lo.has_atomics else ""
    match kind:
        case t.Count():
            _add(lo, place, 1, shared)
        case t.Sum() | t.Avg() | t.Stats():
            _add(lo, place, args[0], shared)
            _add(lo, f.offset(place, 8), 1, shared)
        case t.Min() | t.Max():
            _extreme(lo, kind, place, args[0], rival)
        case t.Hist():
            _bucket(lo, place, log_bucket(lo, args[0], kind.bits), kind.buckets, args[1:], shared)
        case t.LHist():
            _bucket(lo, place, linear_bucket(lo, args[0], kind), kind.buckets, args[1:], shared)
        case t.TSeries():
            _time_series(lo, kind, place, args[0], rival)


def _bucket(lo: Lower, place: str, bucket: str, buckets: int, weight: list[str], shared: bool) -> None:
    """Adds to a bucket; the comparison tells the verifier what the arithmetic guarantees."""
    f = lo.f
    with f.inside(bucket, buckets, "bucket") as index:
        _add(lo, f.offset(place, f.binary("mul", index, 8)), weight[0] if weight else 1, shared)


def _extreme(lo: Lower, kind: t.Min | t.Max, place: str, value: str, shared: str) -> None:
    """`shared` is the name of a map that other programs may write in between."""
    f = lo.f
    count = f.offset(place, 8)
    predicate = ("s" if kind.signed else "u") + ("lt" if isinstance(kind, t.Min) else "gt")
    if shared:
        _shared_extreme(lo, predicate, place, count, value, shared)
        return
    old, n = f.load(place), f.load(count)
    better = f.op(f"or i1 {f.compare('eq', n, 0)}, {f.compare(predicate, value, old)}")
    with f.when(better, "better"):
        f.store(value, place)
    f.store(f.add(n, 1), count)


def _shared_extreme(lo: Lower, predicate: str, place: str, count: str, value: str, name: str) -> None:
    """The value goes in before the count, so that nobody reads a value that is not there. A program that comes in
    between, to which the row then looks empty, may put a worse value in its place: after counting it is looked at
    again."""
    _exchange(lo, predicate, place, count, value, name)
    lo.atomic_add(count, "1")
    _exchange(lo, predicate, place, count, value, name)


def _exchange(lo: Lower, predicate: str, place: str, count: str, value: str, name: str) -> None:
    """Stores a value that is better than the one there, or the first. Only an exchange with what was compared counts,
    and the count is read after it: whoever fills an empty row in between has changed what is exchanged."""
    f = lo.f
    left = f.alloca(8)
    f.store(ATTEMPTS, left)
    loop, attempt, again, lost, end = (f.label(n) for n in ("extreme", "attempt", "again", "lost", "settled"))
    f.place(loop)
    old = f.load(place, volatile=True)
    n = f.load(count, volatile=True)
    better = f.op(f"or i1 {f.compare('eq', n, 0)}, {f.compare(predicate, value, old)}")
    f.branch(better, attempt, end)
    f.place(attempt)
    f.branch(f.compare_exchange(place, old, value), end, again)
    f.place(again)
    remaining = f.add(f.load(left), -1)
    f.store(remaining, left)
    f.branch(f.truth(remaining), loop, lost)
    f.place(lost)
    lo.count("sample_lost", name)
    f.jump(end)
    f.place(end)


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


def _time_series(lo: Lower, kind: t.TSeries, place: str, value: str, shared: str) -> None:
    """`shared` is the name of a map that other programs may write in between."""
    f = lo.f
    # By TAI, so that intervals begin with the second, the minute, ... on the clock that they are shown with.
    ahead = f.load(f.offset(lo.unit.value("counters"), TAI_OFFSET))
    now = f.binary("add", f.helper(Helper.ktime_get_boot_ns), ahead)
    epoch = f.add(f.binary("udiv", now, kind.interval), 1)
    done = f.label("sampled")
    with f.inside(f.binary("urem", epoch, kind.count), kind.count, "slot") as slot:
        row = f.offset(place, f.binary("mul", slot, 24))
        held, count = f.offset(row, 8), f.offset(row, 16)
        _begin_interval(lo, row, epoch, shared, done)
        match kind.merge:
            case "avg" | "sum":
                _add(lo, held, value, bool(shared))
                _add(lo, count, 1, bool(shared))
            case "min" | "max":
                extreme = t.Min(kind.signed) if kind.merge == "min" else t.Max(kind.signed)
                _extreme(lo, extreme, held, value, shared)
            case "":
                f.store(value, held)
                f.store(now, count)
        f.jump(done)
        f.place(done)


def _begin_interval(lo: Lower, row: str, epoch: str, shared: str, lost: str) -> None:
    """Empties a slot that holds an earlier interval. In a shared row a number that is no epoch stands there meanwhile;
    a program that comes then loses its sample, which is counted, and goes to `lost`."""
    f = lo.f
    held, count = f.offset(row, 8), f.offset(row, 16)
    seen = f.load(row, volatile=bool(shared))
    with f.when(f.compare("ne", seen, epoch), "fresh"):
        if shared:
            emptying = f.binary("xor", epoch, -1)
            mine, other, there = f.label("mine"), f.label("others"), f.label("begun")
            is_epoch, no_epoch = f.label("epoch"), f.label("emptying")
            f.branch(f.compare("slt", seen, 0), no_epoch, is_epoch)
            f.place(is_epoch)
            f.branch(f.compare_exchange(row, seen, emptying), mine, other)
            f.place(other)
            f.branch(f.compare("eq", f.load(row, volatile=True), epoch), there, no_epoch)
            f.place(no_epoch)
            lo.count("sample_lost", shared)
            f.jump(lost)
            f.place(mine)
        f.store(0, held)
        f.store(0, count)
        f.store(epoch, row, volatile=bool(shared))
        if shared:
            f.jump(there)
            f.place(there)


@record
class Rows:
    """Where the values are that make up one aggregation. `at(index, absent)` gives a pointer to one of them, or goes to
    the label `absent`."""

    count: int
    at: Callable[[str, str], str]


def merged(lo: Lower, kind: t.Type, rows: Rows, part: str = "") -> str:
    """The number that an aggregation reads as, over all rows: a loop that the verifier can follow. `part` is what to
    read of statistics."""
    f = lo.f
    index, total, samples = f.alloca(8), f.alloca(8), f.alloca(8)
    for place in (index, total, samples):
        f.store(0, place)
    loop, step, end = (f.label(n) for n in ("rows", "step", "merged"))
    f.place(loop)
    at = f.load(index)
    pointer = rows.at(at, step)
    _merge_row(lo, kind, pointer, total, samples)
    f.jump(step)
    f.place(step)
    following = f.add(at, 1)
    f.store(following, index)
    f.branch(f.compare("ult", following, rows.count), loop, end)
    f.place(end)
    if part == "count":
        return f.load(samples)
    if (isinstance(kind, t.Avg) and part != "total") or (isinstance(kind, t.Stats) and part == "average"):
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
