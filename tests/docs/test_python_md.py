"""Every example of docs/python.md runs, and satisfies a strict type checker."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "python.md").read_text()
EXAMPLES = re.findall(r"^```python\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
EXPECTED = {
    "print(t.evaluate(": "\n10\n",
    "cuont": "cuont();",
    "sched_process_exec": "tracepoint:sched:sched_process_exec",
}
"""What must be in the output of the example that has a text."""


@pytest.fixture
def busy() -> Iterator[None]:
    """A machine on which things happen: programs start, files are opened."""
    over = threading.Event()

    def work() -> None:
        while not over.is_set():
            subprocess.run(["true"], check=True)
            time.sleep(0.01)

    thread = threading.Thread(target=work)
    thread.start()
    yield
    over.set()
    thread.join()


def test_there_are_examples() -> None:
    assert len(EXAMPLES) >= 9


@pytest.mark.skipif(os.geteuid() != 0, reason="loads BPF programs: needs root (./scripts/test asks for it)")
@pytest.mark.usefixtures("busy")
@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_an_example_runs(example: str, tmp_path: Path) -> None:
    script = tmp_path / "example.py"
    script.write_text(example.replace("time.sleep(5)", "time.sleep(0.2)").replace("/tmp/", f"{tmp_path}/"))
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    assert done.stdout
    for mark, output in EXPECTED.items():
        if mark in example:
            assert output in done.stdout


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("examples")
    paths = [directory / f"example{i}.py" for i in range(len(EXAMPLES))]
    for path, example in zip(paths, EXAMPLES, strict=True):
        path.write_text(example)
    return paths


def test_mypy_accepts_the_examples(written: list[Path]) -> None:
    cache = Path(sys.prefix) / ".mypy_cache"
    check = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(cache)]
    done = subprocess.run(
        [*check, "--config-file", str(ROOT / "pyproject.toml"), *map(str, written)],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout.startswith("Success"), done.stdout + done.stderr


def test_mypy_would_complain(tmp_path: Path) -> None:
    path = tmp_path / "wrong.py"
    path.write_text('import pytrace\nwith pytrace.trace(5) as t:\n    t.attach("begin { }").nosuch\n')
    cache = Path(sys.prefix) / ".mypy_cache"
    check = [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "--cache-dir", str(cache)]
    done = subprocess.run([*check, str(path)], cwd=ROOT, capture_output=True, text=True, check=False)
    assert 'Argument 1 to "trace"' in done.stdout
    assert "nosuch" in done.stdout


def test_pyright_accepts_the_examples(written: list[Path], tmp_path: Path) -> None:
    """By basedpyright, which is pyright as a package that brings all it needs, in pyright's own strict mode."""
    project = {"typeCheckingMode": "strict", "include": [str(p) for p in written], "extraPaths": [str(ROOT)]}
    (tmp_path / "pyrightconfig.json").write_text(json.dumps(project))
    done = subprocess.run(
        [sys.executable, "-m", "basedpyright", "--project", str(tmp_path), "--pythonpath", sys.executable],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout
