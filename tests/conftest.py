"""What all tests share: the command line run as a user runs it, and C programs to trace."""

from __future__ import annotations

import hashlib
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

LIVE = Path(__file__).parent / "live"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all-kernels", action="store_true", help="boot every kernel there is, not only those of CI")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests below live/ load BPF programs: without root there is nothing they could do."""
    if os.geteuid() == 0:
        return
    for item in items:
        if LIVE in item.path.parents:
            item.add_marker(pytest.mark.skip(reason="loads BPF programs: needs root (./scripts/test asks for it)"))


@dataclass(frozen=True)
class Result:
    """A finished run of the command line. `status` is negative for a signal, as subprocess has it."""

    stdout: str
    stderr: str
    status: int


class Running:
    """A run in the background; both streams are collected while it runs."""

    def __init__(self, process: subprocess.Popen[bytes]) -> None:
        self.process = process
        self._parts: dict[str, list[bytes]] = {"stdout": [], "stderr": []}
        self._threads = [threading.Thread(target=self._collect, args=(n,), daemon=True) for n in self._parts]
        for thread in self._threads:
            thread.start()

    def _collect(self, name: str) -> None:
        stream = getattr(self.process, name)
        while chunk := os.read(stream.fileno(), 1 << 16):
            self._parts[name].append(chunk)

    def text(self, name: str = "stdout") -> str:
        """What has come out so far."""
        return b"".join(self._parts[name]).decode(errors="replace")

    def wait_for(self, text: str, stream: str = "stdout", timeout: float = 30) -> None:
        """Returns once `text` has come out; fails the test if the run ends or time passes without it."""
        deadline = time.monotonic() + timeout
        while text not in self.text(stream):
            over = self.process.poll() is not None
            if over:
                self._join()
            if (over and text not in self.text(stream)) or time.monotonic() > deadline:
                pytest.fail(f"no {text!r} on {stream}; stdout: {self.text()!r}, stderr: {self.text('stderr')!r}")
            time.sleep(0.01)

    def attached(self) -> Running:
        """Returns once the probes are attached."""
        self.wait_for("Attached ", "stderr")
        return self

    def finish(self, number: signal.Signals | None = signal.SIGINT, timeout: float = 30) -> Result:
        """Sends a signal (none: waits for the end by itself) and gives the result."""
        if number is not None:
            self.process.send_signal(number)
        status = self.process.wait(timeout)
        self._join()
        return Result(self.text(), self.text("stderr"), status)

    def _join(self) -> None:
        for thread in self._threads:
            thread.join(10)

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()
        for stream in (self.process.stdin, self.process.stdout, self.process.stderr):
            if stream:
                stream.close()


class Runner:
    """Calling it runs `pytrace ARGUMENTS` to its end; `start` leaves it running."""

    command: tuple[str, ...] = (sys.executable, "-m", "pytrace")

    def __init__(self) -> None:
        self._running: list[Running] = []

    def __call__(
        self, *arguments: str | Path, stdin: str | bytes = b"", timeout: float = 60, env: dict[str, str] | None = None
    ) -> Result:
        done = subprocess.run(
            [*self.command, *arguments],
            input=stdin.encode() if isinstance(stdin, str) else stdin,
            capture_output=True,
            timeout=timeout,
            env={**os.environ, **(env or {})},
        )
        return Result(done.stdout.decode(errors="replace"), done.stderr.decode(errors="replace"), done.returncode)

    def start(self, *arguments: str | Path, env: dict[str, str] | None = None) -> Running:
        process = subprocess.Popen(
            [*self.command, *arguments],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env={**os.environ, **(env or {})},
        )
        self._running.append(Running(process))
        return self._running[-1]

    def close(self) -> None:
        for running in self._running:
            running.close()


@pytest.fixture
def pytrace() -> Iterator[Runner]:
    """The command line in processes of its own; whatever a test leaves running is killed."""
    runner = Runner()
    yield runner
    runner.close()


@pytest.fixture(scope="session")
def compile_c(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """compile_c(source, *flags): the path of a program compiled with gcc, once per session for equal arguments."""
    directory = tmp_path_factory.mktemp("c")

    def compile_(source: str, *flags: str) -> Path:
        name = hashlib.sha256("\0".join((source, *flags)).encode()).hexdigest()[:16]
        program = directory / name
        if not program.exists():
            text = program.with_suffix(".c")
            text.write_text(source)
            subprocess.run(["gcc", "-o", program, text, *(flags or ("-O1", "-g"))], check=True)
        return program

    return compile_
