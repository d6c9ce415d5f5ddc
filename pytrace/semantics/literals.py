"""Integers as text: what a command line or an environment variable may say wherever a script would say a literal."""

from __future__ import annotations

import re

_DURATIONS = {
    "ns": 1,
    "us": 1_000,
    "ms": 1_000_000,
    "s": 1_000_000_000,
    "m": 60_000_000_000,
    "h": 3_600_000_000_000,
    "d": 86_400_000_000_000,
}
_FORM = re.compile(
    r"\s*(?P<sign>[-+]?)(?:(?P<hex>0[xX][0-9a-fA-F][0-9a-fA-F_]*)|(?P<number>[0-9][0-9_]*)(?:[eE](?P<exponent>[0-9]+))?)"
    r"(?:(?P<c>[uU](?:ll?|LL?)?|(?:ll?|LL?)[uU]?)|(?P<duration>ns|us|ms|s|m|h|d))?\s*",
    re.ASCII,
)


def parse_integer(text: str) -> int | None:
    """The value of an integer in any form that the language has (hexadecimal, octal with a leading 0, `1e6`, `1_000`,
    C suffixes, durations in ns), with an optional sign; None if `text` is none or is not within -2**63 … 2**64-1."""
    match = _FORM.fullmatch(text)
    if not match:
        return None
    if match["hex"]:
        value = int(match["hex"].replace("_", ""), 16)
    else:
        digits = match["number"].replace("_", "")
        if match["exponent"] is not None:
            exponent = int(match["exponent"])
            if exponent > 19:
                return None
            value = int(digits) * 10**exponent
        elif len(digits) > 1 and digits[0] == "0":
            if set(digits) & {"8", "9"}:
                return None
            value = int(digits, 8)
        else:
            value = int(digits)
    value *= _DURATIONS.get(match["duration"] or "", 1)
    if match["sign"] == "-":
        value = -value
    return value if -(2**63) <= value < 2**64 else None
