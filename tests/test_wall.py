"""The rules of the house that no linter knows: who may import whom, and what stays light."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pytrace"
COMPILERS = ("lark", "llvmlite")
RIGHT = (
    "runtime",
    "output",
    "kernel",
    "program.py",
    "types.py",
    "format.py",
    "cache.py",
    "options.py",
    "cli.py",
    "commands",
)
LEFT = ("syntax", "semantics", "codegen", "functions", "probes")
COMPILING = ("pytrace.syntax", "pytrace.semantics", "pytrace.codegen", "pytrace.functions", "pytrace.compiler")


def files(*rooms: str) -> Iterator[Path]:
    for room in rooms:
        place = PACKAGE / room
        yield from [place] if place.is_file() else sorted(place.rglob("*.py"))


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, anywhere in it, except for type checkers only."""
    tree = ast.parse(path.read_text())
    skipped: set[ast.AST] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING":
            skipped.update(inner for part in node.body for inner in ast.walk(part))
        if node in skipped:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute here"
            yield node.module or ""
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, packages: tuple[str, ...]) -> bool:
    return any(module == p or module.startswith(p + ".") for p in packages)


def names(path: Path) -> str:
    return str(path.relative_to(PACKAGE))


@pytest.mark.parametrize("path", list(files(*RIGHT)), ids=names)
def test_nothing_right_of_the_wall_imports_a_compiler(path: Path) -> None:
    assert [m for m in imports(path) if within(m, COMPILERS)] == []


@pytest.mark.parametrize(
    "path", list(files("runtime", "output", "kernel", "program.py", "types.py", "format.py")), ids=names
)
def test_nothing_right_of_the_wall_imports_what_compiles(path: Path) -> None:
    assert [m for m in imports(path) if within(m, COMPILING)] == []


@pytest.mark.parametrize("path", list(files(*LEFT)), ids=names)
def test_nothing_left_of_the_wall_calls_bpf(path: Path) -> None:
    assert [m for m in imports(path) if within(m, ("pytrace.kernel.bpf", "pytrace.runtime"))] == []


@pytest.mark.parametrize("path", list(files("kernel")), ids=names)
def test_the_kernel_room_asks_nobody(path: Path) -> None:
    others = tuple(f"pytrace.{room}" for room in (*LEFT, "runtime", "output", "commands", "repl"))
    assert [m for m in imports(path) if within(m, others)] == []


def loaded_by(statement: str) -> set[str]:
    """Top-level packages that a fresh interpreter has loaded after a statement."""
    code = f"{statement}\nimport sys; print(*{{m.split('.')[0] for m in sys.modules}})"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


def test_the_check_would_see_a_compiler() -> None:
    assert "lark" in loaded_by("import lark")


@pytest.mark.parametrize("module", ["pytrace", "pytrace.program", "pytrace.cli", "pytrace.kernel", "pytrace.output"])
def test_light_to_import(module: str) -> None:
    heavy = {*COMPILERS, "argparse", "prompt_toolkit", "pygments", "elftools", "pycparser", "pcpp", "numpy", "pandas"}
    assert loaded_by(f"import {module}") & heavy == set()


def test_help_loads_next_to_nothing() -> None:
    modules = loaded_by(
        "from pytrace.cli import main; import io, sys; sys.stdout = io.StringIO(); main(['-h']); "
        "sys.stdout = sys.__stdout__"
    )
    assert modules & {"cffi", "dataclasses", "typing", "re", *COMPILERS} == set()


@pytest.mark.parametrize(
    "module", ["pytrace.commands.run", "pytrace.compiler", "pytrace.compilecache", "pytrace.serial"]
)
def test_what_a_start_needs_not_import(module: str) -> None:
    costly = {"dataclasses", "inspect", "platform", "subprocess", "pathlib", "importlib.resources", "json", *COMPILERS}
    assert loaded_by(f"import {module}") & costly == set()
