"""What a session sleeps on: its rings, its process or command, signals, and a way for other threads to wake it."""

from __future__ import annotations

import os
import select
import signal
import threading
from collections.abc import Iterable
from types import FrameType
from typing import Any


class Waiter:
    """An epoll. `wait` gives the keys of what is ready: those that `watch` was given, and `SIGNAL` or `WOKEN`."""

    SIGNAL = "signal"
    WOKEN = "woken"

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._keys: dict[int, object] = {}
        self._wake = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.watch(self._wake, self.WOKEN)

    def watch(self, fd: int, key: object, events: int = select.EPOLLIN) -> None:
        """With `events` 0, only errors and hang-ups are reported."""
        self._keys[fd] = key
        self._epoll.register(fd, events)

    def forget(self, fd: int) -> None:
        if self._keys.pop(fd, None) is not None:
            self._epoll.unregister(fd)

    def wait(self, timeout: float) -> list[object]:
        """Sleeps up to `timeout` seconds. A signal whose handler is in Python ends the sleep."""
        ready = [self._keys[fd] for fd, _ in self._epoll.poll(timeout) if fd in self._keys]
        if self.WOKEN in ready:
            os.eventfd_read(self._wake)
        return ready

    def wake(self) -> None:
        """Ends a `wait`, now or next time; from any thread."""
        os.eventfd_write(self._wake, 1)

    def close(self) -> None:
        self._epoll.close()
        os.close(self._wake)


class Signals:
    """Signals of the session while it is entered, in the main thread only (elsewhere it does nothing).

    The first of `ending` sets `ended`, the second raises `KeyboardInterrupt`; `drain` gives the others.
    """

    def __init__(self, waiter: Waiter, ending: Iterable[int]) -> None:
        self._waiter = waiter
        self._ending = frozenset(ending)
        self._before: dict[int, Any] = {}
        self._pipe: tuple[int, int] | None = None
        self._wakeup_before = -1
        self._taken: list[int] = []
        self.ended = False

    def __enter__(self) -> Signals:
        if threading.current_thread() is not threading.main_thread():
            return self
        self._pipe = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._waiter.watch(self._pipe[0], Waiter.SIGNAL)
        # Without a byte in a pipe, a handler that runs just before the sleep begins would not shorten it.
        self._wakeup_before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        self.take(self._ending)
        return self

    def take(self, numbers: Iterable[int]) -> None:
        """From now on these signals come here, too."""
        if self._pipe is not None:
            for number in numbers:
                if number not in self._before:
                    self._before[number] = signal.signal(number, self._handle)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if number in self._ending:
            if self.ended:
                raise KeyboardInterrupt
            self.ended = True
        else:
            self._taken.append(number)

    def drain(self) -> list[int]:
        """The signals that are not `ending` and came since the last call."""
        if self._pipe is not None:
            try:
                while os.read(self._pipe[0], 512):
                    pass
            except BlockingIOError:
                pass
        taken, self._taken = self._taken, []
        return taken

    def __exit__(self, *_: object) -> None:
        if self._pipe is None:
            return
        for number, before in self._before.items():
            signal.signal(number, before if before is not None else signal.SIG_DFL)
        signal.set_wakeup_fd(self._wakeup_before)
        self._waiter.forget(self._pipe[0])
        for fd in self._pipe:
            os.close(fd)
        self._pipe = None
