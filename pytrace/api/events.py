"""`pytrace.events`: what a script sends, to iterate over."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator, Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pytrace.api.core import OnEvent
from pytrace.api.event import Event
from pytrace.api.session import Session
from pytrace.api.tracing import trace
from pytrace.program import Program

if TYPE_CHECKING:
    import asyncio

    from pytrace.api.engine import Engine
    from pytrace.api.options import CompileOptions

_MOST = 65536
"""Events that wait for their reader before taking more is put off; those that come then wait in the kernel's ring."""


class Events:
    """The events of a script: `for event in …` or `async for event in …`, which end when the session does.

    The first event that is asked for starts it; leaving the loop, `close()` or the end of a `with` block end it. What
    comes while the reader is busy waits: some in memory, more in the kernel's ring, and what finds no room there is
    counted in `lost`. One reader at a time.
    """

    def __init__(self, make: Callable[[OnEvent], Session]) -> None:
        queue = self._queue = _Queue()
        self.session = make(queue.put)
        queue.engine = self.session._engine
        self.session._engine.afterwards.append(queue.wake)

    @property
    def lost(self) -> int:
        """Events that found no room, so far."""
        return self.session.lost

    def start(self) -> Self:
        """Attaches now, instead of at the first event that is asked for. Raises what `Session.start` raises."""
        if not self.session._started:
            self.session.start()
            if self.session.running and not self.session._waits():
                # Only `begin` and `end` probes: there is nothing to wait for.
                self.session._close()
        return self

    def close(self) -> None:
        """Ends it; events that have not been read are dropped."""
        self._queue.drop()
        self.session.stop()

    def __iter__(self) -> Iterator[Event]:
        return self

    def __next__(self) -> Event:
        try:
            self.start()
            while True:
                event = self._queue.take()
                if event is not None:
                    return event
                self.session._speak(3)
                if self._queue.finished:
                    self.session.stop()
                    raise StopIteration
                self._queue.wait()
        except StopIteration:
            raise
        except BaseException:
            self._queue.drop()
            self.session._close()
            raise

    def __aiter__(self) -> AsyncIterator[Event]:
        return self

    async def __anext__(self) -> Event:
        import asyncio

        try:
            if not self.session._started:
                await asyncio.to_thread(self.start)
            while True:
                event = self._queue.take()
                if event is not None:
                    return event
                self.session._speak(3)
                if self._queue.finished:
                    await asyncio.to_thread(self.session.stop)
                    raise StopAsyncIteration
                await self._queue.asyncio_wait()
        except StopAsyncIteration:
            raise
        except BaseException:
            self._queue.drop()
            await asyncio.shield(asyncio.to_thread(self.session._close))
            raise

    async def aclose(self) -> None:
        """`close()`, without holding up other tasks."""
        import asyncio

        await asyncio.to_thread(self.close)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        import asyncio

        return await asyncio.to_thread(self.start)

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None
    ) -> None:
        await self.aclose()

    def __repr__(self) -> str:
        return f"<Events of {self.session!r}>"


class _Queue:
    """Between the session's thread and the reader. Full, it holds up the former."""

    def __init__(self) -> None:
        self.engine: Engine
        self._events: deque[Event] = deque()
        self._news = threading.Condition()
        self._full = self._dropped = False
        self._waiters: list[tuple[asyncio.AbstractEventLoop, asyncio.Future[None]]] = []

    def put(self, event: Event) -> None:
        if self._dropped:
            return
        self._events.append(event)
        if len(self._events) == 1:
            self.wake()
        if len(self._events) >= _MOST:
            self._full = True
            self.engine.pause(lambda: not self._full)

    def take(self) -> Event | None:
        if not self._events:
            return None
        event = self._events.popleft()
        if self._full and len(self._events) <= _MOST // 2:
            self._full = False
            self.engine.nudge()
        return event

    @property
    def finished(self) -> bool:
        return self.engine.over.is_set() and not self._events

    def wake(self) -> None:
        with self._news:
            self._news.notify_all()
            waiters, self._waiters = self._waiters, []
        for loop, future in waiters:
            if not loop.is_closed():
                loop.call_soon_threadsafe(_set, future)

    def wait(self) -> None:
        """Sleeps until there is an event or the session is over."""
        with self._news:
            self._news.wait_for(lambda: self._events or self.engine.over.is_set())

    async def asyncio_wait(self) -> None:
        import asyncio

        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        with self._news:
            if self._events or self.engine.over.is_set():
                return
            self._waiters.append((loop, future))
        await future

    def drop(self) -> None:
        self._dropped = True
        self._events.clear()
        self._full = False
        self.engine.nudge()


def _set(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)


def events(
    script: str | Program,
    *,
    params: Sequence[str | int] = (),
    named: Mapping[str, str | bool] | None = None,
    options: CompileOptions | None = None,
    name: str = "<script>",
    pid: int = 0,
    command: str | Sequence[str] | None = None,
) -> Events:
    """The events of a script, to iterate over: what its `print` and `printf` statements send, as typed values with the
    time and the probe they come from. The arguments are those of `trace`, and so is what it raises."""

    def make(on_event: OnEvent) -> Session:
        return trace(
            script,
            params=params,
            named=named,
            options=options,
            name=name,
            pid=pid,
            command=command,
            on_event=on_event,
        )

    return Events(make)
