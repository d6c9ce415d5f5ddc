"""Reading and writing a script's maps. `layout` chose where each one lives.

Updates look an element up and change it in place, which costs a third of an update call; only a key that is not there
yet is inserted. Where several programs write a map they add atomically: on one CPU they can interrupt each other.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import aggregate as agg
from pytrace.codegen.helpers import Helper
from pytrace.codegen.ir import Function
from pytrace.codegen.layout import MapLayout
from pytrace.program import Storage
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.diagnostics import Span

BPF_ANY, BPF_NOEXIST = 0, 1
E2BIG, ENOSPC = 7, 28
PRESENT = 8
"""Offset of a slot's second word: 1 once the map was assigned."""
_ATOMIC = {"&": "and", "|": "or", "^": "xor"}


def layout(lo: Lower, symbol: typed.MapSymbol) -> MapLayout:
    return lo.unit.maps[symbol.name]


def key_place(lo: Lower, m: MapLayout, key: typed.Expr | None) -> str:
    """A pointer to a key; a scalar map in a hash has the key 0."""
    if key is None:
        room = lo.room(4)
        lo.f.store(0, room, 32)
        return room
    if isinstance(key, typed.Held):
        return key.place
    room = lo.room(key.type.size)
    lo.writer(key, exact=True)(room)
    return room


def lookup(lo: Lower, m: MapLayout, key: str) -> str:
    """A pointer to the value (this CPU's, in a per-CPU map), or null."""
    return lo.f.helper_pointer(Helper.map_lookup_elem, f"ptr {lo.unit.map(m.name)}", f"ptr {key}")


def update(lo: Lower, m: MapLayout, key: str, value: str, flags: int) -> str:
    return lo.f.helper(
        Helper.map_update_elem, f"ptr {lo.unit.map(m.name)}", f"ptr {key}", f"ptr {value}", f"i64 {flags}"
    )


def _zeros(lo: Lower, size: int) -> str:
    """A pointer to zeros that a new element begins with."""
    if size <= 32:
        room = lo.room(size)
        lo.f.zero(room, size)
        return room
    return lo.f.offset(lo.unit.value("rodata"), lo.unit.rodata(bytes(size)))


def slot_row(lo: Lower, m: MapLayout, cpu: str | None = None) -> str:
    """A pointer to a CPU's value of a per-CPU slot; this CPU's by default."""
    f = lo.f
    return f.offset(lo.unit.value(m.name), f.binary("mul", cpu or lo.cpu(), m.user.stride))


def existing(lo: Lower, m: MapLayout, key: str) -> str:
    """A pointer to an element that is made (as zeros) if it is not there, or null, which is counted, if that failed.
    Two CPUs may miss at once: the one that comes second finds what the first one made."""
    f = lo.f
    result = f.alloca(8)
    found = lookup(lo, m, key)
    f.store_pointer(found, result)
    with f.when(f.is_null(found), "miss"):
        made = f.extend(update(lo, m, key, _zeros(lo, m.spec.value_size), BPF_NOEXIST), 32, True)
        again = lookup(lo, m, key)
        f.store_pointer(again, result)
        with f.when(f.is_null(again), "none"):
            count_failure(lo, m, made)
    return f.load_pointer(result)


def count_failure(lo: Lower, m: MapLayout, error: str) -> None:
    """Counts an update that failed with an errno."""
    f = lo.f
    full, other, end = f.label("full"), f.label("failed"), f.label("counted")
    is_full = f.compare("eq", error, -ENOSPC if isinstance(m.user.key, t.Prefix) else -E2BIG)
    f.branch(is_full, full, other)
    f.place(full)
    lo.count("map_full", m.user.name)
    f.jump(end)
    f.place(other)
    lo.count("bad_prefix" if isinstance(m.user.key, t.Prefix) else "map_failed", m.user.name)
    f.jump(end)
    f.place(end)


# --- reading -----------------------------------------------------------------------------------------


def read(lo: Lower, e: typed.MapGet) -> str:
    """A word of a map; zero where there is no element."""
    f = lo.f
    m = layout(lo, e.map)
    if isinstance(m.user.value, t.Aggregation):
        return agg.merged(lo, m.user.value, rows(lo, e), e.part)
    bits, signed = t.signedness(e.type)
    if m.user.storage is Storage.SLOT:
        place = lo.unit.value(m.name)
        if lo.unit.options.helper_errors:
            _tell_missing(lo, f.compare("eq", f.load(f.offset(place, PRESENT)), 0), e.span)
        return f.load(place, bits, signed)
    key = key_place(lo, m, e.key)
    result = f.alloca(8)
    f.store(0, result)
    found = lookup(lo, m, key)
    _tell_missing(lo, f.is_null(found), e.span)
    with f.when(f.op(f"icmp ne ptr {found}, null"), "found"):
        f.store(f.load(found, bits, signed), result)
    return f.load(result)


def _tell_missing(lo: Lower, missing: str, span: Span) -> None:
    """`-k`: that what is read is not there."""
    if lo.unit.options.helper_errors:
        with lo.f.when(missing, "absent"):
            lo.count("helper_error", Helper.map_lookup_elem.name, span)


def rows(lo: Lower, e: typed.MapGet) -> agg.Rows:
    """The values of an aggregation that are to be merged."""
    m = layout(lo, e.map)
    if m.user.storage is Storage.PERCPU_SLOT:
        return agg.Rows(lo.unit.cpus, lambda cpu, _: slot_row(lo, m, cpu))
    key = key_place(lo, m, e.key)
    if lo.unit.options.helper_errors:
        _tell_missing(lo, lo.f.is_null(lookup(lo, m, key)), e.span)
    return _element_rows(lo, m, key)


def _element_rows(lo: Lower, m: MapLayout, key: str) -> agg.Rows:
    f = lo.f
    if m.user.storage is Storage.STRIPED_HASH:
        element = lookup(lo, m, key)

        def stripe(index: str, absent: str) -> str:
            unless_null(f, element, absent)
            return f.offset(element, f.binary("mul", index, m.user.stride))

        return agg.Rows(m.stripes, stripe)

    def row(cpu: str, absent: str) -> str:
        narrow = f.op(f"trunc i64 {cpu} to i32")
        found = f.helper_pointer(
            Helper.map_lookup_percpu_elem, f"ptr {lo.unit.map(m.name)}", f"ptr {key}", f"i32 {narrow}"
        )
        unless_null(f, found, absent)
        return found

    return agg.Rows(lo.unit.cpus, row)


def unless_null(f: Function, pointer: str, otherwise: str) -> None:
    """Goes on if a pointer is not null, else to a label."""
    present = f.label("present")
    f.branch(f.is_null(pointer), otherwise, present)
    f.place(present)


def merged_element(lo: Lower, m: MapLayout, key: str) -> str:
    """An aggregation of a hash, over all CPUs."""
    return agg.merged(lo, m.user.value, _element_rows(lo, m, key))


def value_place(lo: Lower, e: typed.MapGet) -> str:
    """A copy of an aggregate value; zeros where there is no element."""
    f = lo.f
    m = layout(lo, e.map)
    size = e.type.size
    room = lo.room(size)
    key = key_place(lo, m, e.key)
    lo.zero(room, size)
    found = lookup(lo, m, key)
    _tell_missing(lo, f.is_null(found), e.span)
    with f.when(f.op(f"icmp ne ptr {found}, null"), "found"):
        lo.copy(found, room, size, 8)
    return room


# --- writing -----------------------------------------------------------------------------------------


def assign(lo: Lower, s: typed.AssignMap) -> None:
    m = layout(lo, s.map)
    if s.op is not None:
        _compound(lo, s, m, s.op)
    elif m.user.storage is Storage.SLOT:
        value = lo.word(s.value)
        place = lo.unit.value(m.name)
        lo.f.store(value, place, m.user.value.size * 8)
        lo.f.store(1, lo.f.offset(place, PRESENT))
    else:
        _assign_element(lo, s, m)


def _assign_element(lo: Lower, s: typed.AssignMap, m: MapLayout) -> None:
    f = lo.f
    if not t.is_word(s.value.type):
        room = lo.room(m.spec.value_size)
        lo.writer(s.value)(room)
        insert(lo, m, key_place(lo, m, s.key), room)
        return
    value = lo.word(s.value)
    key = key_place(lo, m, s.key)
    if isinstance(m.user.key, t.Prefix):  # what a lookup finds may be a shorter prefix
        room = lo.room(8)
        f.store(value, room, s.value.type.size * 8)
        insert(lo, m, key, room)
        return
    found = lookup(lo, m, key)
    there, missing, end = f.label("there"), f.label("missing"), f.label("assigned")
    f.branch(f.is_null(found), missing, there)
    f.place(there)
    f.store(value, found, s.value.type.size * 8)
    f.jump(end)
    f.place(missing)
    room = lo.room(8)
    f.store(value, room, s.value.type.size * 8)
    insert(lo, m, key, room)
    f.jump(end)
    f.place(end)


def insert(lo: Lower, m: MapLayout, key: str, value: str) -> None:
    """Puts a value, and counts when there is no room."""
    f = lo.f
    result = f.extend(update(lo, m, key, value, BPF_ANY), 32, True)
    with f.when(f.compare("slt", result, 0), "failed"):
        count_failure(lo, m, result)


def _compound(lo: Lower, s: typed.AssignMap, m: MapLayout, op: str) -> None:
    f = lo.f
    value = lo.word(s.value)
    place, end = _element_or(lo, m, s.key)
    bits = m.user.value.size * 8
    if op in ("+", "-") and bits == 64:
        lo.atomic_add(place, value if op == "+" else f.op(f"sub i64 0, {value}"))
    elif op in _ATOMIC and bits == 64 and lo.has_atomics:
        f.emit(f"atomicrmw {_ATOMIC[op]} ptr {place}, i64 {value} monotonic, align 8")
    else:
        _, signed = t.signedness(m.user.value)
        f.store(lo.arithmetic(op, f.load(place, bits, signed), value, signed, s.span), place, bits)
    f.jump(end)
    f.place(end)


def _element_or(lo: Lower, m: MapLayout, key: typed.Expr | None) -> tuple[str, str]:
    """A pointer to an element for updating in place, and the label to go to afterwards (also taken when the map is
    full)."""
    f = lo.f
    end = f.label("updated")
    if m.user.storage is Storage.SLOT:
        place = lo.unit.value(m.name)
        f.store(1, f.offset(place, PRESENT))
        return place, end
    place = existing(lo, m, key_place(lo, m, key))
    present = f.label("present")
    f.branch(f.is_null(place), end, present)
    f.place(present)
    return place, end


def increment(lo: Lower, e: typed.Increment, used: bool) -> str:
    """`@x++` and its kin: an atomic add, so that no CPU's step gets lost. Only with an ordering does LLVM emit the
    instruction that gives the old value; `used` says whether that is wanted. Kernels before 5.12 have none: there the
    value is what was seen just before."""
    f = lo.f
    assert isinstance(e.target, typed.MapGet)
    m = layout(lo, e.target.map)
    result = f.alloca(8)
    f.store(0, result)
    place, end = _element_or(lo, m, e.target.key)
    bits, signed = t.signedness(e.type)
    if bits == 64 and used and not lo.has_atomics:
        old = f.load(place)
        lo.atomic_add(place, str(e.step))
    elif bits == 64:
        ordering = "seq_cst" if used else "monotonic"
        old = f.op(f"atomicrmw add ptr {place}, i64 {e.step} {ordering}, align 8")
    else:
        old = f.load(place, bits, signed)
        f.store(f.add(old, e.step), place, bits)
    f.store(f.add(old, e.step) if e.prefix else old, result)
    f.jump(end)
    f.place(end)
    return f.load(result)


def aggregate(lo: Lower, s: typed.Aggregate) -> None:
    """`@m[k] = count()` and its kin."""
    f = lo.f
    m = layout(lo, s.map)
    if m.user.storage is Storage.PERCPU_SLOT:
        args = [lo.word(a) for a in s.args]
        agg.update(lo, m, slot_row(lo, m), args)
        return
    key = key_place(lo, m, s.key)
    args = [lo.word(a) for a in s.args]
    place = existing(lo, m, key)
    with f.when(f.op(f"icmp ne ptr {place}, null"), "present"):
        if m.user.storage is Storage.STRIPED_HASH:
            stripe = f.binary("and", lo.cpu(), m.stripes - 1)
            place = f.offset(place, f.binary("mul", stripe, m.user.stride))
        agg.update(lo, m, place, args)
