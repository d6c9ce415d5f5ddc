"""Every function of the registry, run for real."""

from __future__ import annotations

import re
import shlex
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.compiler import analyse, compile_script
from pytrace.diagnostics import ScriptError
from pytrace.functions import REGISTRY
from pytrace.kernel import Kernel
from pytrace.options import Options
from pytrace.output import Text
from pytrace.runtime import Child, Session, Symbols
from tests.live.functions.cases import CASES, TARGET, Case


class Sink:
    """Collects what is written."""

    def __init__(self) -> None:
        self.data = b""

    def write(self, data: bytes) -> None:
        self.data += data

    def isatty(self) -> bool:
        return False


def run(case: Case, target: Path) -> tuple[str, str, int]:
    """Standard output, standard error with all diagnostics, and exit status of a script."""
    out, err = Sink(), Sink()
    script, command = (text.replace("{target}", str(target)) for text in (case.script, case.command))
    child = Child(shlex.split(command)) if command else None
    try:
        options = Options(unsafe=True, cpid=child.pid if child else 0)
        try:
            program = compile_script(script, options=options, native=False)
        except ScriptError as error:
            return "", str(error), 1
        kernel = Kernel.running()
        symbols = Symbols(kernel)
        with Session(program, output=Text(out, err, symbols), symbols=symbols, child=child) as session:
            status = session.run()
    finally:
        if child is not None:
            child.close()
    said = [line for line in err.data.decode().splitlines() if not line.startswith("Attached ")]
    return out.data.decode(), "\n".join(said), status


@pytest.fixture(scope="module")
def target(compile_c: Callable[..., Path]) -> Path:
    return compile_c(TARGET)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_every_function_has_a_case(name: str) -> None:
    assert name in CASES


@pytest.mark.parametrize(
    "case", [pytest.param(case, id=f"{name}-{i}") for name, cases in CASES.items() for i, case in enumerate(cases)]
)
def test_function(case: Case, target: Path) -> None:
    features = Kernel.running().features
    if case.feature and not features.has(case.feature):
        pytest.skip(f"{case.feature}: {features.why(case.feature)}")
    out, err, status = run(case, target)
    if case.says is not None:
        assert (out.strip("\n"), err if not case.error else "") == (case.says, "")
    if case.like is not None:
        assert re.fullmatch(case.like, out.strip("\n")), (out, err)
    assert re.search(case.error, err), err
    assert status == case.status


UNAVAILABLE = re.compile(
    "cannot be attached on this kernel|Failed to resolve kernel symbol|this kernel has no|needs the kernel feature"
)


@pytest.mark.parametrize("name", sorted(REGISTRY))
def test_examples_compile(name: str) -> None:
    """Examples of what this kernel has not got are refused for that reason and for no other."""
    try:
        analyse(REGISTRY[name].example, options=Options(unsafe=True))
    except ScriptError as error:
        assert UNAVAILABLE.search(str(error)), error


def test_cases_are_of_functions_that_there_are() -> None:
    assert not set(CASES) - set(REGISTRY)
