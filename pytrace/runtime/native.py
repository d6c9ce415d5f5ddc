"""Runs the user half's machine code: maps it, hands it a ring buffer, takes its text.

Memory is never writable and executable at the same time. Where the system refuses to make it executable at all (SELinux
`execmem`, some hardened containers), `map_code` returns None and the Python decoder does the same work, only slower.
"""

from __future__ import annotations

import errno
import mmap
import os
from collections.abc import Callable
from types import TracebackType
from typing import Any, Protocol, Self

# The C half of cffi has a parser of its own; going past the cffi package saves the 50 ms of importing pycparser.
import _cffi_backend  # type: ignore[import-untyped]  # no stubs for it

from pytrace.nativestate import EMPTY, HAND_OVER, MAX_TEXT, Word
from pytrace.program import NativeCode

_ffi: Any = _cffi_backend.FFI()
_DRAIN = "int64_t (*)(uint64_t *)"
_OUT_SIZE = 4 * MAX_TEXT


class RingAddresses(Protocol):
    """Where a mapped ring buffer lies in this process: its consumer and producer position, its data area (mapped twice
    in a row) and that area's size less one."""

    @property
    def consumer(self) -> int: ...
    @property
    def producer(self) -> int: ...
    @property
    def data(self) -> int: ...
    @property
    def mask(self) -> int: ...


class HostCode:
    """Machine code in executable memory, for as long as this object is open."""

    def __init__(self, native: NativeCode) -> None:
        """Raises OSError (EACCES or EPERM) where the system does not allow it."""
        size = -(-len(native.code) // mmap.PAGESIZE) * mmap.PAGESIZE
        self._memory = mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, mmap.PROT_READ | mmap.PROT_WRITE)
        self._memory[: len(native.code)] = native.code
        self._view = _ffi.from_buffer("char[]", self._memory)
        try:
            # From here on a write through `self._memory` would be a fault.
            _protect(self._view, size, mmap.PROT_READ | mmap.PROT_EXEC)
        except OSError:
            self.close()
            raise
        self.entry: Any = _ffi.cast(_DRAIN, _address(self._view) + native.entry)

    def close(self) -> None:
        """Unmaps it. Nothing may be running in it."""
        if not self._memory.closed:
            self.entry = None
            _ffi.release(self._view)
            self._memory.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def map_code(native: NativeCode | None) -> HostCode | None:
    """None if there is no code, it is for another architecture, or executable memory is refused."""
    if native is None or native.machine != os.uname().machine:
        return None
    try:
        return HostCode(native)
    except OSError as error:
        if error.errno in (errno.EACCES, errno.EPERM):
            return None
        raise


class Drain:
    """Drains one ring buffer through a script's native code.

    `write` gets text in pieces of at most 256 KiB; the view is valid during the call only. `handle` gets each record
    that is not native (its bytes without the ring's header, valid during the call only), after all text before it has
    been written; if it returns True, draining stops behind that record. `trailer` marks cut strings; if it is longer
    than 8 bytes, their records go to `handle`. With `tty`, records whose strings have control or non-ASCII bytes go to
    `handle`, too.

    One thread at a time may be in `drain`; the GIL is released in native code.
    """

    def __init__(
        self,
        code: HostCode,
        ring: RingAddresses,
        *,
        events: int,
        write: Callable[[memoryview], object],
        handle: Callable[[memoryview], bool | None],
        tty: bool = False,
        trailer: bytes = b"..",
    ) -> None:
        self._code, self._write, self._handle = code, write, handle
        self._out = bytearray(_OUT_SIZE)
        self._text = memoryview(self._out)
        self._counts: Any = _ffi.new("uint64_t[]", max(events, 1))
        self._events = events
        self._producer: Any = _ffi.cast("uint64_t *", ring.producer)
        self._state: Any = _ffi.new("uint64_t[]", len(Word))
        state = self._state
        state[Word.DATA], state[Word.MASK] = ring.data, ring.mask
        state[Word.CONSUMER], state[Word.PRODUCER] = ring.consumer, ring.producer
        state[Word.OUT], state[Word.OUT_SIZE] = _address(_ffi.from_buffer(self._out)), _OUT_SIZE
        state[Word.COUNTS] = _address(self._counts)
        state[Word.TTY] = tty
        state[Word.POSITION] = _ffi.cast("uint64_t *", ring.consumer)[0]
        state[Word.TRAILER], state[Word.TRAILER_SIZE] = int.from_bytes(trailer[:8], "little"), len(trailer)

    def drain(self) -> bool:
        """Takes what is in the ring when it is called, so that it ends even while events keep coming; see `pending`.
        True: `handle` said to stop, and what came later is still there.

        A record is delivered once: if `write` or `handle` raises, what they were given is not given again.
        """
        state = self._state
        target = self._producer[0]
        while True:
            state[Word.OUT_USED] = 0
            state[Word.BUDGET] = max(target - state[Word.POSITION], 0)
            status = self._code.entry(state)
            used = state[Word.OUT_USED]
            if used:
                self._write(self._text[:used])
            if status == HAND_OVER:
                record = _ffi.buffer(_ffi.cast("char *", state[Word.RECORD]), state[Word.LENGTH])
                if self._handle(memoryview(record).toreadonly()):
                    return True
            elif status == EMPTY or state[Word.POSITION] >= target:
                return False

    @property
    def pending(self) -> int:
        """Bytes of the ring that are taken by records not drained yet, finished or not."""
        return int(self._producer[0] - self._state[Word.POSITION])

    @property
    def counts(self) -> tuple[int, ...]:
        """Records delivered so far, by event id: written as text or handed over."""
        return tuple(self._counts[0 : self._events])

    @property
    def strangers(self) -> int:
        """Records handed over so far that had no event's id."""
        return int(self._state[Word.STRANGERS])


def _address(pointer: Any) -> int:
    return int(_ffi.cast("uintptr_t", pointer))


def _protect(start: Any, size: int, protection: int) -> None:
    mprotect = _cffi_backend.load_library(None, 0).load_function(
        _ffi.typeof("int (*)(void *, size_t, int)"), "mprotect"
    )
    if mprotect(start, size, protection):
        raise OSError(_ffi.errno, os.strerror(_ffi.errno), "mprotect")
