"""Source lines of code addresses, and the functions that were inlined there, from a binary's debug info.

Read by pyelftools, which is an extra and slow to import: only stacks of scripts that set `show_debug_info` come here,
and of a file only the compilation units that frames are in are looked at.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterator
from functools import cached_property, lru_cache
from typing import Any

from pytrace.kernel.debugfile import find_debug_file
from pytrace.kernel.elf import Elf
from pytrace.record import record

_INLINED = "DW_TAG_inlined_subroutine"
# What functions and inlined functions may stand in.
_SCOPES = (
    "DW_TAG_lexical_block",
    "DW_TAG_namespace",
    "DW_TAG_class_type",
    "DW_TAG_structure_type",
    "DW_TAG_module",
    "DW_TAG_try_block",
    "DW_TAG_catch_block",
)


@record
class Place:
    """Where in the source the code at an address comes from: `source` is `file:line` in the function that has the
    address; if others were inlined there, they are in `inlined`, innermost first, each with its name and its own
    `file:line`, and `source` is where the outermost of them was called."""

    source: str
    inlined: tuple[tuple[str, str], ...] = ()


class SourceLines:
    """The lines of one file, each unit read when an address in it is asked for."""

    def __init__(self, path: str) -> None:
        self._path = path
        self._units: dict[int, _Unit] = {}

    @staticmethod
    def of(elf: Elf) -> SourceLines | None:
        """Those of a file or of the separate debug file for it; None where neither has debug info, or nothing here
        can read it."""
        source: Elf | None = elf if elf.section(".debug_info") else find_debug_file(elf)
        return _open(source.path) if source and source.path and source.section(".debug_info") else None

    @cached_property
    def _dwarf(self) -> Any:
        from elftools.elf.elffile import ELFFile

        # Kept open: units are read when they are needed.
        return ELFFile(open(self._path, "rb")).get_dwarf_info()

    @cached_property
    def _ranges(self) -> tuple[list[int], list[tuple[int, int]]]:
        """Where the address ranges of all units begin, and for each its end and the unit's offset."""
        found = sorted((low, high, cu.cu_offset) for cu in self._dwarf.iter_CUs() for low, high in _ranges_of(cu))
        return [low for low, _, _ in found], [(high, offset) for _, high, offset in found]

    def _unit(self, address: int) -> _Unit | None:
        aranges = self._dwarf.get_aranges()
        offset = aranges.cu_offset_at_addr(address) if aranges else None
        if offset is None:
            lows, rest = self._ranges
            at = bisect_right(lows, address) - 1
            if at < 0 or address >= rest[at][0]:
                return None
            offset = rest[at][1]
        if offset not in self._units:
            self._units[offset] = _Unit(self._dwarf, self._dwarf.get_CU_at(offset))
        return self._units[offset]

    def at(self, address: int) -> Place | None:
        """The place of an address as the file has it (no load bias); None where the debug info does not say."""
        try:
            unit = self._unit(address)
            return unit.place(address) if unit else None
        except _damage():
            return None


class _Unit:
    """One compilation unit: its line table and its functions."""

    def __init__(self, dwarf: Any, cu: Any) -> None:
        self._program = dwarf.line_program_for_CU(cu)
        self._top = cu.get_top_DIE()
        directory = self._top.attributes.get("DW_AT_comp_dir")
        self._directory = _text(directory.value) if directory else ""

    @cached_property
    def _lines(self) -> tuple[list[int], list[tuple[int, int] | None]]:
        """Addresses, and the number of the file and the line from each on; None after the end of a sequence."""
        sequences: list[list[tuple[int, tuple[int, int] | None]]] = [[]]
        for entry in self._program.get_entries() if self._program else ():
            if entry.state is None:
                continue
            s = entry.state
            sequences[-1].append((s.address, None if s.end_sequence else (s.file, s.line)))
            if s.end_sequence:
                sequences.append([])
        # Linkers leave sequences at 0 of functions that they dropped; sorting keeps the order within an address.
        rows = sorted((row for s in sequences for row in s), key=lambda row: row[0])
        return [address for address, _ in rows], [line for _, line in rows]

    def place(self, address: int) -> Place | None:
        addresses, lines = self._lines
        at = bisect_right(addresses, address) - 1
        here = lines[at] if at >= 0 else None
        if here is None:
            return None
        source = self._source(*here)
        inlined = []
        for die in reversed(list(_inlined_at(self._top, address))):
            inlined.append((_name(die), source))
            source = self._source(_number(die, "DW_AT_call_file"), _number(die, "DW_AT_call_line"))
        return Place(source, tuple(inlined))

    def _source(self, file: int, line: int) -> str:
        header = self._program.header
        modern = header.version >= 5
        index = file if modern else file - 1
        if not 0 <= index < len(header.file_entry):
            return f"?:{line}"
        entry = header.file_entry[index]
        directories = [_text(d) for d in header.include_directory]
        # Before DWARF 5 directory 0 was that of the compilation and stood in no list.
        directories = directories if modern else [self._directory, *directories]
        directory = directories[entry.dir_index] if 0 <= entry.dir_index < len(directories) else ""
        if not directory.startswith("/") and self._directory != directory:
            directory = f"{self._directory}/{directory}".rstrip("/")
        name = _text(entry.name)
        return f"{name if name.startswith('/') or not directory else f'{directory}/{name}'}:{line}"


@lru_cache(maxsize=64)
def _open(path: str) -> SourceLines | None:
    return SourceLines(path)


def _damage() -> tuple[type[Exception], ...]:
    """What damaged debug info makes pyelftools raise: its own errors and those of trusting what it reads."""
    from elftools.common.exceptions import DWARFError, ELFError

    return DWARFError, ELFError, KeyError, IndexError, ValueError, AttributeError, OSError, TypeError


def _text(value: Any) -> str:
    return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)


def _number(die: Any, name: str) -> int:
    attribute = die.attributes.get(name)
    return attribute.value if attribute is not None and isinstance(attribute.value, int) else 0


def _name(die: Any) -> str:
    """The linkage name where there is one (the caller demangles), else the name."""
    for _ in range(4):
        for key in ("DW_AT_linkage_name", "DW_AT_name"):
            if key in die.attributes:
                return _text(die.attributes[key].value)
        link = next((a for a in ("DW_AT_abstract_origin", "DW_AT_specification") if a in die.attributes), None)
        if link is None:
            break
        die = die.get_DIE_from_attribute(link)
    return "?"


def _ranges_of(cu: Any) -> list[tuple[int, int]]:
    return _ranges(cu.get_top_DIE())


def _ranges(die: Any) -> list[tuple[int, int]]:
    """The addresses of a unit, function or block, each from and to."""
    low, high, ranges = (die.attributes.get(f"DW_AT_{n}") for n in ("low_pc", "high_pc", "ranges"))
    if ranges is not None:
        lists = die.cu.dwarfinfo.range_lists()
        if lists is None:
            return []
        base = _number(die.cu.get_top_DIE(), "DW_AT_low_pc")
        found = []
        for entry in lists.get_range_list_at_offset(ranges.value, die.cu):
            if hasattr(entry, "base_address"):
                base = entry.base_address
            else:
                bias = 0 if getattr(entry, "is_absolute", False) else base
                found.append((entry.begin_offset + bias, entry.end_offset + bias))
        return found
    if low is None or high is None:
        return []
    # An address, or (since DWARF 4) a length.
    end = high.value if high.form == "DW_FORM_addr" else low.value + high.value
    return [(low.value, end)]


def _inlined_at(die: Any, address: int) -> Iterator[Any]:
    """The inlined functions around an address, outermost first."""
    for child in die.iter_children():
        if child.tag != "DW_TAG_subprogram" and child.tag != _INLINED and child.tag not in _SCOPES:
            continue
        ranges = _ranges(child)
        if ranges and not any(low <= address < high for low, high in ranges):
            continue
        if not ranges and (child.tag == _INLINED or "DW_AT_inline" in child.attributes):
            continue
        if child.tag == _INLINED:
            yield child
        yield from _inlined_at(child, address)
