"""Rows of CPUs become one value; histograms know their buckets."""

from __future__ import annotations

import struct
from collections import Counter
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace import types as t
from pytrace.output import AvgValue, HistValue, LHistValue, StatsValue, TSeriesValue, combine, decode, merge, zero

U64 = (1 << 64) - 1
samples = st.lists(st.lists(st.integers(-(1 << 40), 1 << 40), max_size=6), min_size=1, max_size=4)


def hist_index(value: int, bits: int) -> int:
    """The bucket that `types.Hist` documents for a value."""
    if value < 0:
        return 0
    if value < 1 << bits:
        return 1 + value
    highest = value.bit_length() - 1
    return 1 + ((highest - bits + 1) << bits) + ((value >> (highest - bits)) & ((1 << bits) - 1))


def lhist_index(value: int, kind: t.LHist) -> int:
    """The bucket that `types.LHist` documents for a value."""
    if value < kind.min:
        return 0
    whole = (kind.max - kind.min) // kind.step
    return 1 + min((value - kind.min) // kind.step, whole)


def row(kind: t.Hist | t.LHist, indexes: list[int]) -> bytes:
    counts = Counter(indexes)
    return struct.pack(f"<{kind.buckets}Q", *(counts[i] for i in range(kind.buckets)))


def summary(values: list[int], total: int) -> bytes:
    return struct.pack("<qQ", total, len(values))


@given(samples)
def test_numbers_merge_like_python_does(cpus: list[list[int]]) -> None:
    everything = [v for cpu in cpus for v in cpu]
    assert merge(t.Count(), [struct.pack("<Q", len(cpu)) for cpu in cpus]) == (len(everything) or None)
    sums = [summary(cpu, sum(cpu)) for cpu in cpus]
    lows = [summary(cpu, min(cpu, default=0)) for cpu in cpus]
    highs = [summary(cpu, max(cpu, default=0)) for cpu in cpus]
    if not everything:
        assert merge(t.Sum(True), sums) is merge(t.Min(True), lows) is merge(t.Avg(True), sums) is None
        return
    assert merge(t.Sum(True), sums) == sum(everything)
    assert merge(t.Min(True), lows) == min(everything)
    assert merge(t.Max(True), highs) == max(everything)
    average = merge(t.Avg(True), sums)
    assert (average.total, average.count) == (sum(everything), len(everything))
    assert average.average == int(sum(everything) / len(everything))
    assert merge(t.Stats(True), sums) == StatsValue(sum(everything), len(everything))


def test_a_zero_that_was_sampled_is_not_a_row_without_samples() -> None:
    empty, three = struct.pack("<qQ", 0, 0), struct.pack("<qQ", 3, 1)
    assert merge(t.Min(True), [empty, three]) == 3
    assert merge(t.Max(True), [empty, struct.pack("<qQ", -3, 1)]) == -3


def test_sums_wrap_at_64_bits() -> None:
    big = struct.pack("<qQ", (1 << 63) - 1, 1)
    assert merge(t.Sum(True), [big, big]) == -2
    assert merge(t.Sum(False), [big, big, big]) == (3 * ((1 << 63) - 1)) & U64


@given(st.integers(0, 5), st.integers(-(1 << 63), (1 << 63) - 1))
def test_a_value_lies_in_the_bucket_of_its_documented_index(bits: int, value: int) -> None:
    kind = t.Hist(bits)
    index = hist_index(value, bits)
    assert index < kind.buckets
    histogram = merge(kind, [row(kind, [index])])
    (bucket,) = histogram.buckets
    assert (bucket.low is None or bucket.low <= value) and value < bucket.high


@pytest.mark.parametrize("bits", range(6))
def test_buckets_of_powers_join_without_gap_or_overlap(bits: int) -> None:
    kind = t.Hist(bits)
    histogram = HistValue((1,) * kind.buckets, bits)
    bounds = [(b.low, b.high) for b in histogram.buckets]
    assert bounds[0] == (None, 0) and bounds[1][0] == 0 and bounds[-1][1] == 1 << 64
    assert all(before[1] == after[0] for before, after in pairwise(bounds))


@given(st.integers(-50, 50), st.integers(1, 90), st.integers(1, 12), st.integers(-200, 300))
def test_linear_buckets(low: int, span: int, step: int, value: int) -> None:
    kind = t.LHist(low, low + span, step)
    (bucket,) = merge(kind, [row(kind, [lhist_index(value, kind)])]).buckets
    assert (bucket.low is None or bucket.low <= value) and (bucket.high is None or value < bucket.high)


@given(st.lists(st.integers(0, 1 << 30), min_size=1, max_size=60), st.integers(0, 5), st.floats(0, 1))
def test_quantiles_stay_within_a_bucket_of_the_truth(values: list[int], bits: int, q: float) -> None:
    kind = t.Hist(bits)
    histogram = merge(kind, [row(kind, [hist_index(v, bits) for v in values])])
    exact = sorted(values)[max(0, -(-int(q * len(values) * 1e9) // 10**9) - 1)]
    estimate = histogram.quantile(q)
    slack = max(1, exact >> bits)
    assert exact - slack <= estimate <= exact + slack
    assert histogram.quantile(0) <= estimate <= histogram.quantile(1)


def test_quantile_of_nothing_and_of_open_buckets() -> None:
    assert zero(t.Hist(0)).quantile(0.5) is None
    assert LHistValue((1, 0, 0, 3), 0, 20, 10).quantile(0.1) == 0
    assert LHistValue((1, 0, 0, 3), 0, 20, 10).quantile(0.9) == 20
    with pytest.raises(ValueError, match="between 0 and 1"):
        zero(t.Hist(0)).quantile(99)


@given(samples)
def test_hosts_combine_as_their_cpus_would(cpus: list[list[int]]) -> None:
    kind = t.Hist(2)
    rows = [row(kind, [hist_index(v, 2) for v in cpu]) for cpu in cpus]
    whole = merge(kind, rows)
    parts = [part for r in rows if (part := merge(kind, [r])) is not None]
    assert (combine(kind, parts) if parts else None) == whole
    assert whole is None or whole.count == sum(map(len, cpus))


def test_different_buckets_do_not_add() -> None:
    with pytest.raises(ValueError, match="different buckets"):
        HistValue((1, 2), 0) + HistValue((1, 2), 1)


def test_series_merge_slots_by_interval_and_keep_the_newest() -> None:
    kind = t.TSeries(100, 3, "sum", True)

    def cpu(*slots: tuple[int, int, int]) -> bytes:
        return b"".join(struct.pack("<QqQ", *slot) for slot in slots) + bytes(24 * (3 - len(slots)))

    merged = merge(kind, [cpu((11, 5, 1), (12, 1, 1)), cpu((12, -4, 2), (9, 7, 1))])
    assert merged.slots == ((10, 5, 1), (11, -3, 3))
    assert merged.points() == ((1000, 5), (1100, -3))
    assert merged.points(until=12) == ((1000, 5), (1100, -3), (1200, None))
    assert merge(kind, [cpu()]) is None


def test_the_latest_value_wins_where_nothing_is_merged() -> None:
    kind = t.TSeries(100, 2, "", False)
    rows = [struct.pack("<QQQ", 6, 1, 1000) + bytes(24), struct.pack("<QQQ", 6, 2, 999) + bytes(24)]
    assert merge(kind, rows) == TSeriesValue(100, 2, "", ((5, 1, 1000),))


def test_an_aggregation_decodes_from_one_row() -> None:
    assert decode(t.Count(), struct.pack("<Q", 7)) == 7
    assert decode(t.Count(), bytes(8)) == 0
    assert decode(t.Avg(True), struct.pack("<qQ", -7, 2)) == AvgValue(-7, 2)
    assert decode(t.Avg(True), struct.pack("<qQ", -7, 2)).average == -3
