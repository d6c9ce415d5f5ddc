"""The books of a screen: every line that was written is shown, or counted as not shown."""

from __future__ import annotations

import re

from hypothesis import given
from hypothesis import strategies as st

from pytrace.repl.screen import BURST, RATE, Screen, safe


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def hidden_in(text: str) -> int:
    notes = re.findall(r"^… ([\d,]+) lines? (?:was|were) not shown$", text, re.MULTILINE)
    return sum(int(note.replace(",", "")) for note in notes)


@given(st.lists(st.tuples(st.lists(st.integers(0, 900), max_size=4), st.floats(0, 3), st.booleans()), max_size=12))
def test_every_line_is_shown_or_counted(rounds: list[tuple[list[int], float, bool]]) -> None:
    clock = Clock()
    screen = Screen(clock)
    written, text = 0, ""
    for sizes, pause, look in rounds:
        for size in sizes:
            lines = b"".join(b"line %d\n" % (written + i) for i in range(size))
            # A line may come in two pieces.
            screen.write(lines[: size * 3])
            screen.write(lines[size * 3 :])
            written += size
        clock.now += pause
        if look:
            text += screen.take()
    text += screen.take(last=True)
    shown = re.findall(r"^line (\d+)$", text, re.MULTILINE)
    assert screen.written == written
    assert screen.hidden == hidden_in(text)
    assert len(shown) + screen.hidden == written
    assert list(map(int, shown)) == sorted(map(int, shown))


def test_a_flood_is_shown_in_runs_of_lines_with_gaps_between() -> None:
    clock = Clock()
    screen = Screen(clock)
    text = ""
    for second in range(3):
        for i in range(10):
            screen.write(b"".join(b"%d\n" % (second * 10000 + i * 1000 + n) for n in range(1000)))
            text += screen.take()
            clock.now += 0.1
    lines = text.splitlines()
    assert lines[:BURST] == [str(n) for n in range(BURST)]
    assert lines[BURST].startswith("… ") and len(lines) < BURST + 3 * (RATE + 2)


def test_what_has_no_newline_is_shown_when_nothing_follows_it() -> None:
    clock = Clock()
    screen = Screen(clock)
    screen.write(b"50%")
    assert screen.take() == ""
    clock.now += 1
    assert screen.take() == "50%\n"
    screen.write(b"x" * 10000)
    assert screen.take() == "x" * 10000 + "\n"


def test_words_of_the_tool_are_never_hidden() -> None:
    screen = Screen(Clock())
    screen.write(b"a\n" * 10 * BURST)
    screen.say("Lost 5 events")
    text = screen.take(last=True)
    assert "\nLost 5 events\n" in text and hidden_in(text) == 9 * BURST


@given(st.text())
def test_nothing_reaches_the_terminal_that_it_would_obey(text: str) -> None:
    assert all(c.isprintable() or c in "\n\t" for c in safe(text))
    assert safe("héllo → \x1b[2J\x07\x9b") == "héllo → \\x1b[2J\\x07\\x9b"
