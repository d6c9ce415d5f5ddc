"""Every script of the corpus makes in pytrace what it makes in bpftrace, or what its entry says and explains.

`scripts/differential` asks bpftrace again.
"""

from __future__ import annotations

import os
import queue
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.differential.cases import CORPUS, SCRIPT, Case, Outcome, agree, places, read, written
from tests.differential.worker import Worker

CASES = {f"{path.stem}: {case.name}": case for path in sorted(CORPUS.glob("*.txt")) for case in read(path)}


@pytest.fixture(scope="module")
def outcomes(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[dict[str, Future[Outcome]]]:
    """What comes of each selected case; all of them are under way at once, on all processors."""
    names = [
        str(item.callspec.params["name"])
        for item in request.session.items
        if isinstance(item, pytest.Function) and item.module is request.module and "name" in item.fixturenames
    ]
    count = len(os.sched_getaffinity(0))
    workers: queue.Queue[Worker] = queue.Queue()
    for _ in range(count):
        workers.put(Worker())

    def run(name: str, directory: Path) -> Outcome:
        case = CASES[name]
        (directory / SCRIPT).write_text(case.script)
        worker = workers.get()
        try:
            stdout, stderr, status = worker.run(case.words, case.environment, directory)
        finally:
            workers.put(worker)
        assert "Traceback" not in stderr
        assert "itself failed" not in stderr, stderr
        return Outcome(stdout, status, places(stderr))

    with ThreadPoolExecutor(count) as pool:
        yield {name: pool.submit(run, name, tmp_path_factory.mktemp("case")) for name in names}
        pool.shutdown(cancel_futures=True)
    while not workers.empty():
        workers.get().close()


@pytest.mark.skipif(os.geteuid() != 0, reason="loads BPF programs: needs root (./scripts/test asks for it)")
@pytest.mark.parametrize("name", CASES)
def test_means_what_it_means_in_bpftrace(name: str, outcomes: dict[str, Future[Outcome]]) -> None:
    expected, outcome = CASES[name].expected, outcomes[name].result()
    assert outcome.stdout == expected.stdout
    assert (outcome.status, outcome.errors) == (expected.status, expected.errors)


def test_differences_are_explained() -> None:
    assert len(CASES) >= 300
    for name, case in CASES.items():
        if case.peer is not None and not case.because:
            assert agree(case.expected, case.peer), name
        assert (case.peer != case.expected) if case.because else True, name


def test_what_is_written_reads_the_same(tmp_path: Path) -> None:
    outcome = Outcome(stdout="a\n\n\n", status=3)
    cases = [
        Case("one", "begin { }\n", params=("a b", "--", "-x=1"), env=("A=b c",), expected=outcome),
        Case("two", "begin {\n}\n\n", expected=Outcome("cut"), peer=Outcome("", 1, ("1:2-3",)), because="So it is."),
    ]
    file = tmp_path / "cases.txt"
    file.write_text(written(cases))
    assert read(file) == cases
