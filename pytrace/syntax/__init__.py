"""Text to AST and back. Nothing here knows about kernels."""

from __future__ import annotations

from typing import Any

from pytrace.diagnostics import ScriptError, Source
from pytrace.recursion import deep
from pytrace.syntax import ast
from pytrace.syntax.lexer import looks_like_script
from pytrace.syntax.parser import Parser

__all__ = [
    "IncompleteError",
    "ast",
    "parse",
    "parse_entry",
    "parse_expression",
    "parse_statements",
    "print_expr",
    "print_script",
    "print_stmt",
]


class IncompleteError(ScriptError):
    """A text that only lacks its end: more lines could make it right."""


def parse(source: Source) -> ast.Script:
    """The AST of a whole script. Raises ScriptError with every syntax error that was found."""
    script: ast.Script = _parse(source, "script")
    return script


def parse_entry(source: Source) -> ast.Script | tuple[ast.Stmt, ...]:
    """What was typed at a prompt: a script (probes, macros, definitions) or bare statements, the last of which may be
    an expression to show. Raises IncompleteError if only the end is missing, else ScriptError."""
    if looks_like_script(source.text):
        return parse(source)
    return parse_statements(source)


def parse_statements(source: Source) -> tuple[ast.Stmt, ...]:
    """Statements without a probe around them, as typed at a prompt. Raises ScriptError."""
    statements: tuple[ast.Stmt, ...] = _parse(source, "entry")
    return statements


def parse_expression(source: Source) -> ast.Expr:
    """A single expression and nothing else. Raises ScriptError."""
    expression: ast.Expr = _parse(source, "expression")
    return expression


def _parse(source: Source, start: str) -> Any:
    parser = Parser(source, start)
    try:
        return parser.parse()
    except ScriptError as error:
        if parser.unfinished:
            raise IncompleteError(error.diagnostics) from None
        raise


# The printer is imported by those who print.


def print_script(script: ast.Script) -> str:
    """The script in canonical form (`--fmt`), comments included; it parses to an equal AST."""
    from pytrace.syntax import printer

    with deep():
        return printer.print_script(script)


def print_stmt(statement: ast.Stmt) -> str:
    """One statement with its `;`, without a newline at the end and without comments."""
    from pytrace.syntax import printer

    with deep():
        return printer.print_stmt(statement)


def print_expr(expression: ast.Expr | ast.TypeExpr) -> str:
    """An expression or a type. On several lines only if it holds a block with statements."""
    from pytrace.syntax import printer

    with deep():
        return printer.print_expr(expression)
