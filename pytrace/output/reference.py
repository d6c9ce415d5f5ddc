"""The reference decoder of ring records, in Python: what runs where native code is not allowed, and what tests compare
the native user half with."""

from __future__ import annotations

import struct
from functools import lru_cache
from typing import Any

from pytrace.output.decode import Buffer, Decoder, decoder
from pytrace.program import EventSpec, Program
from pytrace.record import record
from pytrace.types import Tuple, align_up

_HEADER = struct.Struct("<II")
_TIMESTAMP = struct.Struct("<Q")


@record
class Record:
    """One record of the ring: the statement it came from, the index of its probe in `Program.probes`, the boot time in
    ns (None without `Program.timestamps`) and the decoded arguments."""

    spec: EventSpec
    probe: int
    timestamp: int | None
    values: tuple[Any, ...]


class RecordReader:
    """Reads the records of one Program."""

    def __init__(self, program: Program) -> None:
        self._timestamps = program.timestamps
        self._start = args_offset(program)
        self._events = [(spec, Tuple(spec.args)) for spec in program.events]

    def __call__(self, data: Buffer) -> Record:
        """Decodes one record. Raises `ValueError` for one that is too short or of no known event, which only a broken
        compiler or a foreign ring can produce."""
        if len(data) < self._start:
            raise ValueError(f"a record of {len(data)} bytes has no room for its header")
        event, probe = _HEADER.unpack_from(data)
        if event >= len(self._events):
            raise ValueError(f"there is no event {event}")
        spec, args = self._events[event]
        if len(data) < self._start + args.size:
            raise ValueError(f"a {spec.action} record of {len(data)} bytes is too short")
        timestamp = _TIMESTAMP.unpack_from(data, _HEADER.size)[0] if self._timestamps else None
        values = tuple(read(data, self._start + offset) for offset, read in _parts(args))
        return Record(spec, probe, timestamp, values)


def args_offset(program: Program) -> int:
    """Where the arguments start in a record."""
    return align_up(_HEADER.size + (_TIMESTAMP.size if program.timestamps else 0), 8)


def read_record(program: Program, data: Buffer) -> Record:
    """One record; see `RecordReader`, which is the cheaper way to read many."""
    return RecordReader(program)(data)


@lru_cache(maxsize=1024)
def _parts(args: Tuple) -> tuple[tuple[int, Decoder], ...]:
    return tuple(zip(args.offsets, map(decoder, args.elements), strict=True))
