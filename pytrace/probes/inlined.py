"""Functions that a compiler put into others, by the binary's debug info: where their code begins in each place."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pytrace.kernel.elf import Elf
from pytrace.probes import dwarf

_INLINED = "DW_TAG_inlined_subroutine"


def instances(elf: Elf, function: str) -> list[int]:
    """The addresses at which inlined copies of a function are entered, ascending."""
    info = dwarf.info(elf)
    if info is None:
        return []
    found: set[int] = set()
    for unit in dwarf.units_with(info, function):
        die = unit.get_top_DIE()
        origins = set(_abstract(die, function))
        if die.tag == "DW_TAG_partial_unit" and origins:  # what several units share stands in one of its own
            for each in info.iter_CUs():
                found.update(_copies(each.get_top_DIE(), origins))
        elif origins:
            found.update(_copies(die, origins))
    return sorted(found)


def _abstract(die: Any, function: str) -> Iterator[int]:
    """The offsets of the functions of that name which were inlined somewhere, as the unit describes them once."""
    for child in dwarf.subprograms(die):
        if "DW_AT_inline" in child.attributes and dwarf.name_of(child) == function:
            yield child.offset


def _copies(die: Any, origins: set[int]) -> Iterator[int]:
    for child in die.iter_children():
        if child.tag == _INLINED and _origin(child) in origins:
            address = _entry(child)
            if address is not None:
                yield address
        if child.has_children:
            yield from _copies(child, origins)


def _origin(die: Any) -> int | None:
    return (
        die.get_DIE_from_attribute("DW_AT_abstract_origin").offset
        if "DW_AT_abstract_origin" in die.attributes
        else None
    )


def _entry(die: Any) -> int | None:
    """Where a copy is entered: where the debug info says so, or at its lowest address."""
    for name in ("DW_AT_entry_pc", "DW_AT_low_pc"):
        found = die.attributes.get(name)
        if found is not None and found.form.startswith("DW_FORM_addr"):
            return int(found.value)
    ranges = die.attributes.get("DW_AT_ranges")
    if ranges is None:
        return None
    lists = die.dwarfinfo.range_lists()
    base = die.cu.get_top_DIE().attributes.get("DW_AT_low_pc")
    at = base.value if base is not None else 0
    starts = []
    for entry in lists.get_range_list_at_offset(ranges.value, cu=die.cu) if lists else ():
        if hasattr(entry, "base_address"):
            at = entry.base_address
        elif entry.end_offset > entry.begin_offset:
            starts.append(entry.begin_offset + (0 if getattr(entry, "is_absolute", False) else at))
    return min(starts, default=None)
