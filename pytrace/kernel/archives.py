"""Libraries inside ZIP archives, as Android runs them: `app.apk!/lib/x86_64/libfoo.so`. A member that is not compressed
can be mapped from the archive, and the kernel puts probes on the archive's own bytes."""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from pytrace.kernel.btf_raw import map_fd
from pytrace.kernel.elf import Elf
from pytrace.kernel.errors import KernelError
from pytrace.kernel.glob import compile_glob, is_glob

SEPARATOR = "!/"
_LOCAL_HEADER = 30


class Member(NamedTuple):
    """A file in an archive: it begins `start` bytes after the archive does."""

    name: str
    start: int
    size: int
    stored: bool


def members(path: str, pattern: str) -> list[Member]:
    """The members of an archive whose names match a glob. Raises `KernelError` where it is no archive or damaged."""
    accepts = compile_glob(pattern).fullmatch if is_glob(pattern) else pattern.__eq__
    return [m for m in _members(path, _identity(path)) if accepts(m.name)]


def open_member(path: str, start: int, size: int) -> Elf:
    """The ELF file in an archive. Raises `KernelError` where it is none."""
    return _open(path, start, size, _identity(path))


def open_at(path: str, offset: int) -> tuple[Elf, int] | None:
    """The ELF file in an archive that an offset of the archive is in, and where it begins; None if there is none."""
    try:
        with open(path, "rb") as file:
            if file.read(2) != b"PK":
                return None
        for m in _members(path, _identity(path)):
            if m.stored and m.start <= offset < m.start + m.size:
                return open_member(path, m.start, m.size), m.start
    except (OSError, KernelError):
        pass
    return None


def _identity(path: str) -> tuple[int, ...]:
    try:
        info = os.stat(path)
    except OSError as error:
        raise KernelError(f"{path} cannot be read: {error.strerror}") from error
    return info.st_dev, info.st_ino, info.st_size, info.st_mtime_ns


@lru_cache(maxsize=16)
def _members(path: str, identity: tuple[int, ...]) -> tuple[Member, ...]:
    return tuple(_read(path))


def _read(path: str) -> Iterator[Member]:
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive, open(path, "rb") as file:
            for info in archive.infolist():
                # The header before the data has extra fields of its own, which align it.
                file.seek(info.header_offset)
                header = file.read(_LOCAL_HEADER)
                name, extra = struct.unpack_from("<HH", header, 26)
                start = info.header_offset + _LOCAL_HEADER + name + extra
                yield Member(info.filename, start, info.file_size, info.compress_type == zipfile.ZIP_STORED)
    except (OSError, zipfile.BadZipFile, struct.error) as error:
        raise KernelError(f"{path} is not a ZIP archive") from error


@lru_cache(maxsize=16)
def _open(path: str, start: int, size: int, identity: tuple[int, ...]) -> Elf:
    with open(path, "rb") as file:
        data = map_fd(file.fileno())
    return Elf(data[start : start + size], path)
