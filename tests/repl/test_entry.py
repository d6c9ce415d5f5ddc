"""What entries are taken for, and the scripts that are made of them."""

from __future__ import annotations

import pytest

from pytrace.diagnostics import Diagnostic, ScriptError, Source, Span
from pytrace.repl import entry as entries
from pytrace.repl.compose import compose
from pytrace.repl.errors import inline
from pytrace.syntax import parse


def read(text: str) -> entries.Entry:
    return entries.read(Source("entry", text))


@pytest.mark.parametrize(
    "text", ["interval:s:1 { @ = count(); }", "begin { }", "i:s:1 <print(@)>", "macro m($a) { $a } begin { }"]
)
def test_probes(text: str) -> None:
    assert isinstance(read(text), entries.Probes)


@pytest.mark.parametrize("text", ["macro m($a) { $a }", "config = { max_strlen = 32 }", "struct s { int a; };"])
def test_definitions(text: str) -> None:
    assert isinstance(read(text), entries.Definitions)


@pytest.mark.parametrize(
    ("text", "shown", "changing"),
    [
        ("1 << 20", "1 << 20", False),
        ("@", "@", False),
        ("$x = 5; $x + 1", "$x + 1", False),
        ("has_key(@, 1)", "has_key(@, 1)", False),
        ("pid", "pid", False),
        ("print(@)", None, False),
        ("clear(@)", None, True),
        ("delete(@, 1)", None, True),
        ("@x = 5", None, True),
        ("@x[1]++", None, True),
        ("if (pid) { @x = 1 }", None, True),
        ("$x = @y", None, False),
    ],
)
def test_statements(text: str, shown: str | None, changing: bool) -> None:
    found = read(text)
    assert isinstance(found, entries.Statements)
    assert (found.shown.text if found.shown else None, found.changing) == (shown, changing)


@pytest.mark.parametrize(
    "text", ["begin {", "print(", "1 +", "@x[1,", "interval:s:1", "macro m() {\n  1", "begin {\n }\nend {"]
)
def test_more_lines_are_needed(text: str) -> None:
    assert entries.unfinished(text)


@pytest.mark.parametrize("text", ["", ":save {", "1 + 1", "begin { }", "1 + )", "begin {\n  ", "@ @"])
def test_no_more_lines_are_needed(text: str) -> None:
    assert not entries.unfinished(text)


DEFINED = """#include <linux/fs.h>
config = { max_strlen = 32; print_maps_on_exit = 0 }
// doubles
macro twice($a) { $a * 2 }
let @m = lruhash(100);
"""


def test_scripts_are_composed_in_the_order_of_the_grammar() -> None:
    first = parse(Source("1", DEFINED + "begin { @a = 1; }"))
    second = parse(Source("2", "config = { max_strlen = 64 } macro twice($b) { $b + $b } // last\nend { print(@m); }"))
    made = parse(Source("all", compose([first, second]).whole().text))
    assert [c.text for c in made.c_definitions] == ["#include <linux/fs.h>"]
    assert made.config is not None
    assert {e.key: getattr(e.value, "value", None) for e in made.config.entries} == {
        "max_strlen": 64,
        "print_maps_on_exit": 0,
    }
    assert [type(i).__name__ for i in made.items] == ["MapDecl", "Probe", "Macro", "Probe"]
    assert made.items[2] == second.items[0]  # the later macro of the name
    assert made.probes == (*first.probes, *second.probes)


def test_places_in_a_composed_script_are_those_that_were_typed() -> None:
    known = parse(Source("known", DEFINED))
    text = "$x = 1; $x + nonsense"
    found = read(text)
    assert isinstance(found, entries.Statements)
    whole = entries.statements_text([known], found)
    parse(Source("whole", whole.text))
    at = whole.text.index("nonsense")
    span = whole.origin(at, at + 8)
    assert span is not None and span.text == "nonsense" and span.start == text.index("nonsense")
    error = ScriptError([Diagnostic(Span(Source("whole", whole.text), at, at + 8), "what is that?", "a hint")])
    lines = inline(whole.own(error, found.source), text, 9, 80).split("\n")
    assert lines == [" " * (9 + text.index("nonsense")) + "~" * 8, "ERROR: what is that?", "HINT: a hint"]


def test_mistakes_in_entries_of_several_lines_are_shown_with_their_line() -> None:
    text = "begin {\n  @x = nonsense;\n}"
    at = text.index("nonsense")
    error = ScriptError([Diagnostic(Span(Source("entry", text), at, at + 8), "what is that?")])
    assert inline(error, text, 9, 80).split("\n") == [
        "2:8-16: ERROR: what is that?",
        "  @x = nonsense;",
        "       ~~~~~~~~",
    ]
