"""The kernel half's bounds of histogram buckets are those that the user half prints."""

from __future__ import annotations

import pytest

from pytrace import types as t
from pytrace.codegen.quantile import bounds
from pytrace.output.values import HistValue, LHistValue


@pytest.mark.parametrize("bits", range(6))
def test_bounds_of_powers_of_two(bits: int) -> None:
    kind = t.Hist(bits)
    value = HistValue((0,) * kind.buckets, bits)
    found = bounds(kind)
    assert len(found) == kind.buckets
    for i, (low, width) in enumerate(found[1:], 1):
        assert (low, low + width) == value.bounds(i)


def test_bounds_of_equal_steps() -> None:
    kind = t.LHist(-10, 25, 10)
    value = LHistValue((0,) * kind.buckets, -10, 25, 10)
    found = bounds(kind)
    assert len(found) == kind.buckets
    assert [(low, low + width) for low, width in found[1:-1]] == [value.bounds(i) for i in range(1, kind.buckets - 1)]
    assert found[0][0] == value.bounds(0)[1] and found[-1][0] == value.bounds(kind.buckets - 1)[0]
