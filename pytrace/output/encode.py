"""Values to bytes, for looking up a key: the reverse of `decode` for the types that have one."""

from __future__ import annotations

import struct
from typing import Any

from pytrace import types as t
from pytrace.output.values import PrefixValue


def encode(type: t.Type, value: Any) -> bytes | None:
    """The bytes of a value as the kernel half lays it out in a map's key; None where the value is not of that type or
    the type has no plain values."""
    match type:
        case t.Bool():
            return bytes([value]) if isinstance(value, bool) else None
        case t.Int(_, signed) | t.Enum(_, _, signed):
            return _integer(value, type.size, signed)
        case t.Pointer():
            return _integer(value, 8, False)
        case t.String(capacity):
            if not isinstance(value, str):
                return None
            raw = value.encode("utf-8", "surrogateescape")
            return raw.ljust(capacity, b"\0") if len(raw) <= capacity and b"\0" not in raw else None
        case t.Prefix():
            return _prefix(str(value)) if isinstance(value, str | PrefixValue) else None
        case t.Tuple(elements):
            return _parts(type, elements, value) if isinstance(value, tuple) else None
    return None


def _prefix(value: str) -> bytes | None:
    """`10.0.0.0/8` or an address."""
    import socket

    text, slash, length = value.partition("/")
    family = socket.AF_INET6 if ":" in text else socket.AF_INET
    try:
        address = socket.inet_pton(family, text)
        bits = int(length) if slash else 8 * len(address)
    except (OSError, ValueError):
        return None
    if not 0 <= bits <= 8 * len(address):
        return None
    return struct.pack("<II16s4x", 32 + bits, family, address)


def _integer(value: Any, size: int, signed: bool) -> bytes | None:
    if not isinstance(value, int):
        return None
    try:
        return int(value).to_bytes(size, "little", signed=signed)
    except OverflowError:
        return None


def _parts(type: t.Tuple, elements: tuple[t.Type, ...], value: tuple[Any, ...]) -> bytes | None:
    if len(elements) != len(value):
        return None
    result = bytearray(type.size)
    for offset, element, part in zip(type.offsets, elements, value, strict=True):
        raw = encode(element, part)
        if raw is None:
            return None
        result[offset : offset + len(raw)] = raw
    return bytes(result)
