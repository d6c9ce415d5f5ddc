"""Text to AST and back. Nothing here knows about kernels."""

from __future__ import annotations

from pytrace.diagnostics import Source
from pytrace.syntax import ast
from pytrace.syntax.parser import Parser

__all__ = ["ast", "parse", "parse_expression", "parse_statements", "print_expr", "print_script", "print_stmt"]


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


# The printer is imported by those who print.


def print_script(script: ast.Script) -> str:
    """The script in canonical form (`--fmt`), comments included; it parses to an equal AST."""
    from pytrace.syntax import printer

    return printer.print_script(script)


def print_stmt(statement: ast.Stmt) -> str:
    """One statement with its `;`, without a newline at the end and without comments."""
    from pytrace.syntax import printer

    return printer.print_stmt(statement)


def print_expr(expression: ast.Expr | ast.TypeExpr) -> str:
    """An expression or a type. On several lines only if it holds a block with statements."""
    from pytrace.syntax import expressions

    return expressions.print_expr(expression)
