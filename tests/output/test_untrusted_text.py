"""What a traced process calls itself must not command the terminal of who watches it, nor break a line of JSON."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pytrace import types as t
from pytrace.format import parse_format
from pytrace.output import Json, Text, decode
from pytrace.program import EventSpec

S = t.String(64)
ESCAPE = EventSpec(0, "printf", (S,), parse_format("\x1b[1m%s\n"))


def string(raw: bytes) -> str:
    value: str = decode(S, raw.ljust(64, b"\0"))
    return value


def test_terminal_shows_control_bytes_of_values_only(make_screen: Any) -> None:
    screen = make_screen(tty=True)
    screen.text.event(ESCAPE, (string(b"a\x1b]0;x\x07\x7f\t\x9b2J\xc2\x9bm\xc3\xa9\r"),))
    assert screen.out.data == b"\x1b[1ma\\x1b]0;x\\x07\\x7f\t\\x9b2J\\xc2\\x9bm\xc3\xa9\\x0d\n"


def test_a_pipe_gets_the_bytes(make_screen: Any) -> None:
    raw = b"a\x1b\xff\xc3\x9b\r"
    screen = make_screen()
    screen.text.event(ESCAPE, (string(raw),))
    assert screen.out.data == b"\x1b[1m" + raw + b"\n"


def test_characters_and_keys_are_values_too(make_screen: Any) -> None:
    screen = make_screen(tty=True)
    screen.text.event(EventSpec(0, "printf", (t.UINT64,), parse_format("%c")), (0x9B,))
    screen.map("@", S, S, [("\x1b", "\x1b")])
    screen.text.cat(b"\x1bc")
    assert screen.shown == "\\x9b@[\\x1b]: \\x1b\n\\x1bc"


def test_finished_text_is_not_for_terminals(make_screen: Any) -> None:
    assert make_screen(tty=True).text.needs_values
    assert not make_screen().text.needs_values
    assert make_screen().json.needs_values


def test_json_of_special_bytes(screen: Any) -> None:
    """begin { print("a\\xff\\x01\\t\\"\\\\\\x7f"); printf("\\x08\\x0c\\x1f\\x0b/"); }, but \\xff is U+FFFD here."""
    screen.json.event(EventSpec(0, "print", (S,)), (string(b'a\xff\x01\t"\\\x7f'),))
    screen.json.event(EventSpec(1, "print", (S,)), (string(b"\x08\x0c\x1f\x0b/\xc3\xa9\r\n"),))
    assert screen.lines == (
        '{"type": "value", "data": "a\ufffd\\u0001\\t\\"\\\\\x7f"}\n'
        '{"type": "value", "data": "\\u0008\\u000c\\u001f\\u000b/é\\r\\n"}\n'
    )


class Sink:
    def __init__(self, tty: bool) -> None:
        self.data, self._tty = b"", tty

    def write(self, data: bytes) -> None:
        self.data += data

    def isatty(self) -> bool:
        return self._tty


raw_strings = st.binary(max_size=63).filter(lambda raw: 0 not in raw)


@given(raw_strings)
def test_any_bytes_come_back_from_text(raw: bytes) -> None:
    out = Sink(False)
    Text(out, Sink(False)).event(EventSpec(0, "print", (S,)), (string(raw),))
    assert out.data == raw + b"\n"


@given(raw_strings)
def test_no_bytes_control_a_terminal(raw: bytes) -> None:
    out = Sink(True)
    Text(out, Sink(True)).event(EventSpec(0, "print", (S,)), (string(raw),))
    shown = out.data.decode("utf-8", "surrogateescape")
    assert not [c for c in shown if (ord(c) < 32 and c not in "\t\n") or 0x7F <= ord(c) < 0xA0]
    assert not [c for c in shown if 0xDC80 <= ord(c) < 0xDCA0]


@given(raw_strings, st.booleans())
def test_any_bytes_make_one_valid_line_of_json(raw: bytes, tty: bool) -> None:
    out = Sink(tty)
    Json(out, Sink(tty)).event(EventSpec(0, "print", (S,)), (string(raw),))
    assert out.data.count(b"\n") == 1
    assert json.loads(out.data.decode()) == {"type": "value", "data": raw.decode("utf-8", "replace")}
