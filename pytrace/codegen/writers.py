"""Writers: values on their way to memory.

A writer has evaluated what may have side effects or call helpers; calling it stores the value at a pointer, which may
be a map key, a variable or a record in the ring.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import access
from pytrace.functions import REGISTRY
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower

Writer = Callable[[str], object]
AF_INET = 2


def writer(lo: Lower, e: typed.Expr, exact: bool) -> Writer:
    """See `Lower.writer`."""
    kind = e.type
    if t.is_word(kind):
        value = lo.word(e)
        bits = kind.size * 8
        if lo.unit.spill and not isinstance(e, typed.Const):
            room = lo.scratch(8)
            lo.f.store(value, room)
            return lambda to: lo.f.store(lo.f.load(room), to, bits)
        return lambda to: lo.f.store(value, to, bits)
    match e:
        case typed.Str():
            return lambda to: _literal(lo, e.value, to, kind.size)
        case typed.TupleExpr():
            return _tuple_writer(lo, e, exact)
        case typed.Prefix():
            return _prefix_writer(lo, e)
        case typed.Memory():
            return access.memory_writer(lo, e, exact)
        case typed.Call():
            lower = REGISTRY[e.name].lower
            assert lower is not None
            writer: Writer = lower(lo, e)
            if exact and isinstance(kind, t.String | t.Buffer) and not REGISTRY[e.name].fills:
                return lambda to: _zero_then(lo, writer, to, kind.size)
            return writer
        case typed.Convert():
            return _convert_writer(lo, e, exact)
        case typed.Reinterpret():
            return _reinterpret_writer(lo, e)
        case typed.Ternary():
            room = lo.room(kind.size, zeroed=True)
            lo.fork(e, lambda arm: lo.writer(arm, exact)(room))
            return lambda to: lo.copy(room, to, kind.size, 8)
        case typed.BlockExpr():
            lo.statements(e.body)
            return lo.writer(e.value, exact)
    source, align = lo.place(e), lo.alignment(e)
    if exact and isinstance(kind, t.String):
        return lambda to: access.copy_string(lo, source, to, kind.size)
    return lambda to: lo.copy(source, to, kind.size, align)


def _zero_then(lo: Lower, writer: Writer, to: str, size: int) -> None:
    lo.zero(to, size)
    writer(to)


def _literal(lo: Lower, value: bytes, to: str, size: int) -> None:
    """Bytes known now, by immediate stores; zeros to the end."""
    data = value[:size].ljust(size, b"\0")
    at = 0
    while at < size:
        if not any(data[at:]) and size - at > 8:
            lo.zero(lo.f.offset(to, at), size - at)
            return
        width = next(w for w in (8, 4, 2, 1) if w <= size - at and at % w == 0)
        number = int.from_bytes(data[at : at + width], "little", signed=True)
        lo.f.store(number, lo.f.offset(to, at), width * 8, 1)
        at += width


def _tuple_writer(lo: Lower, e: typed.TupleExpr, exact: bool) -> Writer:
    kind = e.type
    assert isinstance(kind, t.Tuple | t.Record)
    writers = [lo.writer(x, exact) for x in e.elements]

    def write(to: str) -> None:
        end = 0
        for writer, offset, x in zip(writers, kind.offsets, e.elements, strict=True):
            lo.f.zero(to, offset - end, end)
            writer(lo.f.offset(to, offset))
            end = offset + x.type.size
        lo.f.zero(to, kind.size - end, end)

    return write


def _prefix_writer(lo: Lower, e: typed.Prefix) -> Writer:
    """See `types.Prefix`. A length that an address of its family cannot have becomes one that the kernel refuses."""
    f = lo.f
    address = lo.writer(e.address)
    length = lo.word(e.length) if e.length is not None else None

    def write(to: str) -> None:
        address(to)
        family = f.load(to, 32)
        bits = f.select(f.compare("eq", family, AF_INET), "32", "128")
        counted = f.add(bits, 32)
        if length is not None:
            counted = f.select(f.compare("ule", length, bits), f.add(length, 32), "-1")
        f.store(family, f.offset(to, 4), 32)
        f.store(counted, to, 32)
        f.store(0, f.offset(to, 24), 32)

    return write


def _parts(kind: t.Tuple | t.Record) -> dict[str, tuple[int, t.Type]]:
    """The offset and type of each element by its name, which of a tuple's is its number."""
    if isinstance(kind, t.Tuple):
        return {str(i): part for i, part in enumerate(zip(kind.offsets, kind.elements, strict=True))}
    return {name: (at, part) for at, (name, part) in zip(kind.offsets, kind.fields, strict=True)}


def _convert_writer(lo: Lower, e: typed.Convert, exact: bool) -> Writer:
    """Strings and buffers of another capacity; tuples by element."""
    source, to_type = e.operand.type, e.type
    if isinstance(to_type, t.Tuple | t.Record) and isinstance(source, t.Tuple | t.Record):
        place = lo.place(e.operand)
        held = typed.Held(place, type=source, span=e.span)
        have = _parts(source)
        elements = tuple(
            p if p.type == want else typed.Convert(p, type=want, span=e.span)
            for p, want in (
                (typed.Part(held, have[name][0], type=have[name][1], span=e.span), want)
                for name, (_, want) in _parts(to_type).items()
            )
        )
        return _tuple_writer(lo, typed.TupleExpr(elements, type=to_type, span=e.span), exact)
    writer = lo.writer(e.operand, exact)
    if source.size <= to_type.size:

        def widen(to: str) -> None:
            if exact or isinstance(source, t.Buffer):
                lo.zero(to, to_type.size)
            elif to_type.size > source.size:
                lo.f.store(0, lo.f.offset(to, source.size), 8)
            writer(to)

        return widen
    room = lo.room(source.size)
    writer(room)

    def narrow(to: str) -> None:
        lo.copy(room, to, to_type.size, 8)
        if isinstance(to_type, t.String):  # cut on purpose: it ends with a NUL and shows no sign of a cut
            lo.f.store(0, lo.f.offset(to, to_type.size - 1), 8)

    return narrow


def _reinterpret_writer(lo: Lower, e: typed.Reinterpret) -> Writer:
    if not t.is_word(e.operand.type):
        return lo.writer(e.operand)
    value, bits = lo.word(e.operand), e.operand.type.size * 8

    def write(to: str) -> None:
        room = lo.temporary()
        lo.f.store(value, room, bits)
        lo.f.copy(room, to, e.type.size)

    return write
