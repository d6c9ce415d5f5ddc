"""Bytes to values: one small closure for each type, made once and kept.

A decoder takes a buffer and the offset of the value in it. Offsets and sizes are those of `pytrace.types`.
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from functools import cache
from typing import Any, cast

from pytrace import types as t
from pytrace.output.merge import merge, zero
from pytrace.output.values import (
    CgroupPathValue,
    CutString,
    EnumValue,
    InetValue,
    KSymValue,
    MacValue,
    NamedValue,
    PointerValue,
    PrefixValue,
    RecordValue,
    StackValue,
    TimestampValue,
    UsernameValue,
    USymValue,
)

Buffer = bytes | bytearray | memoryview
Decoder = Callable[[Buffer, int], Any]

_INTS = {(8, True): "<b", (16, True): "<h", (32, True): "<i", (64, True): "<q"}
_INTS |= {(bits, False): code.upper() for (bits, _), code in list(_INTS.items())}

AF_INET = 2


def decode(type: t.Type, data: Buffer, offset: int = 0) -> Any:
    """The value of `type` at `offset` of `data`: see `pytrace.output.values` for what becomes what.

    Strings are `str`, decoded as UTF-8 with the bytes that are not UTF-8 kept as lone surrogates (`surrogateescape`).
    An aggregation decodes from one CPU's row; use `merge` for several. Raises `ValueError` if `data` is too short and
    `TypeError` for a type that no value can have.
    """
    if len(data) - offset < type.size:
        raise ValueError(f"{type} needs {type.size} bytes, there are {len(data) - offset}")
    return decoder(type)(data, offset)


def text_of(raw: bytes) -> str:
    """Bytes as text that can be turned back into the same bytes."""
    return raw.decode("utf-8", "surrogateescape")


@cache
def decoder(type: t.Type) -> Decoder:
    """The decoder of a type; it trusts the caller that the bytes are there."""
    match type:
        case t.Int(bits, signed):
            return _unpacker(_INTS[bits, signed])
        case t.Bool():
            return lambda data, at: data[at] != 0
        case t.Enum(_, bits, signed, members):
            return _enum(_unpacker(_INTS[bits, signed]), {value: name for name, value in reversed(members)})
        case t.String(capacity, whole):
            return _string(capacity, str if whole else CutString)
        case t.Buffer(capacity):
            return _buffer(capacity)
        case t.Pointer():
            return _wrapped(PointerValue)
        case t.Array(element, count):
            return _sequence(tuple((i * element.size, decoder(element)) for i in range(count)))
        case t.Tuple(elements):
            return _sequence(tuple(zip(type.offsets, map(decoder, elements), strict=True)))
        case t.Record(fields):
            parts = _sequence(tuple((at, decoder(f)) for at, (_, f) in zip(type.offsets, fields, strict=True)))
            return _record(tuple(name for name, _ in fields), parts)
        case t.Struct():
            return _struct(type)
        case t.Aggregation():
            return _aggregation(type)
        case t.Void() | t.Unknown():
            return lambda data, at: None
    return _special(type)


def _special(type: t.Type) -> Decoder:
    match type:
        case t.KSym():
            return _wrapped(KSymValue)
        case t.Username():
            return _wrapped(UsernameValue)
        case t.CgroupPath(filter):
            return _wrapped(lambda n: CgroupPathValue(n, filter))
        case t.Timestamp(format, clock):
            return _wrapped(lambda n: TimestampValue(n, format, clock))
        case t.Named(table):
            return _wrapped(lambda n: NamedValue(n, table))
        case t.USym():
            usym = struct.Struct("<QI").unpack_from
            return lambda data, at: USymValue(*usym(data, at))
        case t.Stack(kind, mode, depth):
            stack = struct.Struct("<QII").unpack_from
            return lambda data, at: StackValue(kind, mode, depth, *stack(data, at))
        case t.Inet():
            return _inet
        case t.Prefix():
            return _prefix
        case t.Mac():
            return lambda data, at: MacValue(bytes(data[at : at + 6]))
    raise TypeError(f"{type} has no values")


def _unpacker(code: str) -> Decoder:
    unpack = struct.Struct(code).unpack_from
    return lambda data, at: unpack(data, at)[0]


def _wrapped(make: Callable[[int], Any]) -> Decoder:
    unpack = struct.Struct("<Q").unpack_from
    return lambda data, at: make(unpack(data, at)[0])


def _enum(number: Decoder, names: dict[int, str]) -> Decoder:
    def read(data: Buffer, at: int) -> EnumValue:
        value = number(data, at)
        return EnumValue(value, names.get(value, ""))

    return read


def _string(capacity: int, full: type[str]) -> Decoder:
    def read(data: Buffer, at: int) -> str:
        raw = bytes(data[at : at + capacity])
        end = raw.find(0)
        return text_of(raw[:end]) if end >= 0 else full(text_of(raw))

    return read


def _buffer(capacity: int) -> Decoder:
    length = struct.Struct("<I").unpack_from

    def read(data: Buffer, at: int) -> bytes:
        n = min(length(data, at)[0], capacity)
        return bytes(data[at + 4 : at + 4 + n])

    return read


def _sequence(parts: tuple[tuple[int, Decoder], ...]) -> Decoder:
    return lambda data, at: tuple([read(data, at + offset) for offset, read in parts])


def _record(names: tuple[str, ...], parts: Decoder) -> Decoder:
    return lambda data, at: RecordValue(names, parts(data, at))


def _struct(type: t.Struct) -> Decoder:
    """Members of anonymous members count as members, as they do in C."""
    if type.fields is None:
        raise TypeError(f"{type} is incomplete")
    members = [(name, cast(t.Field, type.field(name))) for name in type.field_names()]
    reads = tuple((f.offset, _bitfield(f) if f.bit_size else decoder(t.shown(f.type))) for _, f in members)
    return _record(tuple(name for name, _ in members), _sequence(reads))


def _bitfield(field: t.Field) -> Decoder:
    """The bits as a number of the member's C type, as an expression that reads the member alone has it: put back into
    as many bytes as that type has, they are read as any member is. (bpftrace 0.27 takes all for unsigned.)"""
    size = (field.bit_offset + field.bit_size + 7) // 8
    mask = (1 << field.bit_size) - 1
    sign = 1 << (field.bit_size - 1) if t.signedness(field.type)[1] else 0
    full = decoder(field.type)
    width = 8 * field.type.size

    def read(data: Buffer, at: int) -> Any:
        number = int.from_bytes(data[at : at + size], "little") >> field.bit_offset & mask
        number = ((number ^ sign) - sign) & ((1 << width) - 1)
        return full(number.to_bytes(width // 8, "little"), 0)

    return read


def _inet(data: Buffer, at: int) -> InetValue:
    family = int.from_bytes(data[at : at + 8], "little")
    return InetValue(family, bytes(data[at + 8 : at + (12 if family == AF_INET else 24)]))


def _prefix(data: Buffer, at: int) -> PrefixValue:
    """The bits that do not count are shown as zeros, whatever the kernel kept of them."""
    length, family = struct.unpack_from("<II", data, at)
    size = 4 if family == AF_INET else 16
    length -= 32
    kept = int.from_bytes(data[at + 8 : at + 8 + size], "big") >> (8 * size - length) << (8 * size - length)
    return PrefixValue(family, kept.to_bytes(size, "big"), length)


def _aggregation(type: t.Aggregation) -> Decoder:
    def read(data: Buffer, at: int) -> Any:
        value = merge(type, (memoryview(data)[at : at + type.size],))
        return zero(type) if value is None else value

    return read
