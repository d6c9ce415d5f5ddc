"""Strings and bytes that the program holds: their length, their order, what they contain.

Loops over bytes are flat and have one exit that the verifier cannot foresee, so that its work grows with the length of
the memory and not with anything else; they load on every kernel with bounded loops (5.3). For long memory it is
bpf_loop that repeats them, where there is one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.codegen.automaton import Automaton
from pytrace.codegen.helpers import Helper
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower

_FLAT = 512
"""Bytes up to which a loop is flat: the verifier keeps in mind 8192 ways out of all loops of a program."""


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
    if size > _FLAT and lo.unit.kernel.features.has("bpf_loop"):
        return _run_long(lo, automaton, place, size)
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


def _run_long(lo: Lower, automaton: Automaton, place: str, size: int) -> tuple[str, str]:
    """The same by bpf_loop, of which the verifier sees one step."""
    from pytrace.codegen.lower import Lower as Lowering

    f, unit = lo.f, lo.unit
    assert f.span is not None
    copy, state, taken = unit.scratch(size), unit.scratch(8), unit.scratch(8)
    table = unit.rodata(automaton.table)
    base = lo.scratch_base()
    lo.copy(place, f.offset(base, copy), size)
    f.store(0, f.offset(base, state), volatile=True)
    f.store(0, f.offset(base, taken))

    g = unit.module.function(lo.program.callback_name(), ("index", "frame"), main=False, span=f.span)
    inner = Lowering(unit, lo.program, g, None)
    room = inner.scratch_base()
    at = g.load(g.offset(room, taken))
    byte = g.load(g.offset(g.offset(room, copy), g.clamp(at, size)), 8)
    rows = g.offset(unit.value("rodata"), table)
    found = _transition(inner, automaton, rows, g.offset(room, state), byte)
    g.store(g.add(at, 1), g.offset(room, taken))
    with g.when(g.compare("uge", found, automaton.final), "decided"):
        g.ret("1")
    g.ret("0")

    f.helper(Helper.loop, f"i32 {size}", f'ptr @"{g.name}"', lo.frame(), "i64 0")
    with f.when(f.compare("ult", f.load(f.offset(base, state), volatile=True), automaton.final), "whole"):
        _transition(lo, automaton, f.offset(unit.value("rodata"), table), f.offset(base, state), "0")
    return f.load(f.offset(base, state), volatile=True), f.load(f.offset(base, taken))


def _transition(lo: Lower, automaton: Automaton, table: str, state: str, byte: str) -> str:
    f = lo.f
    row = f.barrier(f.binary("and", f.load(state, volatile=True), automaton.padded - 1))
    entry = f.binary("or", f.binary("shl", row, 8), byte)
    found = f.load(f.offset(table, f.binary("shl", entry, 1)), 16)
    f.store(found, state, volatile=True)
    return found
