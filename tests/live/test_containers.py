"""A process with a root, libraries and process ids of its own, as in a container: what attach points mean there."""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Runner

APP = r"""
#include <stdlib.h>
#include <unistd.h>
unsigned short semaphore __attribute__((section(".probes"), used));
__attribute__((noinline)) void tick(long n)
{
    register long first __asm__("rbx") = n;
    if (semaphore) __asm__ volatile("990: nop\n.pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n"
        ".4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n992: .balign 4\n"
        "993: .8byte 990b\n.8byte 0\n.8byte semaphore\n"
        ".asciz \"app\"\n.asciz \"tick\"\n.asciz \"-8@%%rbx\"\n994: .balign 4\n.popsection\n" : : "r"(first));
}
__attribute__((noinline)) long answer(long x) { __asm__ volatile("" : "+r"(x)); return x; }
int main(void) { for (;;) { tick(answer(42)); abs(-7); setenv("CONTAINED", "yes", 1); usleep(10000); } }
"""
# The first process of its own pid namespace, on a file system that nobody else has mounted.
SCRIPT = """
mount -t tmpfs none {root} && cd {root} && mkdir -p lib lib64 && cp {app} {root}/app && cp {libc} lib/libc.so.6 &&
cp {loader} lib64/ && exec chroot {root} /app
"""


@pytest.fixture(scope="module")
def contained(compile_c: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[int]:
    """The pid of the program in our own numbers."""
    app = compile_c(APP, "-O1", "-g", "-fPIE", "-pie", "-fno-builtin")
    text = subprocess.run(["ldd", app], check=True, capture_output=True, text=True).stdout
    libc, loader = re.search(r"libc\.so\.6 => (\S+)", text), re.search(r"^\s+(/lib64/\S+)", text, re.MULTILINE)
    assert libc and loader
    root = tmp_path_factory.mktemp("root")
    script = SCRIPT.format(root=root, app=app, libc=libc[1], loader=loader[1])
    outer = subprocess.Popen(["unshare", "-m", "-p", "-f", "--kill-child", "sh", "-c", script])
    try:
        yield _pid_of_app(outer)
    finally:
        outer.kill()
        outer.wait()
        shutil.rmtree(root)


def _pid_of_app(outer: subprocess.Popen[bytes]) -> int:
    for _ in range(1000):
        for pid in Path(f"/proc/{outer.pid}/task/{outer.pid}/children").read_text().split():
            if Path(f"/proc/{pid}/comm").read_text() == "app\n":
                return int(pid)
        time.sleep(0.01)
    raise AssertionError("the program did not start")


def lines(pytrace: Runner, pid: int, script: str) -> list[str]:
    result = pytrace("-q", "-p", str(pid), "-e", script)
    assert result.status == 0, result.stderr
    return [line for line in result.stdout.split("\n") if line]


@pytest.mark.parametrize("path", ["/app", "/a?p", "app", "*", "a*", ""])
def test_a_static_probe(pytrace: Runner, contained: int, path: str) -> None:
    """Its semaphore is raised in the process as it runs."""
    if path == "app":  # a bare name is a program of PATH there, or a library
        result = pytrace("-p", str(contained), "-e", "usdt:app:tick { exit(); }")
        assert "does not exist or is not executable in the mount namespace" in result.stderr
        return
    assert lines(pytrace, contained, f'usdt:{path}:app:tick {{ printf("%d %s\\n", arg0, probe); exit(); }}')[0] == (
        "42 usdt:/app:app:tick"
    )


@pytest.mark.parametrize("binary", ["libc", "libc.so.6", "/lib/libc.so.6", "libc*"])
def test_a_library_as_the_process_has_it(pytrace: Runner, contained: int, binary: str) -> None:
    """A copy of libc that only this process can reach; there is no loader's cache either."""
    script = (
        f'uprobe:{binary}:setenv {{ printf("%s=%s %s %s\\n", str(arg0), str(arg1), usym(reg("ip")), probe); exit(); }}'
    )
    assert lines(pytrace, contained, script)[0] == "CONTAINED=yes setenv uprobe:/lib/libc.so.6:setenv"


def test_typed_arguments_and_lines(pytrace: Runner, contained: int) -> None:
    """Debug info is read through the process's root as well."""
    found = lines(pytrace, contained, 'uprobe:/app:answer { printf("%d %s\\n", args.x, func); exit(); }')
    assert found[0] == "42 answer"
    listed = pytrace("-lv", "-p", str(contained), "uprobe:/app:answer").stdout
    assert listed == "uprobe:/app:answer\n    long int x\n"


def test_a_stack_in_the_program_and_its_library(pytrace: Runner, contained: int) -> None:
    found = lines(pytrace, contained, 'uprobe:/app:tick { printf("%s", ustack(perf, 1)); exit(); }')
    assert re.fullmatch(r"\t[0-9a-f]+ tick\+0 \(/app\)", found[0])


def test_ids_in_its_namespace(pytrace: Runner, contained: int) -> None:
    """We stand outside: what it calls itself is what /proc says. It is the first of its namespace."""
    status = Path(f"/proc/{contained}/status").read_text()
    inner = re.search(r"^NSpid:\s+(\d+)\s+(\d+)$", status, re.MULTILINE)
    assert inner and (int(inner[1]), int(inner[2])) == (contained, 1)
    script = 'uprobe:/app:answer { printf("%d %d %d\\n", pid, pid(curr_ns), tid(curr_ns)); exit(); }'
    assert lines(pytrace, contained, script)[0] == f"{contained} {contained} {contained}"


def test_a_file_seen_through_its_root(pytrace: Runner, contained: int) -> None:
    """Without -p the way leads through /proc."""
    path = f"/proc/{contained}/root/app"
    script = f'uprobe:{path}:answer {{ printf("%d %d\\n", pid, arg0); exit(); }} usdt:{path}:tick {{ @ = count(); }}'
    result = pytrace("-q", "-e", script)
    assert result.stdout.split("\n")[0] == f"{contained} 42", result.stderr
