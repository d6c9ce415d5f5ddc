"""Time series as bpftrace 0.27 draws them; the scripts that drew them are in the docstrings.

Only the clock is ours: the times of day are those of a fixed start."""

from __future__ import annotations

from typing import Any

from pytrace import types as t
from pytrace.output import TSeriesValue

MS = 1_000_000
EPOCH = 1_795_000_000_000_000_000 // (100 * MS)


def series(interval: int, count: int, *values: int | None, how: Any = "") -> TSeriesValue:
    start = 1_795_000_000_000_000_000 // interval
    slots = tuple((start + i, v, 1) for i, v in enumerate(values) if v is not None)
    return TSeriesValue(interval, count, how, slots)


def graph(screen: Any, value: TSeriesValue) -> list[str]:
    screen.map("@v", None, t.TSeries(value.interval, value.count, value.merge, True), [(None, value)])
    lines: list[str] = screen.shown.splitlines()
    return lines


def test_a_range_across_zero(screen: Any) -> None:
    """interval:ms:100 { @i+=1; @v=tseries(@i*10-30, 100ms, 8); if (@i==7) { exit(); } }"""
    assert graph(screen, series(100 * MS, 8, -20, -10, 0, 10, 20, 30, 40)) == [
        "@v:",
        "             -20                                                40",
        "hh:mm:ss.ms  |___________________________________________________|",
        "11:06:40.000 *                .                                  | -20",
        "11:06:40.100 |       *        .                                  | -10",
        "11:06:40.200 |                *                                  | 0",
        "11:06:40.300 |                .        *                         | 10",
        "11:06:40.400 |                .                *                 | 20",
        "11:06:40.500 |                .                         *        | 30",
        "11:06:40.600 |                .                                  * 40",
        "             v___________________________________________________v",
        "             -20                                                40",
        "",
    ]


def test_gaps(screen: Any) -> None:
    """interval:ms:200 { @i+=1; if (@i!=3 && @i!=6) { @g=tseries(@i-1,200ms,5,"sum"); } if (@i==7) { exit(); } }"""
    assert graph(screen, series(200 * MS, 5, 3, 4, None, 6, how="sum"))[3:7] == [
        "11:06:40.000 *                                                   | 3",
        "11:06:40.200 |                *                                  | 4",
        "11:06:40.400 |                                                   | -",
        "11:06:40.600 |                                                   * 6",
    ]
    assert '"value":4},{"interval_start":"2026-11-18 11:06:40.600000000","value":6}]}}' in screen.lines


def test_one_interval_shows_nanoseconds_and_widens_the_range(screen: Any) -> None:
    """begin { @=tseries(5, 1s, 5); }"""
    assert graph(screen, series(1000 * MS, 5, 5)) == [
        "@v:",
        "                   4                                                   6",
        "hh:mm:ss.ns        |___________________________________________________|",
        "11:06:40.000000000 |                         *                         | 5",
        "                   v___________________________________________________v",
        "                   4                                                   6",
        "",
    ]
    assert screen.lines == (
        '{"type": "tseries", "data": {"@v": [{"interval_start":"2026-11-18 11:06:40.000000000","value":5}]}}\n'
    )


def test_seconds(screen: Any) -> None:
    """interval:ms:500 { @i+=1; @a=tseries(@i,1s,3); if (@i==5) { exit(); } }"""
    assert graph(screen, series(1000 * MS, 3, 2, 4, 5)) == [
        "@v:",
        "         2                                                   5",
        "hh:mm:ss |___________________________________________________|",
        "11:06:40 *                                                   | 2",
        "11:06:41 |                                 *                 | 4",
        "11:06:42 |                                                   * 5",
        "         v___________________________________________________v",
        "         2                                                   5",
        "",
    ]


def test_microseconds_and_the_newest_interval_of_the_map(screen: Any) -> None:
    """begin { for ($i : 0..40) { @u[$i/20]=tseries($i,5us,6); } }: all are drawn up to the newest interval."""
    first = series(5000, 6, 2, 19)
    second = TSeriesValue(5000, 6, "", ((first.slots[1][0], 21, 1), (first.slots[1][0] + 1, 39, 1)))
    screen.map("@u", t.INT64, t.TSeries(5000, 6, "", True), [(0, first), (1, second)])
    assert screen.shown.splitlines() == [
        "@u[0]:",
        "                2                                                  19",
        "hh:mm:ss.μs    |___________________________________________________|",
        "11:06:40.000000 *                                                   | 2",
        "11:06:40.000005 |                                                   * 19",
        "11:06:40.000010 |                                                   | -",
        "                v___________________________________________________v",
        "                2                                                  19",
        "",
        "@u[1]:",
        "                21                                                 39",
        "hh:mm:ss.μs    |___________________________________________________|",
        "11:06:40.000005 *                                                   | 21",
        "11:06:40.000010 |                                                   * 39",
        "                v___________________________________________________v",
        "                21                                                 39",
        "",
    ]


def test_averages(screen: Any) -> None:
    value = TSeriesValue(100 * MS, 5, "avg", ((EPOCH, 12, 2), (EPOCH + 1, -7, 2)))
    assert [line.rsplit(" ", 1)[1] for line in graph(screen, value)[3:5]] == ["6", "-3"]


def test_no_data(screen: Any) -> None:
    """begin { @ts=tseries(1,1s,3); zero(@ts); }"""
    assert graph(screen, series(1000 * MS, 3)) == ["@v:", "<no data>", ""]
    assert screen.lines == '{"type": "tseries", "data": {"@v": []}}\n'
