"""The commands of `system()`: run one after the other, without holding up the records that follow for long."""

from __future__ import annotations

import contextlib
import os
import select
import subprocess
import time
from collections import deque
from collections.abc import Callable

from pytrace.runtime.waiting import Waiter

INLINE = 0.05
"""Seconds of each round in which the session waits for commands, so that the output of a short command comes before
that of the statements after it."""
WAITING_MOST = 100_000
"""How many commands may wait for their turn. Those that come after that are not run, and counted."""
LAST = 1.0
"""Seconds after a signal has ended the session in which commands are still started; one that still runs after that is
terminated."""
_PIECE, _PIPE_MOST = 1 << 16, 1 << 20


class Commands:
    """Runs commands in a shell, in order, one at a time; `output` gets what they print, in pieces of up to 64 KiB.

    `dropped` counts commands that were not run, because too many were waiting or the session was ended by a signal.
    """

    def __init__(self, waiter: Waiter, output: Callable[[bytes], object]) -> None:
        self._waiter, self._output = waiter, output
        self._waiting: deque[bytes] = deque()
        self._process: subprocess.Popen[bytes] | None = None
        self._exit = -1  # a pidfd of the process
        self._text = bytearray()
        self._inline = INLINE
        self.dropped = 0

    def run(self, command: bytes) -> None:
        """Runs a command once those before it have ended. Returns when it has ended, or earlier (see `INLINE`)."""
        if len(self._waiting) >= WAITING_MOST:
            self.dropped += 1
            return
        self._waiting.append(command)
        began = time.monotonic()
        self.pump(max(0.0, self._inline))
        self._inline -= time.monotonic() - began

    @property
    def busy(self) -> bool:
        """Whether a command runs or waits."""
        return self._process is not None or bool(self._waiting)

    def next_round(self) -> None:
        """Takes what commands have printed, starts the next, and allows `INLINE` seconds of waiting again."""
        self._inline = INLINE
        if self.busy:
            self.pump(0.0)

    def pump(self, seconds: float) -> None:
        """Works until no command runs or waits, or the time is up."""
        until = time.monotonic() + seconds
        while self._process is not None or self._waiting:
            if self._process is None:
                self._start(self._waiting.popleft())
            if not self._read(max(0.0, until - time.monotonic())):
                return

    def drop_waiting(self) -> None:
        """Gives up what waits for its turn."""
        self.dropped += len(self._waiting)
        self._waiting.clear()

    def _start(self, command: bytes) -> None:
        process = subprocess.Popen(command, shell=True, stdout=subprocess.PIPE, stdin=subprocess.DEVNULL)
        assert process.stdout is not None
        os.set_blocking(process.stdout.fileno(), False)
        self._process, self._exit = process, os.pidfd_open(process.pid)
        self._waiter.watch(process.stdout.fileno(), self)
        self._waiter.watch(self._exit, self)

    def _read(self, seconds: float) -> bool:
        """Takes what there is, waiting for it up to `seconds`. Returns whether the command has ended."""
        assert self._process is not None and self._process.stdout is not None
        pipe = self._process.stdout.fileno()
        until = time.monotonic() + seconds
        poll = select.poll()
        poll.register(pipe, select.POLLIN)
        poll.register(self._exit, select.POLLIN)
        while True:
            ready = dict(poll.poll(max(0.0, until - time.monotonic()) * 1000))
            if not ready:
                return False
            ended = self._exit in ready
            if pipe in ready and not self._take(pipe):
                poll.unregister(pipe)
                self._waiter.forget(pipe)  # the command has closed it and may go on
            if ended:
                self._end(pipe)
                return True
            if time.monotonic() >= until:
                return False

    def _take(self, pipe: int) -> bool:
        """Reads once. Returns False at the end of the pipe."""
        try:
            data = os.read(pipe, _PIECE)
        except BlockingIOError:
            return True
        self._text += data
        if len(self._text) >= _PIECE:
            self._tell()
        return bool(data)

    def _end(self, pipe: int) -> None:
        # What it left running in the background may keep the pipe open: only what is there now is its output.
        with contextlib.suppress(OSError):
            for _ in range(_PIPE_MOST // _PIECE):
                if not (data := os.read(pipe, _PIECE)):
                    break
                self._text += data
                self._tell()
        self._tell()
        self._close()

    def _tell(self) -> None:
        text, self._text = bytes(self._text), bytearray()
        if text:
            self._output(text)

    def _close(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdout is not None:
            self._waiter.forget(process.stdout.fileno())
            self._waiter.forget(self._exit)
            process.stdout.close()
            os.close(self._exit)
            process.wait()

    def terminate(self) -> None:
        """Ends the command that runs, and drops those that wait."""
        self.drop_waiting()
        if self._process is not None:
            self._process.terminate()
            if not self._read(LAST):
                self._process.kill()
                self._read(LAST)

    def close(self) -> None:
        """Ends what runs, without its output."""
        self._waiting.clear()
        if self._process is not None:
            self._process.kill()
            self._close()
