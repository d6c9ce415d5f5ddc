from __future__ import annotations

import pytest

from pytrace.kernel import KernelError
from pytrace.kernel.btf import Btf
from pytrace.types import BOOL, VOID, Array, Bool, Enum, Field, Int, Pointer, Struct
from tests.kernel.btfs import Builder

SIGNED, CHAR, IS_BOOL = 1, 2, 4


def test_integers_by_size_and_encoding() -> None:
    b = Builder()
    b.int("int", 4, SIGNED)
    b.int("unsigned int", 4)
    b.int("long int", 8, SIGNED)
    b.int("unsigned char", 1)
    b.int("char", 1)
    b.int("_Bool", 1, IS_BOOL)
    b.int("unsigned __int128", 16)
    btf = Btf(b.blob())
    expected = {
        "int": Int(32, True),
        "unsigned int": Int(32, False),
        "long int": Int(64, True),
        "unsigned char": Int(8, False),
        "char": Int(8, True),
        "_Bool": Bool(),
        "unsigned __int128": Array(Int(64, False), 2),
    }
    assert {name: btf.integer(name) for name in expected} == expected
    assert btf.integer("float") is None


def test_typedefs_qualifiers_and_tags_vanish() -> None:
    b = Builder()
    i = b.int("int", 4, SIGNED)
    volatile = b.add(9, "", b.const(i))
    tag = b.add(18, "user", volatile)
    b.typedef("pid_t", b.typedef("__pid_t", b.add(11, "", tag)))
    assert Btf(b.blob()).typedef("pid_t") == Int(32, True)


def test_named_structs_behind_pointers_are_names_only() -> None:
    b = Builder()
    i = b.int("int", 4, SIGNED)
    node = b.next
    b.struct("node", 16, ("next", node + 1, 0), ("value", i, 64))
    b.pointer(node)
    found = Btf(b.blob()).struct("node")
    assert found == Struct(
        "struct",
        "node",
        16,
        (Field("next", Pointer(Struct("struct", "node", 16, None)), 0), Field("value", Int(32, True), 8)),
    )


def test_structs_by_value_and_without_name_are_complete() -> None:
    b = Builder()
    i = b.int("int", 4, SIGNED)
    inner = b.struct("inner", 4, ("x", i, 0))
    nameless = b.struct("", 4, ("y", i, 0))
    pointed = b.pointer(b.typedef("nameless_t", nameless))
    either = b.struct("", 4, ("u", i, 0), ("v", i, 0), union=True)
    b.struct("outer", 24, ("inner", inner, 0), ("p", pointed, 64), ("", either, 128))
    outer = Btf(b.blob()).struct("outer")
    assert outer is not None and outer.fields is not None
    assert outer.fields[0].type == Struct("struct", "inner", 4, (Field("x", Int(32, True), 0),))
    assert outer.fields[1].type == Pointer(Struct("struct", "", 4, (Field("y", Int(32, True), 0),)))
    assert outer.field("v") == Field("v", Int(32, True), 16)


def test_pointers_to_functions_and_to_nothing_are_void_pointers() -> None:
    b = Builder()
    i = b.int("int", 4, SIGNED)
    callback = b.pointer(b.proto(i, ("x", i)))
    b.struct("ops", 16, ("call", callback, 0), ("data", b.pointer(0), 64))
    ops = Btf(b.blob()).struct("ops")
    assert ops is not None and ops.fields is not None
    assert [f.type for f in ops.fields] == [Pointer(VOID), Pointer(VOID)]


def test_arrays_of_arrays_and_flexible_ones() -> None:
    b = Builder()
    c = b.int("char", 1, SIGNED)
    b.struct("s", 8, ("grid", b.array(b.array(c, 4), 2), 0), ("tail", b.array(c, 0), 64))
    s = Btf(b.blob()).struct("s")
    assert s is not None and s.fields is not None
    assert s.fields[0].type == Array(Array(Int(8, True), 4), 2)
    assert s.fields[1] == Field("tail", Array(Int(8, True), 0), 8)


def test_bitfields_in_the_encoding_of_today() -> None:
    b = Builder()
    u32, u8 = b.int("unsigned int", 4), b.int("unsigned char", 1)
    b.struct(
        "bits", 8, ("a", u32, 3 << 24 | 0), ("b", u32, 29 << 24 | 3), ("c", u32, 7 << 24 | 40), ("d", u8, 56), wide=True
    )
    s = Btf(b.blob()).struct("bits")
    assert s is not None and s.fields is not None
    # a storage unit of four bytes, aligned to four: c begins eight bits into the second one
    assert [(f.offset, f.bit_offset, f.bit_size) for f in s.fields] == [(0, 0, 3), (0, 3, 29), (4, 8, 7), (7, 0, 0)]


def test_a_packed_bitfield_is_reached_from_its_first_byte() -> None:
    b = Builder()
    u32 = b.int("unsigned int", 4)
    b.struct("packed", 6, ("a", u32, 20 << 24 | 20), ("z", u32, 8 << 24 | 40), wide=True)
    s = Btf(b.blob()).struct("packed")
    assert s is not None and s.fields is not None
    for field, bit in zip(s.fields, (20, 40), strict=True):
        assert field.offset * 8 + field.bit_offset == bit
        assert field.bit_offset + field.bit_size <= 32
        assert field.offset + 4 <= 6


def test_bitfields_in_the_encoding_before_5_0() -> None:
    b = Builder()
    narrow = b.int("unsigned int", 4, 0, bits=5)
    whole = b.int("unsigned int", 4)
    b.struct("old", 8, ("a", narrow, 0), ("b", b.typedef("five", narrow), 5), ("c", whole, 32))
    s = Btf(b.blob()).struct("old")
    assert s is not None and s.fields is not None
    assert [(f.offset, f.bit_offset, f.bit_size) for f in s.fields] == [(0, 0, 5), (0, 5, 5), (4, 0, 0)]


def test_enums_of_both_sizes_and_signs() -> None:
    b = Builder()
    b.enum("color", 4, ("RED", 0), ("BLUE", 0x80000000))
    b.enum("level", 4, ("LOW", -1), ("HIGH", 1), signed=True)
    b.enum64("big", ("HUGE", 1 << 40))
    b.enum64("deep", ("NEGATIVE", -2), signed=True)
    btf = Btf(b.blob())
    assert btf.enum("color") == Enum("color", 32, False, (("RED", 0), ("BLUE", 0x80000000)))
    assert btf.enum("level") == Enum("level", 32, True, (("LOW", -1), ("HIGH", 1)))
    assert btf.enum("big") == Enum("big", 64, False, (("HUGE", 1 << 40),))
    assert btf.enumerator("NEGATIVE") == (-2, Enum("deep", 64, True, (("NEGATIVE", -2),)))
    assert btf.enumerator("RED") == (0, btf.enum("color"))
    assert btf.enumerator("GREEN") is None


def test_enums_are_signed_by_value_where_no_enum_is_marked() -> None:
    b = Builder()
    b.enum("level", 4, ("LOW", -1), ("HIGH", 1))
    assert Btf(b.blob()).enumerator("LOW") == (-1, Enum("level", 32, True, (("LOW", -1), ("HIGH", 1))))


def test_forward_declarations_know_the_size_if_anyone_does() -> None:
    b = Builder()
    i = b.int("int", 4, SIGNED)
    b.struct("here", 4, ("x", i, 0))
    b.struct("s", 16, ("a", b.pointer(b.forward("here")), 0), ("b", b.pointer(b.forward("there", union=True)), 64))
    s = Btf(b.blob()).struct("s")
    assert s is not None and s.fields is not None
    assert s.fields[0].type == Pointer(Struct("struct", "here", 4, None))
    assert s.fields[1].type == Pointer(Struct("union", "there", 0, None))


def test_a_struct_within_itself_ends() -> None:
    b = Builder()
    b.struct("loop", 8, ("self", 1, 0))
    assert Btf(b.blob()).struct("loop") == Struct(
        "struct", "loop", 8, (Field("self", Struct("struct", "loop", 8, None), 0),)
    )


def test_functions_and_tracepoints() -> None:
    b = Builder()
    i, flag = b.int("int", 4, SIGNED), b.int("bool", 1, IS_BOOL)
    data = b.pointer(0)
    b.function("plain", b.proto(i, ("a", i), ("b", flag)))
    b.function("printk", b.proto(i, ("fmt", data), ("", 0)))
    b.typedef("btf_trace_tick", b.pointer(b.proto(0, ("", data), ("", i), ("", flag))))
    b.typedef("btf_trace_silent", b.pointer(b.proto(0, ("", data), ("", i))))
    b.function("__traceiter_tick", b.proto(0, ("__data", data), ("now", i), ("idle", flag)))
    btf = Btf(b.blob())
    plain, printk, tick = btf.function("plain"), btf.function("printk"), btf.tracepoint("tick")
    assert plain and printk and tick
    assert (plain.params, plain.returns, plain.variadic) == ((("a", Int(32, True)), ("b", BOOL)), Int(32, True), False)
    assert (printk.params, printk.variadic) == ((("fmt", Pointer(VOID)),), True)
    assert (tick.params, tick.returns) == ((("now", Int(32, True)), ("idle", BOOL)), VOID)
    assert tick.id == btf.id(8, "btf_trace_tick")
    silent = btf.tracepoint("silent")
    assert silent and silent.params == (("arg0", Int(32, True)),)
    assert btf.tracepoint("plain") is None and btf.function("tick") is None
    assert btf.tracepoint_names() == ["silent", "tick"]
    assert btf.parameters(tick) == ["int now", "bool idle"] and btf.returns(plain) == "int"


def test_iterators_are_functions_with_a_context() -> None:
    b = Builder()
    i = b.int("int", 4, SIGNED)
    proto = b.proto(i, ("x", i))
    b.function("bpf_iter_task", proto)
    b.function("bpf_iter_run_prog", proto)
    b.struct("bpf_iter__task", 4, ("x", i, 0))
    btf = Btf(b.blob())
    assert btf.iterators() == ["task"]
    assert btf.iterator("task") == btf.function("bpf_iter_task")
    assert btf.iterator("run_prog") is None


def test_an_unknown_id_is_an_error() -> None:
    b = Builder()
    b.int("int", 4, SIGNED)
    with pytest.raises(KernelError, match="no type with id 7"):
        Btf(b.blob()).type(7)
