"""The script that a command line names: its text, its name in diagnostics, and its syntax tree."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from pytrace.arguments import UsageError

COMPILED = "pytrace program\n"
"""How programs begin that were compiled before (`pytrace.serial`)."""

if TYPE_CHECKING:
    from pytrace.arguments import Arguments
    from pytrace.syntax import ast


def read(arguments: Arguments) -> tuple[str, str]:
    """(name, text). Raises `UsageError` if the file cannot be read. Bytes that are not UTF-8 stay what they are
    (surrogates), for the lexer to complain about at their place."""
    if arguments.program is not None:
        return "-e", arguments.program
    name = arguments.script or "-"
    if name == "-":
        return "stdin", sys.stdin.buffer.read().decode(errors="surrogateescape")
    try:
        with open(name, "rb") as file:
            return name, file.read().decode(errors="surrogateescape")
    except OSError as error:
        raise UsageError(f"cannot read '{name}': {error.strerror}") from error


def parsed(arguments: Arguments) -> ast.Script:
    """The syntax tree. Raises `ScriptError`."""
    from pytrace.diagnostics import Source
    from pytrace.syntax import parse

    name, text = read(arguments)
    if text.startswith(COMPILED):
        raise UsageError(f"'{name}' is compiled already: it is no script any more")
    return parse(Source(name, text))
