"""The line of percentiles below histograms, on request."""

from __future__ import annotations

import re

from tests.conftest import Runner

VALUES = "begin { @ = lhist(5, 0, 100, 1); unroll(98) { @ = lhist(20, 0, 100, 1); } @ = lhist(70, 0, 100, 1); }"


def test_a_line_of_percentiles_is_there_when_it_is_asked_for(pytrace: Runner) -> None:
    shown = pytrace("-q", "-e", f"config = {{ percentiles = true }} {VALUES}").stdout
    assert re.search(r"\|\np50 20  p90 20  p99 20\n\n", shown), shown
    assert "p50" not in pytrace("-q", "-e", VALUES).stdout


def test_the_environment_can_ask_for_it(pytrace: Runner) -> None:
    assert "p99" in pytrace("-q", "-e", VALUES, env={"PYTRACE_PERCENTILES": "1"}).stdout
