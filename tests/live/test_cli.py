"""The command line against the running kernel, with programs that do an exact number of things."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.conftest import Runner

# Opens a file that is not there exactly N times. What its loader opens is not counted: it has another name then.
OPENS = """
#include <fcntl.h>
#include <stdlib.h>
#include <sys/prctl.h>
int main(int argc, char **argv) {
    prctl(PR_SET_NAME, "just-opens");
    for (int i = 0; i < atoi(argv[1]); i++)
        openat(AT_FDCWD, "/nonexistent", O_RDONLY);
}
"""

# Once it gets SIGUSR1: 100 reads of one byte and 50 of 4096.
READS = """
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
int main(void) {
    static char buffer[4096];
    int zero = open("/dev/zero", O_RDONLY), number;
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, 0);
    write(1, "!", 1);
    sigwait(&set, &number);
    for (int i = 0; i < 150; i++)
        if (read(zero, buffer, i < 100 ? 1 : 4096) < 0)
            return 1;
}
"""

Compile = Callable[..., Path]


@contextmanager
def process(*command: str | Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that does not outlive the test."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as running:
        try:
            yield running
        finally:
            running.kill()


@pytest.mark.parametrize("block", ["{{ {} }}", "< {} >"], ids=["braces", "angles"])
def test_opens_are_counted_by_program(pytrace: Runner, compile_c: Compile, block: str) -> None:
    script = "tracepoint:syscalls:sys_enter_openat " + block.format("@[comm] = count();")
    result = pytrace("-e", script, "-c", f"{compile_c(OPENS)} 1234")
    assert result.status == 0
    assert "@[just-opens]: 1234\n" in result.stdout


def test_script_file_with_parameters(pytrace: Runner, tmp_path: Path) -> None:
    script = tmp_path / "script.pt"
    script.write_text('#!/usr/bin/env pytrace\nbegin { printf("%d %s %d\\n", $1, str($2), $#); exit(); }\n')
    result = pytrace(script, "12", "word")
    assert (result.status, result.stdout) == (0, "12 word 2\n\n\n")


def test_a_script_is_a_program(tmp_path: Path) -> None:
    script = tmp_path / "script.bt"
    script.write_text(f'#!{sys.executable} -mpytrace\nbegin {{ printf("%s\\n", str($1)); exit(); }}\n')
    script.chmod(0o755)
    done = subprocess.run([script, "hello"], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (0, "hello\n\n\n"), done.stderr


def test_histogram_of_reads_by_pid(pytrace: Runner, compile_c: Compile) -> None:
    with process(compile_c(READS)) as reader:
        assert reader.stdout is not None
        reader.stdout.read(1)
        script = "tracepoint:syscalls:sys_exit_read /pid == $1/ { @bytes = hist(args.ret); }"
        running = pytrace.start("-e", script, str(reader.pid)).attached()
        reader.send_signal(signal.SIGUSR1)
        assert reader.wait(30) == 0
        result = running.finish()
    assert result.status == 0
    rows = re.findall(r"^(\[.*[)\]]) +(\d+) \|", result.stdout, re.MULTILINE)
    assert (rows[0], rows[-1]) == (("[1]", "100"), ("[4K, 8K)", "50"))
    assert sum(int(count) for _, count in rows) == 150


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_interrupting_prints_the_maps(pytrace: Runner, number: signal.Signals) -> None:
    running = pytrace.start("-e", 'interval:ms:1 { @ = 7; printf("on\\n"); } end { printf("bye\\n"); }').attached()
    running.wait_for("on\n")
    result = running.finish(number)
    assert result.status == 0
    assert result.stdout.endswith("bye\n\n\n@: 7\n")


@pytest.mark.parametrize(("code", "status"), [("", 0), ("3", 3), ("256 + 7", 7), ("-1", 255)])
def test_exit_gives_the_status(pytrace: Runner, code: str, status: int) -> None:
    assert pytrace("-e", f"begin {{ exit({code}); }}").status == status


def test_the_end_of_a_command_ends_the_run_whatever_its_status(pytrace: Runner) -> None:
    result = pytrace("-e", "interval:s:60 { @ = 1; } begin { @c = cpid > 0; }", "-c", "sh -c 'exit 5'")
    assert (result.status, result.stdout) == (0, "\n\n@c: true\n")


def test_a_command_that_cannot_run(pytrace: Runner) -> None:
    result = pytrace("-e", "interval:s:60 { }", "-c", "/nonexistent/program")
    assert result.status == 1
    assert "/nonexistent/program" in result.stderr
    assert "Traceback" not in result.stderr


def test_the_end_of_a_process_ends_the_run(pytrace: Runner) -> None:
    with process("sleep", "1000") as sleeper:
        running = pytrace.start("-p", str(sleeper.pid), "-e", "interval:s:60 { @ = 1; }").attached()
        sleeper.kill()
        sleeper.wait()
        assert running.finish(None).status == 0


def test_only_the_given_process_counts(pytrace: Runner, compile_c: Compile) -> None:
    """Another process does the same all the while; intervals fire nonetheless."""
    script = "tracepoint:syscalls:sys_enter_read { @[pid] = count(); } rawtracepoint:sys_exit { @all[pid] = count(); } "
    script += "interval:ms:20 { @ticks = count(); }"
    reads = compile_c(READS)
    with process(reads) as one, process(reads) as other:
        for p in (one, other):
            assert p.stdout is not None
            assert p.stdout.read(1) == b"!"
        running = pytrace.start("-p", str(one.pid), "-e", script).attached()
        other.send_signal(signal.SIGUSR1)
        other.wait(10)
        time.sleep(0.1)
        one.send_signal(signal.SIGUSR1)
        result = running.finish(None)
    counted = dict(re.findall(r"^@\[(\d+)\]: (\d+)$", result.stdout, re.M))
    assert counted == {str(one.pid): "150"}
    assert re.findall(r"^@all\[(\d+)\]", result.stdout, re.M) == [str(one.pid)]
    assert re.search(r"^@ticks: [1-9]", result.stdout, re.M)


def test_a_process_that_is_not_there(pytrace: Runner) -> None:
    with process("true") as gone:
        gone.wait()
        result = pytrace("-p", str(gone.pid), "-e", "interval:s:60 { }")
    assert result.status == 1
    assert str(gone.pid) in result.stderr


def test_closed_output_ends_the_run_as_it_ends_any_program() -> None:
    with process(*Runner.command, "-q", "-e", 'interval:ms:1 { printf("x\\n"); }') as running:
        assert running.stdout is not None
        assert running.stdout.read(2) == b"x\n"
        running.stdout.close()
        assert running.wait(30) == -signal.SIGPIPE


def test_output_goes_to_a_file(pytrace: Runner, tmp_path: Path) -> None:
    file = tmp_path / "out"
    file.write_text("what was there before, and longer than what comes")
    result = pytrace("-o", file, "-e", 'begin { printf("x\\n"); @ = 1; exit(); }')
    assert (result.stdout, file.read_text()) == ("", "x\n\n\n@: 1\n")
    result = pytrace("-o", "/nonexistent/out", "-e", "begin { exit(); }")
    assert (result.status, "/nonexistent/out" in result.stderr) == (1, True)


def test_cat_waits_for_nothing(pytrace: Runner, tmp_path: Path) -> None:
    """A FIFO that nobody has opened, and one that somebody has open without writing."""
    silent, open_one = tmp_path / "silent", tmp_path / "open"
    os.mkfifo(silent)
    os.mkfifo(open_one)
    fd = os.open(open_one, os.O_RDWR)
    script = f'begin {{ cat("{silent}"); cat("{open_one}"); cat("/etc/hostname"); exit(); }}'
    result = pytrace("-q", "-e", script, timeout=30)
    os.close(fd)
    assert (result.status, result.stdout.strip()) == (0, Path("/etc/hostname").read_text().strip())


def test_json(pytrace: Runner) -> None:
    result = pytrace("-f", "json", "-e", 'interval:ms:200 { printf("x\\n"); @a = 1; exit(4); }')
    assert result.status == 4
    assert [json.loads(line) for line in result.stdout.splitlines()] == [
        {"type": "attached_probes", "count": 1, "data": {"probes": 1}},
        {"type": "printf", "data": "x\n"},
        {"type": "map", "data": {"@a": 1}},
    ]


def test_quiet_says_only_what_the_script_says(pytrace: Runner) -> None:
    script = 'interval:ms:1 { printf("x\\n"); exit(); }'
    assert pytrace("-e", script).stderr == "Attached 1 probe\n"
    assert pytrace("-q", "-e", script).stderr == ""


def test_dry_run_attaches_and_stops(pytrace: Runner) -> None:
    result = pytrace("--dry-run", "-e", 'begin { printf("never\\n"); } interval:ms:1 { printf("never\\n"); }')
    assert (result.status, result.stdout) == (0, "")


def test_script_on_the_standard_input(pytrace: Runner) -> None:
    assert pytrace("-", stdin='begin { printf("hello\\n"); exit(); }').stdout == "hello\n\n\n"


def test_warnings_can_be_silenced(pytrace: Runner) -> None:
    script = 'begin { printf("%d\\n", $1); exit(); }'
    assert "-e:1:24-26: WARNING: " in pytrace("-e", script).stderr
    assert "WARNING" not in pytrace("--no-warnings", "-e", script).stderr


@pytest.mark.parametrize(
    ("script", "position"),
    [
        ("begin { $x = ; }", "-e:1:"),
        ("tracepoint:syscalls:sys_enter_opennat { }", "-e:1:"),
        ("begin { nosuch(); }", "-e:1:"),
    ],
)
def test_mistakes_are_shown_where_they_are(pytrace: Runner, script: str, position: str) -> None:
    result = pytrace("-e", script)
    assert result.status == 1
    assert position in result.stderr
    assert "ERROR" in result.stderr
    assert "~" in result.stderr
    assert "Traceback" not in result.stderr


def test_listing_says_what_the_kernel_says(pytrace: Runner) -> None:
    listed = pytrace("-l", "tracepoint:sched:*").stdout.split()
    assert "tracepoint:sched:sched_switch" in listed
    described = pytrace("-lv", "tracepoint:syscalls:sys_enter_openat").stdout
    assert "    const char * filename\n" in described


def test_listing_probes_of_an_unknown_kind_is_a_mistake_with_a_hint(pytrace: Runner) -> None:
    result = pytrace("-l", "tracepont:x")
    assert (result.status, result.stdout) == (1, "")
    assert result.stderr.startswith("ERROR: invalid probe type: tracepont\nHINT: did you mean tracepoint")


def test_without_privileges_one_line_says_so() -> None:
    drop = ["setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon", "--inh-caps=-sys_admin,-bpf,-perfmon"]
    done = subprocess.run(
        [*drop, *Runner.command, "-e", "begin { exit(); }"], capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 1
    assert re.fullmatch(r"ERROR: .*CAP_BPF.*\n", done.stderr)


def test_a_killed_run_leaves_nothing_in_the_kernel(pytrace: Runner) -> None:
    def in_kernel(kind: str) -> set[int]:
        listed = subprocess.run(["bpftool", "-j", kind, "list"], check=True, capture_output=True).stdout
        return {entry["id"] for entry in json.loads(listed)}

    running = pytrace.start("-e", "tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }").attached()
    own: dict[str, set[int]] = {"prog": set(), "map": set(), "link": set()}
    for info in Path(f"/proc/{running.process.pid}/fdinfo").iterdir():
        for kind, number in re.findall(r"^(prog|map|link)_id:\s+(\d+)$", info.read_text(), re.MULTILINE):
            own[kind].add(int(number))
    assert own["prog"]
    assert own["map"]
    assert all(ids <= in_kernel(kind) for kind, ids in own.items())
    running.process.kill()
    running.process.wait(30)
    deadline = time.monotonic() + 30
    while any(ids & in_kernel(kind) for kind, ids in own.items()):
        assert time.monotonic() < deadline, "something of it is still there"
        time.sleep(0.05)
