"""Every new key up to the limit of a map is kept, however fast keys come; what is not kept is counted and named."""

from __future__ import annotations

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Runner

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loads BPF programs: needs root (./scripts/test asks for it)")

KEYS = 4096
AGGREGATES = [
    "count()",
    "sum(5)",
    "min(5)",
    "stats(5)",
    "hist(5)",
    "hist($i, 5)",
    "lhist(5, 0, 1000, 1)",
    'tseries(5, 1s, 60, "avg")',
    "str($text)",
]


@pytest.mark.parametrize("value", AGGREGATES)
def test_a_burst_of_new_keys_is_kept(pytrace: Runner, value: str) -> None:
    script = f'begin {{ $text = "some text"; for ($i : 0..{KEYS}) {{ @m[$i] = {value}; }} exit(); }}'
    result = pytrace("-q", "--no-warnings", "-e", script.replace("str($text)", "$text"))
    assert (result.status, result.stderr) == (0, "")
    assert len(re.findall(r"^@m\[\d+\]:", result.stdout, re.MULTILINE)) == KEYS


@pytest.mark.parametrize("value", ["count()", "hist(5)"])
def test_keys_beyond_the_limit_are_counted(pytrace: Runner, value: str) -> None:
    script = f"config = {{ max_map_keys = 64 }} begin {{ for ($i : 0..100) {{ @m[$i] = {value}; }} exit(); }}"
    result = pytrace("-q", "-e", script)
    assert result.status == 0
    assert "Map full; can't update element of @m (36 times)" in result.stderr
    assert len(re.findall(r"^@m\[\d+\]:", result.stdout, re.MULTILINE)) == 64


def test_histograms_of_two_producers(pytrace: Runner, tmp_path: Path) -> None:
    """Two processes on two CPUs, each with keys of its own and some in common."""
    source, program = tmp_path / "many.c", tmp_path / "many"
    source.write_text(
        "#include <unistd.h>\n#include <sys/wait.h>\nvolatile long sum;\n"
        "__attribute__((noinline, noclone)) void work(long key, long value) { sum += key + value; }\n"
        "int main(void) { int second = fork() == 0;\n"
        "for (long i = 0; i < 50000; i++) { work(second * 100 + i % 100, i % 16); work(1000, i % 16); }\n"
        "if (second) _exit(0); wait(0); return 0; }\n"
    )
    subprocess.run(["gcc", "-O1", "-o", str(program), str(source)], check=True)
    script = f"uprobe:{program}:work {{ @h[arg0] = hist(arg1, 4); @l[arg0] = lhist(arg1, 0, 16, 1); }}"
    running = pytrace.start("-e", script).attached()
    subprocess.run([program], check=True)
    result = running.finish()
    assert "WARNING" not in result.stderr
    for name in "hl":
        found = dict(re.findall(rf"^@{name}\[(\d+)\]:\n((?:\[.*\n|\(.*\n)+)", result.stdout, re.MULTILINE))
        assert len(found) == 201, result.stdout
        counts = {key: [int(n) for n in re.findall(r"\s(\d+) \|", rows)] for key, rows in found.items()}
        assert {key: sum(values) for key, values in counts.items()} == {
            **{str(key): 500 for key in range(200)},
            "1000": 100_000,
        }


def test_histograms_with_keys_are_read_in_the_kernel(pytrace: Runner) -> None:
    script = (
        "begin { for ($i : 1..101) { @h[1] = lhist($i, 0, 100, 1); @t[1] = hist($i); } "
        "print((quantile(@h[1], 50), quantile(@h[1], 99), quantile(@h[2], 50))); clear(@h); clear(@t); }"
    )
    result = pytrace("-q", "--no-warnings", "-e", script)
    assert (result.status, result.stderr) == (0, "")
    assert result.stdout.strip() == "(50, 99, 0)"


def test_stacks_beyond_8192_are_kept(pytrace: Runner, tmp_path: Path) -> None:
    """20,000 ways to come to a function, each told by the bits of a number."""
    source, program = tmp_path / "ways.c", tmp_path / "ways"
    way = "void {}(int depth, unsigned bits) {{ if (!depth) leaf(); else (bits & 1 ? a : b)(depth - 1, bits >> 1); }}\n"
    source.write_text(
        'void leaf(void) { __asm__ volatile(""); }\nvoid a(int, unsigned); void b(int, unsigned);\n'
        + way.format("a")
        + way.format("b")
        + "int main(void) { for (unsigned i = 0; i < 20000; i++) a(16, i); }\n"
    )
    subprocess.run(["gcc", "-O0", "-fno-omit-frame-pointer", "-o", str(program), str(source)], check=True)
    script = f"config = {{ max_map_keys = 30000 }} uprobe:{program}:leaf {{ @[ustack] = count(); }}"
    result = pytrace("-q", "-c", str(program), "-e", script)
    assert (result.status, result.stderr) == (0, "")
    stacks = re.findall(r"^@\[\n((?: .*\n)+)\]: 1$", result.stdout, re.MULTILINE)
    assert len(stacks) == 20000
    assert all("leaf" in s and "main" in s for s in stacks)
    assert len({re.sub(r"\+\d+", "", s) for s in stacks}) == 20000
