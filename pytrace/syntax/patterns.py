"""Regular expressions that are compiled when they are first used: most scripts need a few of them."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator


class Pattern:
    """The methods of a compiled pattern. Letters, digits and white space are those of ASCII."""

    match: Callable[..., re.Match[str] | None]
    fullmatch: Callable[[str], re.Match[str] | None]
    finditer: Callable[..., Iterator[re.Match[str]]]
    sub: Callable[[Callable[[re.Match[str]], str], str], str]

    def __init__(self, text: str, *, ignore_case: bool = False) -> None:
        self.text = text
        self.flags = re.ASCII | re.IGNORECASE if ignore_case else re.ASCII

    def __getattr__(self, name: str) -> object:
        """Compiles, and keeps the methods as attributes, so that this is called once."""
        if name.startswith("_"):
            raise AttributeError(name)
        compiled = re.compile(self.text, self.flags)
        self.match, self.fullmatch, self.finditer, self.sub = (
            compiled.match,
            compiled.fullmatch,
            compiled.finditer,
            compiled.sub,
        )
        return getattr(compiled, name)
