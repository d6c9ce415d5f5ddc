"""What `print()` of a map shows is of the moment at which the script printed it."""

from __future__ import annotations

import os

import pytest

from tests.conftest import Runner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loads BPF programs: needs root (./scripts/test asks for it)")


@pytest.mark.parametrize(
    "value, expected",
    [
        ("$i", ["0", "1", "2"]),
        ("($i, 5)", ["(0, 5)", "(1, 5)", "(2, 5)"]),
        ('$i == 1 ? "one" : "other"', ["other", "one", "other"]),
        ("(int8)-$i", ["0", "-1", "-2"]),
        ("count()", ["1", "2", "3"]),
        ("sum($i + 1)", ["1", "3", "6"]),
        ("sum(-$i)", ["0", "-1", "-3"]),
        ("min(-$i)", ["0", "-1", "-2"]),
        ("max($i)", ["0", "1", "2"]),
        ("avg($i * 2)", ["0", "1", "2"]),
        (
            "stats($i)",
            [f"{{ .count = {n}, .average = {a}, .total = {t} }}" for n, a, t in ((1, 0, 0), (2, 0, 1), (3, 1, 3))],
        ),
    ],
)
def test_a_scalar(pytrace: Runner, value: str, expected: list[str]) -> None:
    result = pytrace("-q", "--no-warnings", "-e", f"begin {{ for ($i : 0..3) {{ @m = {value}; print(@m); }} exit(); }}")
    assert (result.status, result.stderr) == (0, "")
    lines = [line for line in result.stdout.split("\n") if line]
    assert lines == [f"@m: {value}" for value in [*expected, expected[-1]]]


def test_what_is_emptied_in_between(pytrace: Runner) -> None:
    """`clear()` and `zero()` act in the order of the records, and so do prints beside them."""
    script = (
        "begin { @n = 1; print(@n); clear(@n); print(@n); @c = count(); print(@c); zero(@c); print(@c); "
        "@d = 5; $gone = delete(@d); print(@d); @d = 6; print(@d); exit(); }"
    )
    result = pytrace("-q", "-e", script)
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.split() == [
        "@n:",
        "1",
        "@n:",
        "0",
        "@c:",
        "1",
        "@c:",
        "0",
        "@d:",
        "0",
        "@d:",
        "6",
        "@c:",
        "0",
        "@d:",
        "6",
    ]


def test_one_key_of_a_histogram(pytrace: Runner) -> None:
    keys = 'begin { for ($i : 0..3000) { @h[$i, "key"] = hist($i); @s[$i] = stats($i); } '
    result = pytrace(
        "-q",
        "--no-warnings",
        "-e",
        keys + 'print(@h[7, "key"]); print(@h[7, "none"]); print(@s[9]); clear(@h); clear(@s); }',
    )
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.split() == [
        "@h[7,",
        "key]:",
        "[4,",
        "8)",
        "1",
        "|" + 52 * "@" + "|",
        *["{", ".count", "=", "1,", ".average", "=", "9,", ".total", "=", "9", "}"],
    ]
