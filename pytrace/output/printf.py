r"""printf as the language means it, in Python: the reference that native output is compared with.

The conversions look like C's, but bpftrace (0.27, which was run to learn this) prints through C++ streams, and scripts
see the difference:

- An integer is first cut to the width that the conversion names: 8 bits for hh, 16 for h, 64 for l, ll, j, z and t
  (but 32 for L). d and i read the rest as signed, u, o, x and X as unsigned. `%s` and `%p` take all 64 bits. Here we
  part from bpftrace: without a length it shows 32 bits of anything, we show 64 bits of what has 64.
- Precision does nothing, for strings neither, nor does the space flag.
- `0` fills with zeros on the side where blanks would be: before a sign or `0x`, and with `-` behind the number.
- `+` shows on signed conversions and `%s` of integers. `#` gives `0x`, `0X` or `0`, never to a zero.
- `%p` is `%#lx`, so that a null pointer is `0`; `%s` of one is `0x0`.
- A width pads whole words, but of a tuple, record or array only the opening bracket, which is its first word.
- Widths count bytes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Any

from pytrace import types as t
from pytrace.format import Conversion, Format, integer_bits
from pytrace.output.values import AvgValue
from pytrace.output.words import Words, escape_bytes

Formatter = Callable[[Words, Any], str]

_BASES = {"o": ("o", "0"), "x": ("x", "0x"), "X": ("X", "0X")}


def format_text(format: Format, types: Sequence[t.Type], values: Sequence[Any], words: Words) -> str:
    """The text of a format with its arguments in place. An argument that its conversion cannot show, or that is
    missing, becomes `!{reason}`."""
    return planned(format, tuple(types))(words, values)


def planned(format: Format, types: tuple[t.Type, ...]) -> Callable[[Words, Sequence[Any]], str]:
    """What `format_text` does, worked out once for all events of a statement."""
    steps: list[str | tuple[int, Formatter]] = []
    taken = 0
    for piece in format.pieces:
        if isinstance(piece, str):
            steps.append(piece)
        elif taken < len(types):
            steps.append((taken, formatter(piece, types[taken])))
            taken += 1
        else:
            steps.append("!{missing argument}")

    def run(words: Words, values: Sequence[Any]) -> str:
        return "".join([step if isinstance(step, str) else step[1](words, values[step[0]]) for step in steps])

    return run


@lru_cache(maxsize=4096)
def formatter(conversion: Conversion, type: t.Type) -> Formatter:
    """How one conversion shows values of one type."""
    pad = _padder(conversion)
    verb = conversion.verb
    if verb == "s":
        return _as_word(conversion, type, pad)
    if verb in ("r", "rx", "rh"):
        if not isinstance(type, t.Buffer):
            return _refusal(conversion, type)
        show = {"r": escape_bytes, "rx": _hex_escapes, "rh": _hex_pairs}[verb]
        return lambda words, value: pad(show(value))
    if not t.is_integral(type) and not isinstance(type, t.Pointer | t.Count | t.Sum | t.Min | t.Max | t.Avg):
        return _refusal(conversion, type)
    if verb == "gr":
        from pytrace.output.gfp import gfp_text

        return lambda words, value: pad(gfp_text(_integer(value)))
    if verb == "c":
        return lambda words, value: pad(words.safe(_character(_integer(value))))
    if verb == "p":
        return lambda words, value: pad(_unsigned(_integer(value) & _mask(64), "x", "0x"))
    return _as_number(conversion, type, pad)


def _integer(value: Any) -> int:
    return value.average if isinstance(value, AvgValue) else int(value)


def _refusal(conversion: Conversion, type: t.Type) -> Formatter:
    return lambda words, value: f"!{{%{conversion.verb} cannot show {type}}}"


def _padder(conversion: Conversion) -> Callable[[str], str]:
    width = conversion.width or 0
    if not width:
        return str
    fill = "0" if "0" in conversion.flags else " "
    left = "-" in conversion.flags

    def pad(text: str) -> str:
        length = len(text) if text.isascii() else len(text.encode("utf-8", "surrogateescape"))
        padding = fill * (width - length)
        return text + padding if left else padding + text

    return pad


def _as_word(conversion: Conversion, type: t.Type, pad: Callable[[str], str]) -> Formatter:
    number: Callable[[int], str] = _plus if "+" in conversion.flags else str

    def show(words: Words, value: Any) -> str:
        first, *rest = words.tokens(type, value, number)
        return pad(first) + "".join(rest)

    return show


def _plus(number: int) -> str:
    return f"{number:+d}"


def _as_number(conversion: Conversion, type: t.Type, pad: Callable[[str], str]) -> Formatter:
    bits = integer_bits(conversion, type.size)
    mask = _mask(bits)
    verb = conversion.verb
    if verb in "di":
        sign = 1 << (bits - 1)
        show: Callable[[int], str] = _plus if "+" in conversion.flags else str
        return lambda words, value: pad(show(((_integer(value) & mask) ^ sign) - sign))
    if verb == "u":
        return lambda words, value: pad(str(_integer(value) & mask))
    base, prefix = _BASES[verb]
    prefix = prefix if "#" in conversion.flags else ""
    return lambda words, value: pad(_unsigned(_integer(value) & mask, base, prefix))


def _unsigned(value: int, base: str, prefix: str) -> str:
    return f"{prefix if value else ''}{value:{base}}"


def _mask(bits: int) -> int:
    return (1 << bits) - 1


def _character(value: int) -> str:
    """The byte with the value's low 8 bits."""
    return bytes((value & 0xFF,)).decode("utf-8", "surrogateescape")


def _hex_escapes(data: bytes) -> str:
    return "".join(f"\\x{b:02x}" for b in data)


def _hex_pairs(data: bytes) -> str:
    return data.hex(" ")
