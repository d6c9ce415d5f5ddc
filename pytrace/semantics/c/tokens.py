"""Tokens of C text that know where they came from, and what the literals among them mean."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence

from pytrace.diagnostics import Diagnostic, ScriptError, Source, Span
from pytrace.record import record


@record
class Token:
    """`text` is as written, a string or character with its quotes."""

    text: str
    span: Span

    @property
    def is_name(self) -> bool:
        return self.text[0].isalpha() or self.text[0] == "_"


class CError(ScriptError):
    """Something in C text that cannot be understood; one diagnostic."""

    def __init__(self, span: Span, message: str, hint: str | None = None) -> None:
        super().__init__([Diagnostic(span, message, hint)])


class Lines:
    """Pieces of sources one below the other, without the white space at the ends of lines, and where each line is
    from. With `complete`, a piece that lacks the `;` which C wants after a definition gets one."""

    def __init__(self, spans: Sequence[Span], complete: bool = False) -> None:
        lines: list[str] = []
        self._starts: list[int] = []
        self._origins: list[tuple[Source, int]] = []
        at = 0
        for span in spans:
            offset, text = span.start, span.text
            pieces = text.splitlines(keepends=True)
            if complete and not text.lstrip().startswith("#") and not text.rstrip().endswith(";"):
                pieces.append(";")
            for piece in pieces:
                lines.append(piece.rstrip())
                self._starts.append(at)
                self._origins.append((span.source, offset))
                at += len(lines[-1]) + 1
                offset = min(offset + len(piece), span.end)
        self.text = "\n".join(lines)

    def span(self, at: int, length: int) -> Span:
        """The place of `length` characters at an offset of `text`."""
        line = bisect_right(self._starts, at) - 1
        source, offset = self._origins[line]
        start = min(offset + at - self._starts[line], len(source.text))
        return Span(source, start, min(start + length, len(source.text)))

    def line(self, number: int) -> Span:
        """The place of a line, without the white space around it."""
        start = self._starts[min(number, len(self._starts)) - 1]
        shown = self.text[start:].split("\n", 1)[0]
        return self.span(start + len(shown) - len(shown.lstrip()), max(1, len(shown.strip())))

    def word(self, number: int, words: Sequence[str]) -> Span:
        """The place of the first of `words` that stands in a line, else of the line."""
        line = self.line(number)
        for word in words:
            if match := re.search(rf"\b{re.escape(word)}\b", line.text):
                return Span(line.source, line.start + match.start(), line.start + match.end())
        return line


_SIMPLE = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11, "e": 27, "\\": 92, "'": 39, '"': 34, "?": 63}
_QUOTED = re.compile(r"""(?:u8|[uUL])?(["'])((?:\\.|(?!\1).)*)\1\s*""", re.DOTALL)
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]+)|([0-7]{1,3})|(.))", re.DOTALL)
_INTEGER = re.compile(r"(?:0[xX]([0-9a-fA-F]+)|0[bB]([01]+)|0([0-7]*)|([1-9][0-9]*))[uUlL]{0,3}")


def unquote(text: str) -> str:
    """The characters of a character or of strings beside each other; bytes above 0x7f from escapes become surrogates if
    they are not UTF-8."""
    data = bytearray()
    for quoted in _QUOTED.finditer(text):
        body, at = quoted[2], 0
        for match in _ESCAPE.finditer(body):
            data += body[at : match.start()].encode("utf-8", "surrogateescape")
            if match[1] or match[2]:
                data.append(int(match[1] or match[2], 16 if match[1] else 8) & 0xFF)
            else:
                data += bytes([_SIMPLE[match[3]]]) if match[3] in _SIMPLE else match[3].encode()
            at = match.end()
        data += body[at:].encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "surrogateescape")


def character(text: str) -> int:
    """The value of a character: of type int, and of several characters with the first one on top."""
    data = unquote(text).encode("utf-8", "surrogateescape")
    return int.from_bytes(data[:8], "big") if len(data) > 1 else (data[0] ^ 0x80) - 0x80 if data else 0


def number(text: str) -> int | None:
    """The value of an integer as written; None for anything else."""
    match = _INTEGER.fullmatch(text)
    if match is None:
        return None
    for digits, base in zip(match.groups(), (16, 2, 8, 10), strict=True):
        if digits is not None:
            return int(digits or "0", base)
    return None
