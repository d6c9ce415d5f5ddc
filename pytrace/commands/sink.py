"""The file that the script's output goes to (`-o`)."""

from __future__ import annotations

import errno

from pytrace.arguments import UsageError


def open_output(name: str | None, unsafe: bool = False) -> int:
    """Returns a descriptor of the file, created or emptied; 1 without a name. Raises `UsageError`, also for the files
    that `open_for_writing` refuses unless `unsafe`."""
    if name is None:
        return 1
    from pytrace.runtime.outfile import open_for_writing

    try:
        return open_for_writing(name, replaces=lambda start: True, unsafe=unsafe)
    except OSError as error:
        hint = "; --unsafe writes to it" if error.errno in (errno.ELOOP, errno.EPERM) and not unsafe else ""
        raise UsageError(f"cannot write to '{name}': {error.strerror}{hint}") from error
