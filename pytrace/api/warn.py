"""What a session has to say that is no error: Python warnings, unless somebody else wants to have them."""

from __future__ import annotations

from collections.abc import Callable


class TraceWarning(UserWarning):
    """Something about a trace that its reader should know: a map that is full, a stack that was not kept, …"""


class ScriptWarning(TraceWarning):
    """What the compiler found odd about a script; the message has the place, as on the command line."""


class LostEventsWarning(TraceWarning):
    """Events found no room in the ring, because they came faster than they were taken. `count` is how many were lost
    since the last such warning."""

    def __init__(self, count: int) -> None:
        super().__init__(f"{count} events were lost: they came faster than they were taken")
        self.count = count

    def __reduce__(self) -> tuple[type[LostEventsWarning], tuple[int]]:
        return LostEventsWarning, (self.count,)


OnWarning = Callable[[TraceWarning], object]


def warn(warning: TraceWarning, on_warning: OnWarning | None, stacklevel: int) -> None:
    """Gives it to `on_warning`; without one it is raised as Python's, `stacklevel` calls above this one."""
    if on_warning is not None:
        on_warning(warning)
        return
    import warnings

    warnings.warn(warning, stacklevel=stacklevel)
