"""C's expressions, from pycparser's tree to the language's own, which `fold` evaluates."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pycparser import c_ast

from pytrace.diagnostics import Span
from pytrace.semantics.c.tokens import CError, character, number, unquote
from pytrace.syntax import ast

_UNARY = frozenset(("-", "+", "~", "!", "*", "&"))


def expression(node: Any, place: Callable[[Any], Span]) -> ast.Expr:
    """The expression; `place` gives the span of a node's `coord`. Raises `CError` for what the language has not."""

    def typed(node: Any) -> ast.Expr | ast.TypeExpr:
        return type_name(node, place) if isinstance(node, c_ast.Typename) else build(node)

    def build(node: Any) -> ast.Expr:
        if node is None:
            raise CError(place(None), "expected an expression")
        span = place(node.coord)
        match node:
            case c_ast.Constant():
                return _constant(node, span)
            case c_ast.ID():
                return ast.Identifier(node.name, span=span)
            case c_ast.UnaryOp(op="sizeof"):
                return ast.Sizeof(typed(node.expr), span=span)
            case c_ast.UnaryOp() if node.op in _UNARY:
                operand = build(node.expr)
                return operand if node.op == "+" else ast.Unary(node.op, operand, span=span.to(operand.span))
            case c_ast.BinaryOp():
                left, right = build(node.left), build(node.right)
                return ast.Binary(node.op, left, right, span=left.span.to(right.span))
            case c_ast.TernaryOp():
                condition, otherwise = build(node.cond), build(node.iffalse)
                then = None if node.iftrue is None else build(node.iftrue)
                return ast.Ternary(condition, then, otherwise, span=condition.span.to(otherwise.span))
            case c_ast.Cast():
                operand = build(node.expr)
                return ast.Cast(type_name(node.to_type, place), operand, span=span.to(operand.span))
            case c_ast.StructRef():
                of = build(node.name)
                return ast.Field(of, node.field.name, node.type == "->", span=of.span.to(place(node.field.coord)))
            case c_ast.ArrayRef():
                of, at = build(node.name), build(node.subscript)
                return ast.Index(of, at, span=of.span.to(at.span))
            case c_ast.FuncCall(name=c_ast.ID(name="offsetof")):
                of, path = node.args.exprs
                return ast.Offsetof(typed(of), _path(path, span), span=span)
            case c_ast.FuncCall(name=c_ast.ID()):
                args = node.args.exprs if node.args else ()
                return ast.Call(node.name.name, tuple(build(a) for a in args), span=span)
            case _:
                raise CError(span, "expected a simple expression")

    return build(node)


def type_name(node: Any, place: Callable[[Any], Span]) -> ast.TypeExpr:
    """A type as C writes it. Raises `CError` for what the language has not."""
    span = place(node.coord)
    match node:
        case c_ast.Typename() | c_ast.TypeDecl():
            return type_name(node.type, place)
        case c_ast.PtrDecl():
            return ast.PointerType(type_name(node.type, place), span=span)
        case c_ast.ArrayDecl():
            size = None if node.dim is None else expression(node.dim, place)
            return ast.ArrayType(type_name(node.type, place), size, span=span)
        case c_ast.IdentifierType():
            return ast.NamedType({"_Bool": "bool"}.get(name := " ".join(node.names), name), span=span)
        case c_ast.Struct() | c_ast.Union() | c_ast.Enum() if node.name:
            return ast.NamedType(node.name, type(node).__name__.lower(), span=span)  # type: ignore[arg-type]  # a tag
        case _:
            raise CError(span, "expected the name of a type")


def _constant(node: Any, span: Span) -> ast.Expr:
    if node.type == "string":
        return ast.String(unquote(node.value), span=span)
    value = character(node.value) if "'" in node.value else number(node.value)
    if value is None:
        raise CError(span, f"not an integer: {node.value}")
    plain = ast.Integer(abs(value), span=span)
    return ast.Unary("-", plain, span=span) if value < 0 else plain


def _path(node: Any, span: Span) -> tuple[str, ...]:
    match node:
        case c_ast.ID():
            return (node.name,)
        case c_ast.StructRef(type="."):
            return (*_path(node.name, span), node.field.name)
        case _:
            raise CError(span, "offsetof takes a type and the name of a member")
