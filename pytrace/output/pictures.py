"""Histograms and time series drawn in text, as bpftrace draws them."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from pytrace.output.histogram import Bucket, Histogram
from pytrace.output.values import HistValue, LHistValue, TSeriesValue

_BAR = 52
_GRAPH = 51
_UNITS = " KMGTPE"
_SECOND = 1_000_000_000


# --- histograms ----------------------------------------------------------------------------------


def histogram_rows(histogram: Histogram, shown: Histogram) -> list[str]:
    """One row for each bucket of `histogram` between its first and last used one, with the counts of `shown` (the same
    buckets, counts perhaps divided)."""
    span = histogram.used
    most = max((shown.counts[i] for i in span), default=0)
    return [_row(bucket_label(shown, Bucket(*shown.bounds(i), shown.counts[i])), shown.counts[i], most) for i in span]


def _row(label: str, count: int, most: int) -> str:
    bar = "@" * (count * _BAR // most if most else 0)
    return f"{label:16}{count:8} |{bar:{_BAR}}|"


def bucket_label(histogram: Histogram, bucket: Bucket) -> str:
    """The bounds of a bucket, `[low, high)`, with units where they are even."""
    low, high = bucket.low, bucket.high
    if isinstance(histogram, HistValue):
        unit: Callable[[int], str] = partial(_scaled, bits=histogram.bits)
    else:
        assert isinstance(histogram, LHistValue)
        unit = _rounded if histogram.step % 1024 == 0 else str
    if low is None:
        return f"(..., {unit(high or 0)})"
    if high is None:
        return f"[{unit(low)}, ...)"
    return f"[{unit(low)}]" if high == low + 1 else f"[{unit(low)}, {unit(high)})"


def _rounded(number: int) -> str:
    """A number in the largest unit that divides it."""
    power = 0
    while number and number % 1024 == 0:
        number //= 1024
        power += 1
    return f"{number}{_UNITS[power].strip()}"


def _scaled(number: int, bits: int) -> str:
    """A bound between buckets that halve each power of two `bits` times, in the unit of such a bucket's width."""
    power = max(0, number.bit_length() - 1 - bits)
    return f"{number >> power << power % 10}{_UNITS[power // 10].strip()}"


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
