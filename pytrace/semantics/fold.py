"""Compile-time evaluation of expressions, with the language's own arithmetic.

Integers are exact until they leave what 64 bits hold (-2**63 … 2**64-1), which is an error here, as is an operation
between a negative number and one above 2**63-1: no 64-bit type has both. Division and remainder truncate towards zero,
`<<` wraps, `~` gives an unsigned number. Strings compare by their bytes, join with `+`, and `"text" + n` drops the
first n characters.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from typing import Protocol

from pytrace.diagnostics import Diagnostics, Span
from pytrace.semantics.walk import rewrite_parts
from pytrace.syntax import ast

Value = int | bool | str

_LIMIT = 1 << 64
_SIGNED = 1 << 63
_OVERFLOW = "unable to fold literals due to overflow or underflow"


class Environment(Protocol):
    """Tells the value of what `fold` cannot know by itself: names, `sizeof`, `offsetof`, calls, casts."""

    def value(self, node: ast.Expr) -> Value | None:
        """The compile-time value of a node, or None if it has none."""


class Nothing:
    """The environment in which no name is a constant."""

    def value(self, node: ast.Expr) -> Value | None:
        return None


class FoldError(Exception):
    """A constant expression without a value: division by zero, overflow. The text says which."""


_INTEGER: dict[str, Callable[[int, int], int]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "&": operator.and_,
    "|": operator.or_,
    "^": operator.xor,
}
_COMPARE: dict[str, Callable[[int | bytes, int | bytes], bool]] = {
    "==": operator.eq,
    "!=": operator.ne,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def evaluate(node: ast.Expr, env: Environment | None = None) -> Value | None:
    """The compile-time value of an expression, or None if it has none (or its types do not go together, which
    is for the type checker to say). Raises `FoldError` where overflow or a division by zero takes its value away."""
    env = env or Nothing()
    match node:
        case ast.Integer(value=v) | ast.String(value=v) | ast.Boolean(value=v):
            return v
        case ast.Unary():
            return _unary(node.op, evaluate(node.operand, env))
        case ast.Binary(op="&&" | "||"):
            return _logical(node, env)
        case ast.Binary():
            left, right = evaluate(node.left, env), evaluate(node.right, env)
            return None if left is None or right is None else binary(node.op, left, right)
        case ast.Ternary():
            return _ternary(node, env)
        case ast.Comptime():
            return evaluate(node.operand, env)
        case ast.Cast(type=ast.NamedType(tag=None, name=name)):
            return _cast(name, evaluate(node.operand, env), node, env)
        case ast.Index():
            return _character(evaluate(node.object, env), evaluate(node.index, env))
        case ast.BlockExpr(body=()):
            return evaluate(node.value, env)
        case _:
            return env.value(node)


def binary(op: str, left: Value, right: Value) -> Value | None:
    """The value of `left op right` for any operator but `&&` and `||`; None for kinds that it does not take."""
    if isinstance(left, str) or isinstance(right, str):
        return _text(op, left, right)
    if op in _COMPARE:
        _check_kinds(left, right)
        return _COMPARE[op](int(left), int(right))
    if isinstance(left, bool) and isinstance(right, bool):
        return bool(_arithmetic(op, int(left), int(right)))
    return _arithmetic(op, int(left), int(right))


def _check_kinds(left: int, right: int) -> None:
    if (left < 0 and right >= _SIGNED) or (right < 0 and left >= _SIGNED):
        raise FoldError(_OVERFLOW)


def _arithmetic(op: str, left: int, right: int) -> int | None:
    if op in ("<<", ">>"):
        if not 0 <= right < 64:
            raise FoldError(_OVERFLOW)
        return left >> right if op == ">>" else _wrap(left << right, signed=left < 0)
    _check_kinds(left, right)
    if op in ("/", "%"):
        if right == 0:
            raise FoldError("division by zero")
        quotient = abs(left) // abs(right) * (-1 if (left < 0) != (right < 0) else 1)
        return _checked(quotient if op == "/" else left - quotient * right)
    if op not in _INTEGER:
        return None
    return _checked(_INTEGER[op](left, right))


def _checked(value: int) -> int:
    if not -_SIGNED <= value < _LIMIT:
        raise FoldError(_OVERFLOW)
    return value


def _wrap(value: int, *, signed: bool, bits: int = 64) -> int:
    value &= (1 << bits) - 1
    return value - (1 << bits) if signed and value >> (bits - 1) else value


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")


def _text(op: str, left: Value, right: Value) -> Value | None:
    if isinstance(left, str) and isinstance(right, str):
        if op in _COMPARE:
            return _COMPARE[op](_bytes(left), _bytes(right))
        return left + right if op == "+" else None
    if op != "+" or isinstance(left, bool) or isinstance(right, bool):
        return None
    text, skip = (left, right) if isinstance(left, str) else (right, left)
    if not isinstance(text, str) or not isinstance(skip, int) or skip < 0:
        return None
    return _bytes(text)[skip:].decode("utf-8", "surrogateescape")


def _unary(op: str, value: Value | None) -> Value | None:
    if value is None or isinstance(value, str):
        return None
    if op == "!":
        return not value
    if isinstance(value, bool):
        return None
    match op:
        case "-":
            if value > _SIGNED:
                raise FoldError("negative value will underflow")
            return _checked(-value)
        case "~":
            return ~value & (_LIMIT - 1)
        case "+":
            return value
        case _:
            return None


def _logical(node: ast.Binary, env: Environment) -> Value | None:
    decisive = node.op == "||"
    left = evaluate(node.left, env)
    if left is not None and bool(left) == decisive:
        return decisive
    right = evaluate(node.right, env)
    # A constant right side decides too, but the left one must still be run for what it does.
    return None if left is None or right is None else bool(right)


def _ternary(node: ast.Ternary, env: Environment) -> Value | None:
    condition = evaluate(node.condition, env)
    if condition is None:
        return None
    if not condition:
        return evaluate(node.otherwise, env)
    return condition if node.then is None else evaluate(node.then, env)


def _cast(name: str, value: Value | None, node: ast.Expr, env: Environment) -> Value | None:
    from pytrace.semantics.typenames import integer_type

    kind = integer_type(name)
    if isinstance(value, int):
        if kind is not None:
            return _wrap(int(value), signed=getattr(kind, "signed", False), bits=8 * kind.size)
        if name == "bool":
            return bool(value)
    return env.value(node)


def _character(text: Value | None, index: Value | None) -> Value | None:
    if not isinstance(text, str) or not isinstance(index, int) or isinstance(index, bool):
        return None
    data = _bytes(text) + b"\0"
    return _wrap(data[index], signed=True, bits=8) if 0 <= index < len(data) else None


# --- putting values back into the tree ----------------------------------------------------------


def literal(value: Value, span: Span) -> ast.Expr:
    """The expression that a script would write for a value."""
    match value:
        case bool():
            return ast.Boolean(value, span=span)
        case str():
            return ast.String(value, span=span)
        case _ if value < 0:
            return ast.Unary("-", ast.Integer(-value, span=span), span=span)
        case _:
            return ast.Integer(value, span=span)


def fold(node: ast.Expr, env: Environment | None = None, diagnostics: Diagnostics | None = None) -> ast.Expr:
    """The expression with every constant part replaced by a literal. A cast stays, around its folded operand: a literal
    cannot say its type. What cannot be computed (`1 / 0`) is left as it is and, with `diagnostics`, reported."""
    env = env or Nothing()

    def change(part: ast.Node) -> ast.Node | None:
        if isinstance(part, ast.Integer | ast.String | ast.Boolean) or _negative(part):
            return part
        if isinstance(
            part, ast.Ternary | ast.Unary | ast.Binary | ast.Comptime | ast.Index | ast.Identifier | ast.BlockExpr
        ):
            return _folded(part, env, diagnostics, change)
        if isinstance(part, ast.Sizeof | ast.Offsetof | ast.Call):
            value = env.value(part)
            return None if value is None else literal(value, part.span)
        return None

    result = change(node)
    return rewrite_parts(node, change) if result is None else result  # type: ignore[return-value]  # Expr for Expr


def _negative(node: ast.Node) -> bool:
    match node:
        case ast.Unary(op="-", operand=ast.Integer(value=v)):
            return v <= _SIGNED
        case _:
            return False


def _folded(
    part: ast.Expr, env: Environment, diagnostics: Diagnostics | None, change: Callable[[ast.Node], ast.Node | None]
) -> ast.Node | None:
    if _has_cast(part):  # its type would be lost with it
        return None
    try:
        value = evaluate(part, env)
    except FoldError as e:
        if diagnostics is not None:
            diagnostics.error(part.span, str(e))
        return part
    if value is not None:
        return literal(value, part.span)
    if isinstance(part, ast.Ternary):
        condition = evaluate(part.condition, env)
        if condition is not None:  # one branch is not taken, whatever it is
            chosen = part.otherwise if not condition else part.then
            if chosen is not None:
                result = change(chosen)
                return rewrite_parts(chosen, change) if result is None else result
    return None


def _has_cast(node: ast.Node) -> bool:
    match node:
        case ast.Cast():
            return True
        case ast.Binary(op="==" | "!=" | "<" | "<=" | ">" | ">=" | "&&" | "||") | ast.Unary(op="!"):
            return False
        case ast.Binary():
            return _has_cast(node.left) or _has_cast(node.right)
        case ast.Unary():
            return _has_cast(node.operand)
        case ast.Ternary():
            return _has_cast(node.then or node.condition) or _has_cast(node.otherwise)
        case ast.Comptime():
            return _has_cast(node.operand)
        case ast.BlockExpr():
            return _has_cast(node.value)
        case _:
            return False


def require_value(node: ast.Expr, env: Environment | None, diagnostics: Diagnostics, what: str) -> Value | None:
    """The value of an expression that must be constant; otherwise None, and a diagnostic says that `what` must be."""
    try:
        value = evaluate(node, env)
    except FoldError as e:
        diagnostics.error(node.span, str(e))
        return None
    if value is None:
        diagnostics.error(node.span, f"{what} must be known at compile time", "use literals, constants and sizeof()")
    return value


def require_integer(
    node: ast.Expr,
    env: Environment | None,
    diagnostics: Diagnostics,
    what: str,
    minimum: int = 0,
    maximum: int = _LIMIT - 1,
) -> int | None:
    """As `require_value`, for an integer within bounds (array sizes, map sizes, unroll counts)."""
    value = require_value(node, env, diagnostics, what)
    if value is None:
        return None
    if isinstance(value, str | bool):
        diagnostics.error(node.span, f"{what} must be an integer")
        return None
    if not minimum <= value <= maximum:
        diagnostics.error(node.span, f"{what} must be between {minimum} and {maximum}, not {value}")
        return None
    return value
