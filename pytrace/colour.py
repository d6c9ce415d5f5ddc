"""Red errors and yellow warnings, on a terminal or as `$PYTRACE_COLOR` has it."""

from __future__ import annotations

from pytrace.environment import variable

CHOICES = ("auto", "always", "never")
_COLOURS = {"ERROR: ": "\x1b[31m", "WARNING: ": "\x1b[33m"}
_END = "\x1b[0m"


def wanted(terminal: bool) -> bool:
    """Whether to colour what goes to a stream; `terminal` says whether that is one."""
    choice = variable("color")
    return choice == "always" or (terminal and choice != "never")


def complaint() -> str | None:
    """What is wrong with the variable; None if nothing is."""
    choice = variable("color")
    if choice is None or choice in CHOICES:
        return None
    return f"WARNING: PYTRACE_COLOR is auto, always or never, not '{choice}'"


def painted(text: str) -> str:
    """The text with every line coloured that begins with `ERROR:` or `WARNING:`, be it after a `file:line:column:`."""
    return "".join(map(_line, text.splitlines(keepends=True)))


def _line(line: str) -> str:
    body = line.rstrip("\n")
    for heading, colour in _COLOURS.items():
        before, found, _ = body.partition(heading)
        if found and (not before or (before.endswith(": ") and before.count(":") >= 3)):
            return f"{colour}{body}{_END}{line[len(body) :]}"
    return line


def told(text: str, terminal: bool) -> str:
    """The text as it is to be written there."""
    return painted(text) if wanted(terminal) else text
