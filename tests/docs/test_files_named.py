"""Files that the documents name are there, and so is what their links lead to."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]
_NAMED = re.compile(
    r"`(?:\./)?((?:[\w.]+/)*[\w.]+\.(?:py|lark|toml)|(?:[\w.]+/)+|(?:scripts|benchmarks|tests|docs)/[\w./]+)`"
)
_LINK = re.compile(r"\]\(([^)#:\s]+)(?:#[^)]*)?\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_lead_somewhere(page: Path) -> None:
    for target in _LINK.findall(page.read_text()):
        assert (page.parent / target).exists(), target


@pytest.mark.parametrize("name", ["docs/architecture.md", "docs/internals.md", "CONTRIBUTING.md", "README.md"])
def test_files_are_there(name: str) -> None:
    named = set(_NAMED.findall((ROOT / name).read_text()))
    missing = [file for file in named if not ((ROOT / file).exists() or (ROOT / "pytrace" / file).exists())]
    assert missing == []


def test_the_architecture_names_every_room() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rooms = {p.name for p in (ROOT / "pytrace").iterdir() if (p / "__init__.py").exists()} - {"tools"}
    assert {room for room in rooms if f"`{room}/`" not in text} == set()
    assert len(set(_NAMED.findall(text))) > 50
