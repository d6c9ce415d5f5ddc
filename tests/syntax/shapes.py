"""A compact way to write down the tree that a text should have."""

from __future__ import annotations

import dataclasses
from typing import Any

from pytrace.diagnostics import Source
from pytrace.syntax import ast, parse, parse_expression, parse_statements


def shape(node: Any) -> Any:
    """Nodes as `(class, field, …)`, leaves as themselves: `("Binary", "+", ("Integer", 1), …)`. Trailing fields that
    have their usual value (False, None) are left out."""
    if isinstance(node, tuple):
        return tuple(map(shape, node))
    if not isinstance(node, ast.Node):
        return node
    values = [shape(getattr(node, f.name)) for f in dataclasses.fields(node) if f.compare]  # type: ignore[arg-type]
    while values and (values[-1] is None or values[-1] is False):
        values.pop()
    return (type(node).__name__, *values)


def expr(text: str) -> Any:
    """An expression in prefix form: `(+ 1 (* 2 3))`, as nested tuples of strings."""
    return prefix(parse_expression(Source("-e", text)))


def prefix(node: Any) -> str:
    """The tree of an expression as text, every operator before its operands."""
    match node:
        case ast.Integer(value) | ast.String(value) | ast.Boolean(value):
            return repr(value)
        case ast.Identifier(name):
            return str(name)
        case ast.Variable(name):
            return f"${name}"
        case ast.Map(name):
            return f"@{name}"
        case ast.Positional(index):
            return f"${index}"
        case ast.PositionalCount():
            return "$#"
        case ast.Binary(op, left, right):
            return f"({op} {prefix(left)} {prefix(right)})"
        case ast.Unary(op, operand):
            return f"(unary{op} {prefix(operand)})"
        case ast.Increment(op, target, before):
            return f"({'pre' if before else 'post'}{op} {prefix(target)})"
        case ast.Ternary(condition, then, otherwise):
            return f"(? {prefix(condition)} {'-' if then is None else prefix(then)} {prefix(otherwise)})"
        case ast.Cast(type_, operand):
            return f"(cast {prefix(type_)} {prefix(operand)})"
        case ast.Field(object_, name, arrow):
            return f"({'->' if arrow else '.'}{name} {prefix(object_)})"
        case ast.Index(object_, index):
            return f"(index {prefix(object_)} {prefix(index)})"
        case ast.MapAccess(map_, key):
            return f"(at {prefix(map_)} {prefix(key)})"
        case ast.Tuple(elements):
            return "(tuple" + "".join(f" {prefix(e)}" for e in elements) + ")"
        case ast.Record(fields):
            return "(record" + "".join(f" {name}={prefix(e)}" for name, e in fields) + ")"
        case ast.Call(name, args, bang):
            return f"({name}{'!' if bang else ''}()" + "".join(f" {prefix(a)}" for a in args) + ")"
        case ast.Sizeof(of):
            return f"(sizeof {prefix(of)})"
        case ast.Typeinfo(of):
            return f"(typeinfo {prefix(of)})"
        case ast.Offsetof(of, path):
            return f"(offsetof {prefix(of)} {'.'.join(path)})"
        case ast.Comptime(operand):
            return f"(comptime {prefix(operand)})"
        case ast.BlockExpr(body, value):
            return "(block" + "".join(f" {shape(s)}" for s in body) + f" {prefix(value)})"
        case ast.NamedType(name, tag):
            return f"<{tag} {name}>" if tag else f"<{name}>"
        case ast.PointerType(to):
            return f"<ptr {prefix(to)}>"
        case ast.ArrayType(element, size):
            return f"<array {prefix(element)}{'' if size is None else ' ' + prefix(size)}>"
        case ast.TupleType(elements):
            return "<tuple " + " ".join(map(prefix, elements)) + ">"
        case ast.TypeofType(of):
            return f"<typeof {prefix(of)}>"
    raise AssertionError(node)


def script(text: str) -> ast.Script:
    return parse(Source("-e", text))


def statements(text: str) -> Any:
    """The shapes of statements that stand alone."""
    return shape(parse_statements(Source("-e", text)))


def points(text: str) -> list[str]:
    """The attach points of a script's only probe."""
    (probe,) = script(text).probes
    return [point.text for point in probe.points]
