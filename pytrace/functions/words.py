"""What is called like a function and is a part of the language: entries for the reference and for completion."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace.functions.base import function
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Language"


def _misused(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    from pytrace.functions.base import REGISTRY

    if n.name == "getopt":  # one that is right has become a literal, what is wrong with this one was said
        return c.error(n.span)
    return c.error(n.span, f"{n.name} cannot be used like this", f"usage: {REGISTRY[n.name].signature}")


for _signature, _doc, _example in (
    (
        "getopt(const string name[, default[, const string description]]) -> the default's type, or bool",
        "A parameter given after -- as --name=value; without a default it is a flag.",
        'begin { print(getopt("limit", 10, "how many")); }',
    ),
    ("sizeof(type or value) -> uint64", "The size in bytes.", "begin { print(sizeof(struct task_struct)); }"),
    (
        "offsetof(type or value, member) -> uint64",
        "How many bytes into a structure a member stands; a.b.c for members of members.",
        "begin { print(offsetof(struct task_struct, pid)); }",
    ),
    ("typeof(value) -> type", "The type of a value, wherever a type may stand.", "begin { let $x: typeof(pid) = 1; }"),
    (
        "typeinfo(type or value) -> record",
        "What a type is: base_type and full_type are strings. Wants config = { unstable_typeinfo=enable }.",
        "config = { unstable_typeinfo=enable } begin { print(typeinfo(pid).full_type); }",
    ),
):
    function(_signature, _doc, _example, group=GROUP)(_misused)
