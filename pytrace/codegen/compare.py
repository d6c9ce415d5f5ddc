"""Equality of strings and other aggregates."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower


_LOOPED = 128
"""Bytes above which a comparison is a loop."""


def equal(lo: Lower, e: typed.Compare) -> str:
    """The i1 of a comparison."""
    left, right = e.left, e.right
    if isinstance(left.type, t.String) and isinstance(right.type, t.String):
        if isinstance(left, typed.Str):
            left, right = right, left
        if isinstance(left, typed.Str) and isinstance(right, typed.Str):
            limit = e.limit if e.limit is not None else max(len(left.value), len(right.value))
            same = "true" if left.value[:limit] == right.value[:limit] else "false"
        elif isinstance(right, typed.Str):
            same = _literal(lo, left, right.value, e.limit)
        else:
            same = _strings(lo, left, right, e.limit)
    else:
        same = _bytes(lo, left, right)
    return same if e.op == "==" else lo.f.op(f"xor i1 {same}, true")


def _literal(lo: Lower, string: typed.Expr, value: bytes, limit: int | None) -> str:
    """A string against one known now: a few wide compares, up to and including the NUL."""
    capacity = string.type.size
    wanted = value[: value.index(0)] if 0 in value else value
    wanted += b"\0"
    if limit is not None:
        wanted = wanted[:limit]
    if len(wanted) - 1 > capacity or (len(wanted) > capacity and wanted[-1:] != b"\0"):
        return "false"
    return masked(lo, lo.place(string), lo.alignment(string), wanted[:capacity])


def masked(lo: Lower, place: str, align: int, wanted: bytes) -> str:
    """Whether memory begins with these bytes."""
    f = lo.f
    result = "true"
    at = 0
    while at < len(wanted):
        width = next(w for w in (8, 4, 2, 1) if w <= align and at + w <= len(wanted) and at % w == 0)
        word = f.load(f.offset(place, at), width * 8)
        same = f.compare("eq", word, int.from_bytes(wanted[at : at + width], "little") - _wrap(wanted, at, width))
        result = same if result == "true" else f.op(f"and i1 {result}, {same}")
        at += width
    return result


def _wrap(wanted: bytes, at: int, width: int) -> int:
    """LLVM reads i64 literals as signed numbers."""
    return 1 << 64 if width == 8 and wanted[at + 7] >= 128 else 0


def _strings(lo: Lower, left: typed.Expr, right: typed.Expr, limit: int | None) -> str:
    """Up to the first difference or NUL: words as far as there are some, then bytes."""
    f = lo.f
    a, b = lo.place(left), lo.place(right)
    count = min(left.type.size, right.type.size)
    if limit is not None:
        count = min(count, limit)
    result, index = f.alloca(8), f.alloca(8)
    f.store(1, result)
    f.store(0, index)
    end = f.label("same")
    whole = count // 8 * 8 if min(lo.alignment(left), lo.alignment(right)) == 8 else 0
    if whole:
        _whole_words(lo, a, b, whole, result, index, end)
    if whole < count:
        _single_bytes(lo, a, b, count, result, index, end)
    else:
        f.jump(end)
    f.place(end)
    return f.truth(f.load(result))


def _whole_words(lo: Lower, a: str, b: str, count: int, result: str, index: str, end: str) -> None:
    """Goes on with `count` in `index` if there was neither a difference nor a NUL, else to `end`. There is one branch
    for eight bytes: of ways out of a loop the verifier keeps 8192 in mind."""
    f = lo.f
    loop, found, step, after = (f.label(n) for n in ("wcmp", "found", "word", "rest"))
    f.place(loop)
    at = f.load(index)
    x, y = f.load(f.offset(a, at)), f.load(f.offset(b, at))
    differ = f.binary("xor", x, y)
    # The high bit of the first byte that is 0, and perhaps of some behind it.
    ones = f.binary("and", f.add(x, -0x0101010101010101), f.binary("xor", x, -1))
    nul = f.binary("and", ones, -0x7F7F7F7F7F7F7F80)
    f.branch(f.compare("eq", f.binary("or", differ, nul), 0), step, found)
    f.place(found)
    # What counts ends with the first NUL, or with the word: the lowest bit is kept, and all below it.
    first = f.binary("and", nul, f.op(f"sub i64 0, {nul}"))
    counts = f.add(f.binary("shl", first, 1), -1)
    f.store(f.word(f.compare("eq", f.binary("and", differ, counts), 0)), result)
    f.jump(end)
    f.place(step)
    following = f.add(at, 8)
    f.store(following, index)
    f.branch(f.compare("ult", following, count), loop, after)
    f.place(after)


def _single_bytes(lo: Lower, a: str, b: str, count: int, result: str, index: str, end: str) -> None:
    f = lo.f
    loop, differ, more, step = (f.label(n) for n in ("scmp", "differ", "more", "step"))
    f.place(loop)
    at = f.load(index)
    x, y = f.load(f.offset(a, at), 8), f.load(f.offset(b, at), 8)
    f.branch(f.compare("eq", x, y), more, differ)
    f.place(differ)
    f.store(0, result)
    f.jump(end)
    f.place(more)
    f.branch(f.compare("eq", x, 0), end, step)
    f.place(step)
    following = f.add(at, 1)
    f.store(following, index)
    f.branch(f.compare("ult", following, count), loop, end)


def _bytes(lo: Lower, left: typed.Expr, right: typed.Expr) -> str:
    """Exact values of equal size, word by word."""
    f = lo.f
    size = left.type.size
    rooms = []
    for e in (left, right):
        room = lo.room(size)
        lo.writer(e, exact=True)(room)
        rooms.append(room)
    if size > _LOOPED:
        return _words(lo, rooms[0], rooms[1], size)
    result = "true"
    at = 0
    while at < size:
        width = next(w for w in (8, 4, 2, 1) if at + w <= size)
        x, y = (f.load(f.offset(room, at), width * 8) for room in rooms)
        same = f.compare("eq", x, y)
        result = same if result == "true" else f.op(f"and i1 {result}, {same}")
        at += width
    return result


def _words(lo: Lower, a: str, b: str, size: int) -> str:
    """Memory of a size that is too large for one expression: a loop over its words, and what is left bytewise."""
    f = lo.f
    result, index = f.alloca(8), f.alloca(8)
    f.store(0, result)
    f.store(0, index)
    loop, step, rest, end = (f.label(n) for n in ("words", "step", "rest", "compared"))
    f.place(loop)
    at = f.load(index)
    x, y = f.load(f.offset(a, at)), f.load(f.offset(b, at))
    f.branch(f.compare("eq", x, y), step, end)
    f.place(step)
    following = f.add(at, 8)
    f.store(following, index)
    f.branch(f.compare("ult", following, size // 8 * 8), loop, rest)
    f.place(rest)
    same = "true"
    for i in range(size // 8 * 8, size):
        x, y = f.load(f.offset(a, i), 8), f.load(f.offset(b, i), 8)
        same = f.op(f"and i1 {same}, {f.compare('eq', x, y)}")
    f.store(f.op(f"zext i1 {same} to i64"), result)
    f.jump(end)
    f.place(end)
    return f.truth(f.load(result))
