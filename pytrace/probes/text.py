"""The text of attach points: taking it apart, finding the nearest name."""

from __future__ import annotations

import re
from collections.abc import Iterable

from pytrace.probes.base import ProbeError


def split(text: str) -> list[str]:
    """Parts between colons; a colon inside double quotes or doubled (`ns::f`) does not divide; quotes are dropped."""
    parts, part, quoted, i = [], "", False, 0
    while i < len(text):
        c = text[i]
        if c == '"':
            quoted = not quoted
        elif c == ":" and not quoted and text[i : i + 2] == "::" and part:
            part += "::"
            i += 1
        elif c == ":" and not quoted:
            parts.append(part)
            part = ""
        else:
            part += c
        i += 1
    if quoted:
        raise ProbeError(f"unterminated string in attach point: {text}", 'close it with "')
    return [*parts, part]


def arguments(provider: str, rest: str, *counts: int) -> list[str]:
    """The parts of `rest`, or a `ProbeError` where there are not as many as one of `counts`."""
    parts = split(rest) if rest else []
    if len(parts) not in counts:
        wanted = " or ".join(map(str, counts))
        raise ProbeError(f"{provider} probe type requires {wanted} arguments, found {len(parts)}")
    return parts


_SUFFIX = re.compile(r"(?<=[0-9a-fA-F])[uUlL]+$")


def integer(text: str) -> int | None:
    """A non-negative integer as a script writes it (decimal, hex, octal, `1e6`, underscores), or None."""
    text = _SUFFIX.sub("", text.replace("_", ""))
    if m := re.fullmatch(r"(\d+)[eE](\d{1,2})", text):
        return int(m[1]) * int("1" + "0" * int(m[2]))
    try:
        if re.fullmatch(r"0[0-7]+", text):
            return int(text, 8)
        return int(text, 0) if re.fullmatch(r"\d+|0[xX][0-9a-fA-F]+", text) else None
    except ValueError:
        return None


def nearest(name: str, names: Iterable[str], limit: int = 3) -> list[str]:
    """The names most like `name`, best first; tens of thousands of names are fine."""
    import difflib

    grams = {name[i : i + 2] for i in range(len(name) - 1)} or {name}
    scored = sorted(((sum(g in n for g in grams) - abs(len(n) - len(name)) / 4, n) for n in names), reverse=True)
    return difflib.get_close_matches(name, [n for _, n in scored[:60]], limit, 0.6)


def did_you_mean(name: str, names: Iterable[str], prefix: str = "") -> str | None:
    """A hint that names the nearest real names, or None where nothing is near."""
    found = nearest(name, names)
    return f"did you mean {' or '.join(prefix + n for n in found)}?" if found else None
