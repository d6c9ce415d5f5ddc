"""Parameters as bpftrace 0.27 takes them (`-e 'begin { print($1) }' WORD`, `-- --name=value`)."""

from __future__ import annotations

import pytest

from pytrace.diagnostics import Diagnostics
from pytrace.semantics import params
from pytrace.syntax import ast
from tests.semantics.asts import expr, probe, script


def first_argument(text: str, *words: str, named: dict[str, params.Value] | None = None) -> tuple[ast.Node, list[str]]:
    """The argument of `print(text)` after substitution, and the diagnostics."""
    found = Diagnostics()
    result = params.substitute(script(probe(f"print({text})")), words, named or {}, found)
    (statement,) = result.probes[0].body.body
    assert isinstance(statement, ast.ExprStmt)
    assert isinstance(statement.value, ast.Call)
    return statement.value.args[0], [f"{d.severity}: {d.message}" for d in found]


@pytest.mark.parametrize(
    ("word", "value"),
    [
        ("5", "5"),
        ("0x10", "16"),
        ("010", "8"),
        ("-5", "-5"),
        ("-0x10", "-16"),
        ("1e3", "1000"),
        ("1_000", "1000"),
        ("10s", "10000000000"),
        ("5ull", "5"),
        (" 5", "5"),
        ("18446744073709551615", "18446744073709551615"),
        ("18446744073709551616", "'18446744073709551616'"),
        ("-9223372036854775809", "'-9223372036854775809'"),
        ("foo", "'foo'"),
        ("5foo", "'5foo'"),
        ("0xzz", "'0xzz'"),
        ("true", "'true'"),
        ("08", "'08'"),
    ],
)
def test_an_integer_if_it_reads_as_one(word: str, value: str) -> None:
    assert first_argument("p_1", word) == (expr(value), [])


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("str(p_1)", "str('0x10')"),
        ("str(p_1, 2)", "str('0x10', 2)"),
        ("str(p_1 + 1)", "str('x10')"),
        ("str(p_2)", "str('')"),
        ("str(p_count)", "str('1')"),
        ("p_count", "1"),
        ("p_1 + 1", "16 + 1"),
        ("strlen(str(p_1))", "strlen(str('0x10'))"),
        ("str(buf(p_1))", "str(buf(16))"),
    ],
)
def test_text_and_count(text: str, value: str) -> None:
    assert first_argument(text, "0x10") == (expr(value), [])


@pytest.mark.parametrize("words", [(), ("",)])
def test_missing_is_zero_with_a_warning(words: tuple[str, ...]) -> None:
    assert first_argument("p_1", *words) == (
        expr("0"),
        ["warning: Positional parameter $1 is empty or not provided."],
    )


def test_there_is_no_parameter_zero() -> None:
    assert first_argument("p_0", "x")[1][0] == "error: $0 is no parameter"


@pytest.mark.parametrize(
    ("point", "words", "result"),
    [
        ("interval:$1:1", ("ms",), "interval:ms:1"),
        ("interval:ms:$1$2", ("1", "0"), "interval:ms:10"),
        ("interval:ms:1$1", ("0",), "interval:ms:10"),
        ("interval:ms:$10", ("1", "0"), "interval:ms:"),
        ("$1", ("tracepoint:sched:*",), "tracepoint:sched:*"),
        ('uprobe:/bin/x:"$1"', ("a",), 'uprobe:/bin/x:"$1"'),
    ],
)
def test_in_probe_text(point: str, words: tuple[str, ...], result: str) -> None:
    found = Diagnostics()
    changed = params.substitute(script(probe(point=point)), words, {}, found)
    assert changed.probes[0].points[0].text == result
    assert not list(found)


def test_count_is_not_for_probe_text() -> None:
    found = Diagnostics()
    params.substitute(script(probe(point="interval:s:$#")), (), {}, found)
    (mistake,) = found
    assert mistake.render() == (
        "test:1:1-14: ERROR: invalid character after '$' in a probe: '#'\n"
        "interval:s:$#\n"
        "~~~~~~~~~~~~~\n"
        'HINT: quote this part if it is meant as it is, e.g. "$#"'
    )


def test_split_arguments() -> None:
    assert params.split_arguments(["1", "2"]) == (("1", "2"), {})
    assert params.split_arguments(["1", "--", "--n=3", "4", "-5", "--flag", "--n=7", "--s="]) == (
        ("1", "4", "-5"),
        {"n": "7", "flag": True, "s": ""},
    )


@pytest.mark.parametrize(
    ("text", "named", "value"),
    [
        ("getopt('aa')", {}, "False"),
        ("getopt('aa')", {"aa": True}, "True"),
        ("getopt('aa')", {"aa": "false"}, "False"),
        ("getopt('b', True)", {"b": "0"}, "False"),
        ("getopt('b', True, 'the b')", {"b": "True"}, "True"),
        ("getopt('n', 5)", {}, "5"),
        ("getopt('n', -5)", {}, "-5"),
        ("getopt('n', 1 + 2)", {}, "3"),
        ("getopt('n', 5)", {"n": "0x10"}, "16"),
        ("getopt('n', 5)", {"n": "10s"}, "10000000000"),
        ("getopt('n', 5)", {"n": 9}, "9"),
        ("getopt('s', 'def')", {}, "'def'"),
        ("getopt('s', 'def')", {"s": ""}, "''"),
        ("getopt('s', 'def')", {"s": "true"}, "'true'"),
        ("getopt('s', p_1)", {}, "'word'"),
        ("getopt(p_1, 1)", {"word": "2"}, "2"),
        ("1 + getopt('n', 5)", {}, "1 + 5"),
    ],
)
def test_named(text: str, named: dict[str, params.Value], value: str) -> None:
    assert first_argument(text, "word", named=named) == (expr(value), [])


@pytest.mark.parametrize(
    ("text", "named", "message"),
    [
        ("getopt('n', 5)", {"n": "foo"}, "--n expects an integer of at most 64 bits, got 'foo'"),
        ("getopt('n', 5)", {"n": True}, "--n expects an integer of at most 64 bits, got nothing"),
        ("getopt('n', 5)", {"n": str(2**64)}, f"--n expects an integer of at most 64 bits, got '{2**64}'"),
        ("getopt('s', 'x')", {"s": True}, "--s expects a string: --name=value"),
        ("getopt('b')", {"b": "foo"}, "--b expects a boolean (true or false), got 'foo'"),
        ("getopt('b')", {"zz": "1"}, "unexpected named parameter --zz"),
        ("getopt()", {}, "getopt() takes one to three arguments (0 given)"),
        ("getopt('n', 1, 'd', 2)", {}, "getopt() takes one to three arguments (4 given)"),
        ("getopt(1)", {}, "The first argument of getopt() must be a string literal"),
        ("getopt('n', pid)", {}, "The default of getopt() must be a string, integer or boolean literal"),
        ("getopt('n', 1, 2)", {}, "The third argument of getopt() must be a string literal"),
        ("(getopt('n', 5), getopt('n', 6))", {}, "The default of parameter 'n' must be the same wherever it is used"),
        (
            "(getopt('n', 1), getopt('n', True))",
            {},
            "The default of parameter 'n' must be the same wherever it is used",
        ),
    ],
)
def test_named_mistakes(text: str, named: dict[str, params.Value], message: str) -> None:
    assert first_argument(text, named=named)[1] == [f"error: {message}"]


def test_a_mistake_of_the_command_line_shows_it() -> None:
    found = Diagnostics()
    params.substitute(script(probe("print(getopt('count', 5))")), (), {"cuont": "7"}, found)
    (mistake,) = found
    assert mistake.render() == (
        "command line:1:1-10: ERROR: unexpected named parameter --cuont\n"
        "--cuont=7\n~~~~~~~~~\nHINT: did you mean '--count'?"
    )


def test_help() -> None:
    text = "f(getopt('aa'), getopt('num', 5, 'how many'), getopt('s', p_1), getopt('num', 5))"
    found = params.options(script(probe(text)), ("word",))
    assert [(o.name, o.default, o.description) for o in found] == [
        ("aa", False, ""),
        ("num", 5, "how many"),
        ("s", "word", ""),
    ]
    assert params.help_text(found, "x.pt") == (
        "Named parameters of x.pt (after --):\n"
        "  --aa        (default false)\n"
        "  --num=INT   how many (default 5)\n"
        "  --s=STRING  (default 'word')\n"
    )
    assert params.help_text([], "x.pt") == "x.pt takes no named parameters.\n"


def test_whether_a_script_has_parameters() -> None:
    assert not params.uses_parameters(script(probe("print(1)")))
    for text in ("print(p_1)", "print(p_count)", "print(getopt('x'))"):
        assert params.uses_parameters(script(probe(text)))
    assert params.uses_parameters(script(probe(point="interval:s:$1")))
