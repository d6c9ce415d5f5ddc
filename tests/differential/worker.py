"""Runs command lines of pytrace one after the other in forks of itself, so that imports are paid once.

Reads requests from the standard input and writes replies to the standard output, one JSON object per line.
"""

from __future__ import annotations

import json
import os
import select
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

TIMEOUT = 60  # seconds for one script

_WARMING = 'begin { @a[comm] = hist(1); printf("%s %d\\n", str($1), 1); print((1, "a")); }'


class Worker:
    """The worker as its user sees it: a process that is started on entering and ended on leaving."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.differential.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTRACE_CACHE": "0"},  # a compiled script that was kept would hide the compiler
            cwd=Path(__file__).parents[2],
        )

    def run(self, words: Sequence[str], env: Mapping[str, str], directory: Path) -> tuple[str, str, int]:
        """Standard output, standard error and exit status of `pytrace WORDS` in a directory."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        request = {"words": list(words), "env": dict(env), "directory": str(directory)}
        self._process.stdin.write(json.dumps(request).encode() + b"\n")
        self._process.stdin.flush()
        reply = json.loads(self._process.stdout.readline())
        return reply["stdout"], reply["stderr"], reply["status"]

    def close(self) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(TIMEOUT)
        self._process.stdout.close()


def _serve() -> None:
    from pytrace.cli import main
    from pytrace.compiler import compile_script

    replies = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    compile_script(_WARMING)
    import pytrace.api.foreground
    import pytrace.commands.run
    import pytrace.output
    import pytrace.runtime
    import pytrace.runtime.native  # noqa: F401

    for line in sys.stdin:
        request = json.loads(line)
        directory = Path(request["directory"])
        pid = os.fork()
        if not pid:
            _become(request, directory)
            status = 70
            try:
                status = main(request["words"])
                sys.stdout.flush()
            except SystemExit as error:
                status = int(error.code or 0)
            finally:
                os._exit(status & 0xFF)
        status = _wait(pid)
        reply = {name: (directory / name).read_bytes().decode(errors="replace") for name in ("stdout", "stderr")}
        replies.write(json.dumps({**reply, "status": status}) + "\n")
        replies.flush()


def _become(request: dict[str, Any], directory: Path) -> None:
    os.chdir(directory)
    os.environ.update(request["env"])
    for fd, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        os.dup2(file, fd)
        os.close(file)
    null = os.open(os.devnull, os.O_RDONLY)
    os.dup2(null, 0)
    os.close(null)


def _wait(pid: int) -> int:
    """The exit status; a run that takes too long is killed, and has that for its status."""
    pidfd = os.pidfd_open(pid)
    if not select.select([pidfd], [], [], TIMEOUT)[0]:
        os.kill(pid, signal.SIGKILL)
    os.close(pidfd)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


if __name__ == "__main__":
    _serve()
