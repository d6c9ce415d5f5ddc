"""Every example of the language reference, the tutorial, the internals and the README is run."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytrace.diagnostics import Source
from pytrace.kernel import Kernel
from pytrace.syntax import parse
from tests.conftest import Runner

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

if TYPE_CHECKING:
    examples: Any
else:
    import examples

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loads BPF programs: needs root (./scripts/test asks for it)")
PAGES = ("README.md", "docs/language.md", "docs/tutorial.md", "docs/internals.md")
ALL = [e for page in PAGES for e in examples.examples(page)]
README = (ROOT / "README.md").read_text()


def name(example: Any) -> str:
    return f"{Path(example.page).stem}:{example.line}"


SCRIPTS = [e for e in ALL if e.kind == "pytrace"]
CONSOLES = [e for e in ALL if e.kind == "console"]


def test_there_are_examples() -> None:
    assert len(SCRIPTS) >= 20
    assert len(CONSOLES) >= 12


def test_each_script_is_in_the_language() -> None:
    for example in SCRIPTS:
        assert parse(Source(name(example), example.text)).probes


@pytest.mark.parametrize("example", SCRIPTS, ids=name)
def test_a_script(example: Any, tmp_path: Path) -> None:
    if example.mark and not Kernel.running().features.has(example.mark):
        pytest.skip(f"this kernel lacks {example.mark}: {Kernel.running().features.why(example.mark)}")
    status, stdout, stderr = examples.run_script(example, tmp_path, *([] if example.output else ["--dry-run"]))
    assert status == 0, stderr
    assert "ERROR" not in stderr
    if example.output:
        assert stdout == example.output.strip("\n")


@pytest.mark.parametrize("example", CONSOLES, ids=name)
def test_commands(example: Any, tmp_path: Path) -> None:
    assert example.commands
    for command, expected in example.commands:
        status, output = examples.run_command(command, tmp_path)
        assert status == 0, output
        assert "ERROR" not in output
        if example.mark != "varies":
            assert output == expected.strip("\n")
        else:
            assert output
            assert set(marks(expected)) <= set(marks(output))


def marks(output: str) -> Iterator[str]:
    """The names of maps at the beginning of lines."""
    yield from re.findall(r"^@\w*(?=[:\[])", output, re.MULTILINE)


def test_the_python_of_the_readme(tmp_path: Path) -> None:
    (example,) = re.findall(r"^```python\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)
    assert "time.sleep(5)" in example
    script = tmp_path / "example.py"
    script.write_text(example.replace("time.sleep(5)", "time.sleep(0.1)\n    open(__file__).close()"))
    done = subprocess.run(
        [sys.executable, script],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.stderr == ""
    assert "'python" in done.stdout


ONE_LINERS = [
    part.strip()
    for part in README.partition("## Ten one-liners")[2].partition("```\n")[2].partition("```\n")[0].split("\n\n")
]


def test_the_readme_has_ten_one_liners() -> None:
    assert len(ONE_LINERS) == 10


@pytest.mark.parametrize("text", ONE_LINERS, ids=lambda t: t.splitlines()[0].removeprefix("# "))
def test_a_one_liner_of_the_readme(text: str, pytrace: Runner) -> None:
    """It attaches, runs until it ends or is asked to, and ends well."""
    command = "\n".join(line for line in text.splitlines() if not line.startswith("#"))
    words = shlex.split(command.replace(" 1234", f" {os.getpid()}"))
    assert words[0] == "pytrace"
    running = pytrace.start(*words[1:]).attached()
    ends = "-c" in words or "iter:" in command
    result = running.finish(None) if ends else running.finish()
    assert result.status == 0, result.stderr
    assert "ERROR" not in result.stderr
