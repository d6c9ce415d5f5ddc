"""Types as C declarations: the C compiler is asked whether the declarator means what the type says."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.commands.declaration import declaration
from pytrace.types import Array, Enum, Field, Int, Pointer, Struct, Type

INT = Int(32, True)
ANONYMOUS = Struct("union", "", 8, (Field("a", INT, 0), Field("b", Pointer(INT), 0)))


def struct(*members: tuple[str, Type]) -> Struct:
    fields, offset = [], 0
    for name, type_ in members:
        offset = -(-offset // type_.align) * type_.align
        fields.append(Field(name, type_, offset))
        offset += type_.size
    return Struct("struct", "s", offset, tuple(fields))


def test_members_nest_and_bitfields_show_their_width() -> None:
    tag = Struct("struct", "list", 16, None)
    inner = (Field("x", INT, 0), Field("", ANONYMOUS, 8), Field("u", ANONYMOUS, 16), Field("next", Pointer(tag), 24))
    shown = declaration(Struct("struct", "s", 40, (*inner, Field("f", INT, 32, 0, 3))))
    assert shown == (
        "struct s {\n\tint32 x;\n\tunion {\n\t\tint32 a;\n\t\tint32 *b;\n\t};\n"
        "\tunion {\n\t\tint32 a;\n\t\tint32 *b;\n\t} u;\n\tstruct list *next;\n\tint32 f : 3;\n};"
    )


def test_enum() -> None:
    assert declaration(Enum("e", 32, True, (("A", 0), ("B", -1)))) == "enum e {\n\tA = 0,\n\tB = -1,\n};"


@pytest.mark.parametrize(
    "type_",
    [
        Array(Pointer(INT), 3),
        Pointer(Array(INT, 3)),
        Pointer(Pointer(Array(Array(INT, 2), 5))),
        Array(Pointer(Array(INT, 7)), 2),
    ],
    ids=str,
)
def test_a_c_compiler_agrees_about_size_and_what_is_pointed_to(type_: Type, compile_c: Callable[..., Path]) -> None:
    shown = declaration(struct(("m", type_), ("end", INT)))
    inner, path = type_, "s.m"
    sizes, wanted = [], []
    while isinstance(inner, Pointer | Array):
        sizes.append(f"sizeof({path})")
        wanted.append(inner.size)
        path = f"(*{path})"
        inner = inner.to if isinstance(inner, Pointer) else inner.element
    printing = "".join(f'printf("%zu ", {size});' for size in sizes)
    program = compile_c(
        f"#include <stdio.h>\ntypedef int int32;\n{shown}\nint main(void) {{ struct s s; {printing} }}\n"
    )
    output = subprocess.run([program], check=True, capture_output=True, text=True).stdout
    assert [int(n) for n in output.split()] == wanted
