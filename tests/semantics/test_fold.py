"""Compile-time arithmetic against what bpftrace 0.27 computes (`$x = EXPR; print($x)`)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.diagnostics import Diagnostics
from pytrace.semantics.fold import FoldError, Value, evaluate, fold, literal, require_integer
from pytrace.syntax import ast
from tests.semantics.asts import expr

U64 = 2**64 - 1


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("-5 % 3", -2),
        ("-5 % -3", -2),
        ("5 % -3", 2),
        ("-5 / 2", -2),
        ("5 - 10", -5),
        ("1 << 63", 1 << 63),
        ("3 << 63", 1 << 63),
        (f"{U64} << 1", U64 - 1),
        ("-1 << 63", -(2**63)),
        (f"-{2**63} << 1", 0),
        ("~0", U64),
        ("~5", 18446744073709551610),
        (f"~{U64}", 0),
        ("not 5", False),
        ("not 0", True),
        ("-8 >> 1", -4),
        ("-1 > 1", False),
        (f"{U64} - 1", U64 - 1),
        (f"{2**63 - 1} + 1", 2**63),
        (f"-{2**63}", -(2**63)),
        (f"-{2**63} * -1", 2**63),
        ("-(-5)", 5),
        ("-1 & 255", 255),
        ("1 ^ -1", -2),
        (f"{U64} ^ 1", U64 - 1),
        (f"{U64} % 10", 5),
        ("2147483647 * 2", 4294967294),
        ("True + 1", 2),
        ("True == 1", True),
        ("True > False", True),
        ("True & False", False),
        ("True - True", False),
        ("5 and 0", False),
        ("0 and pid", False),
        ("1 or pid", True),
        ("'a' == 'a'", True),
        ("'a' < 'b'", True),
        ("'a' and True", True),
        ("'abc' + 1", "bc"),
        ("'abc' + 4", ""),
        ("'a' + 'b'", "ab"),
        ("'abc'[1]", 98),
        ("'abc'[3]", 0),
        (r"'\udcff'[0]", -1),
        ("'b' if 0 else 'a'", "a"),
        ("1 if '' else 2", 2),
        ("cast(uint8, 300)", 44),
        ("cast(int8, 200)", -56),
        ("cast(uint64, -1)", U64),
        ("comptime(1 + 2)", 3),
    ],
)
def test_values(text: str, value: Value) -> None:
    result = evaluate(expr(text))
    assert result == value
    assert type(result) is type(value)


@pytest.mark.parametrize(
    "text",
    [
        "1 / 0",
        "5 % 0",
        "1 << 64",
        "1 << -1",
        "1 >> 64",
        f"{U64} + 1",
        f"{U64} * 2",
        f"0 - {U64}",
        f"{U64} + -1",
        f"{U64} & -1",
        f"-1 < {U64}",
        f"-1 == {U64}",
        f"-{2**63} - 1",
        f"-{2**63 + 1}",
    ],
)
def test_no_value_in_64_bits(text: str) -> None:
    with pytest.raises(FoldError):
        evaluate(expr(text))


@pytest.mark.parametrize(
    "text", ["pid", "pid + 1", "'a' == 1", "'a' - 1", "not 'a'", "-True", "~True", "pid and 0", "'abc'[4]"]
)
def test_not_constant_or_not_for_this_pass(text: str) -> None:
    assert evaluate(expr(text)) is None


def test_fold_replaces_the_constant_parts() -> None:
    assert fold(expr("pid + (1 + 2) * 3")) == expr("pid + 9")
    assert fold(expr("f(1 - 3, v_x)")) == expr("f(-2, v_x)")
    assert fold(expr("m_x[1 + 1]")) == expr("m_x[2]")
    assert fold(expr("v_a if 1 == 1 else f(1 / 0)")) == expr("v_a")


def test_fold_keeps_what_a_literal_cannot_say() -> None:
    assert fold(expr("cast(uint8, 1 + 1)")) == expr("cast(uint8, 2)")
    assert fold(expr("cast(uint8, 1) + 1")) == expr("cast(uint8, 1) + 1")
    assert fold(expr("cast(uint8, 256) == 0")) == expr("True")


def test_fold_reports_and_leaves_what_has_no_value() -> None:
    found = Diagnostics()
    assert fold(expr("f(1 / 0)"), diagnostics=found) == expr("f(1 / 0)")
    (mistake,) = found
    assert mistake.render() == "test:1:3-8: ERROR: division by zero\nf(1 / 0)\n  ~~~~~"


def test_names_come_from_the_environment() -> None:
    class Names:
        def value(self, node: ast.Expr) -> Value | None:
            return {"AF_INET": 2}.get(node.name) if isinstance(node, ast.Identifier) else None

    assert fold(expr("args.family == AF_INET + 0"), Names()) == expr("args.family == 2")


def test_integers_that_must_be_constant() -> None:
    found = Diagnostics()
    assert require_integer(expr("4 * 25"), None, found, "the count", 1, 100) == 100
    assert not list(found)
    for text in ("pid", "101", "'x'", "1 / 0"):
        assert require_integer(expr(text), None, found, "the count", 1, 100) is None
    assert [d.message for d in found] == [
        "the count must be known at compile time",
        "the count must be between 1 and 100, not 101",
        "the count must be an integer",
        "division by zero",
    ]


@given(st.integers(-(2**63), U64) | st.booleans() | st.text(st.characters(codec="utf-8")))
def test_a_literal_evaluates_to_its_value(value: Value) -> None:
    node = literal(value, expr("x").span)
    assert evaluate(node) == value
    assert fold(node) == node


@given(st.integers(-(2**63), 2**63 - 1), st.integers(-(2**63), 2**63 - 1))
def test_division_is_that_of_c(a: int, b: int) -> None:
    """(a / b) * b + a % b == a, truncated towards zero: the remainder has the sign of a."""
    if b == 0:
        return
    quotient, remainder = evaluate(expr(f"({a}) / ({b})")), evaluate(expr(f"({a}) % ({b})"))
    assert isinstance(quotient, int)
    assert isinstance(remainder, int)
    assert quotient * b + remainder == a
    assert abs(remainder) < abs(b)
    assert remainder == 0 or (remainder < 0) == (a < 0)
