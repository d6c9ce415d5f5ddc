"""Where in a BTF each type and each name stands, as one flat file that is mapped and never parsed.

Walking the 126,000 types of a kernel costs a tenth of a second, so it is done once for each BTF build. The file is

    magic 8s, version u32, flags u32, number of types u32, names u32, enumerators u32, lengths u32 of five texts
    u32 word offset of each type within the type section, padded to 8 bytes
    u64 names, sorted: crc32(name, seed kind) << 32 | type id
    u64 enumerators, sorted: crc32(name, seed 0) << 32 | type id of the enum
    the texts: sorted names, each followed by a newline, of functions, structs, unions, enums, typedefs

Hashes may collide: whoever looks up compares the name in the BTF itself.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Iterator

from pytrace.kernel import btf_raw as k
from pytrace.kernel.btf_raw import Blob, RawBtf, info_count, info_kind
from pytrace.kernel.errors import KernelError

_HEADER = struct.Struct("<8s5I5I")
_MAGIC = b"ptBTFidx"
_VERSION = 1
_SIGNED_ENUMS = 1
_LISTED = (k.FUNC, k.STRUCT, k.UNION, k.ENUM, k.TYPEDEF)
_UNNAMED = (k.DECL_TAG, k.TYPE_TAG)


def normal_kind(kind: int) -> int:
    """Enums of both sizes are looked up as one kind."""
    return k.ENUM if kind == k.ENUM64 else kind


def build(raw: RawBtf, first_id: int) -> bytes:
    """Walks all types of a BTF whose first type has the id `first_id`. Raises `KernelError` where it is damaged or
    has a kind of type whose size nobody knows."""
    words, tails, name_of = raw.words.tolist(), raw.tails, raw.name
    offsets = array("I")
    names: list[int] = []
    enumerators: list[int] = []
    texts: dict[int, set[bytes]] = {kind: set() for kind in _LISTED}
    at, flags, crc32 = 0, 0, zlib.crc32
    try:
        while at < len(words):
            id = first_id + len(offsets)
            offsets.append(at)
            name_offset, info = words[at], words[at + 1]
            kind, count = normal_kind(info_kind(info)), info_count(info)
            if name_offset and kind not in _UNNAMED:
                name = name_of(name_offset)
                names.append(crc32(name, kind) << 32 | id)
                if kind in texts:
                    texts[kind].add(name)
            fixed, each = tails[info_kind(info)]
            if kind == k.ENUM:
                if info >> 31:
                    flags |= _SIGNED_ENUMS
                for member in range(at + 3, at + 3 + count * each, each):
                    enumerators.append(crc32(name_of(words[member])) << 32 | id)
            at += 3 + fixed + count * each
    except (KeyError, IndexError) as error:
        raise KernelError(f"BTF is damaged or has an unknown kind of type at id {first_id + len(offsets)}") from error
    blobs = [b"".join(name + b"\n" for name in sorted(texts[kind])) for kind in _LISTED]
    header = _HEADER.pack(
        _MAGIC, _VERSION, flags, len(offsets), len(names), len(enumerators), *(len(blob) for blob in blobs)
    )
    if len(offsets) % 2:
        offsets.append(0)
    tables = (offsets, array("Q", sorted(names)), array("Q", sorted(enumerators)))
    return b"".join([header, *(table.tobytes() for table in tables), *blobs])


class Index:
    """An index over `data`. `offsets[id - first id]` is where a type begins, in words. `signed_enums` tells whether
    this BTF marks signed enums at all (pahole 1.24+). Raises `KernelError` for anything but a whole index."""

    def __init__(self, data: Blob) -> None:
        if len(data) < _HEADER.size:
            raise KernelError("not an index of a BTF")
        magic, version, flags, types, names, enumerators, *lengths = _HEADER.unpack_from(data)
        names_at = _HEADER.size + (types + types % 2) * 4
        enumerators_at = names_at + names * 8
        texts_at = enumerators_at + enumerators * 8
        if magic != _MAGIC or version != _VERSION or texts_at + sum(lengths) != len(data):
            raise KernelError("not an index of a BTF")
        view = memoryview(data)
        self.signed_enums = bool(flags & _SIGNED_ENUMS)
        self.count: int = types
        self.offsets = view[_HEADER.size : _HEADER.size + types * 4].cast("I")
        self._names = view[names_at:enumerators_at].cast("Q")
        self._enumerators = view[enumerators_at:texts_at].cast("Q")
        self._data, self._texts = data, {}
        for kind, length in zip(_LISTED, lengths, strict=True):
            self._texts[kind] = (texts_at, texts_at + length)
            texts_at += length

    def text(self, kind: int) -> str:
        """The sorted names of all types of a listed kind, each followed by a newline."""
        start, end = self._texts[normal_kind(kind)]
        return self._data[start:end].decode("utf-8", "replace")

    def candidates(self, kind: int, name: bytes) -> Iterator[int]:
        """Ids, ascending, of the types that may have this name."""
        return _with_hash(self._names, zlib.crc32(name, normal_kind(kind)))

    def enums_with(self, enumerator: bytes) -> Iterator[int]:
        """Ids, ascending, of the enums that may have this member."""
        return _with_hash(self._enumerators, zlib.crc32(enumerator))


def _with_hash(table: memoryview[int], hash: int) -> Iterator[int]:
    at = bisect_left(table, hash << 32)
    while at < len(table) and table[at] >> 32 == hash:
        yield table[at] & 0xFFFFFFFF
        at += 1
