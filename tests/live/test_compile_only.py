"""What the command line has of a compilation besides a run: object files, IR, programs for later; and running those."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Runner

SCRIPT = 'begin { print($1); @[pid > 0] = count(); printf("%s\\n", "x"); exit(3); }'


@pytest.mark.parametrize("script", ["begin { print(1); exit(); }", "begin { $a = (1, 2); @[$a] = 1; exit(); } end { }"])
def test_object_files_and_ir(pytrace: Runner, tmp_path: Path, script: str) -> None:
    elf, ir = tmp_path / "x.o", tmp_path / "x"
    ran = pytrace("--emit-elf", elf, "--emit-llvm", ir, "-e", script)
    assert ran.status == 0
    assert ran.stderr.startswith("Attached ")  # it runs all the same, as it does in bpftrace
    names = subprocess.run(["readelf", "-sW", elf], capture_output=True, text=True, check=True).stdout
    head = subprocess.run(["readelf", "-hW", elf], capture_output=True, text=True, check=True).stdout
    assert "Linux BPF" in head
    for number in range(script.count("{ ")):
        assert f" p{number}\n" in names
    original, optimized = (Path(f"{ir}.{kind}.ll").read_text() for kind in ("original", "optimized"))
    assert 'target triple = "bpf"' in original
    assert "alloca" in original
    assert len(optimized.split("alloca")) < len(original.split("alloca"))


def test_compiling_alone_attaches_nothing(pytrace: Runner, tmp_path: Path) -> None:
    ir = tmp_path / "x"
    done = pytrace("--mode", "codegen", "--emit-llvm", ir, "-e", 'begin { system("true"); }', "--unsafe")
    assert (done.status, done.stdout, done.stderr) == (0, "", "")
    assert Path(f"{ir}.optimized.ll").exists()
    wrong = pytrace("--mode", "codegen", "-e", "begin { print($x); }")
    assert wrong.status == 1
    assert "undefined or undeclared variable" in wrong.stderr


def test_the_stages_are_timed(pytrace: Runner) -> None:
    done = pytrace("--mode", "compiler-bench", "-e", "begin { exit(); }")
    assert done.status == 0
    head, *rows = [line.split() for line in done.stdout.replace("user half", "user").splitlines()]
    assert head[:2] == ["Stage", "Rounds"]
    assert [row[0] for row in rows] == ["parse", "analyse", "optimise", "emit", "link", "user"]
    assert all(0 <= int(best) <= int(mean) for _, _, best, mean in rows)


def test_a_saved_program_is_run_like_its_script(pytrace: Runner, tmp_path: Path) -> None:
    path = tmp_path / "x.ptc"
    made = pytrace("--aot", path, "-e", SCRIPT, "42")
    assert (made.status, made.stdout, made.stderr) == (0, "", "")
    script = pytrace("-e", SCRIPT, "42")
    assert script.stdout == "42\nx\n\n\n@[true]: 1\n"
    for again in (pytrace(path), pytrace("-", stdin=path.read_bytes())):
        assert (again.status, again.stdout, again.stderr) == (3, script.stdout, script.stderr)
    rows = [json.loads(line) for line in pytrace("-q", "-f", "json", path).stdout.splitlines()]
    assert rows[0] == {"type": "value", "data": 42}
    output = tmp_path / "out"
    assert pytrace("-q", "-o", output, "-c", "/bin/true", path).stdout == ""
    assert output.read_text() == script.stdout


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["{path}", "43"], "is compiled already: parameters must be given when it is"),
        (["-p", "1", "{path}"], "is compiled already: -p must be given when it is"),
        (["-k", "{path}"], "is compiled already: -k must be given when it is"),
        (["-d", "ir", "{path}"], "is compiled already: -d must be given when it is"),
        (["-l", "{path}"], "it is no script any more"),
        (["--fmt", "{path}"], "it is no script any more"),
        (["{cut}"], "the program file is damaged"),
        (["{elsewhere}"], "was compiled for kernel 1.2.3; this is "),
        (["--aot", "/nosuch/x", "-e", "begin {{ }}"], "cannot write to '/nosuch/x'"),
        (["--emit-elf", "/nosuch/x", "-e", "begin {{ }}"], "cannot write to '/nosuch/x'"),
    ],
)
def test_what_a_saved_program_is_not(pytrace: Runner, tmp_path: Path, words: list[str], message: str) -> None:
    from pytrace.program import Program
    from pytrace.record import replace

    path, cut, elsewhere = (tmp_path / name for name in ("x.ptc", "y.ptc", "z.ptc"))
    assert pytrace("--aot", path, "-e", "begin { exit(); }").status == 0
    cut.write_bytes(path.read_bytes()[:-20])
    replace(Program.load(path), kernel="1.2.3").save(elsewhere)
    found = pytrace(*(w.format(path=path, cut=cut, elsewhere=elsewhere) for w in words))
    assert found.status == 1
    assert found.stdout == ""
    assert message in found.stderr
    assert found.stderr.startswith("ERROR: ")


def test_a_list_of_functions_takes_the_place_of_the_kernels(pytrace: Runner, tmp_path: Path) -> None:
    functions = tmp_path / "functions"
    functions.write_text("vfs_read\nvfs_write\nother_one [some_module]\n__ftrace_invalid_address___4\n")
    option = ("--traceable-functions", functions)
    assert pytrace(*option, "-l", "kprobe:vfs_*").stdout == "kprobe:vfs_read\nkprobe:vfs_write\n"
    assert pytrace(*option, "-l", "kprobe:nosuch*").stdout == ""
    assert "vfs_open" in pytrace("-l", "kprobe:vfs_*").stdout
    # A script that was compiled with one list is compiled anew with another.
    script = ("--mode", "codegen", "-e", "fentry:vfs_w* { }")
    assert "No matches" not in pytrace(*option, *script).stderr  # whether or not this kernel has fentry
    functions.write_text("vfs_read\n")
    assert "No matches for fentry vfs_w*" in pytrace(*option, *script).stderr
    missing = pytrace("--traceable-functions", tmp_path / "nosuch", *script)
    assert missing.status == 1
    assert "cannot read the traceable functions from" in missing.stderr
