"""What the runtime calls to have things shown: one method for each kind of thing a session has to say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Protocol

from pytrace.output.order import Entry
from pytrace.program import EventSpec, UserMap


class Sink(Protocol):
    """Where bytes go: a binary file, or anything that writes. `isatty` decides whether control bytes of untrusted
    values are shown escaped."""

    def write(self, data: bytes, /) -> object: ...

    def isatty(self) -> bool: ...


class Renderer(Protocol):
    """Text and JSON output. Script output goes to the output sink, diagnostics to the error sink (JSON: see there).

    Nothing is buffered here: every call ends in at most one `write`. Values are those of `decode`; entries need no
    order. JSON has one stream for events, maps and notices alike, and only free-form messages go to the error sink.
    """

    needs_values: bool
    """Whether events have to come as values: finished text (`raw`) is neither JSON nor safe to show on a terminal."""

    def event(self, spec: EventSpec, values: Sequence[Any]) -> None:
        """Shows an event whose meaning is its values: printf, errorf, warnf, print, print_entry, join, time.

        Raises `ValueError` for the other actions, which the runtime has to act upon: `print_map` (read the map, call
        `map`), `cat` and `system` (call `format`, do it, hand the bytes to `cat` or `system`), clear, zero, exit.
        """
        ...

    def format(self, spec: EventSpec, values: Sequence[Any]) -> bytes:
        """`spec.format` filled in, unescaped: the file name of a `cat`, the command of a `system`."""
        ...

    def raw(self, data: bytes) -> None:
        """Script output that is finished text already: what the native user half made of printf events (text only)."""
        ...

    def map(self, user_map: UserMap, entries: Iterable[Entry], top: int = 0, div: int = 0) -> None:
        """`print(@m, top, div)`: a whole map, ordered, the last `top` entries if that is not 0."""
        ...

    def maps(self, maps: Iterable[tuple[UserMap, Iterable[Entry]]]) -> None:
        """The end of the run: an empty line or two, then every map that is not empty, by name."""
        ...

    def cat(self, content: bytes) -> None:
        """What a file held."""
        ...

    def system(self, output: bytes) -> None:
        """What a command printed."""
        ...

    def attached(self, count: int) -> None:
        """`Attached N probes`, to the error sink."""
        ...

    def lost(self, count: int) -> None:
        """`Lost N events`, to the error sink."""
        ...

    def lost_total(self, count: int) -> None:
        """The total at the end of the run, to the error sink."""
        ...

    def message(self, text: str) -> None:
        """A line of the tool's own (a warning or notice) to the error sink."""
        ...

    def helper_error(self, helper: str, code: int, message: str, location: tuple[str, int, int]) -> None:
        """A kernel helper or probe read that failed (`-k`): its name, the negative errno it returned, and what that
        means; to the error sink."""
        ...

    def test_result(self, name: str, passed: bool, duration: int, output: bytes = b"") -> None:
        """The result of one `test:` probe; `duration` in ns."""
        ...

    def benchmarks(self, results: Sequence[tuple[str, int, int]]) -> None:
        """(name, average ns, iterations) of each `bench:` probe."""
        ...
