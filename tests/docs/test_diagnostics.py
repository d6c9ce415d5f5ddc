"""docs/diagnostics.md: each script of tests/docs/diagnostics is refused for one reason, and the page says which."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "diagnostics.md"
sys.path.insert(0, str(ROOT / "scripts" / "lib"))

if TYPE_CHECKING:
    diagnostics: Any
else:
    import diagnostics

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="finding tracepoints needs root (./scripts/test asks for it)")
CORPUS = diagnostics.corpus()


def test_there_are_many_rules() -> None:
    assert len([w for w in CORPUS if w.section != "Warnings"]) >= 100


@pytest.mark.parametrize("wrong", CORPUS, ids=lambda w: w.name)
def test_a_script_breaks_one_rule(wrong: Any) -> None:
    said = diagnostics.say(wrong)
    assert said.severity == ("warning" if wrong.section == "Warnings" else "error")
    assert len(said.messages) == 1


def test_the_page_is_current() -> None:
    check = [sys.executable, str(ROOT / "scripts" / "gendocs"), "--check", "diagnostics"]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.returncode == 0


def test_the_example_at_the_top() -> None:
    example = PAGE.read_text().split("```")[1].strip().splitlines()
    command, *expected = example
    script = command.split("'")[1]
    done = subprocess.run(
        [sys.executable, "-m", "pytrace", "-e", script], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert done.stderr.splitlines() == expected
