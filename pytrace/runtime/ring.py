"""The BPF ring buffer (5.8+): records that the kernel half writes, in the order in which it reserved them.

The kernel maps the consumer position writable, then read-only the producer position and the data twice in a row, so
that a record that wraps around is still in one piece. Each record has a header of 8 bytes: its length, with two bits
on top that say that it is still being written, or was thrown away.
"""

from __future__ import annotations

from collections.abc import Callable

from pytrace.kernel import bpf

_BUSY = 1 << 31
_DISCARDED = 1 << 30
_HEADER = 8


class Ring:
    """The consumer's side of a ring buffer map, mapped into memory. One thread at a time may take records."""

    def __init__(self, fd: int, size: int) -> None:
        """`size` is the map's `max_entries`. Raises OSError."""
        self.fd, self.size = fd, size
        self.mask = size - 1
        self._positions = bpf.Mapping(fd, bpf.PAGE)
        try:
            self._data = bpf.Mapping(fd, bpf.PAGE + 2 * size, bpf.PROT_READ, bpf.PAGE)
        except OSError:
            self._positions.close()
            raise

    @property
    def consumer(self) -> int:
        """The address of the consumer position."""
        return self._positions.address

    @property
    def producer(self) -> int:
        """The address of the producer position."""
        return self._data.address

    @property
    def data(self) -> int:
        """The address of the data area."""
        return self._data.address + bpf.PAGE

    @property
    def pending(self) -> int:
        """Bytes that were reserved and not consumed."""
        return bpf.read_u64(self.producer) - bpf.read_u64(self.consumer)

    def consume(self, handle: Callable[[memoryview], bool | None]) -> int:
        """Hands over what was there when it was called, record by record, and gives the room back. Ends early at a
        record that is still being written, or behind one for which `handle` returned True. Gives the bytes consumed.

        A record's memory is valid during its call only; each record is given once, even if `handle` raises.
        """
        # Order on weakly ordered machines: the interpreter's own work between two reads is far longer than a
        # reordering.
        at = start = bpf.read_u64(self.consumer)
        end = bpf.read_u64(self.producer)
        view = self._data.view
        while at < end:
            where = bpf.PAGE + (at & self.mask)
            header = int.from_bytes(view[where : where + 4], "little")
            if header & _BUSY:
                break
            length = header & ~_DISCARDED
            at += (length + _HEADER + 7) & ~7
            try:
                stop = not header & _DISCARDED and handle(view[where + _HEADER : where + _HEADER + length])
            finally:
                bpf.write_u64(self.consumer, at)
            if stop:
                break
        return at - start

    def close(self) -> None:
        """Unmaps it; the map itself stays."""
        self._positions.close()
        self._data.close()
