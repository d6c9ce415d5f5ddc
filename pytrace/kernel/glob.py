"""Globs over long lists of names: `*`, `?` and `[set]`, matching a whole name."""

from __future__ import annotations

import re
from functools import lru_cache


def is_glob(text: str) -> bool:
    return any(c in text for c in "*?[")


@lru_cache(maxsize=256)
def compile_glob(pattern: str) -> re.Pattern[str]:
    """A pattern whose `match` accepts exactly the names that the glob does. It also works line by line: nothing in it
    crosses a newline."""
    out, at = [], 0
    while at < len(pattern):
        c = pattern[at]
        at += 1
        if c == "*":
            out.append("[^\n]*")
        elif c == "?":
            out.append("[^\n]")
        elif c == "[" and (end := pattern.find("]", at + 1)) > 0:
            body = pattern[at:end]
            negated = body[0] in "!^"
            inner = body[negated:].replace("\\", r"\\").replace("[", r"\[").replace("^", r"\^")
            out.append(f"[^\n{inner}]" if negated else f"[{inner}]")
            at = end + 1
        else:
            out.append(re.escape(c))
    return re.compile(f"^{''.join(out)}$", re.MULTILINE)


def select(lines: str, pattern: str) -> list[str]:
    """The lines of a text that a glob matches, in order. Each line ends in a newline."""
    if pattern == "*":
        return lines.split("\n")[:-1]
    if not is_glob(pattern):
        at = lines.find(f"\n{pattern}\n") if not lines.startswith(f"{pattern}\n") else 0
        return [pattern] if at >= 0 else []
    return compile_glob(pattern).findall(lines[:-1]) if lines else []


def matches(name: str, pattern: str) -> bool:
    """Whether a glob matches a whole name."""
    return compile_glob(pattern).fullmatch(name) is not None
