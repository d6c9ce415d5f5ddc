"""USDT probes of an ELF file: the `.note.stapsdt` notes that <sys/sdt.h> leaves.

A note's addresses are those at link time; prelink may have moved the file, which `.stapsdt.base` tells.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from pytrace.kernel.elf import Elf


class UsdtNote(NamedTuple):
    """One place of a probe. `address` is where its nop is, `offset` the same in the file; `semaphore_offset` is the
    file offset of the u16 that must be raised for the probe to fire, 0 if it has none. `arguments` is the
    note's text, such as `-4@%edi 8@-16(%rbp)`."""

    provider: str
    name: str
    address: int
    offset: int
    semaphore: int
    semaphore_offset: int
    arguments: str


def usdt_notes(elf: Elf) -> list[UsdtNote]:
    """All USDT probes of a file, in the order of their notes. Notes that are damaged are passed over."""
    section = elf.section(".note.stapsdt")
    if section is None:
        return []
    base = elf.section(".stapsdt.base")
    found = []
    for owner, type, description in elf.notes(elf.contents(section)):
        if owner != "stapsdt" or type != 3 or len(description) < 24:
            continue
        address, link_base, semaphore = struct.unpack_from("<QQQ", description)
        texts = description[24:].split(b"\0")
        if len(texts) < 3:
            continue
        if base and link_base:
            moved = base.address - link_base
            address += moved
            semaphore += moved if semaphore else 0
        offset = elf.offset_of(address)
        if offset is None:
            continue
        provider, name, arguments = (text.decode("utf-8", "replace") for text in texts[:3])
        semaphore_offset = (elf.offset_of(semaphore) or 0) if semaphore else 0
        found.append(UsdtNote(provider, name, address, offset, semaphore, semaphore_offset, arguments))
    return found
