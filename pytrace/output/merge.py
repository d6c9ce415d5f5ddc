"""Aggregations: the rows that CPUs keep, and the values that hosts report, become one value.

Layouts are in `pytrace.types`. Sums wrap at 64 bits, as they do in the kernel half.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from typing import Any

from pytrace import types as t
from pytrace.output.values import AvgValue, HistValue, LHistValue, StatsValue, TSeriesValue

Row = bytes | bytearray | memoryview

_LAST_EPOCH = (1 << 63) - 1
"""A time series' slot beyond it is just being emptied."""


def merge(type: t.Aggregation, rows: Iterable[Row]) -> Any:
    """One value of the per-CPU `rows` of an aggregation; None if no row holds a sample.

    A row may be longer than the value. count, sum, min and max give `int`; the others `AvgValue`, `StatsValue`,
    `HistValue`, `LHistValue` and `TSeriesValue`, which merge further with `combine`.
    """
    values = [value for row in rows if (value := _row(type, row)) is not None]
    return combine(type, values) if values else None


def zero(type: t.Aggregation) -> Any:
    """The value of no sample: what a zeroed or missing entry shows."""
    match type:
        case t.Avg():
            return AvgValue(0, 0)
        case t.Stats():
            return StatsValue(0, 0)
        case t.Hist(bits):
            return HistValue((0,) * type.buckets, bits)
        case t.LHist(low, high, step):
            return LHistValue((0,) * type.buckets, low, high, step)
        case t.TSeries(interval, count, how):
            return TSeriesValue(interval, count, how, ())
    return 0


def combine(type: t.Aggregation, values: Sequence[Any]) -> Any:
    """The values of several CPUs or hosts as one. Raises `ValueError` if there are none, or if histograms differ in
    their buckets."""
    if not values:
        raise ValueError("nothing to combine")
    match type:
        case t.Count():
            return _wrap(sum(values), signed=False)
        case t.Sum(signed):
            return _wrap(sum(values), signed)
        case t.Min():
            return min(values)
        case t.Max():
            return max(values)
        case t.Avg(signed):
            return AvgValue(_wrap(sum(v.total for v in values), signed), sum(v.count for v in values))
        case t.Stats(signed):
            return StatsValue(_wrap(sum(v.total for v in values), signed), sum(v.count for v in values))
        case t.TSeries():
            return _combine_series(type, values)
    total = values[0]
    for value in values[1:]:
        total = total + value
    return total


def _wrap(number: int, signed: bool) -> int:
    number &= (1 << 64) - 1
    return number - (1 << 64) if signed and number >> 63 else number


def _row(type: t.Aggregation, row: Row) -> Any:
    match type:
        case t.Count():
            (n,) = struct.unpack_from("<Q", row)
            return n or None
        case t.Sum(signed) | t.Min(signed) | t.Max(signed) | t.Avg(signed) | t.Stats(signed):
            value, n = struct.unpack_from("<qQ" if signed else "<QQ", row)
            if not n:
                return None
            if isinstance(type, t.Avg):
                return AvgValue(value, n)
            return StatsValue(value, n) if isinstance(type, t.Stats) else value
        case t.Hist() | t.LHist():
            counts = struct.unpack_from(f"<{type.buckets}Q", row)
            if not any(counts):
                return None
            if isinstance(type, t.Hist):
                return HistValue(counts, type.bits)
            return LHistValue(counts, type.min, type.max, type.step)
        case t.TSeries(interval, count, how, signed):
            slots = struct.iter_unpack("<QqQ" if signed else "<QQQ", memoryview(row)[: type.size])
            used = sorted((epoch - 1, value, n) for epoch, value, n in slots if 0 < epoch <= _LAST_EPOCH)
            return TSeriesValue(interval, count, how, tuple(used)) if used else None
    raise TypeError(f"{type} is not an aggregation")


def _combine_series(type: t.TSeries, values: Sequence[TSeriesValue]) -> TSeriesValue:
    slots: dict[int, tuple[int, int]] = {}
    for series in values:
        for epoch, value, n in series.slots:
            slots[epoch] = _combine_slots(type, slots[epoch], (value, n)) if epoch in slots else (value, n)
    oldest = max(slots, default=0) - type.count
    kept = tuple((epoch, *slots[epoch]) for epoch in sorted(slots) if epoch > oldest)
    return TSeriesValue(type.interval, type.count, type.merge, kept)


def _combine_slots(type: t.TSeries, a: tuple[int, int], b: tuple[int, int]) -> tuple[int, int]:
    match type.merge:
        case "avg" | "sum":
            return _wrap(a[0] + b[0], type.signed), a[1] + b[1]
        case "min":
            return min(a[0], b[0]), a[1] + b[1]
        case "max":
            return max(a[0], b[0]), a[1] + b[1]
    return a if a[1] >= b[1] else b
