"""Warnings where an integer becomes one that may not have room for it and nobody wrote a cast."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Runner

# Values that are known only at run time: of a constant it is known whether it changes.
VARIABLES = "$u8 = (uint8)cpu; $u64 = (uint64)nsecs; $i8 = (int8)cpu; $i64 = (int64)nsecs; "


@pytest.mark.parametrize(
    ("statements", "casts"),
    [
        ("print($u64 + $i64);", [("uint64", "int64", "$u64")]),
        ("print($i8 & $u64);", [("uint64", "int64", "$u64")]),
        ("print($u64 < -5);", [("uint64", "int64", "$u64")]),
        ("$i64 += $u64;", [("uint64", "int64", "$u64")]),
        ("@ = $u64; @ = $i64;", [("uint64", "int64", "$u64")]),
        ("@[$u64] = 1; @[$i64] = 2;", [("uint64", "int64", "$u64")]),
        ("let $x : uint64 = $i8;", [("int8", "uint64", "$i8")]),
        ("let $x : uint8 = 200; $x += 100;", [("uint64", "uint8", "$x += 100")]),
        ("let $x : uint8 = 1; $x = $u64;", [("uint64", "uint8", "$u64")]),
        # Nothing is lost here.
        ("print($u64 + 1); print($u64 < 5); print($u8 + $i64); print($u8 == $i8); print($u64 && $i64);", []),
        ("let $x : int64 = $u8; $x = $i8; $x++; let $y : uint8 = 255; $y++; let $z : uint8 = (uint8)$u64;", []),
        ("@ = 1; @ = $i64; @u = $u64; @u = 0; print(@u > 7); @s = sum($u64); @s = sum($i64);", []),
        # The difference of two times is the one that everybody wants.
        ("@start[tid] = nsecs; @us = hist((nsecs - @start[tid]) / 1000);", []),
    ],
)
def test_casts_that_nobody_wrote(pytrace: Runner, statements: str, casts: list[tuple[str, str, str]]) -> None:
    result = pytrace("--dry-run", "-e", f"begin {{ {VARIABLES}{statements} }}")
    assert result.status == 0
    found = re.findall(
        r"^-e:1:(\d+)-(\d+): WARNING: Expression of type: (\w+) being cast to type: (\w+)\.",
        result.stderr,
        re.MULTILINE,
    )
    script = f"begin {{ {VARIABLES}{statements} }}"
    assert [(a, b, script[int(first) - 1 : int(last) - 1]) for first, last, a, b in found] == casts


def test_without_warnings_nothing_is_said(pytrace: Runner) -> None:
    result = pytrace("--no-warnings", "--dry-run", "-e", f"begin {{ {VARIABLES}print($u64 + $i64); }}")
    assert (result.status, "WARNING" in result.stderr) == (0, False)
