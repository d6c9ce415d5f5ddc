"""A live session on the terminal: what pytrace does without a script."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytrace.api.options import CompileOptions
    from pytrace.arguments import Arguments


def session_command(arguments: Arguments) -> int:
    """The exit status. Raises `PrivilegeError`."""
    from pytrace.repl import run_repl

    options: CompileOptions = {
        "pid": arguments.pid or 0,
        "unsafe": arguments.unsafe,
        "probe_filter": arguments.probe_filter,
        "helper_errors": arguments.helper_errors,
        "include_dirs": arguments.include_dirs,
        "includes": arguments.includes,
        "debug_dirs": arguments.debug_dirs,
    }
    return run_repl(options, arguments.pid or 0, arguments.dwarf_pids)
