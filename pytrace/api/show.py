"""What a session in the background shows: what the script says. What the tool has to say becomes warnings."""

from __future__ import annotations

from collections import deque
from typing import Any

from pytrace.api.streams import STDERR, Format
from pytrace.api.warn import LostEventsWarning, TraceWarning
from pytrace.output import Json, Resolver, Sink, Text


class _Quiet:
    """The part of a renderer that the tool speaks by."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
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


class QuietText(_Quiet, Text):
    pass


class QuietJson(_Quiet, Json):
    pass


def quiet(format: Format, sink: Sink, resolver: Resolver, trailer: str) -> QuietText | QuietJson:
    """A renderer with `warnings` to be raised when there is an occasion."""
    kind: type[QuietText | QuietJson] = QuietJson if format == "json" else QuietText
    return kind(sink, STDERR, resolver, trailer=trailer)
