"""C text to tokens that know where they came from."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal

from pytrace.diagnostics import Diagnostic, ScriptError, Span
from pytrace.record import record

Kind = Literal["name", "number", "string", "char", "op", "end"]


@record
class Token:
    """`text` is as written; `string` and `char` keep their quotes. `gap` is what stood before it: nothing, white space
    or comments, or a line's end that no backslash took away."""

    kind: Kind
    text: str
    span: Span
    gap: Literal["", " ", "\n"] = ""


_TOKEN = re.compile(
    r"""
    (?P<space>(?:\s|\\\n|//[^\n]*|/\*.*?\*/)+)
  | (?P<name>[A-Za-z_$][A-Za-z0-9_$]*)
  | (?P<number>\.?[0-9](?:[eEpP][+-]|[A-Za-z0-9_.])*)
  | (?P<string>(?:u8|[uUL])?"(?:\\.|[^"\\\n])*")
  | (?P<char>[uUL]?'(?:\\.|[^'\\\n])+')
  | (?P<op>\.\.\.|<<=|>>=|<<|>>|->|\+\+|--|<=|>=|==|!=|&&|\|\||\#\#|[-+*/%&|^]=|.)
    """,
    re.VERBOSE | re.DOTALL,
)


class CError(ScriptError):
    """Something in C text that cannot be understood; one diagnostic."""

    def __init__(self, span: Span, message: str, hint: str | None = None) -> None:
        super().__init__([Diagnostic(span, message, hint)])


_NO_LINE_END = re.compile(r"/\*.*?\*/|\\\n|//[^\n]*", re.DOTALL)


def tokenize(span: Span) -> Iterator[Token]:
    """The tokens of the text that `span` covers. A character that C has no use for is an `op` like any other.
    Raises `CError` for a comment that does not end."""
    data, at = span.source.text, span.start
    gap: Literal["", " ", "\n"] = "\n"
    while at < span.end:
        match = _TOKEN.match(data, at, span.end)
        assert match is not None  # any character is an op
        if match.lastgroup == "space":
            gap = "\n" if gap == "\n" or "\n" in _NO_LINE_END.sub(" ", match[0]) else " "
        elif data.startswith("/*", at):
            raise CError(Span(span.source, at, at + 2), "this comment does not end")
        else:
            kind: Kind = match.lastgroup  # type: ignore[assignment]  # the groups are named after the kinds
            yield Token(kind, match[0], Span(span.source, at, match.end()), gap)
            gap = ""
        at = match.end()


_SIMPLE = {"n": 10, "t": 9, "r": 13, "a": 7, "b": 8, "f": 12, "v": 11, "e": 27, "\\": 92, "'": 39, '"': 34, "?": 63}
_ESCAPE = re.compile(r"\\(?:x([0-9a-fA-F]+)|([0-7]{1,3})|(.))", re.DOTALL)


def unquote(token: Token) -> str:
    """The characters of a string or character token; bytes above 0x7f from escapes become surrogates if not UTF-8."""
    body = token.text[token.text.index(token.text[-1]) + 1 : -1]
    data = bytearray()
    at = 0
    for match in _ESCAPE.finditer(body):
        data += body[at : match.start()].encode("utf-8", "surrogateescape")
        if match[1] or match[2]:
            data.append(int(match[1] or match[2], 16 if match[1] else 8) & 0xFF)
        else:
            data += bytes([_SIMPLE[match[3]]]) if match[3] in _SIMPLE else match[3].encode()
        at = match.end()
    data += body[at:].encode("utf-8", "surrogateescape")
    return data.decode("utf-8", "surrogateescape")


def number(token: Token) -> int:
    """The value of an integer token. Raises `CError` if it is none."""
    match = re.fullmatch(r"(0[xX][0-9a-fA-F]+|0[bB][01]+|[0-9]+)[uUlL]{0,3}", token.text)
    if match is None:
        raise CError(token.span, f"not an integer: {token.text}")
    digits = match[1]
    if digits[:2].lower() in ("0x", "0b"):
        return int(digits, 0)
    if len(digits) > 1 and digits[0] == "0":
        if set(digits) & {"8", "9"}:
            raise CError(token.span, f"not an octal number: {token.text}")
        return int(digits, 8)
    return int(digits)
