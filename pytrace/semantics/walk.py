"""Walking and rewriting the AST, for passes that care about a few kinds of node and pass the rest through."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from pytrace.record import fields, replace
from pytrace.syntax import ast

N = TypeVar("N", bound=ast.Node)


_PART_NAMES: dict[type[ast.Node], tuple[str, ...]] = {}
_NO_PARTS = ("span", "source", "op", "prefix", "arrow", "bang", "tag")


def part_names(kind: type[ast.Node]) -> tuple[str, ...]:
    """The fields of a kind of node that can hold other nodes, in source order."""
    names = _PART_NAMES.get(kind)
    if names is None:
        names = _PART_NAMES[kind] = tuple(f.name for f in fields(kind) if f.name not in _NO_PARTS)
    return names


def children(node: ast.Node) -> Iterator[ast.Node]:
    """The nodes directly below, in source order."""
    for name in part_names(type(node)):
        yield from _nodes(getattr(node, name))


def _nodes(part: object) -> Iterator[ast.Node]:
    if isinstance(part, ast.Node):
        yield part
    elif isinstance(part, tuple):
        for p in part:
            yield from _nodes(p)


def walk(node: ast.Node) -> Iterator[ast.Node]:
    """A node and everything below it, parents first."""
    waiting = [node]
    while waiting:
        yield (node := waiting.pop())
        waiting += [*children(node)][::-1]


def rewrite(node: N, change: Callable[[ast.Node], ast.Node | None]) -> N:
    """The tree with `change` tried on every node from the top down. Where it gives a node, that one takes the place and
    is not looked into again; where it gives None, the parts are rewritten. Untouched subtrees stay the same objects.
    It is up to `change` to put expressions where expressions stood."""
    return _rewrite(node, change)  # type: ignore[no-any-return]  # the caller's promise


def rewrite_parts(node: N, change: Callable[[ast.Node], ast.Node | None]) -> N:
    """As `rewrite`, but of what is below `node` only."""
    changed: dict[str, Any] = {}
    for name in part_names(type(node)):
        old = getattr(node, name)
        new = _rewrite(old, change)
        if new is not old:
            changed[name] = new
    return replace(node, **changed) if changed else node


def _rewrite(part: Any, change: Callable[[ast.Node], ast.Node | None]) -> Any:
    if isinstance(part, ast.Node):
        new = change(part)
        return new if new is not None else rewrite_parts(part, change)
    if isinstance(part, tuple):
        parts = [_rewrite(p, change) for p in part]
        return tuple(parts) if any(a is not b for a, b in zip(parts, part, strict=True)) else part
    return part
