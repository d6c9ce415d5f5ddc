"""All cases, in the order of the document."""

from __future__ import annotations

from tests.kernels import cases_kernel, cases_language, cases_user  # noqa: F401  (they add themselves, in this order)
from tests.kernels.base import CASES, Case


def by_name(name: str) -> Case:
    """Raises `KeyError` where there is none."""
    for case in CASES:
        if case.name == name:
            return case
    raise KeyError(name)


__all__ = ["CASES", "Case", "by_name"]
