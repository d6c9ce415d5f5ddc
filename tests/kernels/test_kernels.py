"""Every probe on every kernel: attached, fired and checked, or missing by a feature that the kernel's table lacks."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.kernels import matrix
from tests.kernels.cases import CASES
from tests.kernels.matrix import Column

NAMES = [case.name for case in CASES]
# What these kernels have not, whatever their version: Debian builds them so, and the emulated machine has no PMU.
LACKS = {"hardware", "override"}
# 5.10 lets few functions call bpf_d_path and has no BPF among the security modules that are on; 6.1 is built without
# function probes by ftrace.
LACKS_TOO = {(5, 10): {"lsm", "d_path"}, (6, 1): {"kprobe_multi"}}


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
        metafunc.parametrize("kernel", (matrix.HOST, *_chosen(metafunc.config)))


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
    """A stock kernel has the features that had come by its version (and may have others, taken back): no trial says no
    for a reason of its own, which would excuse every case that needs the feature."""
    if kernel == matrix.HOST:
        pytest.skip("this machine's kernel may be built in any way")
    from pytrace.kernel.kernel import parse_version
    from pytrace.kernel.trials import FEATURES

    version = parse_version(column.release)[:2]
    lacks = {name for name, why in column.features if why}
    expected = {f.name for f in FEATURES.values() if parse_version(f.since)[:2] <= version}
    expected -= LACKS | LACKS_TOO.get(version, set())
    assert not {name: dict(column.features)[name] for name in expected & lacks}


def test_the_document_has_every_case() -> None:
    """docs/kernels.md is made by scripts/matrix; a case that was added since is missing there."""
    text = (Path(__file__).parents[2] / "docs/kernels.md").read_text()
    rows = [[cell.strip() for cell in line.split("|")[2:]] for line in text.splitlines() if line.startswith("| ")][1:]
    assert [row[0] for row in rows] == [case.form for case in CASES]
    assert "**failed**" not in text
