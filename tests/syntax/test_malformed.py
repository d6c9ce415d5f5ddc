"""Whatever the text, parsing ends in a script or in ScriptError, soon, and says where."""

from __future__ import annotations

import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytrace.diagnostics import ScriptError, Source
from pytrace.syntax import parse, parse_expression, parse_statements, print_script
from pytrace.syntax.lexer import MAX_DEPTH, MAX_ERRORS
from tests.syntax.test_round_trip import CANONICAL, WRITTEN

SCRIPTS = [
    WRITTEN,
    CANONICAL,
    "tracepoint:syscalls:sys_enter_openat < @[comm, str(args.filename)] = count(); >\n"
    "end < print(@, 5, 2); clear(@); >",
    "kprobe:vfs_read /pid == $1 && arg2 / 2 > 16/ { @start[tid] = nsecs; }\nkretprobe:vfs_read /@start[tid]/ "
    "{ $d = (nsecs - @start[tid]) / 1e3; @us = lhist($d, 0, 2000, 200); delete(@start, tid); }",
    "config = { max_map_keys=10 }\nstruct a { int x; };\nuprobe:/bin/bash:readline, uprobe:libc:malloc < "
    'if ((struct a *)arg0)->x > (1) { printf("%s\\n", str(arg0)); } else { unroll(5) { $i++ } } >',
]
ALPHABET = "<>{}()[]/;,:.=+-*&|!?\"'\\@$# \n\t09afxé\0\x7f\udcff"


def outcome(text: str) -> str:
    """What became of a text: "parsed" or the rendered diagnostics. Anything but ScriptError is let through."""
    try:
        tree = parse(Source("fuzz", text))
    except ScriptError as error:
        assert 0 < len(error.diagnostics) <= MAX_ERRORS
        for diagnostic in error.diagnostics:
            assert 0 <= diagnostic.span.start <= diagnostic.span.end <= len(text) + 1
            assert diagnostic.message
            assert "\0" not in diagnostic.render()
        return str(error)
    assert parse(Source("again", print_script(tree))) == tree
    return "parsed"


def mutated(choose: random.Random, text: str) -> str:
    for _ in range(choose.randint(1, 4)):
        at = choose.randrange(len(text) + 1)
        end = min(len(text), at + choose.choice([0, 1, 1, 2, 5, 30]))
        match choose.randrange(5):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                text = text[:at] + "".join(choose.choices(ALPHABET, k=choose.randint(1, 3))) + text[end:]
            case 2:
                text = text[:at] + text[at:end] * 2 + text[end:]
            case 3:
                other = choose.randrange(len(text) + 1)
                text = text[:at] + text[other : other + 10] + text[at:]
            case 4:
                text = text[:at]
    return text


def test_mutations_of_good_scripts() -> None:
    choose = random.Random(7)
    outcomes = [outcome(mutated(choose, choose.choice(SCRIPTS))) for _ in range(600)]
    assert sum(o != "parsed" for o in outcomes) > 300


def test_truncations() -> None:
    for text in SCRIPTS[2:]:
        for end in range(len(text)):
            outcome(text[:end])


def test_random_bytes() -> None:
    choose = random.Random(3)
    for _ in range(400):
        data = choose.randbytes(choose.randint(0, 200))
        outcome(data.decode("utf-8", "surrogateescape"))
        outcome("begin { " + data.decode("latin-1"))


@given(st.text(st.sampled_from(ALPHABET), max_size=60))
@settings(max_examples=400, deadline=None)
def test_random_punctuation(text: str) -> None:
    for wrapped in (
        text,
        f"begin {{ {text}",
        f"kprobe:f < {text} >",
        f"kprobe:f /{text}/ {{ }}",
        f"struct s {{ {text}",
    ):
        outcome(wrapped)
    for door in (parse_expression, parse_statements):
        try:
            door(Source("fuzz", text))
        except ScriptError as error:
            assert error.diagnostics


@pytest.mark.parametrize(
    "unit",
    [
        "(", "[", "{", "<", "/", ">", "}", ")", "\"", "'", "/*", "//", "*", "-", "!", "a", "1", "$", "@", "#", ";",
        ",", ":", "a:", "f(", "@[", "x?", "x?:", "1+", "a.", "é", "\0", "\\", "\"\\", "struct ", "struct {",
        "if 1 {", "else ", "begin {", "begin < ", "a /", "a <", "(a)", "(a*", "(struct a", "sizeof(", "1,",
        "begin {} ", "$x = ", "f(); ", "{ ", "/* */", " ", "\n", "(a[ ", "a\n", "#x\n", "<f();>", "a > ", "(a ",
        "x=", "/**/", "* /", "f(a*",
    ],
)  # fmt: skip
@pytest.mark.parametrize("prefix", ["", "begin { ", "kprobe:f < ", "kprobe:f /", "begin { $x = ", "begin { (a["])
def test_long_repetition_ends_soon(unit: str, prefix: str) -> None:
    outcome(prefix + unit * (10_000 // len(unit)))


@pytest.mark.parametrize("size", [30_000, 100_000])
def test_garbage_of_100_kb(size: int) -> None:
    choose = random.Random(size)
    assert outcome("".join(choose.choices(ALPHABET, k=size))) != "parsed"
    assert outcome(choose.randbytes(size).decode("latin-1")) != "parsed"


@pytest.mark.parametrize(
    ("opening", "middle", "closing"),
    [
        ("(", "1", ")"),
        ("- ", "1", ""),
        ("!", "1", ""),
        ("", "1", " + 1"),
        ("", "1", " || 1"),
        ("1 + (", "1", ")"),
        ("f(", "1", ")"),
        ("{ ", "1", " }"),
        ("(1, ", "1", ")"),
        ("$x ? 1 : ", "1", ""),
        ("(uint8)", "1", ""),
        ("@[", "1", "]"),
        ("", "$x", ".y"),
        ("", "$x", "[1]"),
        ("if 1 { ", "1", " } else { 2 }"),
        ("if 1 { 1 } else ", "if 2 { 3 } else { 4 }", ""),
        ("sizeof(", "1", ")"),
    ],
)
def test_deep_nesting_is_refused_not_fatal(opening: str, middle: str, closing: str) -> None:
    deep = opening * 20_000 + middle + closing * 20_000
    result = outcome(f"begin {{ $r = {deep}; }}")
    assert "nested too deeply" in result
    bearable = opening * (MAX_DEPTH // 5) + middle + closing * (MAX_DEPTH // 5)
    assert outcome(f"begin {{ $r = {bearable}; }}") == "parsed"


def test_deep_statements_are_refused_not_fatal() -> None:
    for opening, closing in (("{ ", " }"), ("if 1 { ", " }"), ("while (1) { ", " }"), ("if 1 {} else ", "{}")):
        for depth in (20_000, 1000):
            assert "nested too deeply" in outcome("begin { " + opening * depth + closing * depth + " }")
    assert "nested too deeply" in outcome("begin { " + "if 1 {} else " * 1000 + "{} }")


def test_long_scripts_are_not_deep() -> None:
    assert outcome("begin { " + "$x = 1; " * 5000 + "}") == "parsed"
    assert outcome("begin { f(); } " * 2000) == "parsed"
    assert outcome("begin { f(" + "1, " * 5000 + "1); }") == "parsed"
    assert outcome("kprobe:f, " * 5000 + "kprobe:g { }") == "parsed"


@pytest.mark.parametrize(
    "unit", ["1.5; ", "09; ", r'"\q"; ', "f()++; ", "$x = {}; ", "1 = 2; ", "$a[1, 2]; ", "$0; ", "@x[] ;"]
)
def test_many_mistakes_of_one_kind(unit: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(Source("-e", "begin { " + unit * 5000 + "}"))
    assert len(caught.value.diagnostics) == MAX_ERRORS
