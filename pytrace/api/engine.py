"""The thread that a session lives in: one of its own, or that of whoever follows it. Everything that touches the kernel
is done there, one thing after the other; all other threads send it commands and wait."""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pytrace.kernel import KernelError

if TYPE_CHECKING:
    from pytrace.runtime import Session

T = TypeVar("T")
_LONG = 3600.0
_SHORT = 0.1


class SessionOver(KernelError):
    """The session has ended, or has not begun; what was asked for needs one that runs."""


class _Answer(Generic[T]):
    """What a command will have given."""

    def __init__(self, command: Callable[[Session], T], disruptive: bool) -> None:
        self.command, self.disruptive = command, disruptive
        self._done = threading.Event()
        self._error: BaseException | None = None
        self._value: T | None = None

    def work(self, session: Session) -> None:
        try:
            self._value = self.command(session)
        except BaseException as error:
            self._error = error
        self._done.set()

    def refuse(self) -> None:
        self._error = SessionOver("the session is over")
        self._done.set()

    def wait(self) -> T:
        self._done.wait()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # it is there if there was no error


class Timer:
    """Something that is done again and again. `cancel` from any thread."""

    def __init__(self, interval: float, action: Callable[[], object]) -> None:
        self.interval, self.action = interval, action
        self.due = time.monotonic() + interval
        self.cancelled = False

    def cancel(self) -> None:
        """It is not done again."""
        self.cancelled = True


class Engine:
    """Runs a session, from `start` in a thread of its own or with `here` in the caller's, until `shutdown`, `exit()` or
    the end of what it watches.

    `make` makes the session, in that thread. `at_end` is called there when it has ended but can still be read, and
    the functions in `afterwards` when all is over. An exception in a callback ends the session; `error` keeps it.
    """

    def __init__(self, make: Callable[[], Session], at_end: Callable[[Session], object]) -> None:
        self._make, self._at_end = make, at_end
        self.over = threading.Event()
        self.error: BaseException | None = None
        self.afterwards: list[Callable[[], object]] = []
        self.survives: Callable[[Session], bool] | None = None
        """Asked, in the thread, when `exit()` or the end of what it watches is to end the session: whether it goes
        on."""
        self.timers: list[Timer] = []
        # A deque, because signal handlers add to it: nothing that has a lock would do.
        self._commands: deque[_Answer[Any]] = deque()
        self._news: threading.Event | None = None  # what a callback that pauses sleeps on
        self._postponed: list[_Answer[Any]] = []
        self._stopping = False
        self._delivering = 0
        self._session: Session | None = None
        self._opening: Session | None = None
        self._thread: threading.Thread | None = None
        self._borrowed = False  # the thread is not ours
        self._process = os.getpid()
        self._gate = threading.Lock()
        self._closed = False  # nobody may send commands any more; changes under the gate only

    # --- from other threads -------------------------------------------------------------------------

    def start(self) -> None:
        """Loads and attaches. Raises what the session raises."""
        self._fresh()
        began = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(began,), name="pytrace", daemon=True)
        self._thread.start()
        try:
            began.wait()
        except BaseException:  # Ctrl-C meanwhile: nothing may stay attached
            self.shutdown()
            raise
        if self._session is None:
            self._thread.join()
            error, self.error = self.error, None
            assert error is not None
            raise error

    def _fresh(self) -> None:
        if self._stopping:
            raise SessionOver("the session was stopped before it had begun")

    def here(self, begun: Callable[[Session], bool]) -> None:
        """Everything in this thread, from the beginning to the end, which also comes when nothing can happen any more.
        `begun` is called when all is attached; if it gives False, that was all: no `end` probes, no maps.

        Raises what the session or a callback raises; after a second Ctrl-C `KeyboardInterrupt`, at once.
        """
        self._fresh()
        self._thread, self._borrowed = threading.current_thread(), True
        session = self._opening = None
        try:
            session = self._opening = self._make()
            session.__enter__()
            self._session = session
            if not begun(session):
                return
            try:
                if session.waits:
                    self._serve(session)
            except Exception:
                if self.error is None:  # not a callback's
                    raise
            session.finish()
            self._at_end(session)
            if self.error is not None:
                raise self.error
        finally:
            with self._gate:
                self._closed = True
            if session is not None:
                session.close()
            self._ended()

    @property
    def running(self) -> bool:
        return self._session is not None and not self.over.is_set()

    @property
    def in_own_thread(self) -> bool:
        """Whether the caller is a callback, in the session's own thread."""
        return threading.current_thread() is self._thread and not (self._borrowed and self.over.is_set())

    def call(self, command: Callable[[Session], T], *, disruptive: bool = False) -> T:
        """What a command gives. One that is `disruptive` (it takes something away that may be in use) waits until no
        callback runs; from within a callback its result is not waited for, and is None."""
        answer = _Answer(command, disruptive)
        if self.in_own_thread:
            if disruptive and self._delivering:
                self._postponed.append(answer)
                return None  # type: ignore[return-value]  # as promised
            session = self._session or self._opening
            assert session is not None
            answer.work(session)
            return answer.wait()
        with self._gate:
            if self._session is None or self._closed or os.getpid() != self._process:
                begun = self._session is not None or self._closed
                raise SessionOver("the session is over" if begun else "the session has not begun")
            self._commands.append(answer)
            self._session.wake()
        self.nudge()
        return answer.wait()

    def wait_over(self) -> None:
        """Waits for the end of a session that takes no commands any more; does not if it has not begun."""
        if (self._session is not None or self._closed) and not self.in_own_thread:
            self.over.wait()

    def post(self, command: Callable[[Session], object]) -> None:
        """Has it done soon and does not wait, nor for any lock: for signal handlers."""
        self._commands.append(_Answer(command, False))
        # The gate keeps what `wake` writes to from being something else. Without it the session looks soon, too.
        if self._gate.acquire(blocking=False):
            try:
                if self._session is not None and not self._closed:
                    self._session.wake()
            finally:
                self._gate.release()

    def nudge(self) -> None:
        """There is something for `pause` to look at: a command, or room again for what it waits for."""
        news = self._news
        if news is not None:
            news.set()

    def shutdown(self) -> None:
        """Ends the session politely and waits until it is over. Does nothing in a child process made by fork."""
        self._stopping = True
        if self._thread is None or os.getpid() != self._process:
            self._closed = True
            self.over.set()
            return
        if self.in_own_thread:
            return
        with self._gate:
            if self._session is not None and not self._closed:
                self._session.wake()
        self.nudge()
        if self._borrowed:
            self.over.wait()
        else:
            self._thread.join()

    # --- in the thread -------------------------------------------------------------------------------

    def _work(self, began: threading.Event) -> None:
        session = None
        try:
            session = self._opening = self._make()
            session.__enter__()
        except BaseException as error:
            if session is not None:
                session.close()
            self.error = error
            self._ended()
            began.set()
            return
        self._session = session
        began.set()
        try:
            try:
                self._serve(session)
            except BaseException as error:
                self.error = error
            session.finish()
            self._at_end(session)
        except BaseException as error:
            self.error = self.error or error
        finally:
            with self._gate:
                self._closed = True
            session.close()
            self._ended()

    def _ended(self) -> None:
        with self._gate:
            self._closed = True
        self.over.set()
        while self._commands:
            self._commands.popleft().refuse()
        for waiting in self._postponed:
            waiting.refuse()
        for action in self.afterwards:
            action()

    def _serve(self, session: Session) -> None:
        while not self._stopping:
            self._obey(session)
            if self._stopping or (session.over and not (self.survives and self.survives(session))):
                return
            session.poll(self._patience())
            now = time.monotonic()
            for timer in list(self.timers):
                if timer.cancelled:
                    self.timers.remove(timer)
                elif timer.due <= now:
                    timer.due = now + timer.interval
                    timer.action()

    def _patience(self) -> float:
        if not self.timers:
            return _LONG
        return max(0.0, min(timer.due for timer in self.timers) - time.monotonic())

    def _obey(self, session: Session) -> None:
        postponed, self._postponed = self._postponed, []
        for waiting in postponed:
            waiting.work(session)
        while self._commands:
            self._commands.popleft().work(session)

    def deliver(self, action: Callable[[], T]) -> T | None:
        """Calls back, unless the session is in trouble already."""
        if self.error is not None:
            return None
        self._delivering += 1
        try:
            return action()
        except BaseException as error:
            self.error = error
            raise
        finally:
            self._delivering -= 1

    def pause(self, until: Callable[[], bool]) -> None:
        """In a callback: waits until somebody has made room. Commands are obeyed meanwhile; one that must not be
        obeyed now, and the end of the session, end the wait."""
        session = self._session or self._opening
        assert session is not None
        news = self._news = threading.Event()
        while not (until() or self._stopping or self._postponed):
            if not self._commands:
                news.wait(_SHORT)  # a signal handler does not nudge
                news.clear()
                continue
            answer = self._commands.popleft()
            if answer.disruptive:
                self._postponed.append(answer)
            else:
                answer.work(session)
