"""Builds expressions from Python's syntax, so that tests of passes over the AST need no parser of the language.

`v_x` stands for `$x`, `m_x` for `@x`, `m_x[k]` for `@x[k]`, `p_1` for `$1`, `p_count` for `$#`; `not/and/or` for
`! && ||`, `a if c else b` for `c ? a : b`, and `cast(T, x)` for `(T)x`. Every span is that of the text it came from.
"""

from __future__ import annotations

import ast as py

from pytrace.diagnostics import Source, Span
from pytrace.syntax import ast

_BINARY = {
    py.Add: "+", py.Sub: "-", py.Mult: "*", py.Div: "/", py.Mod: "%", py.BitAnd: "&", py.BitOr: "|",
    py.BitXor: "^", py.LShift: "<<", py.RShift: ">>",
}  # fmt: skip
_COMPARE = {py.Eq: "==", py.NotEq: "!=", py.Lt: "<", py.LtE: "<=", py.Gt: ">", py.GtE: ">="}
_UNARY = {py.USub: "-", py.Invert: "~", py.Not: "!", py.UAdd: "+"}


def expr(text: str, name: str = "test") -> ast.Expr:
    source = Source(name, text)
    return _Builder(source).node(py.parse(text, mode="eval").body)


def span(text: str = "test") -> Span:
    return Span(Source("test", text), 0, len(text))


class _Builder:
    def __init__(self, source: Source) -> None:
        self.source = source

    def node(self, n: py.expr) -> ast.Expr:
        at = Span(self.source, n.col_offset, n.end_col_offset or n.col_offset)
        match n:
            case py.Constant(value=bool(v)):
                return ast.Boolean(v, span=at)
            case py.Constant(value=int(v)):
                return ast.Integer(v, span=at)
            case py.Constant(value=str(v)):
                return ast.String(v, span=at)
            case py.UnaryOp():
                return ast.Unary(_UNARY[type(n.op)], self.node(n.operand), span=at)
            case py.BinOp():
                return ast.Binary(_BINARY[type(n.op)], self.node(n.left), self.node(n.right), span=at)
            case py.Compare():
                return ast.Binary(_COMPARE[type(n.ops[0])], self.node(n.left), self.node(n.comparators[0]), span=at)
            case py.BoolOp():
                op = "&&" if isinstance(n.op, py.And) else "||"
                return ast.Binary(op, self.node(n.values[0]), self.node(n.values[1]), span=at)
            case py.IfExp():
                return ast.Ternary(self.node(n.test), self.node(n.body), self.node(n.orelse), span=at)
            case py.Tuple():
                return ast.Tuple(tuple(map(self.node, n.elts)), span=at)
            case py.Subscript():
                target, key = self.node(n.value), self.node(n.slice)
                return (
                    ast.MapAccess(target, key, span=at)
                    if isinstance(target, ast.Map)
                    else ast.Index(target, key, span=at)
                )
            case py.Attribute():
                return ast.Field(self.node(n.value), n.attr, span=at)
            case py.Call(func=py.Name(id="cast"), args=[py.Name(id=kind), operand]):
                return ast.Cast(ast.NamedType(kind, span=at), self.node(operand), span=at)
            case py.Call(func=py.Name(id="sizeof"), args=[of]):
                return ast.Sizeof(self.node(of), span=at)
            case py.Call(func=py.Name(id="typeof"), args=[of]):
                return ast.TypeofType(self.node(of), span=at)  # type: ignore[return-value]  # an argument may be a type
            case py.Call(func=py.Name(id="comptime"), args=[operand]):
                return ast.Comptime(self.node(operand), span=at)
            case py.Call(func=py.Name(id=name)):
                return ast.Call(name, tuple(map(self.node, n.args)), span=at)
            case py.Name(id="p_count"):
                return ast.PositionalCount(span=at)
            case py.Name(id=name) if name.startswith("p_"):
                return ast.Positional(int(name[2:]), span=at)
            case py.Name(id=name) if name.startswith("v_"):
                return ast.Variable(name[2:], span=at)
            case py.Name(id=name) if name.startswith("m_"):
                return ast.Map(name[2:], span=at)
            case py.Name(id=name):
                return ast.Identifier(name, span=at)
        raise AssertionError(f"no form for {py.dump(n)}")


def script(*items: ast.Probe | ast.Macro | ast.Subprogram | ast.MapDecl, text: str = "script") -> ast.Script:
    at = span(text)
    return ast.Script(at.source, (), None, (), items, span=at)


def probe(*body: ast.Stmt | str, point: str = "begin", predicate: str | None = None) -> ast.Probe:
    at = span()
    return ast.Probe(
        (ast.AttachPoint(point, span=Span(Source("test", point), 0, len(point))),),
        expr(predicate) if predicate else None,
        ast.Block(statements(*body), span=at),
        span=at,
    )


def statements(*body: ast.Stmt | str) -> tuple[ast.Stmt, ...]:
    """Statements as they are, or as text: `v_x = 1`, `m_x[1] += 2` or an expression."""
    return tuple(_statement(s) if isinstance(s, str) else s for s in body)


def _statement(text: str) -> ast.Stmt:
    (n,) = py.parse(text).body
    builder = _Builder(Source("test", text))
    at = span(text)
    match n:
        case py.Assign():
            return ast.Assign(builder.node(n.targets[0]), builder.node(n.value), span=at)
        case py.AugAssign():
            return ast.Assign(builder.node(n.target), builder.node(n.value), _BINARY[type(n.op)], span=at)
        case py.Expr():
            return ast.ExprStmt(builder.node(n.value), span=at)
    raise AssertionError(f"no form for {py.dump(n)}")
