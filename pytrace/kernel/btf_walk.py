"""What the verifier makes of a plain load from a kernel struct that it knows: a number, a pointer, or a refusal.

It goes by BTF, not by what a program means: the first member that covers the bytes is the one that is loaded, in a
union too. This follows `btf_struct_walk` in the kernel's kernel/bpf/btf.c as far as all versions from 5.10 on agree,
and refuses where they do not.
"""

from __future__ import annotations

from pytrace.kernel import btf_raw as k
from pytrace.kernel.btf import Btf
from pytrace.kernel.btf_raw import info_kind
from pytrace.record import record

_MODIFIERS = (k.TYPEDEF, k.VOLATILE, k.CONST, k.RESTRICT, k.TYPE_TAG)
_INSIDE = (k.STRUCT, k.UNION)
# Memory behind pointers with other tags (`rcu`) is the kernel's own.
_ELSEWHERE = ("user", "percpu")


@record
class Word:
    """What a load gives. `struct` is the BTF id of the struct that a pointer points to, 0 where it points to something
    else, or to memory of another kind."""

    pointer: bool = False
    struct: int = 0


NUMBER = Word()


def load(btf: Btf, id: int, offset: int, size: int) -> Word | None:
    """A load of `size` bytes at `offset` of the struct with this id; None if the verifier may refuse it."""
    while True:
        struct = btf.record(id)
        if info_kind(struct[1]) not in _INSIDE or offset < 0 or offset + size > struct[2]:
            return None
        found = _member(btf, struct, offset, size)
        if found is None or isinstance(found, Word):
            return found
        id, at = found
        kind = info_kind(btf.record(id)[1])
        if kind not in _INSIDE:
            return _pointer(btf, id) if kind == k.PTR and size == 8 and offset == at else None
        offset -= at


def _member(btf: Btf, struct: list[int], offset: int, size: int) -> tuple[int, int] | Word | None:
    """The member that is loaded: a number, or type and offset of a struct or pointer."""
    union, bitfields = info_kind(struct[1]) == k.UNION, struct[1] >> 31
    types, places = struct[4::3], struct[5::3]
    for i, (type, place) in enumerate(zip(types, places, strict=True)):
        width = place >> 24 if bitfields else 0
        bit = place & 0xFFFFFF if bitfields else place
        at = bit // 8
        if offset + size <= at:
            return None
        if width:
            if offset <= at and (bit + width + 7) // 8 <= offset + size:
                return NUMBER
            continue
        if offset < at:
            return None  # a hole
        if not union and i + 1 < len(places):
            following = places[i + 1] & 0xFFFFFF if bitfields else places[i + 1]
            if following // 8 <= offset:
                continue
        inner, count, each, named = _resolved(btf, type)
        end = at + count * each
        if offset >= end:
            continue
        if each:
            at += (offset - at) // each * each
        if info_kind(btf.record(inner)[1]) in (*_INSIDE, k.PTR):
            # Up to 6.2 an array of a typedef is not looked into.
            return None if named else (inner, at)
        return NUMBER if offset + size <= end else None
    return None


def _resolved(btf: Btf, id: int) -> tuple[int, int, int, bool]:
    """A type without its typedefs and qualifiers, as an array: its element's id, how many there are, their size, and
    whether a typedef or qualifier stood between array and element."""
    count, array, named = 1, False, False
    while True:
        record = btf.record(id)
        kind = info_kind(record[1])
        if kind in _MODIFIERS:
            id, named = record[2], array
        elif kind == k.ARRAY:
            count *= record[5]
            id, array, named = record[3], True, False
        else:
            return id, count, 8 if kind == k.PTR else record[2], named


def target(btf: Btf, id: int) -> int:
    """The id of the struct that a pointer type points to, typedefs and qualifiers aside; 0 if it is none."""
    inner = plain(btf, id)
    if not inner or info_kind(btf.record(inner)[1]) != k.PTR:
        return 0
    return _pointer(btf, inner).struct


def plain(btf: Btf, id: int) -> int:
    """A type without its typedefs and qualifiers; 0 is void."""
    while id and info_kind(btf.record(id)[1]) in _MODIFIERS:
        id = btf.record(id)[2]
    return id


def _pointer(btf: Btf, id: int) -> Word:
    inner = btf.record(id)[2]
    while inner and info_kind(btf.record(inner)[1]) in _MODIFIERS:
        modifier = btf.record(inner)
        if info_kind(modifier[1]) == k.TYPE_TAG and btf.text(modifier[0]) in _ELSEWHERE:
            return Word(True)
        inner = modifier[2]
    known = inner and info_kind(btf.record(inner)[1]) in _INSIDE
    return Word(True, inner if known else 0)
