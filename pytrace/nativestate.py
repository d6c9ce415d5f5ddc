"""The contract between the user half's machine code and who calls it: `drain(state *) -> status`.

`state` is an array of u64 words, one for each member of `Word`. The code reads a kernel ring buffer as its one
consumer (data area mapped twice in a row), writes text to the output buffer and returns for one of these reasons:

EMPTY      nothing is left that could be read now (the ring is empty or its next record is still being written)
FULL       the output buffer has no room for another record, or `BUDGET` bytes were consumed
HAND_OVER  the record at address `RECORD` of `LENGTH` bytes is for Python. It is already counted, and already skipped:
           its room in the ring is given back to the kernel at the start of the next call.

A change of this contract changes `VERSION`, which every entry of a compile cache is bound to.
"""

from __future__ import annotations

import enum

VERSION = 1

EMPTY = 0
FULL = 1
HAND_OVER = 2

MAX_TEXT = 64 * 1024
"""No record's text is longer than this; an output buffer has to be several times as large."""


class Word(enum.IntEnum):
    """Indices of `state`. Addresses are those of the calling process; positions count bytes since the ring was made."""

    DATA = 0
    """in: address of the ring's data area"""
    MASK = 1
    """in: its size less one"""
    CONSUMER = 2
    """in: address of the consumer position"""
    PRODUCER = 3
    """in: address of the producer position"""
    OUT = 4
    """in: address of the output buffer"""
    OUT_SIZE = 5
    """in: its size in bytes"""
    OUT_USED = 6
    """in, out: bytes of it that are filled"""
    COUNTS = 7
    """in: address of one u64 for each event: records delivered or handed over so far"""
    STRANGERS = 8
    """out: records with an id that no event has, so far; they are handed over too"""
    TTY = 9
    """in: 1 if the text goes to a terminal: a record with a control or non-ASCII byte in a string is handed over"""
    BUDGET = 10
    """in: once so many bytes are consumed, the call ends as soon as what it knew to be there is consumed"""
    POSITION = 11
    """in, out: where the next record is; starts as the consumer position"""
    RECORD = 12
    """out: address of the record handed over"""
    LENGTH = 13
    """out: its length"""
    TRAILER = 14
    """in: up to 8 bytes of text that follow a string without a NUL (one that was cut)"""
    TRAILER_SIZE = 15
    """in: how many; above 8, records with such strings are handed over"""
