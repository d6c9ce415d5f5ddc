"""Looking for a string that is known only at run time: Knuth, Morris and Pratt's way, which never goes back.

Each step is a callback of bpf_loop, so the verifier sees one step and not as many as the strings may be long. What the
steps share is in the program's scratch memory.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytrace.codegen.helpers import Helper
from pytrace.record import record

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.diagnostics import Span


@record
class _Shared:
    """Offsets into scratch memory. `text` has `size` bytes, `needle` has `capacity`, of which `count` count; `borders`
    has for each prefix of the needle the length of its longest border; `at` and `matched` are where the search is."""

    size: int
    capacity: int
    text: int
    needle: int
    borders: int
    at: int
    matched: int
    count: int
    result: int


def search(lo: Lower, text: str, size: int, needle: str, capacity: int, count: str, span: Span) -> str:
    """Where a needle of `count` bytes (at most `capacity`) first occurs in a text of at most `size` bytes, or -1."""
    f, unit = lo.f, lo.unit
    s = _Shared(
        size,
        capacity,
        text=unit.scratch(size),
        needle=unit.scratch(capacity),
        borders=unit.scratch(2 * (capacity + 1)),
        at=unit.scratch(8),
        matched=unit.scratch(8),
        count=unit.scratch(8),
        result=unit.scratch(8),
    )
    base = lo.scratch_base()
    lo.copy(text, f.offset(base, s.text), size)
    lo.copy(needle, f.offset(base, s.needle), capacity)
    borders = f.offset(base, s.borders)
    f.store(0, borders, 16)
    f.store(0, f.offset(borders, 2), 16)
    f.store(count, f.offset(base, s.count))
    f.store(1, f.offset(base, s.at))
    f.store(0, f.offset(base, s.matched))
    result = f.offset(base, s.result)
    f.store(f.select(f.compare("eq", count, 0), "0", "-1"), result)
    with f.when(f.compare("ne", count, 0), "search"):
        _loop(lo, 2 * capacity, s, _border_step, span)
        f.store(0, f.offset(base, s.at))
        f.store(0, f.offset(base, s.matched))
        _loop(lo, 2 * size, s, _search_step, span)
    return f.load(result)


def _loop(lo: Lower, times: int, s: _Shared, step: Callable[[Lower, _Shared], None], span: Span) -> None:
    from pytrace.codegen.lower import Lower as Lowering

    g = lo.unit.module.function(lo.program.callback_name(), ("index", "frame"), main=False, span=span)
    inner = Lowering(lo.unit, lo.program, g, None)
    inner.scratch_base()
    step(inner, s)
    lo.f.helper(Helper.loop, f"i32 {times}", f'ptr @"{g.name}"', lo.frame(), "i64 0")


def _byte(lo: Lower, offset: int, index: str, count: int) -> str:
    """The byte at an index that the verifier gets bounded."""
    f = lo.f
    return f.load(f.offset(f.offset(lo.scratch_base(), offset), f.clamp(index, count)), 8)


def _border(lo: Lower, s: _Shared, index: str) -> str:
    """A pointer to the border of the prefix of that length."""
    f = lo.f
    row = f.binary("shl", f.clamp(index, s.capacity + 1), 1)
    return f.offset(f.offset(lo.scratch_base(), s.borders), row)


def _longer(lo: Lower, s: _Shared, same: str, matched: str) -> tuple[str, str]:
    """Whether a shorter border has to be tried (an i1), and how much matches if not."""
    f = lo.f
    stuck = f.op(f"and i1 {f.op(f'xor i1 {same}, true')}, {f.truth(matched)}")
    return stuck, f.select(same, f.add(matched, 1), "0")


def _border_step(lo: Lower, s: _Shared) -> None:
    f = lo.f
    base = lo.scratch_base()
    at_place, matched_place = f.offset(base, s.at), f.offset(base, s.matched)
    at, matched = f.load(at_place), f.load(matched_place)
    with f.when(f.compare("uge", at, f.load(f.offset(base, s.count))), "complete"):
        f.ret("1")
    same = f.compare("eq", _byte(lo, s.needle, at, s.capacity), _byte(lo, s.needle, matched, s.capacity))
    stuck, longer = _longer(lo, s, same, matched)
    shorter = f.load(_border(lo, s, matched), 16)
    f.store(f.select(stuck, shorter, longer), matched_place)
    following = f.add(at, 1)
    place = _border(lo, s, following)
    f.store(f.select(stuck, f.load(place, 16), longer), place, 16)
    f.store(f.select(stuck, at, following), at_place)
    f.ret("0")


def _search_step(lo: Lower, s: _Shared) -> None:
    f = lo.f
    base = lo.scratch_base()
    at_place, matched_place = f.offset(base, s.at), f.offset(base, s.matched)
    at, matched = f.load(at_place), f.load(matched_place)
    byte = _byte(lo, s.text, at, s.size)
    over = f.op(f"or i1 {f.compare('uge', at, s.size)}, {f.compare('eq', byte, 0)}")
    with f.when(over, "over"):
        f.ret("1")
    same = f.compare("eq", byte, _byte(lo, s.needle, matched, s.capacity))
    stuck, longer = _longer(lo, s, same, matched)
    f.store(f.select(stuck, f.load(_border(lo, s, matched), 16), longer), matched_place)
    following = f.select(stuck, at, f.add(at, 1))
    f.store(following, at_place)
    count = f.load(f.offset(base, s.count))
    complete = f.op(f"and i1 {same}, {f.compare('eq', longer, count)}")
    with f.when(complete, "found"):
        f.store(f.op(f"sub i64 {following}, {count}"), f.offset(base, s.result))
        f.ret("1")
    f.ret("0")
