"""Functions of a script (`fn`): what they do happens, whether or not they give a value."""

from __future__ import annotations

import pytest

from tests.conftest import Runner


@pytest.mark.parametrize("returns", [": void", "", ": int64"])
@pytest.mark.parametrize(
    ("calls", "shown", "counted"),
    [
        ("f(4);", "4", {4: 1}),
        ("f(4); f(5); f(4);", "4 5 4", {4: 2, 5: 1}),
        ("for ($i : 0..3) { f($i); }", "0 1 2", {0: 1, 1: 1, 2: 1}),
        ("if (pid > 0) { f(1); } else { f(2); }", "1", {1: 1}),
        ("g(7);", "7 8", {7: 1, 8: 1}),
    ],
)
def test_what_a_function_does_happens(
    pytrace: Runner, returns: str, calls: str, shown: str, counted: dict[int, int]
) -> None:
    end = "return 1;" if "int64" in returns else ""
    script = (
        f'fn f($x : int64) {returns} {{ printf("%d ", $x); @[$x] = count(); {end} }} '
        f"fn g($x : int64) {returns} {{ f($x); f($x + 1); {end} }} "
        f"begin {{ {calls} exit(); }}"
    )
    found = pytrace("-q", "--no-warnings", "-e", script)
    assert (found.status, found.stderr) == (0, "")
    first, *maps = [line for line in found.stdout.split("\n") if line]
    assert first == shown + " "
    assert sorted(maps) == [f"@[{key}]: {count}" for key, count in counted.items()]


@pytest.mark.parametrize("use", ["$a = f(1);", "@ = f(1);", "print(f(1));", "if (f(1)) { }"])
def test_a_function_of_no_value_has_none(pytrace: Runner, use: str) -> None:
    found = pytrace("-e", f"fn f($x : int64) : void {{ print($x); }} begin {{ {use} }}")
    assert found.status == 1
    assert "-e:1:" in found.stderr
