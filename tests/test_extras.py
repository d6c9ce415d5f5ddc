"""Optional packages: one that is missing is named with the command that installs it."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from pytrace.extras import EXTRAS, MissingExtra, optional

PROJECT = tomllib.loads((Path(__file__).parent.parent / "pyproject.toml").read_text())["project"]


@pytest.mark.parametrize("package", EXTRAS)
def test_a_missing_package_is_named_with_its_command(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "meta_path", [])
    monkeypatch.delitem(sys.modules, package, raising=False)
    with pytest.raises(
        MissingExtra, match=rf"{package} is not installed; .* -m pip install 'pytrace\[{EXTRAS[package]}\]'"
    ):
        optional(package)


@pytest.mark.parametrize("package", EXTRAS)
def test_the_extra_brings_the_package(package: str) -> None:
    wanted = PROJECT["optional-dependencies"][EXTRAS[package]]
    assert any(requirement.startswith(package) for requirement in wanted)


def test_an_error_inside_a_package_is_not_hidden(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "pandas.py").write_text("import no_such_module_at_all")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.delitem(sys.modules, "pandas", raising=False)
    with pytest.raises(ModuleNotFoundError, match="no_such_module_at_all"):
        optional("pandas")


@pytest.mark.parametrize("method", ["to_pandas", "to_arrow"])
def test_a_map_says_what_is_missing(method: str) -> None:
    script = f"""
import sys
sys.modules["pandas"] = sys.modules["pyarrow"] = None
from pytrace import types
from pytrace.api.tables import frame, table
from pytrace.program import UserMap
user_map = UserMap("@", "@", "slot", None, types.INT64)
({"frame" if method == "to_pandas" else "table"})(user_map, {{None: 1}})
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert "MissingExtra" in done.stderr and "pip install 'pytrace[" in done.stderr
