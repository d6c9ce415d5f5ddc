"""Finite automata over bytes, made at compile time from text to look for: one table, one step for each byte."""

from __future__ import annotations

from collections.abc import Callable

from pytrace.record import record

MAX_STATES = 1024
"""A table has 512 bytes for each state."""

Step = Callable[[frozenset[int], int], frozenset[int]]


class TooLarge(Exception):
    """The automaton would have more than `MAX_STATES` states."""


@record
class Automaton:
    """States 0 … `final`-1 go on, those from `final` on end the run: `final` says no, `final`+1 says yes. The byte 0
    always leads to one of those. `table` has a u16 for each state and byte."""

    table: bytes
    states: int
    final: int

    @property
    def padded(self) -> int:
        """States that the table has rows for: a power of two, so that a mask bounds them."""
        return 1 << max(0, self.states - 1).bit_length()

    def accepts(self, text: bytes) -> bool:
        """What a run over a text (which has no NUL) says."""
        state = 0
        for byte in (*text, 0):
            at = 2 * (256 * state + byte)
            state = int.from_bytes(self.table[at : at + 2], "little")
            if state >= self.final:
                break
        return state == self.final + 1


def build(start: frozenset[int], step: Step, accepts: Callable[[frozenset[int]], bool], absorbing: bool) -> Automaton:
    """Subset construction. `absorbing`: a set that accepts says yes at once; otherwise only at the end of the text."""
    numbers: dict[frozenset[int], int] = {start: 0}
    rows: list[list[frozenset[int]]] = []
    order = [start]
    while len(rows) < len(order):
        current = order[len(rows)]
        row = [frozenset[int]()] + [step(current, byte) for byte in range(1, 256)]
        rows.append(row)
        for target in row[1:]:
            if target and not (absorbing and accepts(target)) and target not in numbers:
                numbers[target] = len(order)
                order.append(target)
        if len(order) > MAX_STATES:
            raise TooLarge
    final = len(order)
    no, yes = final, final + 1
    table = bytearray()
    for current, row in zip(order, rows, strict=True):
        for byte, target in enumerate(row):
            if byte == 0:
                number = yes if accepts(current) else no
            elif absorbing and target and accepts(target):
                number = yes
            else:
                number = numbers[target] if target else no
            table += number.to_bytes(2, "little")
    automaton = Automaton(b"", final, final)
    return Automaton(bytes(table) + bytes(512 * (automaton.padded - final)), final, final)


def finder(needle: bytes) -> Automaton:
    """Says yes behind the first occurrence of `needle`, which is not empty."""
    size = len(needle)

    def step(current: frozenset[int], byte: int) -> frozenset[int]:
        moved = {i + 1 for i in current if i < size and needle[i] == byte}
        return frozenset(moved | {0})

    return build(frozenset((0,)), step, lambda s: size in s, absorbing=True)


@record
class _Part:
    """One position of a glob: any of `bytes`; `star` means that it repeats."""

    bytes: frozenset[int]
    star: bool = False


def _class(pattern: bytes, at: int) -> tuple[frozenset[int], int] | None:
    """The class whose `[` is at `at`, and where it ends; None if it is not closed."""
    i = at + 1
    negated = pattern[i : i + 1] in (b"!", b"^")
    i += negated
    first = i
    members: set[int] = set()
    while i < len(pattern) and (pattern[i] != ord("]") or i == first):
        low = high = pattern[i]
        if pattern[i + 1 : i + 2] == b"-" and i + 2 < len(pattern) and pattern[i + 2] != ord("]"):
            high = pattern[i + 2]
            i += 2
        members.update(range(low, high + 1))
        i += 1
    if i >= len(pattern):
        return None
    chosen = set(range(1, 256)) - members if negated else members - {0}
    return frozenset(chosen), i + 1


def _parts(pattern: bytes) -> list[_Part]:
    anything = frozenset(range(1, 256))
    parts: list[_Part] = []
    at = 0
    while at < len(pattern):
        c = pattern[at : at + 1]
        found = _class(pattern, at) if c == b"[" else None
        if found is not None:
            parts.append(_Part(found[0]))
            at = found[1]
            continue
        if c == b"*":
            parts.append(_Part(anything, star=True))
        elif c == b"?":
            parts.append(_Part(anything))
        else:
            if c == b"\\" and at + 1 < len(pattern):
                at += 1
            parts.append(_Part(frozenset((pattern[at],))))
        at += 1
    return parts


def glob(pattern: bytes) -> Automaton:
    r"""Says yes at the end of a text that `pattern` matches from end to end: `*`, `?`, `[a-z]`, `[!a-z]`, and `\` for
    the next character itself. Raises `TooLarge` for patterns with very many stars and classes."""
    parts = _parts(pattern)

    def closure(positions: set[int]) -> frozenset[int]:
        for i in sorted(positions):
            while i < len(parts) and parts[i].star:
                i += 1
                positions.add(i)
        return frozenset(positions)

    def step(current: frozenset[int], byte: int) -> frozenset[int]:
        moved = set()
        for i in current:
            if i < len(parts) and byte in parts[i].bytes:
                moved.add(i if parts[i].star else i + 1)
        return closure(moved)

    return build(closure({0}), step, lambda s: len(parts) in s, absorbing=False)
