"""BTF as C, for people to read: definitions of structs and enums, and the types of parameters as the source has them.

Unlike `btf_types` this keeps typedefs and qualifiers. Padding, alignment and packing are not shown.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.kernel import btf_raw as k
from pytrace.kernel.btf_raw import info_kind
from pytrace.kernel.errors import KernelError

if TYPE_CHECKING:
    from pytrace.kernel.btf import Btf, Function

# Damaged BTF might have a circle of pointers or qualifiers.
_LONGEST_CHAIN = 256
_QUALIFIERS = {k.CONST: "const", k.VOLATILE: "volatile", k.RESTRICT: "restrict"}
_KEYWORDS = {k.STRUCT: "struct", k.UNION: "union", k.ENUM: "enum", k.ENUM64: "enum"}


def definition(btf: Btf, id: int) -> str:
    """The definition of a struct, union or enum, on lines indented by tabs, ending in `};`."""
    return _body(btf, id, 0) + ";"


def declare(btf: Btf, id: int, name: str = "", level: int = 0) -> str:
    """A declaration of `name` with the type of that id; without a name, the type alone (`struct file *`)."""
    qualifiers: list[str] = []
    inner, wrap = name, False
    for _ in range(_LONGEST_CHAIN):
        record = btf.record(id) if id else [0, 0, 0]
        kind = info_kind(record[1])
        if kind in _QUALIFIERS:
            if _QUALIFIERS[kind] not in qualifiers:  # BTF has `const const` for const arrays of const
                qualifiers.append(_QUALIFIERS[kind])
            id = record[2]
        elif kind == k.TYPE_TAG:
            id = record[2]
        elif kind == k.PTR:
            own = "".join(f" {q}" for q in qualifiers)
            space = " " if inner and (own or inner[0] == "(") else ""
            inner, qualifiers, wrap, id = f"*{own}{space}{inner}", [], True, record[2]
        elif kind in (k.ARRAY, k.FUNC_PROTO):
            inner = f"({inner})" if wrap else inner
            wrap = False
            inner += f"[{record[5]}]" if kind == k.ARRAY else _parameters(btf, record)
            id = record[3] if kind == k.ARRAY else record[2]
        else:
            base = " ".join([*qualifiers, _base(btf, id, record, level)])
            return f"{base} {inner}" if inner else base
    raise KernelError(f"BTF is damaged at type {id}")


def parameters(btf: Btf, function: Function) -> list[str]:
    """`type name` of each parameter, as probe listings show them."""
    record = btf.record(function.proto)
    types = record[4 : None if not function.variadic else -1 : 2]
    types = types[len(types) - len(function.params) :]
    return [f"{declare(btf, type)} {name}" for type, (name, _) in zip(types, function.params, strict=True)]


def returns(btf: Btf, function: Function) -> str:
    """The type that a function returns."""
    return declare(btf, btf.record(function.proto)[2])


def _parameters(btf: Btf, record: list[int]) -> str:
    shown = []
    for name, type in zip(record[3::2], record[4::2], strict=True):
        shown.append(declare(btf, type, btf.text(name)) if type else "...")
    return f"({', '.join(shown) or 'void'})"


def _base(btf: Btf, id: int, record: list[int], level: int) -> str:
    kind, name = info_kind(record[1]), btf.text(record[0])
    if id == 0:
        return "void"
    if kind == k.FWD:
        return f"{'union' if record[1] >> 31 else 'struct'} {name}"
    if kind in _KEYWORDS:
        return f"{_KEYWORDS[kind]} {name}" if name else _body(btf, id, level)
    return name


def _body(btf: Btf, id: int, level: int) -> str:
    record = btf.record(id)
    kind = info_kind(record[1])
    head, indent, lines = f"{_KEYWORDS[kind]} {btf.text(record[0])}".rstrip(), "\t" * (level + 1), []
    if kind in (k.ENUM, k.ENUM64):
        suffix = ("LL" if record[1] >> 31 else "ULL") if kind == k.ENUM64 else ""
        lines = [f"{indent}{name} = {value}{suffix}," for name, value in getattr(btf.type(id), "members", ())]
    else:
        for name, type_id, offset in zip(record[3::3], record[4::3], record[5::3], strict=True):
            width = f": {offset >> 24}" if record[1] >> 31 and offset >> 24 else ""
            lines.append(f"{indent}{declare(btf, type_id, btf.text(name), level + 1)}{width};")
    if not lines:
        return f"{head} {{}}"
    return "\n".join([f"{head} {{", *lines, "\t" * level + "}"])
