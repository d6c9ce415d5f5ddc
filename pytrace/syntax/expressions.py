"""Expressions and types as text: parentheses only where the tree needs them."""

from __future__ import annotations

from pytrace.diagnostics import Diagnostics
from pytrace.syntax import ast, literals

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
    from pytrace.syntax.printer import statement_lines  # statements and expressions hold each other

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
