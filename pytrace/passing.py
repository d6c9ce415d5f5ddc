"""Facts that a compilation baked into its program and that may be others the next time, on the same kernel.

Whoever looks one up at compile time calls `note`; what was noted is not kept in the compile cache. Opening a file
other than the kernel's own tables need not be noted: the cache sees that by itself.
"""

from __future__ import annotations

_noted: list[str] = []


def note(what: str) -> None:
    """`what` was looked up for the program that is being compiled."""
    _noted.append(what)


def noted() -> int:
    """How many times something was noted so far."""
    return len(_noted)
