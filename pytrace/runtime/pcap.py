"""Capture files: packets as tcpdump and wireshark read them."""

from __future__ import annotations

import os
import struct
import time
from typing import BinaryIO

from pytrace.runtime.outfile import open_for_writing

_MAGIC_NANOSECONDS = 0xA1B23C4D
_LINKTYPE_RAW = 101
_SNAPLEN = 65535


class Captures:
    """The capture files of a session by path; each is made when its first packet comes.

    Unless `unsafe`, only files are replaced that are captures already, and see `open_for_writing`.
    """

    def __init__(self, unsafe: bool = False) -> None:
        self._unsafe = unsafe
        self._files: dict[str, BinaryIO | None] = {}
        self._boot = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        self.lost: dict[str, int] = {}
        """How many packets were not written, by path."""

    def write(self, path: str, boot_ns: int, size: int, data: bytes) -> None:
        """Appends a packet of `size` bytes, of which `data` was captured, with its time since boot. Raises OSError the
        first time that a file cannot be opened or written; later packets for it are counted in `lost`."""
        seconds, ns = divmod(boot_ns + self._boot, 1_000_000_000)
        packet = struct.pack("<IIII", seconds, ns, len(data), max(size, len(data))) + data
        try:
            if path not in self._files:
                self._open(path)
            file = self._files[path]
            if file is not None:
                _write(file, packet)
                return
        except OSError:
            self._files[path] = None
            self._count_lost(path)
            raise
        self._count_lost(path)

    def _open(self, path: str) -> None:
        fd = open_for_writing(path, replaces=_is_capture, unsafe=self._unsafe)
        file = self._files[path] = os.fdopen(fd, "wb", buffering=0)
        _write(file, struct.pack("<IHHiIII", _MAGIC_NANOSECONDS, 2, 4, 0, 0, _SNAPLEN, _LINKTYPE_RAW))

    def _count_lost(self, path: str) -> None:
        self.lost[path] = self.lost.get(path, 0) + 1

    def close(self) -> None:
        """Closes the files."""
        for file in self._files.values():
            if file is not None:
                file.close()
        self._files.clear()


def _write(file: BinaryIO, data: bytes) -> None:
    while data:
        data = data[file.write(data) :]


def _is_capture(start: bytes) -> bool:
    """Whether a file begins as captures do: pcap in either byte order, with µs or ns, or pcapng."""
    return start[:4] in _MAGICS


_MAGICS = tuple(bytes.fromhex(magic) for magic in ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "0a0d0d0a"))
