"""From AST to text that parses to the same AST: the canonical form of `--fmt`.

Two spaces of indentation, one statement a line, parentheses only where the tree needs them, an empty line between
items and wherever the source had one between statements. Integers keep the notation they were written in (`1e6`,
`0x10`, `5ms`). Comments are kept: before the statement they precede or stand in, or at the end of its line.
"""

from __future__ import annotations

from pytrace.syntax import ast
from pytrace.syntax.expressions import opening, print_expr, quote

_INDENT = "  "


def print_script(script: ast.Script) -> str:
    """The whole script, ending with a newline."""
    return _Printer(script).script()


def print_stmt(statement: ast.Stmt) -> str:
    """One statement with its `;`, without a newline at the end."""
    return "\n".join(statement_lines(statement))


def statement_lines(statement: ast.Stmt) -> list[str]:
    """The lines of one statement, without the comments inside it."""
    return _Printer(None).statement(statement)


class _Printer:
    """Walks the tree in source order, handing out the comments as it passes them."""

    def __init__(self, script: ast.Script | None) -> None:
        self._script = script
        self._comments = list(script.comments) if script else []
        self._next = 0

    def script(self) -> str:
        script = self._script
        assert script is not None
        chunks: list[list[str]] = []
        if script.source.text.startswith("#!"):
            chunks.append([script.source.line(1).rstrip()])
        heads: list[ast.CDefinition | ast.Import | ast.Config] = [*script.c_definitions, *script.imports]
        if script.config is not None:
            heads.append(script.config)
        heads.sort(key=lambda node: node.span.start)
        previous: ast.Node | None = None
        for head in heads:
            lines = [*self._before(head.span.start), *self._head(head)]
            if previous is not None and type(previous) is type(head) and not self._gap(previous, head):
                chunks[-1].extend(self._with_trailing(head, lines))
            else:
                chunks.append(self._with_trailing(head, lines))
            previous = head
        for item in script.items:
            lines = self._before(item.span.start)
            lines.extend(self._with_trailing(item, self._item(item)))
            chunks.append(lines)
        rest = self._before(len(script.source.text) + 1)
        if rest:
            chunks.append(rest)
        return "".join("\n".join(chunk) + "\n" for chunk in _spaced(chunks))

    def _head(self, head: ast.CDefinition | ast.Import | ast.Config) -> list[str]:
        match head:
            case ast.CDefinition(text):
                return text.split("\n")
            case ast.Import(path):
                return [f"import {quote(path)};"]
            case ast.Config(entries):
                lines = []
                for entry in entries:
                    lines.extend(self._before(entry.span.start))
                    value = entry.value if isinstance(entry.value, str) else print_expr(entry.value)
                    lines.extend(self._with_trailing(entry, [f"{entry.key} = {value};"]))
                lines.extend(self._before(head.span.end))
                return ["config = {", *(_INDENT + line for line in lines), "}"]

    def _item(self, item: ast.Item) -> list[str]:
        match item:
            case ast.CSource(path):
                return [f"import {quote(path)};"]
            case ast.Probe(points, predicate, body, name):
                header = ",\n".join(point.text for point in points)
                if name is not None:
                    header = f"{name}={header}"
                if predicate is not None:
                    condition = print_expr(predicate)
                    # `/*` would open a comment.
                    header += f" /({condition})/" if condition[0] in "*/" else f" /{condition}/"
                return self._braces(header, body)
            case ast.Macro(name, params, body_, value):
                header = f"macro {name}({', '.join(map(print_expr, params))})"
                lines = self._statements(body_, item.span.end)
                if value is not None:
                    lines.extend(opening(value).split("\n"))
                return _wrapped(header, lines)
            case ast.Subprogram(name, params_, returns, body):
                listed = ", ".join(f"${param.name} : {print_expr(param.type)}" for param in params_)
                header = f"fn {name}({listed})"
                return self._braces(header if returns is None else f"{header} : {print_expr(returns)}", body)
            case ast.MapDecl(map_, kind, size):
                return [f"let @{map_.name} = {kind}({'' if size is None else print_expr(size)});"]

    def _braces(self, header: str, body: ast.Block) -> list[str]:
        return _wrapped(header, self._statements(body.body, body.span.end))

    def _statements(self, statements: tuple[ast.Stmt, ...], end: int) -> list[str]:
        lines: list[str] = []
        previous: ast.Stmt | None = None
        for statement in statements:
            if previous is not None and self._gap(previous, statement):
                lines.append("")
            simple = not isinstance(statement, ast.If | ast.ForMap | ast.ForRange | ast.While | ast.Unroll | ast.Block)
            lines.extend(self._before(statement.span.end if simple else statement.span.start))
            lines.extend(self._with_trailing(statement, self.statement(statement)))
            previous = statement
        lines.extend(self._before(end))
        return lines

    def statement(self, statement: ast.Stmt) -> list[str]:
        match statement:
            case ast.Block(body):
                return _wrapped("", self._statements(body, statement.span.end))
            case ast.If():
                return self._if(statement)
            case ast.ForMap(variable, map_, block):
                return self._braces(f"for (${variable.name} : @{map_.name})", block)
            case ast.ForRange(variable, start, end, block):
                return self._braces(f"for (${variable.name} : {print_expr(start)}..{print_expr(end)})", block)
            case ast.While(condition, block):
                return self._braces(f"while ({print_expr(condition)})", block)
            case ast.Unroll(count, block):
                return self._braces(f"unroll ({print_expr(count)})", block)
            case _:
                return (_simple(statement) + ";").split("\n")

    def _if(self, statement: ast.If) -> list[str]:
        comptime = "comptime " if statement.comptime else ""
        lines = self._braces(f"if {comptime}({print_expr(statement.condition)})", statement.then)
        match statement.otherwise:
            case None:
                return lines
            case ast.If() as otherwise:
                first, *rest = self._if(otherwise)
            case ast.Block() as otherwise:
                first, *rest = self._braces("", otherwise)
        return [*lines[:-1], f"{lines[-1]} else {first}", *rest]

    # --- comments and empty lines -------------------------------------------------------------

    def _before(self, offset: int) -> list[str]:
        """The comments not yet printed that begin before `offset`, each on lines of its own."""
        lines: list[str] = []
        while self._next < len(self._comments) and self._comments[self._next].span.start < offset:
            first, *rest = self._comments[self._next].span.text.rstrip().split("\n")
            lines.append(first.rstrip())
            lines.extend(" " + line.strip() for line in rest)
            self._next += 1
        return lines

    def _with_trailing(self, node: ast.Node, lines: list[str]) -> list[str]:
        """`lines`, with the comment that follows `node` on its last line."""
        while self._next < len(self._comments):
            comment = self._comments[self._next].span
            if comment.start < node.span.end or "\n" in comment.text:
                break
            if node.span.source.text[node.span.end : comment.start].strip(" \t;"):
                break
            lines = [*lines[:-1], f"{lines[-1]} {comment.text.rstrip()}"]
            self._next += 1
        return lines

    def _gap(self, before: ast.Node, after: ast.Node) -> bool:
        """Whether the source has an empty line between two nodes."""
        if self._script is None or before.span.source is not self._script.source:
            return False
        between = before.span.source.text[before.span.end : after.span.start]
        return any(not line.strip() for line in between.split("\n")[1:-1])


def _simple(statement: ast.Stmt) -> str:
    match statement:
        case ast.ExprStmt(value):
            return opening(value)
        case ast.Assign(target, value, op):
            return f"{print_expr(target)} {op or ''}= {print_expr(value)}"
        case ast.Let(variable, type_, value_):
            text = f"let ${variable.name}"
            if type_ is not None:
                text += f" : {print_expr(type_)}"
            return text if value_ is None else f"{text} = {print_expr(value_)}"
        case ast.Discard(value):
            return f"_ = {print_expr(value)}"
        case ast.Jump(kind):
            return kind
        case ast.Return(None):
            return "return"
        case ast.Return(value_):
            assert value_ is not None
            return f"return {print_expr(value_)}"
        case ast.ImportStmt(path):
            return f"import {quote(path)}"
        case _:
            raise TypeError(f"{type(statement).__name__} is no statement")


def _wrapped(header: str, lines: list[str]) -> list[str]:
    opening = f"{header} {{" if header else "{"
    if not lines:
        return [*opening.split("\n")[:-1], opening.split("\n")[-1] + "}"]
    return [*opening.split("\n"), *(_INDENT + line if line else "" for line in lines), "}"]


def _spaced(chunks: list[list[str]]) -> list[list[str]]:
    return [chunk if i == 0 else ["", *chunk] for i, chunk in enumerate(chunks)]
