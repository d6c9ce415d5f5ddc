"""Scripts that need more of a BPF program than the kernel gives: what fits some other way runs, the rest is refused."""

from __future__ import annotations

import os

import pytest

from pytrace.compiler import compile_script
from pytrace.diagnostics import ScriptError
from tests.conftest import Runner

MANY = range(100)

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loads BPF programs: needs root (./scripts/test asks for it)")


def run(pytrace: Runner, body: str) -> str:
    result = pytrace("-q", "--no-warnings", "-e", f"begin {{ {body} }}")
    assert (result.status, result.stderr) == (0, ""), result
    return result.stdout


def test_more_arguments_than_fit_on_the_stack(pytrace: Runner) -> None:
    """Each `pid` is a call, which no value outlives in a register."""
    text = " ".join("%d" for _ in MANY)
    out = run(pytrace, f'printf("{text}\\n", {", ".join(f"pid + {i}" for i in MANY)});')
    values = [int(word) for word in out.split()]
    assert values == [values[0] + i for i in MANY]


def test_more_variables_than_fit_on_the_stack(pytrace: Runner) -> None:
    made = " ".join(f"$a{i} = (pid, {i});" for i in MANY)
    out = run(pytrace, f"{made} {' '.join(f'print($a{i});' for i in reversed(MANY))}")
    pid = out.split(",")[0].lstrip("(")
    assert out.split("\n")[:100] == [f"({pid}, {i})" for i in reversed(MANY)]


def test_more_variables_in_a_loop_than_fit_into_its_frame(pytrace: Runner) -> None:
    made = " ".join(f"$a{i} = (int64)pid; $b{i} = {i};" for i in MANY)
    loop = " ".join(f"$a{i} -= (int64)pid; $b{i} += $i;" for i in MANY)
    shown = " ".join(f"print($a{i} + $b{i});" for i in MANY)
    assert run(
        pytrace,
        f"{made} for ($i : 0..4) {{ if ($i == 3) {{ break; }} {loop} $p = (int64)pid; "
        + " ".join(f"$a{i} += $i == 2 ? 2 * $p : 0;" for i in MANY)
        + f" }} {shown}",
    ).split() == [str(3 + i) for i in MANY]


def refused(script: str) -> list[tuple[int, str]]:
    with pytest.raises(ScriptError) as error:
        compile_script(script)
    return [(d.span.start, d.message) for d in error.value.diagnostics]


def test_more_maps_than_a_program_may_use() -> None:
    maps = " ".join(f"@m{i}[1] = {i};" for i in MANY)
    (found,) = refused(f"begin {{ @other = 1; }} begin {{ {maps} }}")
    assert found[0] == len("begin { @other = 1; } ")
    assert "the kernel allows a BPF program 64" in found[1]
    half = [" ".join(f"@m{i}[1] = {i};" for i in part) for part in (MANY[:50], MANY[50:])]
    assert compile_script(f"begin {{ {half[0]} }} begin {{ {half[1]} }}").progs


def test_loops_and_functions_that_are_nested_too_deeply() -> None:
    loops = "".join(f"for ($i{i} : 0..2) {{ " for i in range(9)) + "@++;" + "}" * 9
    (found,) = refused(f"begin {{ {loops} }}")
    assert found == (0, "loops and functions are nested 9 deep here; the kernel allows 7")


def test_a_function_that_calls_itself() -> None:
    text = "fn g($a : int64) : int64 { return f($a); } fn f($a : int64) : int64 { return g($a - 1); } begin { f(1); }"
    assert refused(text) == [(text.index("g($a - 1)"), "g() comes to call itself here")]
