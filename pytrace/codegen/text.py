"""Strings and bytes that the program holds: their length, their order, what they contain.

Loops over bytes are flat and have one exit that the verifier cannot foresee, so that its work grows with the length of
the memory and not with anything else; they load on every kernel with bounded loops (5.3).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.codegen.automaton import Automaton
from pytrace.codegen.helpers import Helper
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower


def length(lo: Lower, place: str, size: int) -> str:
    """Bytes before the NUL, or `size` where there is none. The kernel's own copy loop counts faster than ours."""
    f = lo.f
    copy = lo.scratch(size)
    got = f.helper(Helper.probe_read_kernel_str, f"ptr {copy}", f"i32 {size}", f"ptr {place}")
    got = f.extend(got, 32, True)
    last = f.load(f.offset(place, size - 1), 8)
    full = f.op(f"and i1 {f.compare('eq', got, size)}, {f.truth(last)}")
    return f.select(full, str(size), f.select(f.compare("sgt", got, 0), f.add(got, -1), "0"))


def concatenated(lo: Lower, left: typed.Expr, right: typed.Expr) -> str:
    """A pointer to the one string behind the other, in scratch memory with room for both."""
    f = lo.f
    a, b = left.type.size, right.type.size
    room = lo.scratch(a + b)
    lo.zero(room, a + b)
    lo.writer(left)(room)
    source = lo.place(right)
    at = f.clamp(length(lo, room, a), a + 1, a)
    to = f.offset(room, at)
    got = f.helper(Helper.probe_read_kernel_str, f"ptr {to}", f"i32 {b}", f"ptr {source}")
    with f.when(f.compare("eq", f.extend(got, 32, True), b), "full"):  # the helper puts a NUL over the last byte
        f.store(f.load(f.offset(source, b - 1), 8), f.offset(to, b - 1), 8)
    return room


def difference(lo: Lower, left: str, right: str, size: int, count: str) -> str:
    """What memcmp gives for the first `count` bytes, at most `size`: the difference of the first bytes that differ."""
    f = lo.f
    result, index = f.alloca(8), f.alloca(8)
    f.store(0, result)
    f.store(0, index)
    loop, step, end = (f.label(n) for n in ("bytes", "byte", "compared"))
    f.place(loop)
    at = f.load(index)
    x, y = f.load(f.offset(left, at), 8), f.load(f.offset(right, at), 8)
    delta = f.op(f"sub i64 {x}, {y}")
    wanted = f.compare("ult", at, count)
    f.store(f.select(wanted, delta, "0"), result)
    going = f.op(f"and i1 {wanted}, {f.compare('eq', delta, 0)}")
    f.branch(going, step, end)
    f.place(step)
    following = f.add(at, 1)
    f.store(following, index)
    f.branch(f.compare("ult", following, size), loop, end)
    f.place(end)
    return f.load(result)


def run(lo: Lower, automaton: Automaton, place: str, size: int) -> tuple[str, str]:
    """Feeds a string to an automaton: the state it ends in, and how many bytes it had read then. A string without a
    NUL is followed by one."""
    f = lo.f
    table = f.offset(lo.unit.value("rodata"), lo.unit.rodata(automaton.table))
    # The state is kept in memory whose contents the verifier forgets: all ways through a step look alike to it.
    state, index, taken = lo.scratch(8), f.alloca(8), f.alloca(8)
    f.store(0, state, volatile=True)
    f.store(0, index)
    loop, step, text_end, end = (f.label(n) for n in ("scan", "next", "whole", "scanned"))
    f.place(loop)
    at = f.load(index)
    found = _transition(lo, automaton, table, state, f.load(f.offset(place, at), 8))
    following = f.add(at, 1)
    f.store(following, taken)
    f.branch(f.compare("uge", found, automaton.final), end, step)
    f.place(step)
    f.store(following, index)
    f.branch(f.compare("ult", following, size), loop, text_end)
    f.place(text_end)
    _transition(lo, automaton, table, state, "0")
    f.jump(end)
    f.place(end)
    return f.load(state, volatile=True), f.load(taken)


def _transition(lo: Lower, automaton: Automaton, table: str, state: str, byte: str) -> str:
    f = lo.f
    row = f.barrier(f.binary("and", f.load(state, volatile=True), automaton.padded - 1))
    entry = f.binary("or", f.binary("shl", row, 8), byte)
    found = f.load(f.offset(table, f.binary("shl", entry, 1)), 16)
    f.store(found, state, volatile=True)
    return found


def search(lo: Lower, haystack: str, size: int, needle: str, capacity: int, count: str) -> str:
    """Where a needle of `count` bytes (at most `capacity`) first occurs in a haystack of at most `size` bytes, or -1:
    Knuth, Morris and Pratt's way, because it never goes back, which makes both of its loops flat."""
    f = lo.f
    borders = lo.scratch(2 * (capacity + 1))
    j, result = lo.scratch(8), f.alloca(8)
    f.store(-1, result)
    with f.when(f.compare("eq", count, 0), "empty"):
        f.store(0, result)
    with f.when(f.compare("ne", count, 0), "search"):
        _borders(lo, needle, capacity, count, borders, j)
        _search(lo, haystack, size, needle, capacity, count, borders, j, result)
    return f.load(result)


def _at(lo: Lower, place: str, index: str, count: int) -> str:
    """The byte at an index that the verifier gets bounded."""
    return lo.f.load(lo.f.offset(place, lo.f.clamp(index, count)), 8)


def _border(lo: Lower, borders: str, index: str, capacity: int) -> str:
    f = lo.f
    return f.load(f.offset(borders, f.binary("shl", f.clamp(index, capacity + 1), 1)), 16)


def _borders(lo: Lower, needle: str, capacity: int, count: str, borders: str, j: str) -> None:
    """For each prefix of the needle the length of its longest border. At most two steps for each byte."""
    f = lo.f
    i, steps = lo.scratch(8), f.alloca(8)
    f.store(0, borders, 16)
    f.store(0, f.offset(borders, 2), 16)
    f.store(1, i, volatile=True)
    f.store(0, j, volatile=True)
    f.store(0, steps)
    loop, body, end = (f.label(n) for n in ("borders", "border", "bordered"))
    f.place(loop)
    taken = f.add(f.load(steps), 1)
    f.store(taken, steps)
    at, k = f.load(i, volatile=True), f.load(j, volatile=True)
    going = f.op(f"and i1 {f.compare('ult', at, count)}, {f.compare('ult', taken, 2 * capacity)}")
    f.branch(going, body, end)
    f.place(body)
    same = f.compare("eq", _at(lo, needle, at, capacity), _at(lo, needle, k, capacity))
    stuck = f.op(f"and i1 {f.op(f'xor i1 {same}, true')}, {f.compare('ne', k, 0)}")
    longer = f.select(same, f.add(k, 1), "0")
    row = f.binary("shl", f.clamp(f.add(at, 1), capacity + 1), 1)
    old = f.load(f.offset(borders, row), 16)
    f.store(f.select(stuck, old, longer), f.offset(borders, row), 16)
    f.store(f.select(stuck, _border(lo, borders, k, capacity), longer), j, volatile=True)
    f.store(f.select(stuck, at, f.add(at, 1)), i, volatile=True)
    f.jump(loop)
    f.place(end)


def _search(
    lo: Lower, haystack: str, size: int, needle: str, capacity: int, count: str, borders: str, j: str, result: str
) -> None:
    f = lo.f
    i, steps = lo.scratch(8), f.alloca(8)
    f.store(0, i, volatile=True)
    f.store(0, j, volatile=True)
    f.store(0, steps)
    loop, body, matched, end = (f.label(n) for n in ("search", "step", "matched", "searched"))
    f.place(loop)
    taken = f.add(f.load(steps), 1)
    f.store(taken, steps)
    at, k = f.load(i, volatile=True), f.load(j, volatile=True)
    byte = _at(lo, haystack, at, size)
    ended = f.op(f"or i1 {f.compare('uge', at, size)}, {f.compare('eq', byte, 0)}")
    over = f.op(f"or i1 {ended}, {f.compare('ugt', taken, 2 * size)}")
    f.branch(over, end, body)
    f.place(body)
    same = f.compare("eq", byte, _at(lo, needle, k, capacity))
    stuck = f.op(f"and i1 {f.op(f'xor i1 {same}, true')}, {f.compare('ne', k, 0)}")
    longer = f.select(same, f.add(k, 1), "0")
    f.store(f.select(stuck, _border(lo, borders, k, capacity), longer), j, volatile=True)
    following = f.select(stuck, at, f.add(at, 1))
    f.store(following, i, volatile=True)
    complete = f.op(f"and i1 {same}, {f.compare('eq', longer, count)}")
    f.branch(complete, matched, loop)
    f.place(matched)
    f.store(f.op(f"sub i64 {following}, {count}"), result)
    f.jump(end)
    f.place(end)
