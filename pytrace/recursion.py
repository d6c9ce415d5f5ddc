"""Room for trees as high as the parser lets through: a chain of operators is one level to its reader, and as many to a
program that walks it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

_FRAMES = 40_000
"""Python frames for a tree of `syntax.lexer.MAX_HEIGHT`, with a dozen for each level."""


@contextmanager
def deep() -> Iterator[None]:
    """Lets Python recurse as far as that for a while. It holds for all threads of the process."""
    before = sys.getrecursionlimit()
    sys.setrecursionlimit(max(before, _FRAMES))
    try:
        yield
    finally:
        sys.setrecursionlimit(before)
