"""From reductions to nodes: one method per rule or alias of grammar.lark, called with its children and extent.

A block is kept as `_Statements` until it is known whether its place wants a value (`$x = { …; 1 }`) or not. What the
grammar lets through and the language does not (a definition after the first probe, `f()++`) is reported here.
"""

from __future__ import annotations

from typing import Any

from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.record import record
from pytrace.syntax import ast, literals
from pytrace.syntax.lexer import Lexer, Token

Extent = tuple[int, int]
Children = list[Any]


@record
class _Ended:
    """A statement with its `;`."""

    statement: ast.Stmt


@record
class _If:
    condition: ast.Expr
    then: _Statements
    otherwise: _Statements | _If | None
    span: Span


@record
class _Statements:
    """A block that may become an `ast.Block` or a value; `open` if the last statement has no `;`."""

    body: tuple[ast.Stmt | _If | _Block, ...]
    open: bool
    span: Span


@record
class _Block:
    statements: _Statements


class Builder:
    def __init__(self, source: Source, diagnostics: Diagnostics, lexer: Lexer) -> None:
        self.source = source
        self.diagnostics = diagnostics
        self.lexer = lexer
        self.late: list[tuple[Span, str, str]] = []
        """What is wrong if nothing else is: span, message and hint."""

    def span(self, extent: Extent) -> Span:
        return Span(self.source, extent[0], extent[1])

    def error(self, span: Span, message: str, hint: str | None = None) -> None:
        self.diagnostics.error(span, message, hint)

    # --- top level ------------------------------------------------------------------------------

    def script(self, children: Children, extent: Extent) -> ast.Script:
        definitions: list[ast.CDefinition] = []
        imports: list[ast.Import] = []
        items: list[ast.Probe | ast.Macro | ast.Subprogram | ast.MapDecl] = []
        config: ast.Config | None = None
        started = False
        for child in children:
            match child:
                case ast.CDefinition() | ast.Import() | ast.Config() if started:
                    what = {"CDefinition": "C definitions", "Import": "imports", "Config": "the config block"}
                    self.error(
                        child.span,
                        f"{what[type(child).__name__]} must come before the first probe, macro or function",
                        "move it to the top of the script",
                    )
                case ast.CDefinition():
                    definitions.append(child)
                case ast.Import():
                    imports.append(child)
                case ast.Config():
                    if config is not None:
                        self.error(child.span, "a second config block", "a script has one: join the two")
                    config = child
                case _:
                    started = started or not isinstance(child, ast.MapDecl)
                    items.append(child)
        return ast.Script(
            source=self.source,
            c_definitions=tuple(definitions),
            config=config,
            imports=tuple(imports),
            items=tuple(items),
            comments=tuple(ast.Comment(span=self.span(extent)) for extent in self.lexer.comments),
            span=Span(self.source, 0, len(self.source.text)),
        )

    def entry(self, children: Children, extent: Extent) -> tuple[ast.Stmt, ...]:
        return self._plain(self.block(children, extent)).body

    def expression(self, children: Children, extent: Extent) -> ast.Expr:
        expression: ast.Expr = children[0]
        return expression

    def c_definition(self, children: Children, extent: Extent) -> ast.CDefinition:
        return ast.CDefinition(children[0].text, span=self.span(extent))

    def config(self, children: Children, extent: Extent) -> ast.Config:
        return ast.Config(tuple(children[1:]), span=self.span(extent))

    def config_entry(self, children: Children, extent: Extent) -> ast.ConfigEntry:
        key, value = children
        span = self.span((value.start, value.end))
        decoded: ast.Expr | str
        match self.lexer.table.symbols[value.kind]:
            case "STRING":
                decoded = self.string([value], (value.start, value.end))
            case "NUMBER":
                decoded = self.integer([value], (value.start, value.end))
            case "TRUE" | "FALSE":
                decoded = ast.Boolean(value.text == "true", span=span)
            case _:
                decoded = value.text
        return ast.ConfigEntry(key.text, decoded, span=self.span(extent))

    def import_(self, children: Children, extent: Extent) -> ast.Import:
        return ast.Import(self._text(children[1]), span=self.span(extent))

    def map_decl(self, children: Children, extent: Extent) -> ast.MapDecl:
        _, name, kind, size = children[0], children[1], children[2], children[3]
        declared = ast.Map(name.text[1:], span=self.span((name.start, name.end)))
        return ast.MapDecl(declared, kind.text, size, span=self.span(extent))

    def probe(self, children: Children, extent: Extent) -> ast.Probe:
        name, points, predicate, body = children
        return ast.Probe(points, predicate, self._plain(body), name.text[:-1] if name else None, span=self.span(extent))

    def points(self, children: Children, extent: Extent) -> tuple[ast.AttachPoint, ...]:
        return tuple(ast.AttachPoint(t.text, span=self.span((t.start, t.end))) for t in children)

    def predicate(self, children: Children, extent: Extent) -> ast.Expr:
        condition: ast.Expr = children[1]
        return condition

    def macro(self, children: Children, extent: Extent) -> ast.Macro:
        name, *params, body = children[1:]
        statements, value = self._split(body)
        return ast.Macro(name.text, tuple(params), statements, value, span=self.span(extent))

    def subprogram(self, children: Children, extent: Extent) -> ast.Subprogram:
        _, name, params, returns, body = children
        return ast.Subprogram(name.text, params, returns, self._plain(body), span=self.span(extent))

    def params(self, children: Children, extent: Extent) -> tuple[ast.Param, ...]:
        return tuple(children)

    def param(self, children: Children, extent: Extent) -> ast.Param:
        return ast.Param(children[0].text[1:], children[1], span=self.span(extent))

    # --- blocks ---------------------------------------------------------------------------------

    def block(self, children: Children, extent: Extent) -> _Statements:
        children = [c for c in children if not isinstance(c, Token)]
        last_open = bool(children) and not isinstance(children[-1], _Ended)
        body = tuple(c.statement if isinstance(c, _Ended) else c for c in children)
        return _Statements(body, last_open, self.span(extent))

    def _plain(self, statements: _Statements) -> ast.Block:
        """The block where no value is wanted: a last expression is a statement."""
        return ast.Block(tuple(self._statement(s) for s in statements.body), span=statements.span)

    def _statement(self, statement: ast.Stmt | _If | _Block) -> ast.Stmt:
        match statement:
            case _If():
                return self._if(statement)
            case _Block():
                return self._plain(statement.statements)
            case _:
                return statement

    def _if(self, statement: _If) -> ast.If:
        condition, comptime = statement.condition, False
        if isinstance(condition, ast.Comptime):
            condition, comptime = condition.operand, True
        otherwise: ast.Block | ast.If | None = None
        if isinstance(statement.otherwise, _If):
            otherwise = self._if(statement.otherwise)
        elif statement.otherwise is not None:
            otherwise = self._plain(statement.otherwise)
        return ast.If(condition, self._plain(statement.then), otherwise, comptime, span=statement.span)

    def _split(self, statements: _Statements) -> tuple[tuple[ast.Stmt, ...], ast.Expr | None]:
        """The statements and the value that the block has, if it has one."""
        if statements.open and statements.body:
            *body, last = statements.body
            value = self._value_of(last)
            if value is not None:
                return tuple(self._statement(s) for s in body), value
        return self._plain(statements).body, None

    def _value_of(self, statement: ast.Stmt | _If | _Block) -> ast.Expr | None:
        if isinstance(statement, ast.ExprStmt):
            return statement.value
        if isinstance(statement, _Block):
            body, value = self._split(statement.statements)
            return None if value is None else ast.BlockExpr(body, value, span=statement.statements.span)
        if isinstance(statement, _If) and statement.otherwise is not None:
            then = self._branch(statement.then)
            if isinstance(statement.otherwise, _If):
                otherwise = self._value_of(statement.otherwise)
            else:
                otherwise = self._branch(statement.otherwise)
            if then is not None and otherwise is not None:
                return ast.Ternary(statement.condition, then, otherwise, span=statement.span)
        return None

    def _branch(self, statements: _Statements) -> ast.Expr | None:
        body, value = self._split(statements)
        if value is None or not body:
            return value
        return ast.BlockExpr(body, value, span=statements.span)

    # --- statements -----------------------------------------------------------------------------

    def ended(self, children: Children, extent: Extent) -> _Ended:
        return _Ended(children[0])

    def block_statement(self, children: Children, extent: Extent) -> _Block:
        return _Block(self.block(children, extent))

    def while_(self, children: Children, extent: Extent) -> ast.While:
        return ast.While(children[1], self._plain(children[2]), span=self.span(extent))

    def unroll(self, children: Children, extent: Extent) -> ast.Unroll:
        return ast.Unroll(children[1], self._plain(children[2]), span=self.span(extent))

    def for_(self, children: Children, extent: Extent) -> ast.Stmt:
        _, name, start, dots, end, body = children
        variable = ast.Variable(name.text[1:], span=self.span((name.start, name.end)))
        block = self._plain(body)
        if dots is not None:
            return ast.ForRange(variable, start, end, block, span=self.span(extent))
        if not isinstance(start, ast.Map):
            self.error(
                start.span,
                "a for loop runs over a map or a range",
                "write `for ($kv : @map) { … }` or `for ($i : 0..10) { … }`",
            )
            start = ast.Map("", span=start.span)
        return ast.ForMap(variable, start, block, span=self.span(extent))

    def if_(self, children: Children, extent: Extent) -> _If:
        _, condition, then, otherwise = children
        return _If(condition, then, otherwise, self.span(extent))

    def else_(self, children: Children, extent: Extent) -> _Statements | _If:
        branch: _Statements | _If = children[1]
        return branch

    def expression_statement(self, children: Children, extent: Extent) -> ast.ExprStmt:
        return ast.ExprStmt(children[0], span=self.span(extent))

    def assign(self, children: Children, extent: Extent) -> ast.Stmt:
        target, operator, value = children
        span = self.span(extent)
        match target:
            case ast.Identifier("_") if operator.text == "=":
                return ast.Discard(value, span=span)
            case ast.Variable() | ast.Map() | ast.MapAccess():
                pass
            case ast.Field() | ast.Index():
                self.error(
                    span,
                    "tuples, records and what is read from memory cannot be assigned to",
                    "make a new value and assign that to a variable or a map",
                )
            case _:
                self.error(target.span, "this cannot be assigned to", "assign to a variable or a map")
        op = None if operator.text == "=" else operator.text[:-1]
        return ast.Assign(target, value, op, span=span)

    def let(self, children: Children, extent: Extent) -> ast.Let:
        _, name, type_, _, value = children
        variable = ast.Variable(name.text[1:], span=self.span((name.start, name.end)))
        return ast.Let(variable, type_, value, span=self.span(extent))

    def jump(self, children: Children, extent: Extent) -> ast.Jump:
        return ast.Jump(children[0].text, span=self.span(extent))

    def return_(self, children: Children, extent: Extent) -> ast.Return:
        return ast.Return(children[1], span=self.span(extent))

    def import_statement(self, children: Children, extent: Extent) -> ast.ImportStmt:
        return ast.ImportStmt(self._text(children[1]), span=self.span(extent))

    # --- expressions ----------------------------------------------------------------------------

    def ternary(self, children: Children, extent: Extent) -> ast.Ternary:
        condition, then, otherwise = children
        return ast.Ternary(condition, then, otherwise, span=self.span(extent))

    def elvis(self, children: Children, extent: Extent) -> ast.Ternary:
        return ast.Ternary(children[0], None, children[1], span=self.span(extent))

    def binary(self, children: Children, extent: Extent) -> ast.Binary:
        left, operator, right = children
        return ast.Binary(operator.text, left, right, span=self.span(extent))

    def unary(self, children: Children, extent: Extent) -> ast.Unary:
        return ast.Unary(children[0].text, children[1], span=self.span(extent))

    def pre_increment(self, children: Children, extent: Extent) -> ast.Increment:
        return self._increment(children[0], children[1], True, extent)

    def post_increment(self, children: Children, extent: Extent) -> ast.Increment:
        return self._increment(children[1], children[0], False, extent)

    def _increment(self, operator: Token, target: ast.Expr, prefix: bool, extent: Extent) -> ast.Increment:
        if not isinstance(target, ast.Variable | ast.Map | ast.MapAccess):
            hint = "for a double negation write `-(-x)`" if prefix and operator.text == "--" else None
            self.error(target.span, f"{operator.text} changes a variable or a map, and this is neither", hint)
        op = "++" if operator.text == "++" else "--"
        return ast.Increment(op, target, prefix, span=self.span(extent))  # type: ignore[arg-type]

    def cast(self, children: Children, extent: Extent) -> ast.Cast:
        _, type_, operand = children
        return ast.Cast(type_, operand, span=self.span(extent))

    def comptime(self, children: Children, extent: Extent) -> ast.Comptime:
        return ast.Comptime(children[1], span=self.span(extent))

    def field(self, children: Children, extent: Extent) -> ast.Field:
        object_, access, name = children
        if name.text[0].isdigit():
            if isinstance(object_, ast.Integer):
                self.error(self.span(extent), "there are no floating-point numbers", "count in smaller units")
            elif not name.text.isdecimal():
                self.error(self.span((name.start, name.end)), "a tuple element is a plain number: `.0`")
        return ast.Field(object_, name.text, access.text == "->", span=self.span(extent))

    def subscript(self, children: Children, extent: Extent) -> ast.MapAccess | ast.Index:
        object_, *keys = children
        key: ast.Expr = keys[0]
        if isinstance(object_, ast.Map):
            if len(keys) > 1:
                key = ast.Tuple(tuple(keys), span=keys[0].span.to(keys[-1].span))
            return ast.MapAccess(object_, key, span=self.span(extent))
        if len(keys) > 1:
            self.error(keys[1].span, "only a map has keys of several parts", "an array has one index")
        return ast.Index(object_, key, span=self.span(extent))

    def parenthesised(self, children: Children, extent: Extent) -> ast.Expr:
        inner: ast.Expr = children[0]
        return inner

    def tuple_(self, children: Children, extent: Extent) -> ast.Tuple:
        return ast.Tuple(tuple(children), span=self.span(extent))

    def record(self, children: Children, extent: Extent) -> ast.Record:
        return ast.Record(tuple(children), span=self.span(extent))

    def record_field(self, children: Children, extent: Extent) -> tuple[str, ast.Expr]:
        return children[0].text, children[2]

    def call(self, children: Children, extent: Extent) -> ast.Call:
        return ast.Call(children[0].text, tuple(children[1:]), span=self.span(extent))

    def bang_call(self, children: Children, extent: Extent) -> ast.Call:
        return ast.Call(children[0].text, tuple(children[2:]), True, span=self.span(extent))

    def sizeof(self, children: Children, extent: Extent) -> ast.Sizeof:
        return ast.Sizeof(children[1], span=self.span(extent))

    def typeinfo(self, children: Children, extent: Extent) -> ast.Typeinfo:
        return ast.Typeinfo(children[1], span=self.span(extent))

    def offsetof(self, children: Children, extent: Extent) -> ast.Offsetof:
        of, *path = children[1:]
        return ast.Offsetof(of, tuple(t.text for t in path if t.text != "."), span=self.span(extent))

    def block_value(self, children: Children, extent: Extent) -> ast.BlockExpr:
        statements = self.block(children, extent)
        body, value = self._split(statements)
        if value is None:
            self.late.append(
                (
                    statements.span,
                    "this block is used as a value and has none",
                    "its last statement must be an expression without ';'",
                )
            )
            value = ast.Integer(0, span=statements.span)
        return ast.BlockExpr(body, value, span=statements.span)

    def if_value(self, children: Children, extent: Extent) -> ast.Expr:
        value = self._value_of(self.if_(children, extent))
        if value is None:
            self.late.append(
                (
                    self.span(extent),
                    "this `if` is used as a value and has none",
                    "it needs an `else`, and both blocks must end with an expression without ';'",
                )
            )
            return ast.Integer(0, span=self.span(extent))
        return value

    # --- names and literals -----------------------------------------------------------------------

    def identifier(self, children: Children, extent: Extent) -> ast.Identifier:
        return ast.Identifier(children[0].text, span=self.span(extent))

    def integer(self, children: Children, extent: Extent) -> ast.Integer:
        return ast.Integer(
            literals.integer(children[0].text, self.span(extent), self.diagnostics), span=self.span(extent)
        )

    def string(self, children: Children, extent: Extent) -> ast.String:
        return ast.String(self._text(children[0]), span=self.span(extent))

    def _text(self, token: Token) -> str:
        return literals.string(token.text, self.span((token.start, token.end)), self.diagnostics)

    def true(self, children: Children, extent: Extent) -> ast.Boolean:
        return ast.Boolean(True, span=self.span(extent))

    def false(self, children: Children, extent: Extent) -> ast.Boolean:
        return ast.Boolean(False, span=self.span(extent))

    def variable(self, children: Children, extent: Extent) -> ast.Variable:
        return ast.Variable(children[0].text[1:], span=self.span(extent))

    def map(self, children: Children, extent: Extent) -> ast.Map:
        return ast.Map(children[0].text[1:], span=self.span(extent))

    def positional(self, children: Children, extent: Extent) -> ast.Positional:
        return ast.Positional(
            literals.parameter(children[0].text, self.span(extent), self.diagnostics), span=self.span(extent)
        )

    def positional_count(self, children: Children, extent: Extent) -> ast.PositionalCount:
        return ast.PositionalCount(span=self.span(extent))

    # --- types ------------------------------------------------------------------------------------

    def named_type(self, children: Children, extent: Extent) -> ast.NamedType:
        return ast.NamedType(children[0].text, span=self.span(extent))

    def tagged_type(self, children: Children, extent: Extent) -> ast.NamedType:
        return ast.NamedType(children[1].text, children[0].text, span=self.span(extent))

    def typeof_type(self, children: Children, extent: Extent) -> ast.TypeofType:
        return ast.TypeofType(children[1], span=self.span(extent))

    def pointer_type(self, children: Children, extent: Extent) -> ast.PointerType:
        return ast.PointerType(children[0], span=self.span(extent))

    def array_type(self, children: Children, extent: Extent) -> ast.ArrayType:
        return ast.ArrayType(children[0], children[1], span=self.span(extent))

    def tuple_type(self, children: Children, extent: Extent) -> ast.TupleType:
        return ast.TupleType(tuple(children), span=self.span(extent))
