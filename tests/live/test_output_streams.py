"""Output that is slow, non-blocking, full or gone; commands and captures that scripts ask for."""

from __future__ import annotations

import fcntl
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.conftest import Runner

FLOOD = 'begin { for ($i : 0..20000) { printf("line %d of some length to fill the pipe\\n", $i); } exit(); }'
LINES = [f"line {i} of some length to fill the pipe" for i in range(20000)]


@pytest.mark.parametrize("format", ["text", "json"])
def test_a_slow_reader_on_a_non_blocking_pipe_gets_everything(format: str) -> None:
    read, write = os.pipe()
    fcntl.fcntl(write, fcntl.F_SETFL, os.O_NONBLOCK)
    fcntl.fcntl(write, fcntl.F_SETPIPE_SZ, 4096)
    process = subprocess.Popen([*Runner.command, "-q", "-f", format, "-e", FLOOD], stdout=write, stderr=subprocess.PIPE)
    os.close(write)
    got = bytearray()
    while data := os.read(read, 4096):
        got += data
        if len(got) < 40_000:
            time.sleep(0.01)
    os.close(read)
    assert process.stderr is not None
    assert process.wait(60) == 0, process.stderr.read()
    assert [int(n) for n in re.findall(rb"line (\d+) of", bytes(got))] == list(range(20000))
    process.stderr.close()


def test_a_full_disk_is_said(pytrace: Runner) -> None:
    done = pytrace("-q", "-o", "/dev/full", "-e", 'begin { printf("hello\\n"); exit(); }')
    assert done.status != 0 and "No space left on device" in done.stderr and "Traceback" not in done.stderr


# --- system() and cat() ------------------------------------------------------------------------------------


def test_commands_run_in_order_and_short_ones_in_place(pytrace: Runner) -> None:
    done = pytrace(
        "-q",
        "--unsafe",
        "-e",
        'begin { system("echo one"); printf("two\\n"); system("echo three"); printf("four\\n"); exit(); }',
    )
    assert done.stdout.split() == ["one", "two", "three", "four"]


def test_a_long_command_does_not_hold_up_what_follows(pytrace: Runner) -> None:
    script = 'begin { system("sleep 1; echo command"); } interval:ms:20 { printf("tick\\n"); } interval:s:2 { exit(); }'
    words = pytrace("-q", "--unsafe", "-e", script).stdout.split()
    assert words.count("command") == 1
    assert words.index("command") > 20  # so many ticks were shown while it ran


def test_all_commands_run_before_the_end(pytrace: Runner) -> None:
    done = pytrace("-q", "--unsafe", "-e", 'begin { for ($i : 0..300) { system("echo %d", $i); } exit(); }')
    assert done.stdout.split() == [str(i) for i in range(300)]


def test_what_a_command_leaves_in_the_background_is_not_waited_for(pytrace: Runner) -> None:
    began = time.monotonic()
    done = pytrace("-q", "--unsafe", "-e", 'begin { system("sleep 30 2>&1 & echo started"); exit(); }')
    assert done.stdout.strip() == "started"
    assert time.monotonic() - began < 25


def test_a_command_that_never_stops_printing_is_passed_on_in_pieces(pytrace: Runner, tmp_path: Path) -> None:
    run = pytrace.start(
        "-q", "--unsafe", "-o", "/dev/null", "-e", 'begin { system("yes"); } interval:s:1 { print(1); }'
    )
    time.sleep(2)
    with open(f"/proc/{run.process.pid}/status") as status:
        memory = next(int(line.split()[1]) for line in status if line.startswith("VmRSS:"))
    assert memory < 300_000  # KiB; `yes` has printed gigabytes
    done = run.finish(timeout=20)
    assert done.status == 0


def test_ctrl_c_ends_a_flood_of_commands(pytrace: Runner) -> None:
    script = 'tracepoint:raw_syscalls:sys_enter { system("true"); cat("/proc/self/maps"); }'
    run = pytrace.start("--unsafe", "-o", "/dev/null", "-e", script).attached()
    time.sleep(1)
    done = run.finish(timeout=30)
    assert done.status == 0
    assert re.search(r"WARNING: \d+ calls of system\(\) or cat\(\) were not carried out", done.stderr)


# --- files ---------------------------------------------------------------------------------------------------


@pytest.fixture
def public(tmp_path: Path) -> Path:
    directory = tmp_path / "public"
    directory.mkdir()
    directory.chmod(0o1777)
    return directory


def test_the_output_does_not_follow_a_link_that_others_may_have_made(pytrace: Runner, public: Path) -> None:
    (public / "victim").write_text("precious")
    (public / "out").symlink_to(public / "victim")
    done = pytrace("-o", public / "out", "-e", "begin { print(1); exit(); }")
    assert done.status != 0 and "symbolic link" in done.stderr and "--unsafe" in done.stderr
    assert (public / "victim").read_text() == "precious"
    assert pytrace("--unsafe", "-o", public / "out", "-e", "begin { print(1); exit(); }").status == 0
    assert (public / "victim").read_text().startswith("1")


CAPTURE = 'rawtracepoint:net_dev_queue { skboutput("PATH", args.skb, args.skb.len, 0); @ = count(); }'


def captured(pytrace: Runner, path: Path, *options: str) -> tuple[str, int]:
    """What the run says on stderr, and how many packets it counted."""
    run = pytrace.start(*options, "-e", CAPTURE.replace("PATH", str(path))).attached()
    for _ in range(3):
        subprocess.run(
            [
                sys.executable,
                "-c",
                "import socket; socket.socket(type=socket.SOCK_DGRAM).sendto(b'x', ('127.0.0.1', 9))",
            ],
            check=True,
        )
    time.sleep(0.3)
    done = run.finish()
    return done.stderr, int(re.search(r"@: (\d+)", done.stdout)[1])  # type: ignore[index]  # the count is there


def test_a_capture_does_not_replace_what_is_none(pytrace: Runner, tmp_path: Path, public: Path) -> None:
    (tmp_path / "notes").write_text("precious")
    (public / "link").symlink_to(tmp_path / "notes")
    for path in (tmp_path / "notes", public / "link"):
        said, count = captured(pytrace, path)
        assert count >= 3 and said.count("ERROR: failed to write") == 1 and "--unsafe" in said
        assert f"{count} packets were not written" in said
        assert (tmp_path / "notes").read_text() == "precious"
    said, count = captured(pytrace, tmp_path / "fresh")
    assert "ERROR" not in said and (tmp_path / "fresh").stat().st_size > 24
    said, count = captured(pytrace, tmp_path / "fresh")  # a capture is replaced
    assert "ERROR" not in said
    said, count = captured(pytrace, tmp_path / "notes", "--unsafe")
    assert "ERROR" not in said and (tmp_path / "notes").read_bytes()[:4] == bytes.fromhex("4d3cb2a1")


# --- perf events -----------------------------------------------------------------------------------------------


def test_a_frequency_above_the_limit_is_named(pytrace: Runner) -> None:
    with open("/proc/sys/kernel/perf_event_max_sample_rate") as file:
        limit = int(file.read())
    done = pytrace("-e", f"begin {{ }}\nprofile:hz:{limit + 1} {{ @ = count(); }}")
    assert done.status != 0
    assert f"-e:2:1: cannot attach profile:hz:{limit + 1}: more than {limit} a second" in done.stderr
    assert "perf_event_max_sample_rate" in done.stderr


def test_an_event_that_the_machine_lacks_is_named(pytrace: Runner) -> None:
    done = pytrace("-e", "hardware:cycles:1000000 { @ = count(); } interval:ms:1 { exit(); }")
    # With a PMU it is counted, without one the message names the probe.
    assert done.status == 0 or "-e:1:1: cannot attach hardware:cycles:1000000: this machine has no such" in done.stderr
