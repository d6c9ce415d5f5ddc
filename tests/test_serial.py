"""Programs on disk."""

from __future__ import annotations

import dataclasses
import enum
import functools
import types as python_types
import typing
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pytrace import format, program, serial, types
from pytrace.program import MapSpec, MapType, NativeCode, Program, UserMap
from pytrace.record import replace


def of(annotation: Any) -> st.SearchStrategy[Any]:
    """Values of an annotation, records made field by field from theirs."""
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Literal:
        return st.sampled_from(arguments)
    if origin is tuple:
        if len(arguments) == 2 and arguments[1] is Ellipsis:
            return st.lists(of(arguments[0]), max_size=2).map(tuple)
        return st.tuples(*map(of, arguments))
    if origin in (typing.Union, python_types.UnionType):
        return st.one_of(*map(of, arguments))
    if annotation is types.Type:
        return TYPES
    simple = {
        int: st.integers() | st.integers(-3, 200),
        bool: st.booleans(),
        str: st.text(st.characters(), max_size=5) | st.just("\udcff"),
        bytes: st.binary(max_size=5),
        type(None): st.none(),
        types.Aggregation: st.just(types.Count()),
    }
    if annotation in simple:
        return simple[annotation]
    if issubclass(annotation, enum.Enum):
        return st.sampled_from(annotation)
    return made(annotation)


@functools.cache  # a record that holds its own kind draws from one and the same strategy
def made(kind: type) -> st.SearchStrategy[Any]:
    names = [f.name for f in dataclasses.fields(kind)]
    hints = typing.get_type_hints(kind)
    return st.deferred(lambda: st.fixed_dictionaries({n: of(hints[n]) for n in names}).map(lambda v: kind(**v)))


def records(module: Any) -> list[type]:
    return [k for k in vars(module).values() if isinstance(k, type) and "__record__" in k.__dict__]


LEAVES = st.sampled_from([types.INT64, types.BOOL, types.String(8), types.Count(), types.Stack("user", "perf", 3)])
TYPES: st.SearchStrategy[types.Type] = st.recursive(
    LEAVES,
    lambda inner: st.one_of(
        st.builds(types.Pointer, inner, st.sampled_from(["kernel", "user", ""])),
        st.builds(types.Array, inner, st.integers(0, 9)),
        st.builds(types.Tuple, st.lists(inner, max_size=3).map(tuple)),
        st.builds(types.Record, st.lists(st.tuples(st.text(max_size=3), inner), max_size=3).map(tuple)),
        st.builds(types.Struct, st.just("union"), st.text(max_size=3), st.integers(0, 99), st.none())
        | st.builds(
            types.Struct,
            st.just("struct"),
            st.text(max_size=3),
            st.integers(0, 99),
            st.lists(st.builds(types.Field, st.text(max_size=3), inner, st.integers(0, 99)), max_size=3).map(tuple),
        ),
    ),
    max_leaves=5,
)
SMALL = Program("-e", "begin { }", "6.1", 4, (), (), (), (), (), 64, b"btf", ("begin",))


def wrapped(value: Any) -> Program:
    """A program that holds any value where the encoding does not mind."""
    return replace(SMALL, maps=(value,))


@pytest.mark.parametrize(
    "kind", [k for m in (types, format, program) for k in records(m)], ids=lambda k: f"{k.__module__}.{k.__name__}"
)
def test_every_record_comes_back(kind: type) -> None:
    @settings(max_examples=15, deadline=None)
    @given(made(kind))
    def check(value: Any) -> None:
        (back,) = serial.load(serial.dump(wrapped(value), native=True), native=True).maps
        assert type(back) is kind and back == value and vars(back) == vars(value)

    check()


@settings(deadline=None)
@given(st.lists(TYPES, max_size=4))
def test_types_come_back(found: list[types.Type]) -> None:
    users = tuple(UserMap("m", "m", program.Storage.HASH, key, key) for key in found)
    back = serial.load(serial.dump(replace(SMALL, user_maps=users))).user_maps
    assert back == users
    assert [repr(m) for m in back] == [repr(m) for m in users], "bools stay bools and enumerators stay what they are"


def test_what_is_there_twice_is_written_once() -> None:
    struct = types.Struct("struct", "s", 8, tuple(types.Field(f"f{i}", types.INT32, 4 * i) for i in range(100)))
    one, two = (len(serial.dump(replace(SMALL, user_maps=_maps(struct, n)))) for n in (1, 9))
    assert two - one < 500 < one


def _maps(value: types.Type, count: int) -> tuple[UserMap, ...]:
    return tuple(UserMap("m", "m", program.Storage.HASH, None, value) for _ in range(count))


def test_files(tmp_path: Path) -> None:
    full = replace(SMALL, maps=(MapSpec("m", MapType.HASH, 4, 8, 10, data=b"\0\1"),))
    full.save(tmp_path / "x.ptc")
    assert Program.load(tmp_path / "x.ptc") == full
    with pytest.raises(FileNotFoundError):
        Program.load(tmp_path / "y.ptc")


def test_machine_code_is_not_saved_and_not_believed(tmp_path: Path) -> None:
    native = replace(SMALL, native=NativeCode("x86_64", b"\xc3", 0))
    native.save(tmp_path / "x.ptc")
    assert b"x86_64" not in (tmp_path / "x.ptc").read_bytes()
    smuggled = serial.dump(native, native=True)
    assert serial.load(smuggled, native=True).native == native.native
    assert serial.load(smuggled).native is None
    (tmp_path / "x.ptc").write_bytes(smuggled)
    assert Program.load(tmp_path / "x.ptc").native is None


@pytest.mark.parametrize("data", [b"", b"\x7fELF", b"begin { }", serial.MAGIC[:-1]])
def test_other_files_are_refused(data: bytes) -> None:
    with pytest.raises(serial.BadProgram, match="not a compiled pytrace program"):
        serial.load(data)


def test_another_release_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytrace.__version__", "7.8.9")
    data = bytearray(serial.dump(SMALL))
    assert serial.load(bytes(data)) == SMALL, "the release is told, what counts are the records"
    monkeypatch.undo()
    at = data.index(b"\n", len(serial.MAGIC)) + 1
    data[at] ^= 1
    with pytest.raises(
        serial.BadProgram, match=r"another release of pytrace \(7\.8\.9; this is .*compile the script again"
    ):
        serial.load(bytes(data))


def test_every_cut_and_every_flipped_bit_is_noticed() -> None:
    whole = serial.dump(replace(SMALL, maps=(MapSpec("m", MapType.HASH, 4, 8, 10),)))
    for length in range(len(whole)):
        with pytest.raises(serial.BadProgram):
            serial.load(whole[:length])
    # Not the name of the release, which says nothing about what follows.
    start = whole.index(b"\n", len(serial.MAGIC)) + 1
    for at in [*range(len(serial.MAGIC)), *range(start, len(whole))]:
        with pytest.raises(serial.BadProgram):
            serial.load(whole[:at] + bytes([whole[at] ^ 0x10]) + whole[at + 1 :])


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=40), st.integers(0, 200))
def test_a_valid_checksum_over_nonsense(body: bytes, keep: int) -> None:
    whole = serial.dump(SMALL)
    start = whole.index(b"\n", len(serial.MAGIC)) + 9
    body = whole[start : start + keep] + body
    try:
        found = serial.load(whole[: start - 4] + zlib.crc32(body).to_bytes(4, "little") + body)
    except serial.BadProgram:
        return
    assert isinstance(found, Program)


def test_a_deep_nest_is_refused() -> None:
    whole = serial.dump(SMALL)
    start = whole.index(b"\n", len(serial.MAGIC)) + 9
    body = bytes([6, 1]) * 100_000
    with pytest.raises(serial.BadProgram):
        serial.load(whole[: start - 4] + zlib.crc32(body).to_bytes(4, "little") + body)


def test_only_parts_of_programs_are_written() -> None:
    with pytest.raises(TypeError, match="list"):
        serial.dump(wrapped([1]))
