"""Histograms and time series drawn in text, as bpftrace draws them."""

from __future__ import annotations

from collections.abc import Callable

from pytrace.output.histogram import Bucket, Histogram
from pytrace.output.values import TSeriesValue

_BAR = 52
_GRAPH = 51
_SECOND = 1_000_000_000


# --- histograms ----------------------------------------------------------------------------------


def histogram_rows(histogram: Histogram, shown: Histogram) -> list[str]:
    """One row for each bucket of `histogram` between its first and last used one, with the counts of `shown` (the same
    buckets, counts perhaps divided)."""
    span = histogram.used
    most = max((shown.counts[i] for i in span), default=0)
    return [_row(shown.label(Bucket(*shown.bounds(i), shown.counts[i])), shown.counts[i], most) for i in span]


def _row(label: str, count: int, most: int) -> str:
    bar = "@" * (count * _BAR // most if most else 0)
    return f"{label:16}{count:8} |{bar:{_BAR}}|"


# --- time series ---------------------------------------------------------------------------------


def series_rows(
    series: TSeriesValue, until: int | None, wall_offset: int, strftime: Callable[[str, int], str]
) -> list[str]:
    """The graph of a series up to interval number `until`. `strftime` prints local time from ns since 1970."""
    points = series.points(until)
    values = [value for _, value in points if value is not None]
    if not values:
        return ["<no data>"]
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 1, high + 1
    digits, unit = _resolution(series.interval) if len(points) > 1 else (9, ".ns")
    width = 8 + (digits + 1 if digits else 0) + 1
    margin = " " * width
    ends = f"{margin}{low}{high!s:>{_GRAPH + 2 - len(str(low))}}"
    head = f"hh:mm:ss{unit}"
    rows = [ends, head + " " * (width - len(head.encode())) + f"|{'_' * _GRAPH}|"]
    for start, value in points:
        wall = start + wall_offset
        fraction = f".{wall % _SECOND:09d}"[: digits + 1] if digits else ""
        label = "-" if value is None else str(value)
        rows.append(f"{strftime('%H:%M:%S', wall)}{fraction} {_graph(value, low, high)} {label}")
    return [*rows, f"{margin}v{'_' * _GRAPH}v", ends]


def _resolution(interval: int) -> tuple[int, str]:
    """Digits after the second and what the header says of them."""
    if interval >= _SECOND:
        return 0, ""
    if interval >= 1_000_000:
        return 3, ".ms"
    return (6, ".μs") if interval >= 1000 else (9, ".ns")


def _graph(value: int | None, low: int, high: int) -> str:
    line = ["|", *" " * _GRAPH, "|"]
    if value is not None:
        if low < 0 < high:
            line[_column(0, low, high)] = "."
        line[_column(value, low, high)] = "*"
    return "".join(line)


def _column(value: int, low: int, high: int) -> int:
    return (value - low) * (_GRAPH + 1) // (high - low)
