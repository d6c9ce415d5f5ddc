"""`__builtin_NAME`, by which bpftrace's own library calls what it builds on, is NAME: whatever macros are called so."""

from __future__ import annotations

from pytrace.functions import REGISTRY
from pytrace.record import replace
from pytrace.semantics.expressions import numbered
from pytrace.semantics.walk import rewrite
from pytrace.syntax import ast

PREFIX = "__builtin_"


def rename_builtins(script: ast.Script) -> ast.Script:
    """The script with every builtin and function by its own name. To be done when the macros are gone."""
    return replace(script, items=tuple(rewrite(item, _renamed) for item in script.items))


def _renamed(node: ast.Node) -> ast.Node | None:
    if isinstance(node, ast.Identifier | ast.Call) and node.name.startswith(PREFIX):
        name = node.name.removeprefix(PREFIX)
        if numbered(name) in REGISTRY:
            return rewrite(replace(node, name=name), _renamed)
    return None
