"""Capture files: packets as tcpdump and wireshark read them."""

from __future__ import annotations

import struct
import time
from typing import BinaryIO

_MAGIC_NANOSECONDS = 0xA1B23C4D
_LINKTYPE_RAW = 101
_SNAPLEN = 65535


class Captures:
    """The capture files of a session by path; each is made when its first packet comes."""

    def __init__(self) -> None:
        self._files: dict[str, BinaryIO] = {}
        self._boot = time.clock_gettime_ns(time.CLOCK_REALTIME) - time.clock_gettime_ns(time.CLOCK_BOOTTIME)

    def write(self, path: str, boot_ns: int, size: int, data: bytes) -> None:
        """Appends a packet of `size` bytes, of which `data` was captured, with its time since boot. Raises OSError."""
        file = self._files.get(path)
        if file is None:
            file = self._files[path] = open(path, "wb", buffering=0)  # noqa: SIM115  # kept open for the session
            file.write(struct.pack("<IHHiIII", _MAGIC_NANOSECONDS, 2, 4, 0, 0, _SNAPLEN, _LINKTYPE_RAW))
        seconds, ns = divmod(boot_ns + self._boot, 1_000_000_000)
        file.write(struct.pack("<IIII", seconds, ns, len(data), max(size, len(data))) + data)
