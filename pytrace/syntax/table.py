"""The pre-built parse table, checked to belong to the grammar beside it.

`Table` gives the parser its rows and rules. A row (what a parser state does on each symbol) is unpacked when the state
is first entered: a one-liner enters a tenth of them.
"""

from __future__ import annotations

import os.path
import struct
from functools import cache
from zlib import crc32

GRAMMAR = os.path.join(os.path.dirname(os.path.dirname(__file__)), "grammar.lark")
TABLE = os.path.join(os.path.dirname(__file__), "_table.py")


def fingerprint(grammar: str) -> int:
    """Identifies the grammar a table was made from. It guards against forgetting, not against attack."""
    return crc32(grammar.encode())


Keep = tuple[tuple[int, bool, int], ...]

Rule = tuple[int, int, str, str, Keep | None, int]
"""One production: (symbol, length, builder's method, kind, kept children, Nones after them).

`kind` is "build" a node, hand a "single" child on, or "splice" into the parent's children. The kept children are
(index, splice it?, Nones before it) each; None stands for all of them as they are."""


class Table:
    """An automaton: `row(state)` maps a symbol to an action, n > 0 to enter state n-1, n < 0 to reduce rule -n-1."""

    def __init__(self) -> None:
        from pytrace.syntax import _table

        with open(GRAMMAR, encoding="utf-8") as file:
            if fingerprint(file.read()) != _table.FINGERPRINT:
                raise RuntimeError("grammar.lark has changed: run `python -m pytrace.syntax.generate`")
        self.terminals: tuple[str, ...] = _table.TERMINALS
        self.symbols: tuple[str, ...] = _table.TERMINALS + _table.NONTERMINALS
        self.ids: dict[str, int] = {name: i for i, name in enumerate(self.symbols)}
        self.rules: tuple[Rule, ...] = _table.RULES
        self.starts: dict[str, int] = _table.STARTS
        self.ends: dict[str, int] = _table.ENDS
        self.words: dict[str, int] = {word: self.ids[name] for word, name in _table.WORDS.items()}
        self.operators: dict[str, int] = {text: self.ids[name] for text, name in _table.OPERATORS.items()}
        self.pattern: str = _table.PATTERN
        self._packed: tuple[tuple[bytes, bytes], ...] = _table.ROWS
        self._rows: list[dict[int, int] | None] = [None] * len(_table.ROWS)

    def row(self, state: int) -> dict[int, int]:
        row = self._rows[state]
        if row is None:
            symbols, actions = self._packed[state]
            row = dict(zip(symbols, struct.unpack(f"<{len(symbols)}h", actions), strict=True))
            self._rows[state] = row
        return row


@cache
def load() -> Table:
    """The table of this installation, read once. Raises RuntimeError if it is not the grammar's."""
    return Table()
