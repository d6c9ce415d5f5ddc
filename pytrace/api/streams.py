"""What `output=` may be, and how bytes get there."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from typing import Protocol

    from pytrace.output import Sink

    class TextStream(Protocol):
        """Anything that text can be written to."""

        def write(self, text: str, /) -> object: ...


Format = Literal["text", "json"]


class _Stdout:
    """`sys.stdout`, whatever that is when something is written."""

    def __repr__(self) -> str:
        return "sys.stdout"


STDOUT: Any = _Stdout()


class StreamSink:
    """Bytes as text to a stream. With `name` it is that attribute of `sys`, taken anew for each piece, so that
    redirections work."""

    def __init__(self, stream: TextStream | None, name: str = "") -> None:
        self._stream, self._name = stream, name

    @property
    def stream(self) -> Any:
        """What it is now; None if there is none."""
        return getattr(sys, self._name) if self._name else self._stream

    def write(self, data: bytes) -> None:
        stream = self.stream
        if stream is not None:
            stream.write(data.decode("utf-8", "replace"))

    def isatty(self) -> bool:
        return bool(getattr(self.stream, "isatty", bool)())


def check(output: object, format: str) -> None:
    """Raises `TypeError` or `ValueError` for what cannot be written to, and for a format that there is not."""
    if not (output is STDOUT or output is None or isinstance(output, int) or hasattr(output, "write")):
        raise TypeError(f"output is a stream, a descriptor or None, not {output!r}")
    if format not in ("text", "json"):
        raise ValueError(f"format is 'text' or 'json', not {format!r}")


STDERR = StreamSink(None, "stderr")


def sink_of(output: TextStream | int | None) -> Sink:
    """Where the bytes go that are meant for `output`: `STDOUT`, a stream, a descriptor, or nothing."""
    if output is STDOUT:
        return StreamSink(None, "stdout")
    if isinstance(output, int):
        from pytrace.runtime.sinks import FdSink

        return FdSink(output)
    return StreamSink(output)


def descriptor(output: TextStream | int | None) -> int | None:
    """The descriptor behind it, once everything that its Python file has collected is written; None if it has none (a
    notebook's stream has one that leads elsewhere)."""
    stream = sys.stdout if output is STDOUT else output
    if isinstance(stream, int):
        return stream
    if isinstance(stream, io.TextIOWrapper):
        try:
            stream.flush()
            return stream.fileno()
        except (OSError, ValueError):
            pass
    return None
