"""What literals mean: integers in all their forms, strings with their escapes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.diagnostics import Diagnostics, Span
from pytrace.syntax.patterns import Pattern

if TYPE_CHECKING:
    import re

MAX_INTEGER = 2**64 - 1

_UNITS = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_HEX = Pattern(r"0[xX]([0-9a-fA-F_]+)[uUlL]*")
_OCTAL = Pattern(r"0([0-7_]*)[uUlL]*")
_DECIMAL = Pattern(r"([0-9][0-9_]*)(?:[eE]([0-9_]+)|([uU][lL]{0,2}|[lL]{1,2}[uU]?)|(ns|us|ms|s|m|h|d))?")
_ESCAPE = Pattern(r"\\(x[0-9a-fA-F]{1,2}|[0-7]{1,3}|.)")
_PLAIN_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"'}


def integer(text: str, span: Span, diagnostics: Diagnostics) -> int:
    """The value of an integer literal. What is none, or does not fit 64 bits, is reported and counts as 0."""
    if text.isdecimal() and text[0] != "0" and len(text) < 19:
        return int(text)
    value = None
    if text.rstrip("uUlL").endswith("_"):
        diagnostics.error(span, "an integer cannot end with '_'")
        return 0
    if match := _HEX.fullmatch(text):
        digits = match[1].replace("_", "")
        value = int(digits, 16) if digits else None
    elif match := _OCTAL.fullmatch(text):
        value = int(match[1].replace("_", "") or "0", 8)
    elif (match := _DECIMAL.fullmatch(text)) and not (text[0] == "0" and text[1].isdecimal()):
        digits = match[1].replace("_", "")
        exponent = int(match[2].replace("_", "")[:4] or "0") if match[2] else 0
        # Beyond 20 digits nothing fits; the length is looked at first, so that no giant number is computed.
        value = MAX_INTEGER + 1 if len(digits.lstrip("0")) + exponent > 20 else int(digits) * 10**exponent
        value *= _UNITS.get(match[4], 1)
        if int(digits[:20]) == 0:
            value = 0
    if value is None:
        diagnostics.error(span, f"'{text}' is not an integer", _integer_hint(text))
        return 0
    if value > MAX_INTEGER:
        diagnostics.error(span, f"{text} does not fit 64 bits", f"the largest integer is {MAX_INTEGER}")
        return 0
    return value


def _integer_hint(text: str) -> str:
    if text[0] == "0" and text[1:2].isdecimal():
        return "a leading 0 makes it octal, with digits 0 to 7"
    if text[:2] in ("0b", "0B"):
        return "there are decimal, octal (0…) and hexadecimal (0x…) integers"
    return "an integer may end with a duration (ns us ms s m h d), an exponent (1e6) or a C suffix (ULL)"


def parameter(text: str, span: Span, diagnostics: Diagnostics) -> int:
    """The number of `$N`. `$0` is reported."""
    digits = text[1:].lstrip("0")
    if not digits or len(digits) > 5:
        diagnostics.error(span, f"there is no parameter {text}", "parameters are numbered from $1; $# is their number")
        return 1
    return int(digits)


def string(text: str, span: Span, diagnostics: Diagnostics) -> str:
    """The value of a string literal, quotes included. Escaped bytes above 0x7f become surrogates, which
    `surrogateescape` turns back into single bytes. Unknown escapes are reported and stay as they are."""
    body = text[1:-1] if len(text) > 1 and text[-1] == '"' else text[1:]
    if "\\" not in body:
        return body

    def undo(match: re.Match[str]) -> str:
        code = match[1]
        if code in _PLAIN_ESCAPES:
            return _PLAIN_ESCAPES[code]
        if code[0] == "x" and len(code) > 1:
            return _byte(int(code[1:], 16))
        if code[0] in "01234567":
            value = int(code, 8)
            if value < 256:
                return _byte(value)
        start = span.start + 1 + match.start()
        where = Span(span.source, start, start + len(match[0]))
        shown = match[0] if match[0].isprintable() else ascii(match[0])[1:-1]
        diagnostics.error(
            where, f"unknown escape {shown}", r"the escapes are \n \t \r \\ \" \NNN (octal) and \xNN (hexadecimal)"
        )
        return match[0]

    return _ESCAPE.sub(undo, body)


def _byte(value: int) -> str:
    return chr(value) if value < 0x80 else chr(0xDC00 + value)
