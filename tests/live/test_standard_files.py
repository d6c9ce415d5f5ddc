"""A run whose standard files are closed, full or few: one line that says so, a status that is not 0, and nothing
written where it does not belong."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

HELLO = """begin { printf("hello\\n"); exit(); }"""


def shell(redirection: str, *arguments: str, before: str = "") -> subprocess.CompletedProcess[str]:
    """The command line run by a shell that redirects something."""
    line = f"{before} exec {shlex.join([sys.executable, '-m', 'pytrace', *arguments])} {redirection}"
    return subprocess.run(["sh", "-c", line], capture_output=True, text=True, timeout=60)


@pytest.mark.parametrize("arguments", [("-q", "-e", HELLO), ("-V",), ("-l", "tracepoint:*open*")])
@pytest.mark.parametrize("redirection", [">&-", "<&- >&-"])
def test_closed_output_is_a_mistake(arguments: tuple[str, ...], redirection: str) -> None:
    done = shell(redirection, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: ") and "Bad file descriptor" in done.stderr
    assert len(done.stderr.splitlines()) == 1


@pytest.mark.parametrize("arguments", [("-q", "-e", HELLO), ("-q", "-f", "json", "-e", HELLO), ("-l", "tracepoint:*")])
def test_full_output_is_a_mistake(arguments: tuple[str, ...]) -> None:
    done = shell(">/dev/full", *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith("ERROR: ") and "No space left on device" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_closed_input_and_messages_do_no_harm() -> None:
    done = shell("<&- 2>&-", "-e", HELLO)
    assert (done.returncode, done.stdout.strip(), done.stderr) == (0, "hello", "")


@pytest.mark.parametrize("files", range(12, 20))
def test_too_few_descriptors_are_called_that(files: int) -> None:
    """Wherever the limit is hit: a map, the BTF or a program."""
    script = "begin { @a[1] = 1; @b[pid] = count(); exit(); } profile:hz:99 { @c = count(); }"
    done = shell("", "-q", "-e", script, before=f"ulimit -n {files};")
    if done.returncode == 0:
        assert "@a[1]: 1" in done.stdout
    else:
        assert done.stderr.startswith("ERROR: ") and "Too many open files" in done.stderr
        assert "magic" not in done.stderr
