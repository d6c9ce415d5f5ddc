"""The file that the script's output goes to (`-o`)."""

from __future__ import annotations

import os

from pytrace.arguments import UsageError


def open_output(name: str | None) -> int:
    """A descriptor of the file, made or emptied; 1 without a name. Raises `UsageError`."""
    if name is None:
        return 1
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(f"cannot write to '{name}': {error.strerror}") from error
