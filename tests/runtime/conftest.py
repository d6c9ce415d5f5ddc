"""A ring buffer in ordinary memory, laid out and filled as the kernel does it (kernel/bpf/ringbuf.c)."""

from __future__ import annotations

import ctypes
import struct

import pytest

BUSY = 1 << 31
DISCARD = 1 << 30


class MemoryRing:
    """`size` is a power of two. The kernel maps the data area twice; here every byte is written twice."""

    def __init__(self, size: int, start: int = 0) -> None:
        self.size = size
        self.memory = bytearray(2 * size)
        self._data = (ctypes.c_char * (2 * size)).from_buffer(self.memory)
        self._positions = (ctypes.c_uint64 * 2)(start, start)
        self.data = ctypes.addressof(self._data)
        self.mask = size - 1
        self.consumer = ctypes.addressof(self._positions)
        self.producer = self.consumer + 8

    @property
    def consumed(self) -> int:
        return self._positions[0]

    @property
    def produced(self) -> int:
        return self._positions[1]

    def put(self, record: bytes, flags: int = 0) -> bool:
        """Reserves and submits a record (or leaves it BUSY, or DISCARDs it). False: no room."""
        length = 8 + (len(record) + 7) // 8 * 8
        if self.produced + length - self.consumed > self.size:
            return False
        self._write(self.produced, struct.pack("<II", len(record) | flags, 0) + record)
        self._positions[1] += length
        return True

    def commit(self, position: int, length: int) -> None:
        """Ends the BUSY state of the record of `length` bytes at `position`."""
        self._write(position, struct.pack("<I", length))

    def _write(self, position: int, data: bytes) -> None:
        for i, byte in enumerate(data, position):
            self.memory[i % self.size] = self.memory[i % self.size + self.size] = byte


@pytest.fixture(scope="session")
def memory_ring() -> type[MemoryRing]:
    return MemoryRing
