"""Starting without the compiler: from a saved program, and from the compile cache."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pytrace import serial
from pytrace.compiler import compile_script
from pytrace.program import Program

SCRIPT = """
begin { @n = count(); @h = hist(5); @t[1, "a"] = 7; printf("%d %s\\n", 42, comm); print((1, "x")); exit(3); }
end { printf("bye\\n"); }
"""

RUN = """
import sys
from pytrace.kernel import Kernel
from pytrace.output import Text
from pytrace.program import Program
from pytrace.runtime import Session, Symbols
from pytrace.runtime.sinks import FdSink

symbols = Symbols(Kernel.running())
sink = FdSink(1)
with Session(Program.load(sys.argv[1]), output=Text(sink, FdSink(2), symbols), symbols=symbols, output_fd=1) as session:
    status = session.run()
left = ("lark", "llvmlite", "pytrace.syntax", "pytrace.semantics", "pytrace.codegen", "pytrace.compiler")
loaded = sorted(m for m in sys.modules if m.startswith(left))
assert not loaded, loaded
sys.exit(status)
"""


def run(*command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, **environment}
    return subprocess.run(command, capture_output=True, text=True, env=env, timeout=60)


def cli(cache: Path, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return run(
        sys.executable, "-X", "importtime", "-m", "pytrace", *arguments, XDG_CACHE_HOME=str(cache), **environment
    )


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    return tmp_path / "cache"


def test_a_saved_program_runs_without_the_compiler(tmp_path: Path, cache: Path) -> None:
    path = tmp_path / "x.ptc"
    compile_script(SCRIPT).save(path)
    ran = run(sys.executable, "-c", RUN, str(path))
    compiled = cli(cache, "-e", SCRIPT)
    assert ran.returncode == compiled.returncode == 3, ran.stderr
    assert ran.stdout == compiled.stdout
    assert ran.stdout.startswith("42 python") and "\nbye\n" in ran.stdout and "@t[1, a]: 7" in ran.stdout


SCRIPTS = [
    SCRIPT,
    'tracepoint:syscalls:sys_enter_getppid /comm == "nobody"/ { @[comm] = count(); } '
    'interval:ms:20 { printf("tick\\n"); exit(); }',
    "tracepoint:sched:sched_sw* { @[probe] = sum(1); } profile:hz:50 { } interval:ms:20 { exit(); } end { clear(@); }",
]


@pytest.mark.parametrize("script", SCRIPTS)
def test_the_second_start_is_without_the_compiler(script: str, cache: Path) -> None:
    first, second = cli(cache, "-e", script), cli(cache, "-e", script)
    assert "pytrace.compiler" in first.stderr and "pytrace.codegen" in first.stderr
    for module in ("pytrace.compiler", "pytrace.codegen", "pytrace.syntax", "lark", "llvmlite"):
        assert module not in second.stderr
    assert (first.stdout, first.returncode) == (second.stdout, second.returncode)
    uncached = cli(cache, "-e", script, PYTRACE_CACHE="0")
    assert "pytrace.compiler" in uncached.stderr and uncached.stdout == first.stdout


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_is_kept_is_what_the_compiler_makes(script: str, cache: Path) -> None:
    cli(cache, "-e", script)
    (entry,) = (cache / "pytrace").glob("program-*")
    kept = serial.load(entry.read_bytes(), native=True)
    made: Program = compile_script(script)
    assert kept == made and kept.native == made.native


def test_warnings_are_kept_too(cache: Path) -> None:
    script = "begin { $x = 1; if ($x == 1) { print(cpid); } exit(); }"
    warned = [cli(cache, "-e", script).stderr.count("WARNING") for _ in range(2)]
    assert warned[0] == warned[1] > 0


@pytest.mark.parametrize(
    "script",
    [
        "begin { print(cpid); exit(); }",
        'begin { print(cgroupid("/sys/fs/cgroup")); exit(); }',
        'begin { print(kaddr("jiffies")); exit(); }',
        "uprobe:/bin/sh:main, uprobe:/bin/sh:0x1000 { } interval:ms:1 { exit(); }",
    ],
)
def test_scripts_that_depend_on_the_moment_are_not_kept(script: str, cache: Path) -> None:
    cli(cache, "-c", "/bin/true", "-e", script)
    assert list((cache / "pytrace").glob("program-*")) == []


def test_an_imported_script_may_change(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "lib.pt").write_text("macro m() { 1 }")
    (tmp_path / "main.pt").write_text('import "lib.pt";\nbegin { print(m!()); exit(); }')
    assert "1" in cli(cache, str(tmp_path / "main.pt")).stdout
    (tmp_path / "lib.pt").write_text("macro m() { 2 }")
    assert "2" in cli(cache, str(tmp_path / "main.pt")).stdout


def test_a_header_may_change(tmp_path: Path, cache: Path) -> None:
    (tmp_path / "h.h").write_text("#define N 1\n")
    (tmp_path / "main.pt").write_text('#include "h.h"\nbegin { print(N); exit(); }')
    assert "1" in cli(cache, str(tmp_path / "main.pt")).stdout
    (tmp_path / "h.h").write_text("#define N 2\n")
    assert "2" in cli(cache, str(tmp_path / "main.pt")).stdout
