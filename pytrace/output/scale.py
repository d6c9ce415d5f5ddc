"""`print(@map, top, div)`: values with their numbers divided."""

from __future__ import annotations

from typing import Any

from pytrace import types as t
from pytrace.output.values import AvgValue, RecordValue, StatsValue, divided
from pytrace.record import record


@record
class ScaledStats(StatsValue):
    """Statistics whose average, but not whose total, was divided."""

    div: int = 1

    @property
    def average(self) -> int:
        return divided(divided(self.total, self.count), self.div)


def scaled(type: t.Type, value: Any, div: int) -> Any:
    """A map value with every number in it divided by `div`, towards zero. Counts of power-of-two histograms and
    averages are divided; linear histograms, series, totals, pointers and enums are not. `div` 0 and 1 do nothing."""
    if div in (0, 1):
        return value
    match type:
        case t.Int() | t.Count() | t.Sum() | t.Min() | t.Max():
            return divided(value, div)
        case t.Avg():
            return AvgValue(divided(value.average, div), 1)
        case t.Stats():
            return ScaledStats(value.total, value.count, div)
        case t.Hist():
            return value.divided(div)
        case t.Tuple(elements):
            return tuple(scaled(part, v, div) for part, v in zip(elements, value, strict=True))
        case t.Array(element):
            return tuple(scaled(element, v, div) for v in value)
        case t.Record(fields):
            return RecordValue(tuple(value), tuple(scaled(part, value[name], div) for name, part in fields))
    return value
