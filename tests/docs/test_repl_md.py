"""The sessions in docs/repl.md go as they are written there; `...` stands for lines that differ every time."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytrace.repl.commands import COMMANDS
from tests.terminal import PROMPT, Terminal

PAGE = Path(__file__).parents[2] / "docs" / "repl.md"
SESSIONS = re.findall(r"^```session\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)


def steps(session: str) -> list[tuple[str, str]]:
    """Entries, each with what is to come of it."""
    parts = re.split(rf"^{PROMPT} ", session, flags=re.MULTILINE)[1:]
    return [(entry, said.rstrip("\n")) for entry, _, said in (part.partition("\n") for part in parts)]


def as_pattern(said: str) -> str:
    """A regular expression: an ellipsis on a line of its own is any number of lines."""
    lines = (
        r"(?:[ \t]*[^\n]*(?:\n|\Z))*?" if line.strip() == "..." else re.escape(line) + r"(?:\n|\Z)"
        for line in said.split("\n")
    )
    return "".join(lines) if said else ""


@pytest.mark.skipif(os.geteuid() != 0, reason="loads BPF programs: needs root")
@pytest.mark.parametrize("session", SESSIONS, ids=range(len(SESSIONS)))
def test_session(session: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = PAGE.parents[1]
    monkeypatch.setenv("PYTHONPATH", str(root))
    monkeypatch.chdir(tmp_path)
    with Terminal(env={"XDG_STATE_HOME": str(tmp_path)}) as terminal:
        for entry, said in steps(session):
            answer = terminal.answer(entry)
            if "#1 ended" in said:  # what comes later comes above the next prompt
                terminal.wait_for(rf"^{as_pattern(said)}", 60)
            else:
                assert re.fullmatch(as_pattern(said), answer), f"{entry}\n{answer}\ninstead of\n{said}"


def test_every_command_is_described() -> None:
    assert set(re.findall(r"`:(\w+)", PAGE.read_text())) >= COMMANDS.keys()
