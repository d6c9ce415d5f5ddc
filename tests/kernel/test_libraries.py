from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytrace.kernel.demangle import base_name, demangle
from pytrace.kernel.libraries import find_library, find_program, parse_ld_cache, resolve_binary
from tests.kernel.programs import run


def test_the_loaders_cache_says_what_ldconfig_says() -> None:
    data = Path("/etc/ld.so.cache").read_bytes()
    mine = parse_ld_cache(data, os.uname().machine)
    shown = re.findall(
        r"^\s+(\S+) \(libc6,(?:x86-64|AArch64)[^)]*\) => (\S+)$", run("/sbin/ldconfig", "-p"), re.MULTILINE
    )
    first: dict[str, str] = {}
    for name, path in shown:
        first.setdefault(name, path)
    assert mine == first != {}


def test_damaged_caches_have_nothing() -> None:
    data = Path("/etc/ld.so.cache").read_bytes()
    assert parse_ld_cache(b"", "x86_64") == parse_ld_cache(b"x" * 100, "x86_64") == {}
    assert parse_ld_cache(data, "m68k") == {}
    parse_ld_cache(data[:500], "x86_64")


@pytest.mark.parametrize("name", ["libc.so.6", "libc", "c", "libc.so"])
def test_a_library_by_all_its_names(name: str) -> None:
    path = find_library(name)
    assert path is not None and os.path.basename(os.path.realpath(path)) == os.path.basename(
        os.path.realpath(re.search(r"libc\.so\.6 => (\S+)", run("ldd", "/bin/sh"))[1])  # type: ignore[index]
    )


def test_programs_are_found_as_a_shell_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tool = tmp_path / "some-tool"
    tool.write_text("")
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_program("some-tool") is None
    tool.chmod(0o755)
    assert find_program("some-tool") == resolve_binary("some-tool") == str(tool)
    assert resolve_binary(str(tool)) == str(tool) and resolve_binary("/nowhere/x") is None
    assert resolve_binary("no-such-thing-anywhere") is None


def test_a_container_has_its_own_libraries(tmp_path: Path) -> None:
    (tmp_path / "usr/lib").mkdir(parents=True)
    for name in ("libfoo.so.2", "libfoo.so.10", "libfoobar.so.99"):
        (tmp_path / "usr/lib" / name).write_text("")
    assert find_library("foo", str(tmp_path)) == f"{tmp_path}/usr/lib/libfoo.so.10"
    assert find_library("libfoo.so.2", str(tmp_path)) == f"{tmp_path}/usr/lib/libfoo.so.2"
    assert find_library("bar", str(tmp_path)) is None


def test_demangled_names_are_those_of_the_abi() -> None:
    assert demangle("_ZN2ns1fEi") == "ns::f(int)"
    assert (
        demangle("_ZNSt6vectorIiSaIiEE9push_backERKi")
        == "std::vector<int, std::allocator<int> >::push_back(int const&)"
    )
    assert demangle("main") == "main" and demangle("_Zbroken") == "_Zbroken"


@pytest.mark.parametrize(
    ("full", "base"),
    [
        ("ns::f(int)", "ns::f"),
        (
            "std::vector<int, std::allocator<int> >::push_back(int const&)",
            "std::vector<int, std::allocator<int> >::push_back",
        ),
        ("C::operator()(int) const", "C::operator()"),
        ("(anonymous namespace)::g(char*)", "(anonymous namespace)::g"),
        ("h<void (*)(int)>::call()", "h<void (*)(int)>::call"),
        ("plain", "plain"),
    ],
)
def test_the_name_before_the_parameters(full: str, base: str) -> None:
    assert base_name(full) == base
