"""The import graph of the package: which modules import each other in a circle, counting imports inside functions."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parent.parent / "pytrace"

KNOWN = {
    frozenset({"pytrace.codegen.access", "pytrace.codegen.direct"}),
    frozenset({"pytrace.codegen.loops", "pytrace.codegen.lower", "pytrace.codegen.statements"}),
    frozenset({"pytrace.kernel.debugfile", "pytrace.kernel.elf"}),
    frozenset({"pytrace.probes.fentry", "pytrace.probes.lowering"}),
    frozenset({"pytrace.program", "pytrace.serial"}),
}
"""Circles that are still there. No new one may come; one that is gone must be taken off the list."""


def module_name(path: Path) -> str:
    parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in PACKAGE.rglob("*.py")}


def for_type_checkers(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imported(module: str, tree: ast.AST) -> set[str]:
    """Returns the modules of the package that a module imports, at its top or in a function; not for types only."""
    found: set[str] = set()
    waiting = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import):
            found.update(alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                found.add(whole if whole in MODULES else node.module)
        waiting.extend(
            node.orelse if isinstance(node, ast.If) and for_type_checkers(node) else ast.iter_child_nodes(node)
        )
    return (found & MODULES.keys()) - {module}


def circles(graph: dict[str, set[str]]) -> set[frozenset[str]]:
    """Returns the strongly connected components with more than one module."""

    def reached(start: str, edges: dict[str, set[str]]) -> set[str]:
        seen, waiting = {start}, [start]
        while waiting:
            new = edges[waiting.pop()] - seen
            seen |= new
            waiting.extend(new)
        return seen

    importers: dict[str, set[str]] = {module: set() for module in graph}
    for module, targets in graph.items():
        for target in targets:
            importers[target].add(module)
    found = {frozenset(reached(module, graph) & reached(module, importers)) for module in graph}
    return {component for component in found if len(component) > 1}


def test_no_new_import_circles() -> None:
    graph = {module: imported(module, ast.parse(path.read_text())) for module, path in MODULES.items()}
    assert circles(graph) == KNOWN


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("from pytrace import program", {"pytrace.program"}),
        ("def f():\n    import pytrace.program", {"pytrace.program"}),
        ("if TYPE_CHECKING:\n    from pytrace.program import Program", set()),
        ("if TYPE_CHECKING:\n    pass\nelse:\n    from pytrace.program import Program", {"pytrace.program"}),
    ],
)
def test_what_counts_as_an_import(source: str, expected: set[str]) -> None:
    assert imported("elsewhere", ast.parse(source)) == expected
