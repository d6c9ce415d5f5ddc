"""Where a thing stands in a script, and what is wrong with it.

Every stage left of the wall reports the user's mistakes as `Diagnostic`s and collects as many as it can
before it gives up with one `ScriptError`. A `Span` is two character offsets into a `Source`.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from functools import cached_property
from typing import Literal

from pytrace.record import field, record


@record
class Source:
    """A named text: a script file, `-e` text (named ``stdin`` by bpftrace; ``-e`` here) or an import."""

    name: str
    text: str

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        for i, c in enumerate(self.text):
            if c == "\n":
                starts.append(i + 1)
        return starts

    def position(self, offset: int) -> tuple[int, int]:
        """The 1-based line and column of a character offset."""
        line = bisect_right(self._line_starts, offset)
        return line, offset - self._line_starts[line - 1] + 1

    def line(self, number: int) -> str:
        """The text of a 1-based line, without its newline."""
        start = self._line_starts[number - 1]
        end = self.text.find("\n", start)
        return self.text[start:] if end < 0 else self.text[start:end]

    @property
    def line_count(self) -> int:
        return len(self._line_starts)


@record
class Span:
    """Half-open range of characters `[start, end)` of `source`. What stands in a macro's body has, after expansion,
    the call in `expanded_from`."""

    source: Source = field(repr=False, compare=False)
    start: int
    end: int
    expanded_from: Span | None = field(default=None, repr=False, compare=False)

    def to(self, other: Span) -> Span:
        """The span from the start of this one to the end of `other`."""
        return Span(self.source, self.start, max(self.end, other.end), self.expanded_from)

    @property
    def text(self) -> str:
        return self.source.text[self.start : self.end]

    @property
    def line(self) -> int:
        return self.source.position(self.start)[0]

    @property
    def column(self) -> int:
        return self.source.position(self.start)[1]

    @property
    def place(self) -> str:
        """``file:line:c1-c2``, c2 being the column after the last, as bpftrace has it; without anything that a terminal
        would obey. Of several lines only the first counts."""
        line, column = self.source.position(self.start)
        name = "".join(c if c.isprintable() else "?" for c in self.source.name)
        return f"{name}:{line}:{column}-{column + self.width}"

    @property
    def width(self) -> int:
        """Characters on the first line, at least one."""
        line, column = self.source.position(self.start)
        return max(1, min(self.end, self.start + len(self.source.line(line)) - column + 1) - self.start)


Severity = Literal["error", "warning"]


@record
class Diagnostic:
    """One thing wrong with a script: where, what, and (where it helps) what to do about it."""

    span: Span
    message: str
    hint: str | None = None
    severity: Severity = "error"

    def render(self) -> str:
        """``file:line:c1-c2: ERROR: text``, the source line, the span underlined, the hint.

        Control characters of the script are shown as spaces, so that the underline stays in step
        and nothing of an untrusted file reaches the terminal raw. Where the place is in a macro, the calls that
        led to it follow.
        """
        lines = self._place(self.span, self.message)
        call = self.span.expanded_from
        while call is not None:
            lines += self._place(call, "expanded from")
            call = call.expanded_from
        if self.hint:
            lines.append(f"HINT: {self.hint}")
        return "\n".join(lines)

    def _place(self, span: Span, message: str) -> list[str]:
        line, column = span.source.position(span.start)
        clean = "".join(c if c.isprintable() else " " for c in span.source.line(line))
        return [
            f"{span.place}: {self.severity.upper()}: {message}",
            clean,
            " " * (column - 1) + "~" * span.width,
        ]


class ScriptError(Exception):
    """A script that cannot be compiled. Carries every diagnostic that was found, in source order."""

    def __init__(self, diagnostics: Iterable[Diagnostic]) -> None:
        self.diagnostics = tuple(diagnostics)
        super().__init__("\n".join(d.render() for d in self.diagnostics))


class Diagnostics:
    """Collects what the stages find; `check()` ends a stage when anything was an error."""

    def __init__(self) -> None:
        self._found: list[Diagnostic] = []

    def error(self, span: Span, message: str, hint: str | None = None) -> None:
        self._add(Diagnostic(span, message, hint))

    def warning(self, span: Span, message: str, hint: str | None = None) -> None:
        self._add(Diagnostic(span, message, hint, "warning"))

    def _add(self, diagnostic: Diagnostic) -> None:
        if diagnostic not in self._found:
            self._found.append(diagnostic)

    def __iter__(self) -> Iterator[Diagnostic]:
        return iter(self._found)

    @property
    def errors(self) -> list[Diagnostic]:
        return [d for d in self._found if d.severity == "error"]

    @property
    def warnings(self) -> list[Diagnostic]:
        return [d for d in self._found if d.severity == "warning"]

    def check(self) -> None:
        """Raises `ScriptError` if an error was reported so far."""
        errors = self.errors
        if errors:
            raise ScriptError(sorted(errors, key=lambda d: (d.span.source.name, d.span.start)))
