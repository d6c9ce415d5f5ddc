from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from pytrace.kernel.demangle import demangle, is_fragment, is_mangled, spellings
from pytrace.kernel.elf import Elf
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
        ("C::operator<<(int)", "C::operator<<"),
        ("C::operator unsigned long() const", "C::operator unsigned long"),
        ("bool operator< <int>(X<int>, X<int>)", "operator< <int>"),
        ("operator new[](unsigned long)", "operator new[]"),
        ("(anonymous namespace)::g(char*)", "(anonymous namespace)::g"),
        ("h<void (*)(int)>::call()", "h<void (*)(int)>::call"),
        ("main(int)::{lambda(int)#1}::operator()(int) const", "main(int)::{lambda(int)#1}::operator()"),
        ("unsigned long const& ns::max<unsigned long>(unsigned long const&)", "ns::max<unsigned long>"),
        ("decltype (f(1)) g<int>(int)", "g<int>"),
        ("to_string[abi:cxx11](int)", "to_string[abi:cxx11]"),
        ("f(int) [clone .isra.0]", "f"),
        ("virtual thunk to ns::f(int)", "virtual thunk to ns::f"),
        ("plain", "plain"),
    ],
)
def test_the_name_without_type_and_parameters(full: str, base: str) -> None:
    assert spellings(full)[-1] == base


def test_ways_to_write_a_name() -> None:
    both = ("int ns::f<char>(char) const", "ns::f<char>(char) const", "int ns::f<char>", "ns::f<char>")
    assert set(spellings(both[0])) == set(both)
    assert spellings("f(int) [clone .isra.0] [clone .constprop.1]") == ("f(int)", "f")


def test_fragments_are_no_functions() -> None:
    assert is_fragment("f(int) [clone .cold]") and is_fragment("f(int) [clone .part.0] [clone .cold]")
    assert not is_fragment("f(int) [clone .isra.0]") and not is_fragment("cold(part)")


def test_names_of_a_library_are_those_of_binutils() -> None:
    path = find_library("libstdc++")
    assert path is not None
    names = sorted({s.name for s in Elf.open(path).functions if is_mangled(s.name)})
    text = subprocess.run(["c++filt", "-p"], check=True, capture_output=True, input="\n".join(names), text=True).stdout
    compared = 0
    for name, base in zip(names, text.splitlines(), strict=True):
        # It expands the abbreviations for std::string and streams, and leaves the parameters to thunks and clones.
        if "basic_" not in base and not re.search(" (to|for) ", base):
            assert spellings(demangle(name))[-1] == base
            compared += 1
    assert compared > 1000
