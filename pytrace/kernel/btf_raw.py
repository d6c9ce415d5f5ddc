"""BTF as it lies in memory: header, words of the type section, names. See the kernel's Documentation/bpf/btf.rst.

A split BTF (of a module) continues another one: its type ids and string offsets begin where those end.
"""

from __future__ import annotations

import mmap
import os
import struct

from pytrace.kernel.errors import KernelError

INT, PTR, ARRAY, STRUCT, UNION, ENUM, FWD, TYPEDEF, VOLATILE, CONST = range(1, 11)
RESTRICT, FUNC, FUNC_PROTO, VAR, DATASEC, FLOAT, DECL_TAG, TYPE_TAG, ENUM64 = range(11, 20)

# Words after the three of `struct btf_type`: fixed ones, and those of each of its `vlen` elements.
_TAIL = dict.fromkeys((PTR, FWD, TYPEDEF, VOLATILE, CONST, RESTRICT, FUNC, FLOAT, TYPE_TAG), (0, 0))
_TAIL |= {INT: (1, 0), ARRAY: (3, 0), STRUCT: (0, 3), UNION: (0, 3), ENUM: (0, 2), FUNC_PROTO: (0, 2)}
_TAIL |= {VAR: (1, 0), DATASEC: (0, 3), DECL_TAG: (1, 0), ENUM64: (0, 3)}

Blob = bytes | mmap.mmap


def read_blob(path: str) -> Blob:
    """The contents of a file, mapped where the kernel can (BTF in sysfs: from 6.16 on). Raises OSError."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return map_fd(fd)
    finally:
        os.close(fd)


def map_fd(fd: int) -> Blob:
    """As `read_blob`, of an open file."""
    try:
        # A shared mapping of sysfs is refused even for reading.
        return mmap.mmap(fd, 0, flags=mmap.MAP_PRIVATE, prot=mmap.PROT_READ)
    except (OSError, ValueError):
        with os.fdopen(os.dup(fd), "rb") as file:
            return file.read()


def info_kind(info: int) -> int:
    """The masks are the wide ones of Linux 7.1; older kernels leave the additional bits zero."""
    return info >> 24 & 0x7F


def info_count(info: int) -> int:
    return info & 0xFFFFFF


class RawBtf:
    """The parts of one BTF.

    `words` is the type section; `tails` gives for each kind the words (fixed, for each element) after the first three.
    Raises `KernelError` if `data` is not BTF.
    """

    def __init__(self, data: Blob, base: RawBtf | None = None) -> None:
        if len(data) < 24:
            raise KernelError("not BTF: too short")
        magic, _, _, header, type_off, type_len, str_off, str_len = struct.unpack_from("<HBBIIIII", data)
        if magic != 0xEB9F or header < 24 or header + max(type_off + type_len, str_off + str_len) > len(data):
            raise KernelError("not BTF: bad header")
        if (header + type_off) % 4 or type_len % 4:
            raise KernelError("not BTF: the types are not aligned")
        self.data = data
        self.base = base
        self.words = memoryview(data)[header + type_off : header + type_off + type_len].cast("I")
        self.tails = _TAIL
        if header >= 32:
            # From 7.1 on a BTF may tell the sizes of its own kinds, which makes unknown ones skippable.
            layout_off, layout_len = struct.unpack_from("<II", data, 24)
            layout = data[header + layout_off : header + layout_off + layout_len]
            self.tails = {k: (layout[4 * k] // 4, layout[4 * k + 1] // 4) for k in range(len(layout) // 4)} | _TAIL
        self._strings_base: int = base.strings_end if base else 0
        self._strings = header + str_off - self._strings_base
        self.strings_end: int = self._strings_base + str_len

    def name(self, offset: int) -> bytes:
        """The string at an offset, which may be one of the base."""
        if offset < self._strings_base and self.base is not None:
            return self.base.name(offset)
        start = self._strings + offset
        return self.data[start : self.data.find(b"\0", start)]
