"""Strings that are known only at run time are equal up to the first NUL, wherever it stands in a word, and whatever was
in their memory before."""

from __future__ import annotations

import itertools

import pytest

from tests.property.runs import run

LETTERS = "abcdefghijklmnopqrstuvw"
TEXTS = [LETTERS[:n] for n in (0, 8, 9)] + ["abcdefgX", "abcdefghX", "abcdef\u00e9"]


@pytest.mark.parametrize("room", [27, 64])
def test_equality(room: int) -> None:
    """Each text is put over a longer one, whose end stays behind its NUL in one of the two places."""
    pairs = list(itertools.product(TEXTS, TEXTS))
    cases = []
    for number, (a, b) in enumerate(pairs):
        cases.append(
            f'@a[0] = "{LETTERS}"; @b[0] = "{LETTERS[::-1]}"; @a[0] = "{a}"; @b[0] = "{b}"; '
            f"if (@a[0] == @b[0]) {{ @same[{number}] = 1; }}"
        )
    wanted = "".join(f"{number}\n" for number, (a, b) in enumerate(pairs) if a == b)
    script = f"config = {{ max_strlen = {room} }} begin {{ {' '.join(cases)} for ($kv : @same) {{ print($kv.0); }} }}"
    out, _, _ = run(script)
    assert sorted(map(int, out.split())) == sorted(map(int, wanted.split()))


@pytest.mark.parametrize("limit", (1, 7, 8, 9, 10, 15, 16))
def test_the_first_bytes(limit: int) -> None:
    a, b = LETTERS[:16], LETTERS[:9] + "X" + LETTERS[10:16]
    script = f'begin {{ @a[0] = "{a}"; @b[0] = "{b}"; print(strncmp(@a[0], @b[0], {limit})); }}'
    assert run(script)[0] == ("0\n" if a[:limit] == b[:limit] else "1\n")
