"""All cases, in the order of the document: probes first, each kind together, then what the language needs."""

from __future__ import annotations

from tests.kernels import base, cases_kernel, cases_language, cases_members, cases_user  # noqa: F401  (they add themselves)
from tests.kernels.base import Case

_ORDER = list(
    dict.fromkeys(c.provider for c in sorted(base.CASES, key=lambda c: c.run.__module__ == cases_language.__name__))
)
CASES = tuple(sorted(base.CASES, key=lambda c: _ORDER.index(c.provider)))


def by_name(name: str) -> Case:
    """Raises `KeyError` where there is none."""
    for case in CASES:
        if case.name == name:
            return case
    raise KeyError(name)


__all__ = ["CASES", "Case", "by_name"]
