"""A session in the foreground, as the command line has it: in the thread that asks for it, text or JSON to a file."""

from __future__ import annotations

import select
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pytrace.api.streams import STDERR, descriptor, sink_of
from pytrace.output import Text
from pytrace.program import Attach, Program, TestRun
from pytrace.record import record, replace
from pytrace.runtime import Session, Symbols
from pytrace.runtime.sinks import BufferedSink, FdSink

if TYPE_CHECKING:
    from pytrace.api.streams import Format, TextStream
    from pytrace.output import Renderer, Sink

Buffering = Literal["line", "full", "none"]


@record
class FollowOptions:
    """What `Session.follow` was asked for; see there."""

    buffering: Buffering
    quiet: bool
    warnings: bool
    verbose: bool
    dry_run: bool


class Console:
    """The renderer of a session in the foreground, and the file behind it.

    `fd` is the descriptor that the output goes to, if it goes to one; `flush`, where it is not None, is to be called
    before each sleep.
    """

    def __init__(
        self,
        output: TextStream | int | None,
        format: Format,
        follow_options: FollowOptions,
        config: Mapping[str, Any],
        symbols: Symbols,
        renderer: Renderer | None = None,
    ) -> None:
        self.fd = fd = descriptor(output) if renderer is None else None
        self.flush: Callable[[], None] | None = None
        self._buffer = None
        if renderer is not None:
            self.renderer = renderer
            return
        sink: Sink
        if fd is None:
            sink = sink_of(output)
        elif follow_options.buffering == "none":
            sink = FdSink(fd)
        else:
            sink = self._buffer = BufferedSink(fd)
            self.flush = self._buffer.flush if follow_options.buffering == "line" else None
        messages = STDERR if (err := descriptor(STDERR.stream)) is None else FdSink(err)
        trailer = str(config.get("str_trunc_trailer", ".."))
        if format == "json":
            from pytrace.output import Json

            self.renderer = Json(sink, messages, symbols, trailer=trailer, warnings=follow_options.warnings)
        else:
            percentiles = bool(config.get("percentiles"))
            self.renderer = Text(
                sink, messages, symbols, trailer=trailer, warnings=follow_options.warnings, percentiles=percentiles
            )

    def close(self) -> None:
        """Writes what is left. Raises `BrokenPipeError` if nobody reads it any more."""
        if self._buffer is not None:
            self._buffer.flush()
        if self.fd is not None and _reader_is_gone(self.fd):
            raise BrokenPipeError


def _reader_is_gone(fd: int) -> bool:
    poll = select.poll()
    poll.register(fd, 0)
    return any(events & select.POLLERR for _, events in poll.poll(0))


def never_run(program: Program) -> Program:
    """The same with `begin` and `end` loaded but not run, to see whether everything can be attached."""
    return replace(program, progs=tuple(replace(p, attach=tuple(map(_idle, p.attach))) for p in program.progs))


def _idle(attach: Attach) -> Attach:
    return TestRun("test", attach.name) if isinstance(attach, TestRun) else attach


def describe(session: Session) -> None:
    """What `-v` says of a session that has begun."""
    for loaded in session.loaded:
        for probe in loaded.program.probes:
            session.output.message(f"Attached: {probe}")
    if any(loaded.program.native for loaded in session.loaded) and not session.native_in_use:
        session.output.message("Events are formatted by Python: native code is not to be had here")
