"""Builds small BTF blobs by hand, from the format's description in the kernel's Documentation/bpf/btf.rst."""

from __future__ import annotations

import struct


class Builder:
    """Types get ids in the order in which they are added. `words` is everything after `struct btf_type`."""

    def __init__(self, first_id: int = 1, strings_base: int = 0) -> None:
        self.next = first_id
        self.types = b""
        self.strings = b"" if strings_base else b"\0"
        self.strings_base = strings_base

    def text(self, text: str) -> int:
        if not text:
            return 0
        at = self.strings_base + len(self.strings)
        self.strings += text.encode() + b"\0"
        return at

    def add(self, kind: int, name: str = "", last: int = 0, *words: int, count: int = 0, flag: bool = False) -> int:
        info = count | kind << 24 | flag << 31
        self.types += struct.pack(f"<III{len(words)}I", self.text(name), info, last, *(w & 0xFFFFFFFF for w in words))
        self.next += 1
        return self.next - 1

    def int(self, name: str, size: int, encoding: int = 0, bits: int | None = None, offset: int = 0) -> int:
        return self.add(1, name, size, encoding << 24 | offset << 16 | (size * 8 if bits is None else bits))

    def pointer(self, to: int) -> int:
        return self.add(2, "", to)

    def array(self, of: int, count: int, index: int = 1) -> int:
        return self.add(3, "", 0, of, index, count)

    def struct(
        self, name: str, size: int, *members: tuple[str, int, int], union: bool = False, wide: bool = False
    ) -> int:
        """Members are (name, type, bit offset); with `wide`, (name, type, width << 24 | bit offset)."""
        words = [w for n, t, o in members for w in (self.text(n), t, o)]
        return self.add(5 if union else 4, name, size, *words, count=len(members), flag=wide)

    def enum(self, name: str, size: int, *members: tuple[str, int], signed: bool = False) -> int:
        words = [w for n, v in members for w in (self.text(n), v)]
        return self.add(6, name, size, *words, count=len(members), flag=signed)

    def enum64(self, name: str, *members: tuple[str, int], signed: bool = False) -> int:
        words = [w for n, v in members for w in (self.text(n), v & 0xFFFFFFFF, v >> 32)]
        return self.add(19, name, 8, *words, count=len(members), flag=signed)

    def forward(self, name: str, union: bool = False) -> int:
        return self.add(7, name, 0, flag=union)

    def typedef(self, name: str, type: int) -> int:
        return self.add(8, name, type)

    def const(self, type: int) -> int:
        return self.add(10, "", type)

    def proto(self, returns: int, *params: tuple[str, int]) -> int:
        words = [w for n, t in params for w in (self.text(n), t)]
        return self.add(13, "", returns, *words, count=len(params))

    def function(self, name: str, proto: int) -> int:
        return self.add(12, name, proto, count=1)

    def blob(self, layout: bytes = b"") -> bytes:
        header = 32 if layout else 24
        at = len(self.types), len(self.types) + len(self.strings)
        parts = struct.pack("<HBBIIIII", 0xEB9F, 1, 0, header, 0, at[0], at[0], len(self.strings))
        if layout:
            parts += struct.pack("<II", at[1], len(layout))
        return parts + self.types + self.strings + layout
