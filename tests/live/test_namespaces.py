"""Tracing from inside a pid namespace, and of a process that lives in a mount namespace with another root."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Runner

APP = r"""
#include <unistd.h>
#include <sys/syscall.h>
__attribute__((noinline)) long answer(long x) { __asm__ volatile("" : "+r"(x)); return x; }
int main(int argc, char **argv) {
    if (argc < 2) { syscall(SYS_getpgid, 0); return answer(42) != 42; }
    for (;;) { answer(42); usleep(20000); }
}
"""


@pytest.fixture(scope="module")
def app(compile_c: Callable[..., Path]) -> Path:
    return compile_c(APP, "-O1", "-static")


def in_namespace(script: str, app: Path) -> list[str]:
    """The output of pytrace as the first process of a new pid namespace, around a run of the program."""
    command = ["unshare", "-p", "-f", "--mount-proc", sys.executable, "-m", "pytrace", "-q", "-e", script, "-c", app]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [line for line in done.stdout.split("\n") if line]


def test_ids_are_those_of_the_tracers_namespace(app: Path) -> None:
    """The first process of the namespace is the tracer; the kernel's own numbers are far beyond."""
    name = app.name[:15]
    script = (
        f'tracepoint:syscalls:sys_enter_getpgid /comm == "{name}"/ '
        '{ printf("%d %d %d\\n", pid == cpid, pid(curr_ns) == tid(curr_ns), pid); printf("%d\\n", pid(init)); }'
    )
    (own, initial) = in_namespace(script, app)
    same, single, pid = map(int, own.split())
    assert (same, single) == (1, 1)
    assert 1 < pid < 20 < int(initial)


def test_addresses_get_their_names_inside_a_pid_namespace(app: Path) -> None:
    lines = in_namespace(f'uprobe:{app}:answer {{ printf("%s\\n", usym(reg("ip"))); printf("%s", ustack(1)); }}', app)
    assert [line.strip() for line in lines] == ["answer", "answer+0"]


@pytest.fixture
def contained(app: Path, tmp_path: Path) -> Iterator[int]:
    """The pid of the program, running as /app below a root of its own in a mount namespace of its own."""
    root = tmp_path / "root"
    root.mkdir()
    shutil.copy(app, root / "app")
    process = subprocess.Popen(
        [
            "unshare",
            "-m",
            "sh",
            "-c",
            f"mount -t tmpfs none {root} && cp {app} {root}/app && exec chroot {root} /app loop",
        ]
    )
    for _ in range(500):
        if Path(f"/proc/{process.pid}/comm").read_text().strip() == "app":
            break
        subprocess.run(["sleep", "0.01"], check=True)
    yield process.pid
    process.kill()
    process.wait()


def test_a_path_is_what_the_process_sees(pytrace: Runner, contained: int) -> None:
    """/app is on a file system that only the process has mounted."""
    script = 'uprobe:/app:answer { printf("%d %s %s\\n", arg0, usym(reg("ip")), probe); exit(); }'
    result = pytrace("-q", "-p", str(contained), "-e", script)
    assert result.stdout.split("\n")[0] == "42 answer uprobe:/app:answer", result.stderr


def test_its_stacks_have_names(pytrace: Runner, contained: int) -> None:
    result = pytrace("-q", "-p", str(contained), "-e", 'uprobe:/app:answer { printf("%s", ustack(1)); exit(); }')
    assert result.stdout.split()[0] == "answer+0", result.stderr


def test_the_path_means_nothing_without_the_process(pytrace: Runner, contained: int) -> None:
    result = pytrace("-q", "-e", "uprobe:/app:answer { exit(); }")
    assert result.status == 1
    assert "/app" in result.stderr


def test_the_process_may_end(pytrace: Runner, contained: int) -> None:
    running = pytrace.start("-p", str(contained), "-e", "uprobe:/app:answer { @ = count(); }").attached()
    subprocess.run(["kill", "-9", str(contained)], check=True)
    result = running.finish(None)
    assert result.status == 0
    assert "@: " in result.stdout or result.stdout.strip() == ""
