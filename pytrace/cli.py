"""`pytrace` on the command line: chooses what to do, and turns whatever goes wrong into a line and an exit status.

0 the script ended, was interrupted or its command ended; N after `exit(N)`; 1 for a mistake in the script, on the
command line, or a kernel that cannot do what was asked. Modules are imported when they are needed: `-h` needs none.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Sequence

from pytrace.arguments import Arguments, UsageError, parse, usage


def main(words: Sequence[str] | None = None) -> int:
    """Runs a command line (without the program's name; the process's own by default) and returns the exit status."""
    verbose = False
    try:
        arguments = parse(sys.argv[1:] if words is None else words)
        _check_colour()
        verbose = arguments.verbose or "verifier" in arguments.debug
        status = _dispatch(arguments)
        sys.stdout.flush()
        return status
    except UsageError as error:
        return _fail(str(error), "see pytrace --help")
    except BrokenPipeError:
        return _die_of(signal.SIGPIPE)
    except KeyboardInterrupt:
        # Outside a session, which has its own idea of Ctrl-C, it ends us as it ends any program.
        return _die_of(signal.SIGINT)
    except Exception as error:
        return _explain(error, verbose)


def _dispatch(arguments: Arguments) -> int:
    if arguments.help:
        sys.stdout.write(usage())
        return 0
    if arguments.functions:
        from pytrace.commands.functions import functions_command

        return functions_command([*filter(None, [arguments.script]), *arguments.positional])
    if arguments.version:
        from pytrace import __version__

        sys.stdout.write(f"pytrace {__version__}\n")
        return 0
    if arguments.info:
        from pytrace.commands.info import info_command

        return info_command()
    if arguments.list:
        from pytrace.commands.listing import list_command

        return list_command(arguments)
    if not arguments.given:
        if arguments.sessional and sys.stdin.isatty():
            from pytrace.commands.session import session_command

            return session_command(arguments)
        sys.stderr.write(usage())
        return 1
    if arguments.fmt:
        from pytrace.commands.formatting import format_command

        return format_command(arguments)
    from pytrace.commands.run import run_command

    return run_command(arguments)


def _check_colour() -> None:
    if "PYTRACE_COLOR" in os.environ or "BPFTRACE_COLOR" in os.environ:
        from pytrace.colour import complaint

        if wrong := complaint():
            sys.stderr.write(f"{wrong}\n")


def _fail(message: str, hint: str | None = None) -> int:
    return _say(f"ERROR: {message}\n" + (f"HINT: {hint}\n" if hint else ""))


def _say(text: str) -> int:
    from pytrace.colour import told

    sys.stderr.write(told(text, sys.stderr.isatty()))
    return 1


def _explain(error: Exception, verbose: bool) -> int:
    """One line (or a rendered diagnostic) for everything that is not a defect of ours; for a defect, what to report."""
    from pytrace.diagnostics import ScriptError

    if isinstance(error, ScriptError):
        return _say(f"{error}\n")
    from pytrace.kernel import KernelError

    match error:
        case KernelError(message=message, hint=hint):
            log = getattr(error, "log", "")  # the verifier's
            if log and verbose:
                sys.stderr.write(f"{log}\n")
            return _fail(message, hint or ("-d verifier shows the whole log" if log and not verbose else None))
        case OSError(strerror=str(reason), filename=str(name)):
            return _fail(f"{name}: {reason}")
        case OSError(strerror=str(reason)):
            return _fail(reason)
    if verbose:
        import traceback

        traceback.print_exception(error)
    what = f"{type(error).__name__}: {error}".splitlines()[0]
    return _fail(f"pytrace itself failed: {what}", "please report it, with the script and what -v shows")


def _die_of(number: signal.Signals) -> int:
    """Ends this process as the signal would have, so that whoever waits for it sees the same."""
    # Whatever is still buffered has nowhere to go; closing it at exit must not complain.
    sink = os.open(os.devnull, os.O_WRONLY)
    os.dup2(sink, sys.stdout.fileno())
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)
    return 128 + number
