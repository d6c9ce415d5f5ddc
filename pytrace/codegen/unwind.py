"""`dw_ustack`: the user stack walked by unwind tables, for programs that keep no frame pointers.

The tables are in two maps, which `program` describes and the runtime fills; what their rows mean is said in
`kernel.ehframe`. From the registers with which the process entered the kernel, each round of a bpf_loop finds the
row of the instruction, from that the caller's stack pointer, there the address to return to, and the caller's rbp.
Where something is missing the stack ends, and the reason is counted.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.codegen.ids import own_namespace, process_id
from pytrace.kernel import ehframe
from pytrace.program import (
    RANGE_BIAS,
    RANGE_COUNT,
    RANGE_FIRST,
    RANGE_NO_PROGRAM,
    RANGE_PAGES,
    RANGE_PID_SHIFT,
    RANGE_TABLE,
    UNWIND_RANGES,
    UNWIND_TABLES,
)

if TYPE_CHECKING:
    from pytrace.codegen.ir import Function
    from pytrace.codegen.lower import Lower
    from pytrace.codegen.unit import Unit

MACHINE = "x86_64"
_IP, _SP, _BP = 128, 152, 32
_CS = 136
"""Offsets into `struct pt_regs`."""

# What a walk keeps between its rounds, in memory of the function that began it.
_STATE = 56
_AT_IP, _AT_SP, _AT_BP, _AT_PID, _AT_BACK, _AT_FRAMES, _AT_END = range(0, _STATE, 8)
"""`_AT_BACK` is 1 where ip is what a call returns to: the call itself stands before it. Its row is wanted, and the
frame is its last byte, as bpftrace has it: what a call that does not return comes back to may be another function."""

# What a search keeps.
_SEARCH = 40
_LOW, _HIGH, _KEY, _MAP, _MIDDLE = range(0, _SEARCH, 8)
_SEARCH_ROUNDS = 32

_WHOLE, _STRANGER, _UNKNOWN, _FAULT = range(4)
"""Why a walk ended: at its end or full; the process is not one of those that were named; nothing is known of the code;
memory that should be stack cannot be read."""
_COUNTED = {_STRANGER: "unwind_process", _UNKNOWN: "unwind_unknown", _FAULT: "unwind_fault"}


def unwound(lo: Lower, kind: t.Stack) -> tuple[str, str]:
    """A `stacks.Walk` of the current process's user stack."""
    f, depth = lo.f, kind.depth
    lo.unit.unwinds = True
    frames = lo.scratch(8 * depth)
    state = f.alloca(_STATE)
    _begin(lo, state)
    f.store(process_id(lo, own_namespace()), f.offset(state, _AT_PID))
    f.store(0, f.offset(state, _AT_BACK))
    f.store_pointer(frames, f.offset(state, _AT_FRAMES))
    f.store(_WHOLE, f.offset(state, _AT_END))
    step = _step(lo, depth)
    walked = f.helper(Helper.loop, f"i32 {depth}", f'ptr @"{step}"', f"ptr {state}", "i64 0")
    end = f.load(f.offset(state, _AT_END))
    for reason, counter in _COUNTED.items():
        with f.when(f.compare("eq", end, reason), "cut"):
            lo.count(counter, span=f.span)
    return frames, f.select(f.compare("eq", end, _STRANGER), "0", walked)


def _begin(lo: Lower, state: str) -> None:
    """The registers of user mode: the context's, if that is what it interrupted; else those that were saved when the
    kernel was entered."""
    f = lo.f
    if not lo.program.context.regs:
        _saved_registers(f, state)
        return
    _registers(f, lo.context(), state)
    mode = f.load(f.offset(lo.context(), _CS), volatile=True)
    with f.when(f.compare("ne", f.binary("and", mode, 3), 3), "kernel"):
        _saved_registers(f, state)


def _saved_registers(f: Function, state: str) -> None:
    task = f.helper_pointer(Helper.get_current_task_btf)
    _registers(f, f.helper_pointer(Helper.task_pt_regs, f"ptr {task}"), state)


def _registers(f: Function, regs: str, state: str) -> None:
    for offset, to in ((_IP, _AT_IP), (_SP, _AT_SP), (_BP, _AT_BP)):
        f.store(f.load(f.offset(regs, offset), volatile=True), f.offset(state, to))


def _step(lo: Lower, depth: int) -> str:
    """The name of the function that notes one frame and goes on to its caller. All programs share it."""
    unit, span = lo.unit, lo.f.span
    name = f"unwind_{depth}"
    assert span is not None
    if name in unit.shared:
        return name
    unit.shared.add(name)
    f = unit.module.function(name, ("index", "frame"), main=False, span=span)
    state = "%frame"
    ip = f.load(f.offset(state, _AT_IP))
    called = f.binary("sub", ip, f.load(f.offset(state, _AT_BACK)))
    search = f.alloca(_SEARCH)
    place = _range(unit, f, state, search, called)
    with f.inside("%index", depth) as index:
        f.store(called, f.offset(f.load_pointer(f.offset(state, _AT_FRAMES)), f.binary("shl", index, 3)))
    rule = _row(unit, f, state, search, called, place)
    _caller(f, state, ip, rule)
    f.ret("0")
    return name


def _stop(f: Function, state: str, condition: str, reason: int) -> None:
    """Ends the walk if an i1 holds."""
    with f.when(condition, "stop"):
        f.store(reason, f.offset(state, _AT_END))
        f.ret("1")


# --- finding the row -------------------------------------------------------------------------------


def _range(unit: Unit, f: Function, state: str, search: str, address: str) -> str:
    """The range of the process that begins last before an address. Ends the walk if the process has none at all."""
    ranges = unit.map(UNWIND_RANGES)
    header = _element(f, ranges, search, "0")
    _stop(f, state, f.is_null(header), _STRANGER)
    book = f.load(header, volatile=True)
    pid = f.load(f.offset(state, _AT_PID))
    first, count = f.binary("and", book, 0xFFFFFFFF), f.binary("lshr", book, 32)
    key = f.binary("or", f.binary("shl", pid, RANGE_PID_SHIFT), f.binary("lshr", address, 12))
    found = _search(unit, f, search, ranges, first, count, key)
    _stop(f, state, f.is_null(found), _STRANGER)
    theirs = f.binary("lshr", f.load(found), RANGE_PID_SHIFT)
    _stop(f, state, f.compare("ne", theirs, pid), _STRANGER)
    return found


def _row(unit: Unit, f: Function, state: str, search: str, address: str, place: str) -> str:
    """The rule for an address in a range. Ends the walk if there is none."""
    start = f.binary("shl", f.load(place), 64 - RANGE_PID_SHIFT)
    into = f.binary("sub", f.binary("lshr", address, 12), f.binary("lshr", start, 64 - RANGE_PID_SHIFT))
    pages = f.load(f.offset(place, RANGE_PAGES), 32)
    _stop(f, state, f.compare("eq", pages, RANGE_NO_PROGRAM), _WHOLE)
    _stop(f, state, f.compare("uge", into, pages), _UNKNOWN)
    within = f.binary("sub", address, f.load(f.offset(place, RANGE_BIAS)))
    first, count = f.load(f.offset(place, RANGE_FIRST), 32), f.load(f.offset(place, RANGE_COUNT), 32)
    table = _element(f, unit.map(UNWIND_TABLES), search, f.load(f.offset(place, RANGE_TABLE), 32))
    _stop(f, state, f.is_null(table), _UNKNOWN)
    key = f.binary("or", f.binary("shl", within, 32), 0xFFFFFFFF)
    found = _search(unit, f, search, table, first, count, key)
    _stop(f, state, f.is_null(found), _UNKNOWN)
    return f.binary("and", f.load(found), 0xFFFFFFFF)


def _element(f: Function, map: str, search: str, index: str) -> str:
    """A pointer to an element of an array, or null."""
    key = f.offset(search, _MIDDLE)
    f.store(index, key, 32)
    return f.helper_pointer(Helper.map_lookup_elem, f"ptr {map}", f"ptr {key}")


def _search(unit: Unit, f: Function, search: str, map: str, first: str, count: str, key: str) -> str:
    """A pointer to the last of the `count` elements from `first` on of an array, ascending by the u64 that they begin
    with, that does not come after `key`; null if there is none."""
    assert f.span is not None
    name = "unwind_search"
    if name not in unit.shared:
        unit.shared.add(name)
        g = unit.module.function(name, ("index", "frame"), main=False, span=f.span)
        low, high = g.load(g.offset("%frame", _LOW)), g.load(g.offset("%frame", _HIGH))
        with g.when(g.compare("uge", low, high), "found"):
            g.ret("1")
        middle = g.binary("lshr", g.add(low, high), 1)
        element = _element(g, g.load_pointer(g.offset("%frame", _MAP)), "%frame", middle)
        with g.when(g.is_null(element), "outside"):
            g.ret("1")
        after = g.compare("ugt", g.load(element), g.load(g.offset("%frame", _KEY)))
        g.store(g.select(after, low, g.add(middle, 1)), g.offset("%frame", _LOW))
        g.store(g.select(after, middle, high), g.offset("%frame", _HIGH))
        g.ret("0")
    f.store(first, f.offset(search, _LOW))
    f.store(f.add(first, count), f.offset(search, _HIGH))
    f.store(key, f.offset(search, _KEY))
    f.store_pointer(map, f.offset(search, _MAP))
    f.helper(Helper.loop, f"i32 {_SEARCH_ROUNDS}", f'ptr @"{name}"', f"ptr {search}", "i64 0")
    after = f.load(f.offset(search, _LOW))
    # Before the first: an index that no array has.
    index = f.select(f.compare("ugt", after, first), f.add(after, -1), str(0xFFFFFFFF))
    return _element(f, map, search, index)


# --- going by it -------------------------------------------------------------------------------------


def _caller(f: Function, state: str, ip: str, rule: str) -> None:
    """Makes the state that of the caller, or ends the walk."""
    sp, bp = f.load(f.offset(state, _AT_SP)), f.load(f.offset(state, _AT_BP))
    kind = f.binary("and", rule, 0xF)
    m = f.op(f"ashr i64 {f.binary('shl', rule, 32)}, 48")

    def one_of(*kinds: int) -> str:
        conditions = [f.compare("eq", kind, k) for k in kinds]
        joined = conditions[0]
        for condition in conditions[1:]:
            joined = f.op(f"or i1 {joined}, {condition}")
        return joined

    _stop(f, state, f.compare("eq", kind, ehframe.NONE), _UNKNOWN)
    _stop(f, state, f.compare("eq", kind, ehframe.END), _WHOLE)
    signal = one_of(ehframe.SIGNAL)
    base = f.select(one_of(ehframe.RBP, ehframe.AT_RBP), bp, sp)
    place = f.add(base, f.binary("shl", m, 3))
    word, cfa = f.alloca(8), f.alloca(8)
    f.store(place, cfa)
    with f.when(one_of(ehframe.PLT), "plt"):
        pushed = f.compare("uge", f.binary("and", ip, 15), m)
        f.store(f.add(sp, f.select(pushed, "16", "8")), cfa)
    with f.when(one_of(ehframe.AT_RBP, ehframe.AT_RSP, ehframe.SIGNAL), "indirect"):
        _read(f, state, word, place)
        f.store(f.add(f.load(word), f.select(one_of(ehframe.AT_RSP), "8", "0")), cfa)
    frame = f.load(cfa)
    higher = f.op(f"or i1 {f.compare('ugt', frame, sp)}, {signal}")
    _stop(f, state, f.op(f"xor i1 {higher}, true"), _UNKNOWN)
    _read(f, state, word, f.select(signal, f.add(place, 8), f.add(frame, -8)))
    back = f.load(word)
    _stop(f, state, f.compare("eq", back, 0), _WHOLE)
    _saved(f, state, word, rule, signal, f.add(place, -40), frame)
    f.store(back, f.offset(state, _AT_IP))
    f.store(frame, f.offset(state, _AT_SP))
    f.store(f.select(signal, "0", "1"), f.offset(state, _AT_BACK))


def _saved(f: Function, state: str, word: str, rule: str, signal: str, interrupted: str, frame: str) -> None:
    """Gives the state the caller's rbp."""
    bp = f.load(f.offset(state, _AT_BP))
    how = f.binary("and", rule, 0x30)
    distance = f.binary("and", f.binary("lshr", rule, 3), 0x1FF8)
    saved, here = f.compare("eq", how, ehframe.SAVED), f.compare("eq", how, ehframe.HERE)
    place = f.select(here, bp, f.binary("sub", frame, distance))
    place = f.select(signal, interrupted, place)
    with f.when(f.op(f"or i1 {signal}, {f.op(f'or i1 {saved}, {here}')}"), "saved"):
        _read(f, state, word, place)
        f.store(f.load(word), f.offset(state, _AT_BP))
    with f.when(f.compare("eq", how, ehframe.LOST), "lost"):
        f.store(0, f.offset(state, _AT_BP))


def _read(f: Function, state: str, to: str, address: str) -> None:
    """Copies a word of the process; ends the walk if it is not to be had."""
    result = f.helper(Helper.probe_read_user, f"ptr {to}", "i32 8", f"i64 {address}")
    _stop(f, state, f.compare("slt", f.extend(result, 32, True), 0), _FAULT)
