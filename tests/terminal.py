"""A person at a terminal: a program on a pseudo-terminal, its screen, and keys for it."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import signal
import struct
import sys
import termios
import threading
import time
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import pyte
import pytest

TAB, ENTER, UP, CTRL_C, CTRL_D, BACKSPACE, CTRL_A = "\t", "\r", "\x1b[A", "\x03", "\x04", "\x7f", "\x01"
PROMPT = "pytrace>"


class _Screen(pyte.HistoryScreen):  # type: ignore[misc]  # pyte has no types
    """Answers the questions that programs ask of terminals."""

    def __init__(self, columns: int, rows: int, fd: int) -> None:
        self._fd = fd
        super().__init__(columns, rows, history=100_000)

    def write_process_input(self, data: str) -> None:
        os.write(self._fd, data.encode())


class Terminal:
    """Runs `python -m pytrace ARGUMENTS` (or another command) on a terminal. A context manager."""

    def __init__(
        self,
        *arguments: str,
        term: str = "xterm-256color",
        rows: int = 40,
        columns: int = 120,
        env: Mapping[str, str] | None = None,
        command: Sequence[str] = (sys.executable, "-m", "pytrace"),
    ) -> None:
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            fcntl.ioctl(1, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
            os.execvpe(command[0], [*command, *arguments], {**os.environ, "TERM": term, **(env or {})})
        self._screen = _Screen(columns, rows, self.fd)
        self._stream = pyte.ByteStream(self._screen)
        self._lock = threading.Lock()
        self.status: int | None = None
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        while True:
            try:
                data = os.read(self.fd, 1 << 16)
            except OSError:
                return
            if not data:
                return
            with self._lock:
                self._stream.feed(data)

    # --- looking -------------------------------------------------------------------------------------

    def lines(self) -> list[str]:
        """Everything that is and was on the screen, without the empty lines at its end."""
        with self._lock:
            history: list[Any] = list(self._screen.history.top)
            width = self._screen.columns
            past = ["".join(line[x].data for x in range(width)).rstrip() for line in history]
            lines = past + [line.rstrip() for line in self._screen.display]
        while lines and not lines[-1]:
            lines.pop()
        return lines

    @property
    def text(self) -> str:
        return "\n".join(self.lines())

    def wait_for(self, pattern: str, timeout: float = 60) -> re.Match[str]:
        """Returns once a regular expression is found in what was shown."""
        deadline = time.monotonic() + timeout
        while True:
            text = self.text
            if found := re.search(pattern, text, re.MULTILINE):
                return found
            if time.monotonic() > deadline or not self._reader.is_alive():
                if found := re.search(pattern, self.text, re.MULTILINE):
                    return found
                pytest.fail(f"no {pattern!r} on the terminal:\n{self.text[-4000:]}")
            time.sleep(0.02)

    @staticmethod
    def _entries(lines: list[str], text: str) -> list[int]:
        """The lines that an entry was typed on. Empty prompts come and go while output is written above them."""
        return [i for i, line in enumerate(lines) if line.startswith(f"{PROMPT} {text[:80].rstrip()}")]

    # --- typing --------------------------------------------------------------------------------------

    def type(self, text: str) -> None:
        os.write(self.fd, text.encode())

    def ready(self, timeout: float = 60) -> None:
        """Returns once there is an empty prompt at the end."""
        self.wait_for(rf"^{PROMPT}\Z", timeout)

    def answer(self, text: str, timeout: float = 60) -> str:
        """Types an entry at an empty prompt; gives what stands between it and the next prompt."""
        self.ready(timeout)
        before = len(self._entries(self.lines(), text))
        self.type(text + ENTER)
        deadline = time.monotonic() + timeout
        while True:
            lines = self.lines()
            entries = self._entries(lines, text)
            if len(entries) > before and lines[-1] == PROMPT:
                return "\n".join(lines[entries[-1] + 1 : -1])
            if time.monotonic() > deadline or not self._reader.is_alive():
                pytest.fail(f"no answer to {text!r}:\n{self.text[-4000:]}")
            time.sleep(0.02)

    # --- its end -------------------------------------------------------------------------------------

    def finish(self, keys: str = CTRL_D, timeout: float = 60) -> str:
        """Types what ends the program, waits for that, and gives what was shown since."""
        before = len(self.lines())
        self.type(keys)
        deadline = time.monotonic() + timeout
        while self.status is None:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.status = os.waitstatus_to_exitcode(status)
            elif time.monotonic() > deadline:
                pytest.fail(f"it does not end:\n{self.text[-4000:]}")
            time.sleep(0.02)
        self._reader.join(5)
        return "\n".join(self.lines()[before - 1 :])

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        if self.status is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)
