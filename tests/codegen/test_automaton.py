"""Automata say of every text what Python's own search and pattern matching say."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.codegen.automaton import TooLarge, finder, glob

TEXT = st.text("abc/", max_size=30).map(str.encode)


@given(TEXT, st.text("abc/", min_size=1, max_size=6).map(str.encode))
def test_finder(text: bytes, needle: bytes) -> None:
    assert finder(needle).accepts(text) == (needle in text)


@given(TEXT, st.text("abc/*?", max_size=8))
def test_glob(text: bytes, pattern: str) -> None:
    assert glob(pattern.encode()).accepts(text) == bool(re.fullmatch(fnmatch.translate(pattern), text.decode()))


@pytest.mark.parametrize(
    ("pattern", "yes", "no"),
    [
        ("[a-c]x", ("ax", "cx"), ("dx", "a", "axx")),
        ("[!a-c]", ("d", "-"), ("a", "")),
        ("[^a]", ("b",), ("a",)),
        ("[]a]", ("]", "a"), ("b",)),
        ("[a-]", ("a", "-"), ("b",)),
        (r"a\*b", ("a*b",), ("axb",)),
        ("a[b", ("a[b",), ("ab",)),
        ("*.conf", (".conf", "a.conf", "a.conf.conf"), ("a.con", "a.conf.")),
        ("", ("",), ("a",)),
    ],
)
def test_glob_by_hand(pattern: str, yes: tuple[str, ...], no: tuple[str, ...]) -> None:
    machine = glob(pattern.encode())
    assert [text for text in yes if not machine.accepts(text.encode())] == []
    assert [text for text in no if machine.accepts(text.encode())] == []


def test_tables_are_whole_and_lead_nowhere_else() -> None:
    machine = finder(b"abab")
    assert len(machine.table) == 512 * machine.padded and machine.padded >= machine.states
    targets = {int.from_bytes(machine.table[i : i + 2], "little") for i in range(0, 512 * machine.states, 2)}
    assert targets <= set(range(machine.final + 2))


def test_a_pattern_that_would_explode_is_refused() -> None:
    with pytest.raises(TooLarge):
        glob(b"*a" + b"?" * 12)
