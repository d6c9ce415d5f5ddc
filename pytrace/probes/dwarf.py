"""Debug info of user programs: the types of a function's parameters, and the addresses of a source line.

Read by pyelftools, which takes long to import: only those who ask for `args` of a uprobe in a binary
with debug info, or for a source line, pay for it. Parameters are found by the calling convention, since the program
stands at the function's first instruction (`probes.convention`); those in floating-point registers cannot be read.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Literal, cast

from pytrace.kernel.debugfile import find_debug_file
from pytrace.kernel.elf import Elf
from pytrace.kernel.elf_symbols import Symbol
from pytrace.probes.base import Arg, Context, ProbeError
from pytrace.probes.convention import INTEGER, WORD, Places, Shape, Word
from pytrace.probes.regs import registers
from pytrace.record import replace
from pytrace.types import BOOL, VOID, Array, Enum, Field, Int, Pointer, Struct, Type

DEPTH = 3
"""How many pointers deep the members of structs are known."""
_PASS_BY_REFERENCE = 4
_ENCODINGS = {
    2: "bool",
    4: "float",
    3: "float",
    5: "signed",
    6: "signed",
    7: "unsigned",
    8: "unsigned",
    0x10: "unsigned",
}


@lru_cache(maxsize=8)
def _open(elf: Elf) -> Any:
    import io

    from elftools.elf.elffile import ELFFile

    return ELFFile(io.BytesIO(elf.data[:])).get_dwarf_info()


def info(elf: Elf) -> Any:
    """The debug info of a file or of its debug file; None if it has none."""
    source: Elf | None = elf if elf.section(".debug_info") else find_debug_file(elf)
    return _open(source) if source and source.section(".debug_info") else None


# --- functions ------------------------------------------------------------------------------------


def _unit_at(dwarf: Any, address: int) -> Iterator[Any]:
    ranges = dwarf.get_aranges()
    offset = ranges.cu_offset_at_addr(address) if ranges else None
    if offset is not None:
        yield dwarf.get_CU_at(offset)
    else:
        yield from dwarf.iter_CUs()


def units_with(info: Any, name: str) -> Iterator[Any]:
    """The units that have a name somewhere: to read all of them takes seconds, which a mistyped name is not worth."""
    text = b"\0" + name.encode() + b"\0"
    strings, body = _contents(info.debug_str_sec), _contents(info.debug_info_sec)
    # By its place among the strings, or in full. An index into a table of places would be a few bits only.
    wanted = [text[1:], *(at.to_bytes(4, "little") for at in _all(strings, text))]
    indexed = getattr(info, "debug_str_offsets_sec", None) is not None and len(wanted) > 1
    places = sorted(at for each in wanted for at in _all(body, each, 0))
    for unit in info.iter_CUs():
        end = unit.cu_offset + unit["unit_length"] + 4
        at = bisect_left(places, unit.cu_offset)
        if indexed or (at < len(places) and places[at] < end):
            yield unit


def _contents(section: Any) -> bytes:
    if section is None:
        return b""
    section.stream.seek(0)
    return cast(bytes, section.stream.read())


def _all(data: bytes, wanted: bytes, add: int = 1) -> Iterator[int]:
    at = data.find(wanted)
    while at >= 0:
        yield at + add
        at = data.find(wanted, at + 1)


def subprograms(die: Any) -> Iterator[Any]:
    """The functions that a unit describes, those in namespaces and classes included."""
    for child in die.iter_children():
        if child.tag == "DW_TAG_subprogram":
            yield child
        elif child.tag in ("DW_TAG_namespace", "DW_TAG_class_type", "DW_TAG_structure_type", "DW_TAG_module"):
            yield from subprograms(child)


def _function(elf: Elf, symbol: Symbol) -> Any:
    return next((die for _, die in _definitions(elf, symbol)), None)


def unit_of(elf: Elf, symbol: Symbol) -> Any:
    """The unit in which a function is defined; None if debug info does not know it."""
    return next((unit for unit, _ in _definitions(elf, symbol)), None)


def _definitions(elf: Elf, symbol: Symbol) -> Iterator[tuple[Any, Any]]:
    """(unit, function) where a function is defined."""
    dwarf = info(elf)
    for unit in _unit_at(dwarf, symbol.address) if dwarf else ():
        for die in subprograms(unit.get_top_DIE()):
            low = die.attributes.get("DW_AT_low_pc")
            if low is not None and low.value == symbol.address:
                yield unit, die


def _inherited(die: Any, name: str) -> Any:
    """The DIE that has the attribute: this one or the one it is an instance of."""
    for _ in range(4):
        if name in die.attributes:
            return die
        link = next((a for a in ("DW_AT_abstract_origin", "DW_AT_specification") if a in die.attributes), None)
        if link is None:
            return None
        die = die.get_DIE_from_attribute(link)
    return None


def name_of(die: Any) -> str:
    """Its own name or that of what it is an instance of."""
    owner = _inherited(die, "DW_AT_name")
    return owner.attributes["DW_AT_name"].value.decode("utf-8", "replace") if owner else ""


def _type_die(die: Any) -> Any:
    owner = _inherited(die, "DW_AT_type")
    return owner.get_DIE_from_attribute("DW_AT_type") if owner else None


def _stripped(die: Any) -> Any:
    while die is not None and die.tag in _TRANSPARENT:
        die = _type_die(die)
    return die


_TRANSPARENT = {
    "DW_TAG_typedef",
    "DW_TAG_const_type",
    "DW_TAG_volatile_type",
    "DW_TAG_restrict_type",
    "DW_TAG_atomic_type",
}
_POINTERS = ("DW_TAG_pointer_type", "DW_TAG_reference_type", "DW_TAG_rvalue_reference_type")
_STRUCTS = ("DW_TAG_structure_type", "DW_TAG_class_type", "DW_TAG_union_type")


def _parameters(function: Any) -> list[Any]:
    return [d for d in function.iter_children() if d.tag == "DW_TAG_formal_parameter"]


def typed(context: Context, elf: Elf, symbol: Symbol, args_name: str, machine_name: str) -> Context:
    """The context with `args`, if debug info describes the function; otherwise the same."""
    try:
        function = _function(elf, symbol)
    except ProbeError:
        return context
    if function is None:
        return context
    machine = registers(machine_name)
    hidden = 1 if _returned_in_memory(_stripped(_type_die(function)), machine_name) else 0
    parameters = _parameters(function)
    types = [_stripped(_type_die(p)) for p in parameters]
    places = Places(machine, hidden).all([_shape(die, machine_name) for die in types])
    args: list[Arg] = []
    unreadable: list[tuple[str, str]] = []
    fields: list[Field] = []
    for number, (parameter, die, load) in enumerate(zip(parameters, types, places, strict=True)):
        name = name_of(parameter) or f"arg{number}"
        if isinstance(load, str):
            unreadable.append((name, load))
            continue
        type = convert(_type_die(parameter), DEPTH)
        if _by_reference(die, machine_name):
            type = Pointer(type, "user")
        at = fields[-1].offset + (max(fields[-1].type.size, 8) + 7) // 8 * 8 if fields else 0
        args.append(Arg(name, type, load))
        fields.append(Field(name, type, at))
    size = fields[-1].offset + max(fields[-1].type.size, 8) if fields else 0
    struct = Struct("struct", args_name, size, tuple(fields))
    return replace(context, args=tuple(args), unreadable=tuple(unreadable), struct=struct)


def _by_reference(die: Any, machine_name: str) -> bool:
    """Whether the address of a struct is passed for it: of a C++ object that cannot just be copied, and on aarch64 of
    every large one."""
    if die is None or die.tag not in _STRUCTS:
        return False
    large = machine_name == "aarch64" and _attribute(die, "DW_AT_byte_size") > 16 and not _alike(die)
    return large or _is_object(die)


def _is_object(die: Any) -> bool:
    """Whether it is a C++ class whose objects cannot just be copied: one with a copy or move constructor, destructor or
    virtual function that somebody wrote, or with a part of such a class. Clang says so, gcc does not."""
    if _attribute(die, "DW_AT_calling_convention"):
        return _attribute(die, "DW_AT_calling_convention") == _PASS_BY_REFERENCE
    name = name_of(die).partition("<")[0]
    for child in die.iter_children():
        if "DW_AT_virtuality" in child.attributes:
            return True
        if child.tag in ("DW_TAG_member", "DW_TAG_inheritance") and "DW_AT_external" not in child.attributes:
            part = _stripped(_type_die(child))
            while part is not None and part.tag == "DW_TAG_array_type":
                part = _stripped(_type_die(part))
            if part is not None and part.tag in _STRUCTS and _is_object(part):
                return True
        elif child.tag == "DW_TAG_subprogram" and not _MADE & child.attributes.keys():
            own = name_of(child)
            if own == f"~{name}" or (own == name and _takes_its_own(child, die)):
                return True
    return False


_MADE = {"DW_AT_artificial", "DW_AT_defaulted", "DW_AT_deleted"}


def _takes_its_own(constructor: Any, die: Any) -> bool:
    """Whether it is a copy or move constructor."""
    shown = [p for p in _parameters(constructor) if "DW_AT_artificial" not in p.attributes]
    type = _type_die(shown[0]) if shown else None
    if type is None or type.tag not in ("DW_TAG_reference_type", "DW_TAG_rvalue_reference_type"):
        return False
    target = _stripped(_type_die(type))
    return target is not None and target.offset == die.offset


def _shape(die: Any, machine_name: str) -> Shape:
    """How an argument of a type is passed."""
    if _by_reference(die, machine_name) or die is None:
        return WORD
    size = _attribute(die, "DW_AT_byte_size")
    if die.tag == "DW_TAG_base_type":
        if _ENCODINGS.get(_attribute(die, "DW_AT_encoding")) == "float":
            # long double is in memory on x86-64; complex numbers are like two.
            words: tuple[Word, ...] = () if size > 8 and machine_name == "x86_64" else ("float",)
            return Shape(size, words, size, whole=True, alike=True)
        return Shape(size, (INTEGER,) * ((size + 7) // 8), size, whole=size > 8)
    if die.tag not in _STRUCTS:
        return WORD
    parts = list(_scalars(die, 0))
    alignment = max((part_size for _, part_size, _ in parts), default=1)
    if not parts and size <= 1:
        return Shape(0, (), whole=True)  # a C++ class without members, or a C struct without size
    loose = any(at % part_size for at, part_size, _ in parts if part_size)
    if size > 16 or loose or any(part_size > 8 for _, part_size, _ in parts):
        return Shape(size, (), alignment, whole=True)
    by_word = [{is_float for at, _, is_float in parts if at // 8 == word} for word in range((size + 7) // 8)]
    words = tuple("float" if kinds == {True} else "integer" for kinds in by_word)
    return Shape(size, words, alignment, whole=True, alike=_alike(die))


def _alike(die: Any) -> bool:
    parts = list(_scalars(die, 0))
    return 0 < len(parts) <= 4 and len({size for _, size, _ in parts}) == 1 and all(float for _, _, float in parts)


def _scalars(die: Any, at: int) -> Iterator[tuple[int, int, bool]]:
    """Offset, size and whether it is a float, of everything in a type that is no struct or array itself."""
    die = _stripped(die)
    if die is None:
        return
    if die.tag in _STRUCTS:
        for member in die.iter_children():
            if member.tag in ("DW_TAG_member", "DW_TAG_inheritance") and "DW_AT_external" not in member.attributes:
                inside = (
                    _attribute(member, "DW_AT_data_member_location") + _attribute(member, "DW_AT_data_bit_offset") // 8
                )
                if "DW_AT_bit_size" in member.attributes:
                    yield at + inside, 1, False
                else:
                    yield from _scalars(_type_die(member), at + inside)
    elif die.tag == "DW_TAG_array_type":
        made = convert(die, 0)
        element = _type_die(die)
        size = convert(element, 0).size
        for number in range(made.size // size if size else 0):
            yield from _scalars(element, at + number * size)
    else:
        is_float = die.tag == "DW_TAG_base_type" and _ENCODINGS.get(_attribute(die, "DW_AT_encoding")) == "float"
        yield at, _attribute(die, "DW_AT_byte_size") or 8, is_float


def _returned_in_memory(die: Any, machine_name: str) -> bool:
    """Whether a hidden first argument says where the result goes; aarch64 has a register of its own for that."""
    if machine_name != "x86_64" or die is None or die.tag not in _STRUCTS:
        return False
    return _attribute(die, "DW_AT_byte_size") > 16 or _is_object(die)


def parameters(elf: Elf, symbol: Symbol) -> list[str]:
    """`type name` of each parameter of a function, as C writes it."""
    try:
        function = _function(elf, symbol)
    except ProbeError:
        return []
    return [f"{_text(_type_die(p))} {name_of(p)}" for p in _parameters(function)] if function is not None else []


def _text(die: Any) -> str:
    if die is None:
        return "void"
    match die.tag:
        case "DW_TAG_pointer_type":
            inner = _text(_type_die(die))
            return f"{inner}*" if inner.endswith("*") else f"{inner} *"
        case "DW_TAG_reference_type" | "DW_TAG_rvalue_reference_type":
            return f"{_text(_type_die(die))} &"
        case "DW_TAG_const_type":
            return f"const {_text(_type_die(die))}"
        case "DW_TAG_volatile_type":
            return f"volatile {_text(_type_die(die))}"
        case "DW_TAG_restrict_type" | "DW_TAG_atomic_type":
            return _text(_type_die(die))
        case "DW_TAG_structure_type" | "DW_TAG_class_type":
            return f"struct {name_of(die)}".strip()
        case "DW_TAG_union_type":
            return f"union {name_of(die)}".strip()
        case "DW_TAG_enumeration_type":
            return f"enum {name_of(die)}".strip()
        case _:
            return name_of(die) or "void"


# --- types -----------------------------------------------------------------------------------------


def _attribute(die: Any, name: str) -> int:
    value = die.attributes.get(name)
    return value.value if value is not None and isinstance(value.value, int) else 0


def convert(die: Any, depth: int) -> Type:
    """A type of the program. Structs are complete up to `depth` pointers away, and names only beyond."""
    die = _stripped(die)
    if die is None:
        return VOID
    size = _attribute(die, "DW_AT_byte_size")
    if die.tag in _POINTERS or die.tag == "DW_TAG_ptr_to_member_type":
        target = _stripped(_type_die(die))
        if target is None or target.tag == "DW_TAG_subroutine_type" or die.tag == "DW_TAG_ptr_to_member_type":
            return Pointer(VOID, "user")
        return Pointer(convert(target, depth - 1), "user")
    if die.tag == "DW_TAG_base_type":
        return _base(size, _ENCODINGS.get(_attribute(die, "DW_AT_encoding"), "unsigned"))
    if die.tag == "DW_TAG_enumeration_type":
        signed = any(_attribute(c, "DW_AT_const_value") < 0 for c in die.iter_children())
        members = tuple((name_of(c), _attribute(c, "DW_AT_const_value")) for c in die.iter_children())
        return Enum(name_of(die), _bits(size or 4), signed, members)
    if die.tag == "DW_TAG_array_type":
        return _array(die, depth)
    if die.tag in _STRUCTS:
        return _struct(die, size, depth)
    return VOID


def _bits(size: int) -> Literal[8, 16, 32, 64]:
    return cast(Literal[8, 16, 32, 64], size * 8)


def _base(size: int, encoding: str) -> Type:
    if encoding == "bool" and size == 1:
        return BOOL
    if size not in (1, 2, 4, 8) or encoding == "float":
        return Array(Int(8, False), size)
    return Int(_bits(size), encoding == "signed")


def _array(die: Any, depth: int) -> Type:
    made = convert(_type_die(die), depth)
    counts = []
    for dimension in die.iter_children():
        if dimension.tag == "DW_TAG_subrange_type":
            upper = dimension.attributes.get("DW_AT_upper_bound")
            counts.append(
                _attribute(dimension, "DW_AT_count")
                or (upper.value + 1 if upper and isinstance(upper.value, int) else 0)
            )
    for count in reversed(counts or [0]):
        made = Array(made, count)
    return made


def _struct(die: Any, size: int, depth: int) -> Struct:
    tag: Literal["struct", "union"] = "union" if die.tag == "DW_TAG_union_type" else "struct"
    if depth < 0 or "DW_AT_declaration" in die.attributes:
        return Struct(tag, name_of(die), size, None)
    fields = []
    for member in die.iter_children():
        if member.tag not in ("DW_TAG_member", "DW_TAG_inheritance") or "DW_AT_external" in member.attributes:
            continue
        # What is within this struct is as near as the struct itself.
        type = convert(_type_die(member), depth)
        offset = _attribute(member, "DW_AT_data_member_location")
        bits = _attribute(member, "DW_AT_bit_size")
        if bits:
            start = _attribute(member, "DW_AT_data_bit_offset") or offset * 8
            unit = max(type.size, 1) * 8
            fields.append(Field(name_of(member), type, start // unit * unit // 8, start % unit, bits))
        else:
            fields.append(Field(name_of(member), type, offset))
    return Struct(tag, name_of(die), size, tuple(fields))


# --- lines -----------------------------------------------------------------------------------------


def addresses_of_line(elf: Elf, source: str, line: int, column: int = 0) -> list[int]:
    """Where the code of a source line begins, once for each place the line was compiled to. `source` is the end of the
    file's path. Raises `ProbeError` without debug info or where no such file was compiled."""
    dwarf = info(elf)
    if dwarf is None:
        raise ProbeError(f"{elf.path} has no debug info", "install its debug symbols, or build it with -g")
    found: list[int] = []
    known = False
    for unit in dwarf.iter_CUs():
        program = dwarf.line_program_for_CU(unit)
        if program is None:
            continue
        wanted = _file_numbers(program, source)
        known = known or bool(wanted)
        if wanted:
            found += _statements(program, wanted, line, column)
    if not known:
        raise ProbeError(f"no source file of {elf.path} is called {source}")
    return sorted(set(found))


def _file_numbers(program: Any, source: str) -> set[int]:
    header = program.header
    first = 0 if header.version >= 5 else 1
    directories = [d.decode("utf-8", "replace") if isinstance(d, bytes) else str(d) for d in header.include_directory]
    wanted = set()
    for number, entry in enumerate(header.file_entry, first):
        name = entry.name.decode("utf-8", "replace")
        index = entry.dir_index - (0 if header.version >= 5 else 1)
        path = f"{directories[index]}/{name}" if 0 <= index < len(directories) else name
        if path == source or path.endswith(f"/{source}"):
            wanted.add(number)
    return wanted


def _statements(program: Any, files: set[int], line: int, column: int) -> Iterator[int]:
    """The first instruction of each run of instructions that belong to the line."""
    inside = False
    for entry in program.get_entries():
        state = entry.state
        if state is None:
            continue
        here = state.file in files and state.line == line and column in (0, state.column) and not state.end_sequence
        if here and not inside and state.is_stmt:
            yield state.address
        inside = here and (inside or state.is_stmt)


def code_near(elf: Elf, source: str, line: int) -> tuple[list[int], list[int]]:
    """The columns of a line that code begins at, and the nearest lines with code, one before and one behind it."""
    columns: set[int] = set()
    lines: set[int] = set()
    for unit in info(elf).iter_CUs():
        program = info(elf).line_program_for_CU(unit)
        wanted = _file_numbers(program, source) if program is not None else set()
        for entry in program.get_entries() if wanted else ():
            state = entry.state
            if state is not None and state.file in wanted and state.is_stmt and not state.end_sequence:
                lines.add(state.line)
                if state.line == line and state.column:
                    columns.add(state.column)
    before, behind = [n for n in lines if 0 < n < line], [n for n in lines if n > line]
    return sorted(columns), ([max(before)] if before else []) + ([min(behind)] if behind else [])
