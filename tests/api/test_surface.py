"""What is public, and what importing it costs."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import pytrace

PUBLIC = {
    "Attachment", "AvgValue", "BadProgram", "Bucket", "CompileOptions", "Diagnostic", "Event", "Events", "Histogram",
    "KernelError", "LostEventsWarning", "Map", "PrivilegeError", "Program", "RecordValue", "ScriptError",
    "ScriptWarning", "Session", "SessionOver", "StackTrace", "StatsValue", "Symbol", "TSeriesValue", "Timer",
    "TraceWarning", "compile", "events", "trace",
}  # fmt: skip


def test_the_public_names() -> None:
    """A name that comes or goes is a change of the API: it belongs into the change log, and here."""
    assert set(pytrace.__all__) == PUBLIC
    assert len(pytrace.__all__) == len(PUBLIC)
    assert set(dir(pytrace)) >= PUBLIC


@pytest.mark.parametrize("name", sorted(PUBLIC))
def test_every_name_is_there_and_explained(name: str) -> None:
    thing = getattr(pytrace, name)
    assert thing.__doc__
    assert thing.__name__ == name


def test_type_checkers_see_the_same_names() -> None:
    tree = ast.parse(Path(pytrace.__file__).read_text())
    guarded = next(n for n in tree.body if isinstance(n, ast.If))
    seen = {a.asname for n in guarded.body if isinstance(n, ast.ImportFrom) for a in n.names}
    assert seen == PUBLIC


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'nosuch'"):
        pytrace.nosuch  # type: ignore[attr-defined]  # noqa: B018


def loaded_after(code: str) -> set[str]:
    code += "\nimport sys; print(*sys.modules)"
    return set(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.split())


HEAVY = {"lark", "llvmlite", "cffi", "pycparser", "pandas", "numpy", "pyarrow", "asyncio", "IPython"}


def test_importing_it_costs_nothing() -> None:
    loaded = loaded_after("import pytrace")
    assert loaded & (HEAVY | {"typing", "re", "dataclasses", "_cffi_backend"}) == set()
    assert {m for m in loaded if m.startswith("pytrace")} == {"pytrace"}


def test_naming_everything_compiles_nothing() -> None:
    loaded = loaded_after("from pytrace import *")
    assert loaded & HEAVY == set()
    assert not any(m.startswith(("pytrace.syntax", "pytrace.codegen", "pytrace.semantics")) for m in loaded)


def test_compiling_beside_other_native_libraries() -> None:
    """Libraries that share LLVM's C++ runtime, loaded before it, change how the loader treats it."""
    pytest.importorskip("numpy")
    code = "import numpy, os; os.environ['PYTRACE_CACHE'] = '0'; import pytrace; pytrace.compile('begin { @ = 1 }')"
    assert "pytrace.compiler" in loaded_after(code)


def test_a_program_on_disk_runs_without_the_compiler(tmp_path: Path) -> None:
    path = tmp_path / "program"
    pytrace.compile("begin { @ = 1 }").save(path)
    loaded = loaded_after(f"import pytrace; t = pytrace.Session(pytrace.Program.load({str(path)!r}))")
    assert loaded & HEAVY == set()
    path.write_bytes(path.read_bytes()[:-3])
    with pytest.raises(pytrace.BadProgram):
        pytrace.Program.load(path)
