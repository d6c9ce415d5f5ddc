"""The native user half and the Python decoder write the same bytes, for any events and any records."""

from __future__ import annotations

import struct
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pytrace import types as t
from pytrace.codegen.user import compile_user
from pytrace.codegen.user_text import lower_event
from pytrace.format import Conversion, Format, parse_format
from pytrace.nativestate import MAX_TEXT
from pytrace.output.decode import decode
from pytrace.output.text import Text
from pytrace.program import EventSpec
from pytrace.runtime.native import Drain, HostCode

DISCARD = 1 << 30

COLOUR = t.Enum("colour", 32, False, (("RED", 0), ("GREEN", 1)))
ints = st.builds(t.Int, st.sampled_from([8, 16, 32, 64]), st.booleans())
scalars = st.one_of(
    ints,
    st.just(t.BOOL),
    st.just(COLOUR),
    st.just(t.Pointer(t.VOID)),
    st.builds(t.String, st.integers(1, 40)),
)
names = st.sampled_from(["a", "pid", "long_name_of_a_field"])
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, min_size=0, max_size=4).map(lambda parts: t.Tuple(tuple(parts))),
        st.lists(st.tuples(names, inner), max_size=3, unique_by=lambda f: f[0]).map(lambda fs: t.Record(tuple(fs))),
    ),
    max_leaves=5,
)
foreign = st.sampled_from([t.KSym(), t.Buffer(9), t.Array(t.INT32, 3), t.Named("signal")])

literals = st.text(st.characters(codec="utf-8"), max_size=20)
flags = st.lists(st.sampled_from("-+ #0"), max_size=3).map("".join)
widths = st.one_of(st.none(), st.integers(0, 50), st.sampled_from([300, MAX_TEXT - 500, MAX_TEXT, 2 * MAX_TEXT]))
precisions = st.one_of(st.none(), st.integers(0, 30))
lengths = st.sampled_from(["", "h", "hh", "l", "ll", "j", "z", "t", "L"])
conversions = st.builds(Conversion, st.sampled_from("diuoxXcsp"), flags, widths, precisions, lengths)


@st.composite
def events(draw: st.DrawFn) -> EventSpec:
    kind = draw(st.sampled_from(["printf", "printf", "printf", "print", "exit"]))
    if kind == "exit":
        return EventSpec(0, "exit", (t.INT64,))
    if kind == "print":
        return EventSpec(0, "print", (draw(st.one_of(values, values, foreign)),))
    pieces: list[str | Conversion] = []
    args: list[t.Type] = []
    for _ in range(draw(st.integers(0, 4))):
        pieces.append(draw(literals))
        conversion = draw(conversions)
        pieces.append(conversion)
        args.append(draw(values if conversion.verb == "s" else st.one_of(scalars, scalars, values)))
    pieces.append(draw(literals))
    return EventSpec(0, "printf", tuple(args), Format(tuple(pieces)))


def contents(type: t.Type) -> st.SearchStrategy[bytes]:
    """Bytes of a value of the type, with anything behind a string's end and in paddings."""
    match type:
        case t.Int(bits, _) | t.Enum(_, bits, _, _):
            small = st.integers(-300, 300).map(lambda n: n % (1 << bits))
            edges = st.sampled_from([0, 1, (1 << bits) - 1, 1 << (bits - 1), (1 << (bits - 1)) - 1])
            decades = st.integers(0, 19).map(lambda n: (10**n) % (1 << bits))
            numbers = st.one_of(small, edges, decades, st.integers(0, (1 << bits) - 1))
            return numbers.map(lambda n: n.to_bytes(bits // 8, "little"))
        case t.Bool():
            return st.sampled_from([b"\0", b"\1", b"\1", b"\xff"])
        case t.String(capacity):
            texts = st.text(max_size=capacity).map(str.encode)
            raw = st.one_of(texts, st.binary(max_size=capacity), st.binary(min_size=capacity, max_size=capacity))
            return raw.flatmap(
                lambda s: st.sampled_from([b"\0", b"x"]).map(lambda f: (s + b"\0").ljust(capacity, f)[:capacity])
            )
        case t.Tuple() | t.Record():
            parts = type.elements if isinstance(type, t.Tuple) else tuple(part for _, part in type.fields)
            return st.tuples(*map(contents, parts)).map(lambda vs: laid_out(type, type.offsets, vs))
    return st.binary(min_size=type.size, max_size=type.size)


def laid_out(type: t.Type, offsets: tuple[int, ...], parts: tuple[bytes, ...]) -> bytes:
    data = bytearray(b"\xa5" * type.size)
    for at, part in zip(offsets, parts, strict=True):
        data[at : at + len(part)] = part
    return bytes(data)


@st.composite
def runs(draw: st.DrawFn) -> tuple[tuple[EventSpec, ...], bool, list[tuple[bytes, bool]]]:
    specs = tuple(replace(e, id=i) for i, e in enumerate(draw(st.lists(events(), min_size=1, max_size=4))))
    timestamps = draw(st.booleans())
    records = []
    for spec in draw(st.lists(st.sampled_from(specs), max_size=12)):
        head = struct.pack("<IIQ", spec.id, 3, 99)[: 16 if timestamps else 8]
        records.append((head + draw(contents(t.Tuple(spec.args))), draw(st.integers(0, 5)) == 0))
    return specs, timestamps, records


class Collected:
    def __init__(self, tty: bool) -> None:
        self.tty, self.data = tty, b""

    def write(self, data: bytes | memoryview) -> None:
        self.data += data

    def isatty(self) -> bool:
        return self.tty


class Reference:
    """Decodes and shows one record after the other, in Python."""

    def __init__(self, specs: tuple[EventSpec, ...], timestamps: bool, sink: Collected, trailer: bytes) -> None:
        self.specs, self.base, self.sink = specs, 16 if timestamps else 8, sink
        self.text = Text(sink, sink, trailer=trailer.decode())
        self.handed = 0

    def show(self, record: bytes | memoryview) -> None:
        spec = self.specs[int.from_bytes(record[:4], "little")]
        self.handed += 1
        if spec.action == "exit":
            self.sink.write(b"<exit>")
        else:
            self.text.event(spec, decode(t.Tuple(spec.args), bytes(record), self.base))


def show_both(specs: Any, timestamps: bool, records: Any, memory_ring: Any, **options: Any) -> tuple[bytes, bytes, int]:
    """What the reference writes, what the native half writes, and how many records the latter handed over."""
    tty, trailer = options.get("tty", False), options.get("trailer", b"..")
    wanted = Reference(specs, timestamps, Collected(tty), trailer)
    for record, discarded in records:
        if not discarded:
            wanted.show(record)
    native = compile_user(specs, timestamps)
    if native is None:
        return wanted.sink.data, wanted.sink.data, len(records)
    sink = Collected(tty)
    got = Reference(specs, timestamps, sink, trailer)
    ring = memory_ring(4096, start=4096 * 7 - 1000 // 8 * 8)
    with HostCode(native) as code:
        drain = Drain(code, ring, events=len(specs), write=sink.write, handle=got.show, tty=tty, trailer=trailer)
        for record, discarded in records:
            while not ring.put(record, DISCARD if discarded else 0):
                drain.drain()
        drain.drain()
        ids = [int.from_bytes(record[:4], "little") for record, discarded in records if not discarded]
        assert drain.counts == tuple(ids.count(i) for i in range(len(specs)))
    return wanted.sink.data, sink.data, got.handed


@settings(max_examples=250, deadline=None)
@given(runs(), st.booleans(), st.sampled_from([b"..", b"", b"12345678", b"123456789"]))
def test_native_and_reference_write_the_same_bytes(memory_ring: Any, run: Any, tty: bool, trailer: bytes) -> None:
    wanted, got, _ = show_both(*run, memory_ring, tty=tty, trailer=trailer)
    assert got == wanted


@settings(max_examples=200, deadline=None)
@given(st.data(), conversions.filter(lambda c: (c.width or 0) < 100))
def test_every_conversion_of_a_number_is_native(memory_ring: Any, data: st.DataObject, conversion: Conversion) -> None:
    type = data.draw(st.one_of(ints, st.just(t.BOOL), st.just(t.Pointer(t.VOID))))
    spec = EventSpec(0, "printf", (type,), Format(("[", conversion, "]")))
    records = [(bytes(8) + data.draw(contents(type)), False) for _ in range(8)]
    wanted, got, handed = show_both((spec,), False, records, memory_ring)
    assert got == wanted
    assert handed == 0


@settings(max_examples=100, deadline=None)
@given(st.binary(max_size=70), st.integers(1, 64), st.sampled_from(["%s", "%-20s|", "%20s", "%020s", "%.3s"]))
@example(b"", 1, "%s")
@example(b"sixteen  bytes..", 16, "%20s")
def test_every_string_is_native(memory_ring: Any, raw: bytes, capacity: int, format: str) -> None:
    spec = EventSpec(0, "printf", (t.String(capacity), t.INT32), parse_format(format + "%d\n"))
    args = t.Tuple(spec.args)
    record = bytes(8) + laid_out(args, args.offsets, (raw.ljust(capacity, b"\0")[:capacity], b"\7\0\0\0"))
    wanted, got, handed = show_both((spec,), False, [(record, False)], memory_ring)
    assert got == wanted
    assert handed == 0


@pytest.mark.parametrize(
    ("action", "args", "format"),
    [
        ("print", (t.Tuple((t.INT32, t.String(4), t.Tuple((t.BOOL,)))),), None),
        ("print", (t.Record((("pid", t.UINT32), ("comm", t.String(16)))),), None),
        ("printf", (t.Tuple((t.INT32, t.BOOL)), COLOUR), "%s %d\n"),
        ("printf", (), "only text, and much of it: äöü €\n"),
    ],
)
def test_native_events(action: str, args: tuple[t.Type, ...], format: str | None) -> None:
    assert lower_event(EventSpec(0, action, args, parse_format(format) if format else None), False)


@pytest.mark.parametrize(
    ("action", "args", "format"),
    [
        ("print", (t.KSym(),), None),
        ("print", (COLOUR,), None),
        ("printf", (t.Buffer(8),), "%r"),
        ("printf", (t.INT32,), "%d %d"),
        ("printf", (t.INT32,), f"%{MAX_TEXT}d"),
        ("errorf", (t.INT32,), "%d"),
    ],
)
def test_events_for_python(action: str, args: tuple[t.Type, ...], format: str | None) -> None:
    assert lower_event(EventSpec(0, action, args, parse_format(format) if format else None), False) is None
