"""How the command line follows a session: its options, and where its warnings go."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, cast

if TYPE_CHECKING:
    from pytrace.api.foreground import Buffering
    from pytrace.api.session import Session
    from pytrace.api.warn import OnWarning, TraceWarning
    from pytrace.arguments import Arguments


def follow(arguments: Arguments, session: Session) -> int:
    """Traces to the end, with the options of the command line. Returns the exit status, which only the script's exit()
    sets: how the command of -c ended does not matter, as in bpftrace."""
    return session.follow(
        buffering=cast("Buffering", arguments.buffering),
        quiet=arguments.quiet,
        warnings=not arguments.no_warnings,
        verbose=arguments.verbose,
        dry_run=arguments.dry_run,
        keep=False,
    )


def warner(arguments: Arguments) -> OnWarning:
    """Returns the function that warnings are given to."""
    return _silence if arguments.no_warnings else _warn


def _warn(warning: TraceWarning) -> None:
    from pytrace.colour import told

    sys.stderr.write(told(f"{warning}\n", sys.stderr.isatty()))


def _silence(warning: TraceWarning) -> None:
    pass
