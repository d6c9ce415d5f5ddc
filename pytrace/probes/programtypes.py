"""Types and enumerators by their names, as the debug info of a traced program has them: `struct request *` in a uprobe
means what it means in that program.

In C a name means something in each unit (source file), so the unit of the probed function is asked first; the others
are, too, when nobody else knows the name.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import Any

from pytrace.kernel import KernelError
from pytrace.kernel.elf import Elf
from pytrace.probes import dwarf
from pytrace.probes.base import ProbeError
from pytrace.types import Enum, Struct, Type

_TAGS = {"struct": ("DW_TAG_structure_type", "DW_TAG_class_type"), "union": ("DW_TAG_union_type",)}
_ENUM = "DW_TAG_enumeration_type"
_NAMED = (*_TAGS["struct"], *_TAGS["union"], "DW_TAG_typedef")


class ProgramTypes:
    """What the file at `path` says, seen from a function of it. Nothing is read before the first question; a file
    without debug info knows no name."""

    def __init__(self, path: str, function: str) -> None:
        self._path = path
        self._function = function

    def struct(self, name: str, tag: str, *, everywhere: bool = False) -> Struct | None:
        """The complete struct (or class) or union."""
        found = self._find(_TAGS[tag], name, everywhere)
        return found if isinstance(found, Struct) and found.fields is not None else None

    def enum(self, name: str, *, everywhere: bool = False) -> Enum | None:
        found = self._find((_ENUM,), name, everywhere)
        return found if isinstance(found, Enum) else None

    def typedef(self, name: str, *, everywhere: bool = False) -> Type | None:
        return self._find(("DW_TAG_typedef",), name, everywhere)

    def enumerator(self, name: str, *, everywhere: bool = False) -> tuple[int, Enum] | None:
        """Its value, and the enum that it is of."""
        found = self._find(("DW_TAG_enumerator",), name, everywhere)
        return (dict(found.members)[name], found) if isinstance(found, Enum) else None

    def _find(self, tags: tuple[str, ...], name: str, everywhere: bool) -> Type | None:
        try:
            elf = Elf.open(self._path)
            units = _units_with(elf, name)
        except (KernelError, ProbeError):
            return None
        if units and not everywhere:
            home = _home(elf, self._function)
            units = tuple(unit for unit in units if unit.cu_offset == home)
        for unit in units:
            names = _names(unit)
            for tag in tags:
                if (tag, name) in names:
                    return dwarf.convert(names[tag, name], dwarf.DEPTH)
        return None


@lru_cache(maxsize=64)
def _units_with(elf: Elf, name: str) -> tuple[Any, ...]:
    info = dwarf.info(elf)
    return tuple(dwarf.units_with(info, name)) if info is not None else ()


@lru_cache(maxsize=64)
def _home(elf: Elf, function: str) -> int | None:
    """Where the unit begins that defines a function."""
    symbol = elf.function(function)
    unit = dwarf.unit_of(elf, symbol) if symbol is not None else None
    return unit.cu_offset if unit is not None else None


@lru_cache(maxsize=64)
def _names(unit: Any) -> dict[tuple[str, str], Any]:
    """The DIEs of a unit's types by tag and name. An enumerator has that of its enum."""
    return dict(_named(unit.get_top_DIE()))


def _named(parent: Any) -> Iterator[tuple[tuple[str, str], Any]]:
    for die in parent.iter_children():
        if die.tag == "DW_TAG_namespace":
            yield from _named(die)
        elif die.tag == _ENUM:
            yield (_ENUM, dwarf.name_of(die)), die
            for member in die.iter_children():
                yield (member.tag, dwarf.name_of(member)), die
        elif die.tag in _NAMED and "DW_AT_declaration" not in die.attributes:
            yield (die.tag, dwarf.name_of(die)), die
