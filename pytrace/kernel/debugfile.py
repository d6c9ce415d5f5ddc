"""Separate debug files: the symbols that a distribution stripped from a program.

Looked for by build id, then by the name and checksum of `.gnu_debuglink`, then within the file itself
(`.gnu_debugdata`, as Fedora has it).
"""

from __future__ import annotations

import os
import re
import zlib
from collections.abc import Iterable, Iterator

from pytrace.kernel.elf import Elf
from pytrace.kernel.errors import KernelError

# Where debug files are looked for.
directories = ["/usr/lib/debug"]

_IN_CONTAINER = re.compile(r"^(/proc/\d+/root)(/.*)$")


def look_in(more: Iterable[str]) -> None:
    """From now on also looks in these directories, before all others: what `--debuginfo` says. Files that were opened
    before keep what was found for them."""
    directories[:0] = [directory for directory in more if directory and directory not in directories]


def find_debug_file(elf: Elf) -> Elf | None:
    """The debug file of an ELF file, or None. One that does not belong to it is passed over."""
    inside = _IN_CONTAINER.match(elf.path)
    root, path = (inside[1], inside[2]) if inside else ("", os.path.realpath(elf.path) if elf.path else "")
    for candidate in _by_build_id(elf, root):
        found = _try(candidate)
        if found and found.build_id == elf.build_id:
            return found
    for candidate, checksum in _by_link(elf, root, path):
        found = _try(candidate)
        if found and zlib.crc32(found.data) == checksum:
            return found
    return _within(elf)


def _try(path: str) -> Elf | None:
    try:
        return Elf.open(path)
    except KernelError:
        return None


def _by_build_id(elf: Elf, root: str) -> Iterator[str]:
    if elf.build_id:
        for directory in directories:
            yield f"{root}{directory}/.build-id/{elf.build_id[:2]}/{elf.build_id[2:]}.debug"


def _by_link(elf: Elf, root: str, path: str) -> Iterator[tuple[str, int]]:
    section = elf.section(".gnu_debuglink")
    if section is None or not path:
        return
    link = elf.contents(section)
    name = link[: link.find(b"\0")].decode("utf-8", "replace")
    if not name or "/" in name or len(link) < 8:
        return
    checksum = int.from_bytes(link[-4:], "little")
    here = os.path.dirname(path)
    places = [here, f"{here}/.debug", *(directory + here for directory in directories)]
    for place in places:
        yield f"{root}{place}/{name}", checksum


def _within(elf: Elf) -> Elf | None:
    section = elf.section(".gnu_debugdata")
    if section is None:
        return None
    import lzma

    try:
        return Elf(lzma.decompress(elf.contents(section)), elf.path)
    except (lzma.LZMAError, KernelError):
        return None
