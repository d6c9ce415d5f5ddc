"""A struct, union or enum as a C declaration, its members in the language's own types."""

from __future__ import annotations

from pytrace.types import Array, Enum, Field, Pointer, Struct, Type


def declaration(type_: Struct | Enum) -> str:
    """The whole declaration, ending in `};`."""
    return _body(type_, "") + ";"


def _body(type_: Struct | Enum, indent: str) -> str:
    lines = [f"{indent}{type_} {{"]
    if isinstance(type_, Enum):
        lines += [f"{indent}\t{name} = {value}," for name, value in type_.members]
    else:
        lines += [_member(field, indent + "\t") for field in type_.fields or ()]
    return "\n".join([*lines, indent + "}"])


def _member(field: Field, indent: str) -> str:
    width = f" : {field.bit_size}" if field.bit_size else ""
    inner = _innermost(field.type)
    declarator = _declarator(field.type, field.name)
    if isinstance(inner, Struct | Enum) and not inner.name and (isinstance(inner, Enum) or inner.fields is not None):
        return f"{_body(inner, indent)}{' ' + declarator if declarator else ''}{width};"
    return f"{indent}{inner} {declarator}{width};"


def _innermost(type_: Type) -> Type:
    while isinstance(type_, Pointer | Array):
        type_ = type_.to if isinstance(type_, Pointer) else type_.element
    return type_


def _declarator(type_: Type, name: str) -> str:
    """What stands right of the innermost type in C: `*name[4]`."""
    while True:
        match type_:
            case Pointer(to=to):
                # A pointer to an array needs parentheses, or it would be an array of pointers.
                name = f"(*{name})" if isinstance(to, Array) else f"*{name}"
                type_ = to
            case Array(element=element, count=count):
                name = f"{name}[{count}]"
                type_ = element
            case _:
                return name
