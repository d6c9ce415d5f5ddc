"""Quantiles of a histogram that is still being filled: the buckets of all CPUs added up, then counted through."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import maps
from pytrace.codegen.aggregate import Rows
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower

MOST_STEPS = 40_000
"""Buckets times CPUs: the verifier walks every step, and gives up after a million instructions."""
_WIDE = 1 << 32


def bounds(kind: t.Hist | t.LHist) -> list[tuple[int, int]]:
    """For each bucket its lower bound, and how many values belong to it (1 for an open one, which stands for its one
    known bound)."""
    if isinstance(kind, t.LHist):
        inner = [(kind.min + i * kind.step, kind.step) for i in range(kind.buckets - 2)]
        last = kind.min + (kind.buckets - 2) * kind.step
        return [(kind.min, 1), *inner, (last, 1)]
    sub = 1 << kind.bits
    found = [(0, 1)]
    for n in range(kind.buckets - 1):
        shift = (n >> kind.bits) - 1
        found.append((n, 1) if n < sub else ((sub + (n & (sub - 1))) << shift, 1 << shift))
    return found


def quantile(lo: Lower, e: typed.Call) -> str:
    """The value of `quantile(@m[key], percent)`; 0 of an empty histogram."""
    f = lo.f
    histogram, percent = e.args
    assert isinstance(histogram, typed.MapGet)
    kind = maps.layout(lo, histogram.map).user.value
    assert isinstance(kind, t.Hist | t.LHist)
    rank = lo.word(percent)
    rows = maps.rows(lo, histogram)
    sums = lo.scratch(8 * kind.buckets)
    lo.zero(sums, 8 * kind.buckets)
    total, result = f.alloca(8), f.alloca(8)
    f.store(0, total)
    f.store(0, result)
    _add_up(lo, kind, rows, sums, total)
    wanted = f.binary("mul", f.load(total), rank)
    table = lo.unit.rodata(b"".join((n & (1 << 64) - 1).to_bytes(8, "little") for pair in bounds(kind) for n in pair))
    _count_through(lo, kind, sums, wanted, f.offset(lo.unit.value("rodata"), table), result)
    return f.load(result)


def _loop(lo: Lower, count: int, body: Callable[[str, str], None]) -> None:
    """`body(index, end)` for each index; jumping to `end` leaves the loop."""
    f = lo.f
    index = f.alloca(8)
    f.store(0, index)
    loop, end = f.label("loop"), f.label("done")
    f.place(loop)
    at = f.load(index)
    body(at, end)
    following = f.add(at, 1)
    f.store(following, index)
    f.branch(f.compare("ult", following, count), loop, end)
    f.place(end)


def _add_up(lo: Lower, kind: t.Hist | t.LHist, rows: Rows, sums: str, total: str) -> None:
    f = lo.f

    def one_row(index: str, end: str) -> None:
        step = f.label("absent")
        pointer = rows.at(index, step)
        _loop(lo, kind.buckets, lambda at, _: one_bucket(pointer, at))
        f.place(step)

    def one_bucket(pointer: str, at: str) -> None:
        offset = f.binary("shl", at, 3)
        count = f.load(f.offset(pointer, offset))
        sum_ = f.offset(sums, offset)
        f.store(f.binary("add", f.load(sum_), count), sum_)
        f.store(f.binary("add", f.load(total), count), total)

    _loop(lo, rows.count, one_row)


def _count_through(lo: Lower, kind: t.Hist | t.LHist, sums: str, wanted: str, table: str, result: str) -> None:
    """Finds the bucket in which the rank lies, and how far into it. Counts are in hundredths, like the percentage."""
    f = lo.f
    below = f.alloca(8)
    f.store(0, below)

    def one_bucket(at: str, end: str) -> None:
        count = f.binary("mul", f.load(f.offset(sums, f.binary("shl", at, 3))), 100)
        before = f.load(below)
        after = f.binary("add", before, count)
        f.store(after, below)
        reached = f.op(f"and i1 {f.truth(count)}, {f.compare('uge', after, wanted)}")
        found, further = f.label("found"), f.label("further")
        f.branch(reached, found, further)
        f.place(found)
        pair = f.offset(table, f.binary("shl", at, 4))
        low, width = f.load(pair), f.load(f.offset(pair, 8))
        depth = f.op(f"sub i64 {wanted}, {before}")
        exact = f.binary("udiv", f.binary("mul", depth, width), count)
        rough = f.binary("mul", depth, f.binary("udiv", width, count))
        inside = f.select(f.compare("ult", width, _WIDE), exact, rough)
        inside = f.select(f.compare("eq", width, 1), "0", inside)
        f.store(f.binary("add", low, inside), result)
        f.jump(end)
        f.place(further)

    _loop(lo, kind.buckets, one_bucket)
