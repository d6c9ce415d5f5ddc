"""`pytrace FILE -- --help`."""

from __future__ import annotations

from pathlib import Path

from tests.conftest import Runner


def test_parameters_of_a_script_and_of_what_it_imports(pytrace: Runner, tmp_path: Path) -> None:
    (tmp_path / "more.pt").write_text('#define FIVE 5\nmacro shown() { print(getopt("limit", FIVE, "how many")); }\n')
    script = tmp_path / "main.pt"
    script.write_text('import "more.pt";\nbegin { shown(); print(getopt("all")); }\n')
    result = pytrace(script, "--", "--help")
    assert (result.status, result.stderr) == (0, "")
    assert [line.split() for line in result.stdout.splitlines()[1:]] == [
        ["--limit=INT", "how", "many", "(default", "5)"],
        ["--all", "(default", "false)"],
    ]


def test_mistakes_of_the_script_come_first(pytrace: Runner) -> None:
    result = pytrace("-e", 'begin { print(getopt("all") }', "--", "--help")
    assert result.status == 1
    assert result.stderr.startswith("-e:1:")
    assert result.stdout == ""
