"""Every probe on every kernel: attached, fired and checked, or missing by a feature that the kernel's table lacks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kernels import matrix
from tests.kernels.cases import CASES
from tests.kernels.matrix import Column

NAMES = [case.name for case in CASES]
# What a kernel of this age has not, whatever its version says: how Debian builds it, and what emulation has not got.
LACKS = {"hardware", "override"}


@pytest.fixture(scope="session")
def columns(request: pytest.FixtureRequest) -> dict[str, Column]:
    """The outcomes on each kernel, which are all booted before the first test."""
    if os.geteuid() != 0:
        pytest.skip("loads BPF programs: needs root (./scripts/test asks for it)")
    names = [matrix.HOST, *_chosen(request.config)]
    return {column.kernel: column for column in matrix.run(names)}


def _chosen(config: pytest.Config) -> tuple[str, ...]:
    return matrix.KERNELS if config.getoption("--all-kernels") else matrix.REQUIRED


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "kernel" in metafunc.fixturenames:
        foreign = _chosen(metafunc.config)
        metafunc.parametrize("kernel", foreign if "booted" in metafunc.fixturenames else (matrix.HOST, *foreign))


@pytest.fixture
def column(kernel: str, columns: dict[str, Column]) -> Column:
    found = columns[kernel]
    if not found.outcomes and kernel not in (matrix.HOST, *matrix.REQUIRED):
        pytest.skip(f"there is no {kernel} kernel to be had: {found.error}")
    assert not found.error, found.error
    return found


@pytest.mark.parametrize("case", NAMES)
def test_case(column: Column, case: str) -> None:
    outcome = column.outcome(case)
    assert outcome is not None, "the case was not run"
    if outcome.result == "missing":
        pytest.skip(f"{column.release} has no {outcome.text}: {dict(column.features)[outcome.text]}")
    assert outcome.result == "fired", outcome.text


def test_features_are_as_old_as_the_table_says(column: Column, kernel: str) -> None:
    """A stock kernel of version X has the features that came up to X, and no others but what was taken back."""
    if kernel == matrix.HOST:
        pytest.skip("this machine's kernel may be built in any way")
    from pytrace.kernel.kernel import parse_version
    from pytrace.kernel.trials import FEATURES

    version = parse_version(column.release)[:2]
    expected = {f.name: parse_version(f.since)[:2] <= version for f in FEATURES.values() if f.name not in LACKS}
    found = {name: not why for name, why in column.features if name not in LACKS}
    late = {n for n in expected if found[n] != expected[n] and not (found[n] and parse_version(FEATURES[n].since))}
    assert not late, {n: dict(column.features)[n] for n in late}


def test_the_document_has_every_case() -> None:
    """docs/kernels.md is made by scripts/matrix; a case that was added since is missing there."""
    text = (Path(__file__).parents[2] / "docs/kernels.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[2:]] for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == [case.form for case in CASES]
    assert "**failed**" not in text
