"""The reference of the functions is made from what there is, and is current."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from pytrace.diagnostics import Source
from pytrace.functions import REGISTRY
from pytrace.functions.reference import ORDER, plain
from pytrace.syntax import parse

ROOT = Path(__file__).parent.parent.parent


def test_the_page_is_current() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "gendocs", "--check", "reference"], capture_output=True, text=True
    )
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_entry_says_what_a_reader_needs(name: str) -> None:
    f = REGISTRY[name]
    assert f.signature.split("(")[0].split()[-1] == name
    assert f.doc.endswith(".")
    assert f.group in ORDER
    assert name.removesuffix("N") in f.example
    assert parse(Source("example", f.example)).probes


def test_help_of_one_function_has_its_example_and_of_all_has_every_signature() -> None:
    assert REGISTRY["str"].example in plain(["str"])
    everything = plain()
    assert all(f.signature in everything for f in REGISTRY.values())


def test_help_on_the_command_line() -> None:
    command = [sys.executable, "-m", "pytrace", "--help-functions"]
    known = subprocess.run([*command, "strlen"], capture_output=True, text=True, cwd=ROOT)
    assert known.returncode == 0 and known.stdout.startswith(REGISTRY["strlen"].signature)
    unknown = subprocess.run([*command, "strlem"], capture_output=True, text=True, cwd=ROOT)
    assert unknown.returncode == 1 and "did you mean strlen?" in unknown.stderr
