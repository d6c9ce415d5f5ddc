"""Where a session's text goes by default: the script's to `sys.stdout`, what the tool has to say to whoever asks."""

from __future__ import annotations

import sys
from collections import deque
from typing import Protocol

from pytrace.api.warn import LostEventsWarning, TraceWarning
from pytrace.output import Resolver, Text


class TextStream(Protocol):
    """Anything that text can be written to."""

    def write(self, text: str, /) -> object: ...


class _Stream:
    """Bytes as text to a stream; `name` is that of the attribute of `sys` that is taken anew for each piece, so that
    redirections work."""

    def __init__(self, stream: TextStream | None, name: str = "") -> None:
        self._stream, self._name = stream, name

    def write(self, data: bytes) -> None:
        stream = getattr(sys, self._name) if self._name else self._stream
        if stream is not None:
            stream.write(data.decode("utf-8", "replace"))

    def isatty(self) -> bool:
        stream = getattr(sys, self._name) if self._name else self._stream
        return bool(getattr(stream, "isatty", bool)())


STDOUT = _Stream(None, "stdout")
STDERR = _Stream(None, "stderr")


class Quiet(Text):
    """Shows what the script says, and keeps what the tool says as warnings."""

    def __init__(self, output: TextStream | _Stream | None, resolver: Resolver, trailer: str) -> None:
        out = output if isinstance(output, _Stream) else _Stream(output)
        super().__init__(out, STDERR, resolver, trailer=trailer)
        self.warnings: deque[TraceWarning] = deque()

    def attached(self, count: int) -> None:
        pass

    def lost(self, count: int) -> None:
        self.warnings.append(LostEventsWarning(count))

    def lost_total(self, count: int) -> None:
        pass  # each loss has been a warning

    def message(self, text: str) -> None:
        self.warnings.append(TraceWarning(text.replace("WARNING: ", "", 1)))

    def helper_error(self, helper: str, code: int, message: str, location: tuple[str, int, int]) -> None:
        file, line, column = location
        self.warnings.append(TraceWarning(f"{file}:{line}:{column}: {helper} gave {code}: {message}"))
