"""printf format strings: parsed once by the compiler, carried in the Program, obeyed by both user halves."""

from __future__ import annotations

import re

from pytrace.record import record


@record
class Conversion:
    """`%` `flags` `width` `.precision` `length` `verb`. Verbs: d i u o x X c s p; r, rx, rh (bytes); gr (GFP flags).
    `width` and `precision` are None where absent. `length` (h hh l ll j z t L) says to how many bits an integer is cut;
    what each part does is told in `pytrace.output.printf`."""

    verb: str
    flags: str = ""
    width: int | None = None
    precision: int | None = None
    length: str = ""

    def __str__(self) -> str:
        width = "" if self.width is None else str(self.width)
        precision = "" if self.precision is None else f".{self.precision}"
        return f"%{self.flags}{width}{precision}{self.length}{self.verb}"


_LENGTH_BITS = {"hh": 8, "h": 16, "L": 32, "l": 64, "ll": 64, "j": 64, "z": 64, "t": 64}


def integer_bits(conversion: Conversion, size: int) -> int:
    """How many bits of an integer of `size` bytes a conversion shows: what its length says; without one all of a
    64-bit number (bpftrace 0.27 shows the lower half, a wrong number that nobody is told of), else 32."""
    return _LENGTH_BITS.get(conversion.length) or (64 if size == 8 else 32)


@record
class Format:
    """Literal text and conversions in order; the n-th conversion takes the n-th argument. `%%` is literal text."""

    pieces: tuple[str | Conversion, ...]

    @property
    def conversions(self) -> tuple[Conversion, ...]:
        return tuple(p for p in self.pieces if isinstance(p, Conversion))


class FormatError(ValueError):
    """`start` and `end` are offsets into the format string of what is wrong."""

    def __init__(self, message: str, start: int, end: int) -> None:
        super().__init__(message)
        self.start, self.end = start, end


_CONVERSION = re.compile(
    r"%(?P<flags>[-+ #0]*)(?P<width>\d+)?(?:\.(?P<precision>\d*))?(?P<length>hh|h|ll|l|j|z|t|L)?"
    r"(?P<verb>rx|rh|gr|[diuoxXcspreEfFgGaA%])"
)
_FLOATS = frozenset("eEfFgGaA")
_UNKNOWN = re.compile(r"%[-+ #0]*[\d.]*(?:[hljztL]*[A-Za-z])")
_STAR = re.compile(r"%[-+ #0]*(?:\*|\d*\.\*)[\d.*]*[hljztL]*[A-Za-z]?")


def unknown_conversions(text: str) -> list[str]:
    """What looks like a conversion and is printed as it is."""
    return [m[0] for m in _UNKNOWN.finditer(text.replace("%%", "")) if not _CONVERSION.match(m[0])]


def parse_format(text: str) -> Format:
    """Splits a format string; a `%` that begins no conversion is literal text. Raises `FormatError` for a conversion
    that no value could satisfy."""
    pieces: list[str | Conversion] = []
    literal = ""
    at = 0
    while at < len(text):
        if text[at] != "%":
            end = text.find("%", at)
            end = len(text) if end < 0 else end
            literal += text[at:end]
            at = end
            continue
        m = _CONVERSION.match(text, at)
        if m is None and (star := _STAR.match(text, at)):
            raise FormatError(f"'{star[0]}' takes a width from an argument: write the number", star.start(), star.end())
        if m is None:  # `100%` means what it says
            literal += "%"
            at += 1
            continue
        at = m.end()
        if m["verb"] == "%":
            literal += "%"
            continue
        if m["verb"] in _FLOATS:
            raise FormatError(f"'{m[0]}' is for floating point numbers, which scripts do not have", m.start(), m.end())
        if literal:
            pieces.append(literal)
            literal = ""
        precision = None if m["precision"] is None else int(m["precision"] or 0)
        width = int(m["width"]) if m["width"] else None
        pieces.append(Conversion(m["verb"], m["flags"], width, precision, m["length"] or ""))
    if literal:
        pieces.append(literal)
    return Format(tuple(pieces))
