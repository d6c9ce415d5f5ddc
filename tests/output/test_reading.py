"""Bytes to values, checked against layouts that C (through ctypes) makes of the same members."""

from __future__ import annotations

import ctypes
import struct
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace import types as t
from pytrace.output import (
    CutString,
    EnumValue,
    InetValue,
    MacValue,
    PointerValue,
    RecordReader,
    RecordValue,
    StackValue,
    USymValue,
    decode,
    read_record,
)
from pytrace.program import EventSpec, Program

I32, U8 = t.INT32, t.Int(8, False)

PROGRAM = Program(
    name="x",
    text="",
    kernel="",
    cpus=1,
    maps=(),
    user_maps=(),
    progs=(),
    events=(EventSpec(0, "exit", (t.INT64,)), EventSpec(1, "printf", (U8, t.String(5), t.UINT64))),
    counters=(),
    counter_stride=0,
    btf=b"",
    probes=("begin", "end"),
)


@given(st.sampled_from([8, 16, 32, 64]), st.booleans(), st.integers(0, (1 << 64) - 1))
def test_integers(bits: int, signed: bool, number: int) -> None:
    kind = getattr(ctypes, f"c_{'' if signed else 'u'}int{bits}")
    assert decode(t.Int(bits, signed), bytes(kind(number))) == kind(number).value  # type: ignore[arg-type]


def test_strings_and_buffers() -> None:
    assert decode(t.String(4), b"ab\0x") == "ab"
    assert not isinstance(decode(t.String(4), b"abc\0"), CutString)
    assert isinstance(decode(t.String(4), b"abcd"), CutString)
    assert decode(t.String(4), b"\xff\xe9\0\0").encode("utf-8", "surrogateescape") == b"\xff\xe9"
    assert decode(t.Buffer(5), struct.pack("<I5s3x", 3, b"abcde")) == b"abc"
    assert decode(t.Buffer(2), struct.pack("<I2s2x", 99, b"ab")) == b"ab"


def test_words_of_a_tuple_are_laid_out_as_in_c() -> None:
    class C(ctypes.Structure):
        _fields_ = [("a", ctypes.c_uint8), ("b", ctypes.c_int64), ("c", ctypes.c_uint8), ("d", ctypes.c_int16)]

    kind = t.Tuple((U8, t.INT64, U8, t.Int(16, True)))
    assert kind.size == ctypes.sizeof(C)
    assert decode(kind, bytes(C(200, -5, 7, -2))) == (200, -5, 7, -2)


def test_what_is_larger_than_a_word_starts_at_eight_bytes() -> None:
    kind = t.Tuple((U8, t.String(3), t.Int(16, True), t.Tuple((U8, U8)), U8))
    raw = struct.pack("<B7x3sxh2xBBB5x", 200, b"xy", -2, 1, 2, 3)
    assert kind.size == len(raw)
    assert decode(kind, raw) == (200, "xy", -2, (1, 2), 3)


def test_structs_with_bitfields_and_anonymous_members() -> None:
    class U(ctypes.Union):
        _fields_ = [("whole", ctypes.c_uint32), ("low", ctypes.c_uint8)]

    class C(ctypes.Structure):
        _anonymous_ = ("u",)
        _fields_ = [("b1", ctypes.c_uint32, 3), ("b2", ctypes.c_uint32, 7), ("u", U), ("p", ctypes.c_void_p)]

    union = t.Struct("union", "", 4, (t.Field("whole", t.UINT32, 0), t.Field("low", U8, 0)))
    fields = (
        t.Field("b1", t.UINT32, 0, 0, 3),
        t.Field("b2", t.UINT32, 0, 3, 7),
        t.Field("", union, 4),
        t.Field("p", t.Pointer(t.VOID), 8),
    )
    kind = t.Struct("struct", "C", ctypes.sizeof(C), fields)
    raw = C(b1=5, b2=99, p=0x1234)
    raw.whole = 0x01020304
    value = decode(kind, bytes(raw))
    assert (value.b1, value.b2, value.whole, value.low, value.p) == (5, 99, 0x01020304, 4, 0x1234)
    assert isinstance(value.p, PointerValue)
    assert list(value) == ["b1", "b2", "whole", "low", "p"]


def test_special_values() -> None:
    enum = t.Enum("E", 32, True, (("A", 0), ("MINUS", -1)))
    assert decode(enum, struct.pack("<i", -1)) == -1
    assert decode(enum, struct.pack("<i", -1)).name == "MINUS"
    assert decode(enum, struct.pack("<i", 9)).name == ""
    assert decode(t.USym(), struct.pack("<QII", 4096, 7, 0)) == USymValue(4096, 7)
    stack = decode(t.Stack("kernel", "perf", 9), struct.pack("<QII", 3, 7, 2))
    assert stack == StackValue("kernel", "perf", 9, 3, 7, 2)
    assert decode(t.Inet(), struct.pack("<Q16s", 2, bytes((1, 2, 3, 4)))) == InetValue(2, bytes((1, 2, 3, 4)))
    assert str(decode(t.Inet(), struct.pack("<Q16s", 10, bytes(15) + b"\1"))) == "::1"
    assert str(decode(t.Mac(), b"\xaa\1\2\3\4\5")) == str(MacValue(b"\xaa\1\2\3\4\5")) == "AA:01:02:03:04:05"


def test_records_are_immutable_hashable_mappings() -> None:
    value = RecordValue(("pid", "file"), (7, "/x"))
    assert (value.pid, value["file"], dict(value)) == (7, "/x", {"pid": 7, "file": "/x"})
    assert (
        value == RecordValue(("pid", "file"), (7, "/x")) and len({value, RecordValue(("pid", "file"), (7, "/x"))}) == 1
    )
    with pytest.raises(AttributeError, match="immutable"):
        value.pid = 8
    with pytest.raises(AttributeError, match="there are pid, file"):
        _ = value.nope
    assert EnumValue(5, "B") == 5 and hash(EnumValue(5, "B")) == hash(5)


def test_too_few_bytes() -> None:
    with pytest.raises(ValueError, match="needs 8 bytes, there are 7"):
        decode(t.INT64, bytes(7))
    with pytest.raises(TypeError, match="incomplete"):
        decode(t.Struct("struct", "x", 0, None), b"")


@pytest.mark.parametrize("timestamps", [False, True])
def test_ring_records(timestamps: bool) -> None:
    program = replace(PROGRAM, timestamps=timestamps)
    header = struct.pack("<IIQ", 1, 1, 123) if timestamps else struct.pack("<II", 1, 1)
    record = read_record(program, header + struct.pack("<B7x5s3xQ", 7, b"abc", 99))
    assert (record.spec, record.probe, record.values) == (program.events[1], 1, (7, "abc", 99))
    assert record.timestamp == (123 if timestamps else None)


def test_broken_records_are_refused() -> None:
    read = RecordReader(PROGRAM)
    for data, message in (
        (b"", "no room"),
        (struct.pack("<IIq", 2, 0, 0), "no event 2"),
        (struct.pack("<III", 0, 0, 0), "too short"),
    ):
        with pytest.raises(ValueError, match=message):
            read(data)
