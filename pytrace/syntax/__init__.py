"""Text to AST and back. Nothing here knows about kernels."""

from __future__ import annotations

from pytrace.diagnostics import Source
from pytrace.syntax import ast
from pytrace.syntax.parser import Parser

__all__ = ["ast", "parse", "parse_expression", "parse_statements"]


def parse(source: Source) -> ast.Script:
    """The AST of a whole script. Raises ScriptError with every syntax error that was found."""
    script: ast.Script = Parser(source, "script").parse()
    return script


def parse_statements(source: Source) -> tuple[ast.Stmt, ...]:
    """Statements without a probe around them, as typed at a prompt. Raises ScriptError."""
    statements: tuple[ast.Stmt, ...] = Parser(source, "entry").parse()
    return statements


def parse_expression(source: Source) -> ast.Expr:
    """A single expression and nothing else. Raises ScriptError."""
    expression: ast.Expr = Parser(source, "expression").parse()
    return expression
