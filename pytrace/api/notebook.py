"""Sessions in notebooks: a cell that is run again ends what its last run has left.

A session that only a variable held would end by itself when the variable gets its new value; but IPython remembers
everything that a cell has ever displayed.
"""

from __future__ import annotations

import sys
import weakref
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pytrace.api.session import Session

_started: dict[str, tuple[int, list[weakref.ref[Session]]]] = {}
"""By cell: the number of its last run, and the sessions that were started in it."""


def started(session: Session) -> None:
    """Notes where a session was started, and stops those that an earlier run of the same cell has started. Does nothing
    outside of IPython."""
    module = sys.modules.get("IPython")
    shell = module.get_ipython() if module is not None else None
    cell = _cell(shell) if shell is not None else None
    if shell is None or cell is None:
        return
    run = int(shell.execution_count)
    last, sessions = _started.get(cell, (run, []))
    if last != run:
        for reference in sessions:
            earlier = reference()
            if earlier is not None:
                earlier.stop()
        sessions = []
    _started[cell] = run, [*sessions, weakref.ref(session)]


def _cell(shell: Any) -> str | None:
    """What a cell is known by: its id where the frontend tells it, else the name that its text has as a file."""
    parent = shell.get_parent() if hasattr(shell, "get_parent") else {}
    known = (parent or {}).get("metadata", {}).get("cellId")
    if known:
        return str(known)
    frame = sys._getframe(1)
    while frame is not None:
        name = frame.f_code.co_filename
        if "ipykernel_" in name or name.startswith("<ipython-input"):
            return name
        frame = frame.f_back  # type: ignore[assignment]  # None ends the loop
    return None
