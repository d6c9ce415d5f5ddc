"""From AST to text that parses to the same AST: the canonical form of `--fmt`.

Two spaces of indentation, one statement a line, parentheses only where the tree needs them, an empty line between
items and wherever the source had one between statements. Integers keep the notation they were written in (`1e6`,
`0x10`, `5ms`). Comments are kept: before the statement they precede or stand in, or at the end of its line.
"""

from __future__ import annotations

from pytrace.diagnostics import Diagnostics
from pytrace.syntax import ast, literals

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


# --- expressions and types ---------------------------------------------------------------------------

_LEVELS = ("||", "&&", "|", "^", "&", "== !=", "< > <= >=", "<< >>", "+ -", "* / %")
_PRECEDENCE = {operator: level for level, group in enumerate(_LEVELS, start=1) for operator in group.split()}
_TERNARY, _UNARY, _POSTFIX, _PRIMARY = 0, 11, 12, 13


def print_expr(expression: ast.Expr | ast.TypeExpr) -> str:
    """An expression or a type. Several lines only if it holds a block."""
    return _expr(expression)


def _expr(node: ast.Expr | ast.TypeExpr, at_least: int = _TERNARY) -> str:
    """The text of `node`, in parentheses if it binds less tightly than `at_least`."""
    text, level = _bare(node)
    return text if level >= at_least else f"({text})"


def _bare(node: ast.Expr | ast.TypeExpr) -> tuple[str, int]:
    match node:
        case ast.Binary(op, left, right):
            level = _PRECEDENCE[op]
            operand = _expr(right, level + 1)
            if operand[0] in "{+":  # a '/' before these would end a predicate
                operand = f"({operand})"
            return f"{_expr(left, level)} {op} {operand}", level
        case ast.Ternary(condition, then, otherwise):
            middle = "?:" if then is None else f"? {_expr(then)} :"
            return f"{_expr(condition, 1)} {middle} {_expr(otherwise)}", _TERNARY
        case ast.Unary(op, operand_):
            operand = _expr(operand_, _UNARY)
            if operand[0] == op and op in "-+&":
                operand = f"({operand})"
            return op + operand, _UNARY
        case ast.Increment(op, target, True):
            return op + _expr(target, _UNARY), _UNARY
        case ast.Increment(op, target, _):
            return _expr(target, _POSTFIX) + op, _POSTFIX
        case ast.Cast(type_, operand_):
            operand = _expr(operand_, _UNARY)
            if operand[0] in "{+":
                operand = f"({operand})"
            return f"({_expr(type_)}){operand}", _UNARY
        case ast.Comptime(operand_):
            return f"comptime {_expr(operand_, _UNARY)}", _UNARY
        case ast.Field(object_, name, arrow):
            return f"{_expr(object_, _POSTFIX)}{'->' if arrow else '.'}{name}", _POSTFIX
        case ast.Index(object_, index):
            return f"{_expr(object_, _POSTFIX)}[{_expr(index)}]", _POSTFIX
        case ast.MapAccess(map_, ast.Tuple((_, _, *_) as elements)):
            return f"@{map_.name}[{_list(elements)}]", _POSTFIX
        case ast.MapAccess(map_, key):
            return f"@{map_.name}[{_expr(key)}]", _POSTFIX
        case ast.BlockExpr(body, value):
            return _block_expression(body, value), _PRIMARY
        case _:
            return _atom(node), _PRIMARY


def _atom(node: ast.Expr | ast.TypeExpr) -> str:
    match node:
        case ast.Integer():
            return _integer(node)
        case ast.String(value):
            return quote(value)
        case ast.Boolean(value):
            return "true" if value else "false"
        case ast.Identifier(name):
            return name
        case ast.Positional(index):
            return f"${index}"
        case ast.PositionalCount():
            return "$#"
        case ast.Variable(name):
            return f"${name}"
        case ast.Map(name):
            return f"@{name}"
        case ast.Tuple((element,)):
            return f"({_expr(element)},)"
        case ast.Tuple(elements):
            return f"({_list(elements)})"
        case ast.Record(fields):
            return "(" + ", ".join(f"{name}={_expr(value)}" for name, value in fields) + ")"
        case ast.Call(name, args, bang):
            return f"{name}{'!' if bang else ''}({_list(args)})"
        case ast.Sizeof(of):
            return f"sizeof({_expr(of)})"
        case ast.Typeinfo(of):
            return f"typeinfo({_expr(of)})"
        case ast.Offsetof(of, path):
            return f"offsetof({_expr(of)}, {'.'.join(path)})"
        case _:
            return _type(node)


def _type(node: ast.Expr | ast.TypeExpr) -> str:
    match node:
        case ast.NamedType(name, tag):
            return f"{tag} {name}" if tag else name
        case ast.PointerType(to):
            inner = _type(to)
            return f"{inner}*" if inner.endswith("*") else f"{inner} *"
        case ast.ArrayType(element, size):
            return f"{_type(element)}[{'' if size is None else _expr(size)}]"
        case ast.TupleType((only,)):
            return f"({_type(only)},)"
        case ast.TupleType(elements):
            return "(" + ", ".join(map(_type, elements)) + ")"
        case ast.TypeofType(of):
            return f"typeof({_expr(of)})"
        case _:
            raise TypeError(f"{type(node).__name__} is neither an expression nor a type")


def _list(nodes: tuple[ast.Expr | ast.TypeExpr, ...] | list[ast.Expr]) -> str:
    return ", ".join(map(_expr, nodes))


def _block_expression(body: tuple[ast.Stmt, ...], value: ast.Expr) -> str:
    if not body:
        return f"{{ {opening(value)} }}"
    lines = [*(line for statement in body for line in statement_lines(statement)), *opening(value).split("\n")]
    return "\n".join(["{", *("  " + line for line in lines), "}"])


def opening(value: ast.Expr) -> str:
    """An expression at the start of a statement, where `{` would open a block."""
    text = _expr(value)
    return f"({text})" if text[0] == "{" else text


def _integer(node: ast.Integer) -> str:
    written = node.span.text
    if not (written[:1].isdigit() and written.replace("_", "").isalnum() and written.isascii()):
        return str(node.value)
    mistakes = Diagnostics()
    same = literals.integer(written, node.span, mistakes) == node.value and not mistakes.errors
    return written if same else str(node.value)


_ESCAPES = {"\n": "\\n", "\t": "\\t", "\r": "\\r", "\\": "\\\\", '"': '\\"'}


def quote(value: str) -> str:
    """A string literal for `value`. Bytes that are not UTF-8 (surrogates) and control characters become `\\xNN`."""
    return '"' + "".join(map(_escaped, value)) + '"'


def _escaped(character: str) -> str:
    code = ord(character)
    if character in _ESCAPES:
        return _ESCAPES[character]
    if code < 0x20 or code == 0x7F:
        return f"\\x{code:02x}"
    if 0xDC80 <= code <= 0xDCFF:
        return f"\\x{code - 0xDC00:02x}"
    return character
