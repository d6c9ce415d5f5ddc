"""`did you mean …?`, for names that are nearly right."""

from __future__ import annotations

from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like `name`, if any is much like it."""
    from difflib import get_close_matches  # takes longer to import than a correct script takes to check

    names = list(known)
    letters = sorted(name)
    for other in names:  # in capitals, or with two letters swapped
        if other.lower() == name.lower() or (len(name) > 2 and sorted(other) == letters):
            return other
    close = get_close_matches(name, names, 1, 0.6 if len(name) < 5 else 0.7)
    return close[0] if close else None


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """The hint that names the nearest, or None."""
    close = nearest(name, known)
    return f"did you mean '{close}'?" if close else None
