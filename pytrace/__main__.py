"""`python -m pytrace` is the command line, and so is the installed `pytrace`."""

from __future__ import annotations

import gc
import os
import sys

from pytrace.cli import main

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn


def console() -> NoReturn:
    """Runs the process's command line and ends the process."""
    # What a start makes stays to the end: looking through it for garbage again and again takes 4 ms of it.
    gc.set_threshold(50_000, 20, 50)
    if sys.stdin is None or sys.stdout is None or sys.stderr is None:
        _fill_gaps()
    status = main()
    leave(status)


def _fill_gaps() -> None:
    """Puts something where a standard file was closed by whoever started us: the next file that we open, a map or the
    cache, would take its number and be written to. Reading there is a mistake, writing to stdout too; what is said on
    stderr goes nowhere."""
    for fd, (name, mode) in enumerate((("stdin", os.O_WRONLY), ("stdout", os.O_RDONLY), ("stderr", os.O_WRONLY))):
        if getattr(sys, name) is None:
            found = os.open(os.devnull, mode)
            if found != fd:
                os.dup2(found, fd)
                os.close(found)
            os.set_inheritable(fd, True)
            setattr(sys, name, open(fd, "w" if fd else "r", closefd=False))  # noqa: SIM115  until the end


def leave(status: int) -> NoReturn:
    """Ends the process without taking the interpreter and LLVM apart, which takes 7 to 14 ms that nobody gains from.
    What was written is flushed and what was registered for the end is done; with threads still at work, the
    interpreter knows better how to end."""
    threading = sys.modules.get("threading")
    if threading is not None and any(not t.daemon for t in threading.enumerate() if t is not threading.main_thread()):
        sys.exit(status)
    if "atexit" in sys.modules:
        import atexit

        atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
        sys.stderr.flush()
    except (OSError, ValueError):
        status = status or 1
    os._exit(status & 0xFF)  # as the kernel hands it on


if __name__ == "__main__":
    console()
