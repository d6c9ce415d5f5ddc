"""What is kept of compiled scripts, what is not, and what makes an entry stale."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytrace import cache, compilecache, passing, program
from pytrace.options import Options
from pytrace.program import NativeCode, Program, ProgSpec, Tracing, Uprobe
from pytrace.record import replace

PROGRAM = Program(
    "-e", "begin { }", "6.1", 4, (), (), (), (), (), 64, b"", ("begin",), native=NativeCode("x86_64", b"\xc3", 0)
)


class Compiler:
    """Stands for the compiler: counts how often it was needed."""

    def __init__(self, program: Program = PROGRAM, look: Callable[[], object] = lambda: None) -> None:
        self.program, self.look, self.calls = program, look, 0

    def __call__(self) -> Program:
        self.calls += 1
        self.look()
        return self.program


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("PYTRACE_CACHE", raising=False)
    return tmp_path / "pytrace"


def compiled(compiler: Compiler, text: str = "begin { }", **changes: Any) -> Program:
    told: dict[str, Any] = {"name": "-e", "params": (), "named": {}, "options": Options()}
    return compilecache.compiled(compiler, text, **{**told, **changes})


def attached(attach: Any) -> Program:
    return replace(PROGRAM, progs=(ProgSpec("p", 1, 0, b"", (), b"", b"", (attach,)),))


def test_the_second_time_there_is_no_compiling() -> None:
    compiler = Compiler(attached(program.TestRun("begin")))
    assert compiled(compiler) is compiler.program
    again = compiled(compiler)
    assert again == compiler.program and again.native == PROGRAM.native and compiler.calls == 1


CHANGES: list[dict[str, Any]] = [
    {"text": "end { }"},
    {"name": "x.pt"},
    {"params": ("1",)},
    {"named": {"a": "1"}},
    {"named": {"a": True}},
    *({"options": Options(**o)} for o in ({"pid": 1}, {"unsafe": True}, {"cpid": 7}, {"no_features": frozenset("a")})),
    {"options": Options(config=(("max_strlen", 3),))},
]


@pytest.mark.parametrize("change", CHANGES, ids=repr)
def test_whatever_the_compiler_is_told_makes_another_entry(change: dict[str, Any]) -> None:
    first, second = Compiler(), Compiler()
    compiled(first)
    compiled(second, **change)
    assert second.calls == 1
    compiled(second, **change)
    assert second.calls == 1, "and that one is kept as well"


def test_which_process_the_command_is_matters_only_to_those_who_ask() -> None:
    compiler = Compiler()
    compiled(compiler, options=Options(cpid=7))
    compiled(compiler, options=Options(cpid=8))
    assert compiler.calls == 1


@pytest.mark.parametrize("name", ["PYTRACE_MAX_STRLEN", "BPFTRACE_MAX_STRLEN"])
def test_the_environment(monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    compiler = Compiler()
    compiled(compiler)
    monkeypatch.setenv(name, "17")
    compiled(compiler)
    assert compiler.calls == 2


@pytest.mark.parametrize(
    "file", ["/proc/sys/kernel/random/boot_id", "/proc/modules", "/sys/kernel/tracing/dynamic_events"]
)
def test_the_kernel(monkeypatch: pytest.MonkeyPatch, file: str) -> None:
    compiler = Compiler()
    compiled(compiler)
    read = compilecache._read
    monkeypatch.setattr(compilecache, "_read", lambda path: "new 1 0 - Live 0x1\n" if path == file else read(path))
    compiled(compiler)
    assert compiler.calls == 2


def test_references_to_modules_come_and_go(monkeypatch: pytest.MonkeyPatch) -> None:
    def kernel(modules: str) -> list[object]:
        monkeypatch.setattr(compilecache, "_read", lambda path: modules if path == "/proc/modules" else "")
        return list(compilecache._kernel())

    before = kernel("nfs 100 1 a, Live 0xffff1000\next4 200 3 - Live 0xffff2000\n")
    assert kernel("ext4 200 9 - Live 0xffff2000\nnfs 100 0 - Live 0xffff1000\n") == before
    assert kernel("ext4 200 9 - Live 0xffff2000\n") != before
    assert kernel("ext4 200 9 - Live 0xffff3000\nnfs 100 0 - Live 0xffff1000\n") != before, "loaded again elsewhere"


def test_the_sources(tmp_path: Path) -> None:
    (tmp_path / "sub").mkdir()
    source = tmp_path / "sub" / "a.py"
    source.write_text("x = 1")
    before = sorted(compilecache._sources(str(tmp_path)))
    (tmp_path / "notes.txt").write_text("")
    assert sorted(compilecache._sources(str(tmp_path))) == before
    source.write_text("x = 1  # changed")
    assert sorted(compilecache._sources(str(tmp_path))) != before


def look_at_file(path: str) -> Callable[[], object]:
    return lambda: Path(path).exists() and open(path, "rb").close()


@pytest.mark.parametrize(
    ("what", "look"),
    [
        ("noted", lambda: passing.note("an address")),
        ("a header", look_at_file("/etc/passwd")),
        ("a process", look_at_file("/proc/self/maps")),
        ("a cgroup", lambda: os.listdir("/proc/self")),
        ("symbols", look_at_file("/proc/kallsyms")),
        ("a script beside the package", look_at_file(str(Path(__file__).parent.parent / "pyproject.toml"))),
    ],
)
def test_what_looked_at_passing_things_is_not_kept(what: str, look: Callable[[], object], home: Path) -> None:
    compiler = Compiler(look=look)
    compiled(compiler)
    compiled(compiler)
    assert compiler.calls == 2


def test_the_kernels_own_tables_and_imports_may_be_looked_at() -> None:
    def look() -> None:
        import importlib
        import sys

        sys.modules.pop("pytrace.commands.info", None)
        importlib.import_module("pytrace.commands.info")
        if os.path.exists("/sys/kernel/btf/vmlinux"):
            open("/sys/kernel/btf/vmlinux", "rb").close()
        open("/sys/devices/system/cpu/possible", "rb").close()
        cache.read("btf-1.index")

    compiler = Compiler(look=look)
    compiled(compiler)
    compiled(compiler)
    assert compiler.calls == 1


@pytest.mark.parametrize("attach", [Uprobe("/bin/sh", 16), Tracing(target_prog=5)], ids=["file", "program"])
def test_probes_in_files_and_in_other_programs_are_not_kept(attach: Any) -> None:
    compiler = Compiler(attached(attach))
    compiled(compiler)
    compiled(compiler)
    assert compiler.calls == 2


def entries(home: Path) -> list[Path]:
    return sorted(home.glob(compilecache.PREFIX + "*"))


def test_a_damaged_entry_is_made_again(home: Path) -> None:
    compiler = Compiler()
    compiled(compiler)
    (entry,) = entries(home)
    whole = entry.read_bytes()
    for damaged in (b"", whole[:-1], whole[:-1] + bytes([whole[-1] ^ 1])):
        entry.write_bytes(damaged)
        assert compiled(compiler) == PROGRAM
        assert entry.read_bytes() == whole
    assert compiler.calls == 4


def test_what_others_could_have_written_is_not_believed(home: Path) -> None:
    compiler = Compiler()
    compiled(compiler)
    (entry,) = entries(home)
    entry.chmod(0o602)
    compiled(compiler)
    assert compiler.calls == 2, "a file that everybody can write to"
    home.chmod(0o777)
    compiled(compiler)
    assert compiler.calls == 3, "a directory that everybody can write to"


@pytest.mark.skipif(os.geteuid() != 0, reason="giving files away takes root")
def test_what_belongs_to_somebody_else_is_not_believed(home: Path) -> None:
    compiler = Compiler()
    compiled(compiler)
    (entry,) = entries(home)
    os.chown(entry, 65534, 65534)
    compiled(compiler)
    assert compiler.calls == 2
    assert entries(home)[0].stat().st_uid == 0, "it was replaced by one of ours"
    os.chown(home, 65534, 65534)
    compiled(compiler)
    assert compiler.calls == 3


def test_the_number_of_entries_is_bounded(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compilecache, "LIMIT", 3)
    cache.write("btf-1.index", b"")
    for i in range(5):
        compiled(Compiler(), text=f"begin {{ print({i}) }}")
        os.utime(max(entries(home), key=lambda e: e.stat().st_mtime_ns), (i, i))
    assert len(entries(home)) == 3 and (home / "btf-1.index").exists()
    kept = Compiler()
    for i in range(2, 5):
        compiled(kept, text=f"begin {{ print({i}) }}")
    assert kept.calls == 0, "the newest are the ones that stay"


@pytest.mark.parametrize("value", ["0", "off", "no", "false"])
def test_it_can_be_turned_off(home: Path, monkeypatch: pytest.MonkeyPatch, value: str) -> None:
    monkeypatch.setenv("PYTRACE_CACHE", value)
    compiler = Compiler()
    compiled(compiler)
    compiled(compiler)
    assert compiler.calls == 2 and not home.exists()


def test_a_mistake_in_the_script_is_not_kept() -> None:
    def fail() -> object:
        raise ValueError

    compiler = Compiler(look=fail)
    for _ in range(2):
        with pytest.raises(ValueError):
            compiled(compiler)
    assert compiler.calls == 2
