"""Types operators: which operands they take, in what type they compute, what is known without computing."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Literal

from pytrace import types as t
from pytrace.diagnostics import Span
from pytrace.semantics import members, typed
from pytrace.semantics.fold import FoldError
from pytrace.semantics.fold import binary as fold_literals
from pytrace.semantics.once import once
from pytrace.semantics.widen import convert, is_literal, join, join_expr, literal_type, loses, wrap
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.semantics.expressions import ExpressionChecker

_COMPARISONS = frozenset(("==", "!=", "<", "<=", ">", ">="))


def unary(c: ExpressionChecker, n: ast.Unary) -> typed.Expr:
    """`-a`, `~a`, `!a`, `*a`, `&a`."""
    if n.op == "*":
        return members.dereference(c, c.expr(n.operand), n.span)
    if n.op == "&":
        return members.address_of(c, n)
    if n.op == "!":
        operand = c.condition(n.operand)
        if isinstance(operand, typed.Const):
            return typed.Const(int(not operand.value), type=t.BOOL, span=n.span)
        return typed.Unary("!", operand, type=t.BOOL, span=n.span)
    operand = c.integer(n.operand)
    if isinstance(operand.type, t.Unknown) or n.op == "+":
        return operand
    op: Literal["-", "~"] = "-" if n.op == "-" else "~"
    if isinstance(operand, typed.Const) and operand.literal:
        value = -operand.value if op == "-" else ~operand.value
        if op == "~" and operand.value >= 0:
            value &= (1 << 64) - 1
        if value < -(1 << 63):
            return c.error(n.span, f"'{n.span.text}' does not fit in 64 bits")
        return typed.Const(value, literal=True, type=literal_type(value), span=n.span)
    if isinstance(operand.type, t.Int) and not operand.type.signed:  # as wide as it is, and without a sign
        wrapped = typed.Unary(op, convert(operand, t.UINT64), type=t.UINT64, span=n.span)
        return convert(typed.Convert(wrapped, type=operand.type, span=n.span), t.UINT64)
    return typed.Unary(op, convert(operand, t.INT64), type=t.INT64, span=n.span)


def binary_node(c: ExpressionChecker, n: ast.Binary) -> typed.Expr:
    """`a op b` as written; `&&` and `||` evaluate their right side only if it matters."""
    if n.op in ("&&", "||"):
        op: Literal["&&", "||"] = "&&" if n.op == "&&" else "||"
        return typed.Logical(op, c.condition(n.left), c.condition(n.right), type=t.BOOL, span=n.span)
    left, right = c.materialize(c.expr(n.left)), c.materialize(c.expr(n.right))
    return binary(c, n.op, left, right, n.span)


def binary(c: ExpressionChecker, op: str, left: typed.Expr, right: typed.Expr, span: Span) -> typed.Expr:
    """`left op right` for operands that are typed already (compound assignments come here too)."""
    a, b = left.type, right.type
    if isinstance(a, t.Unknown) or isinstance(b, t.Unknown):
        return c.error(span)
    if op in _COMPARISONS:
        return _comparison(c, op, left, right, span)
    if isinstance(a, t.Pointer) or isinstance(b, t.Pointer):
        return _pointer_arithmetic(c, op, left, right, span)
    if not (t.is_integral(a) and t.is_integral(b)):
        return c.error(span, f"operator '{op}' cannot be used on expressions of types '{a}', '{b}'")
    if is_literal(left) and is_literal(right):
        return _of_literals(c, op, left, right, span)
    if op in ("<<", ">>"):
        kind = t.INT64 if _signed(a) else t.UINT64
    else:
        kind = t.UINT64 if op != "-" and _is_unsigned(left) and _is_unsigned(right) else t.INT64
        _warn_of_signs(c, left, right)
    left, right = convert(left, kind), convert(right, kind)
    if isinstance(left, typed.Const) and isinstance(right, typed.Const):
        folded = fold(op, left.value, right.value)
        if folded is not None:
            return typed.Const(wrap(folded, kind), type=kind, span=span)
    return typed.Binary(op, left, right, type=kind, span=span)


def warn_of_cast(c: ExpressionChecker, value: typed.Expr, to: t.Type) -> None:
    """Warns where an integer becomes one that may not have room for it, and nobody wrote a cast."""
    if loses(value, to):
        c.diagnostics.warning(
            value.span,
            f"Expression of type: {value.type} being cast to type: {to}. This may cause unexpected results. "
            "Use an explicit cast to suppress this warning.",
        )


def _warn_of_signs(c: ExpressionChecker, left: typed.Expr, right: typed.Expr) -> None:
    """Where one operand has a sign, the other is taken to have one too."""
    if _is_unsigned(left) != _is_unsigned(right):
        warn_of_cast(c, left if _is_unsigned(left) else right, t.INT64)


def _of_literals(c: ExpressionChecker, op: str, left: typed.Expr, right: typed.Expr, span: Span) -> typed.Expr:
    """What is computed from literals alone is a literal, and must have a value in 64 bits."""
    assert isinstance(left, typed.Const)
    assert isinstance(right, typed.Const)
    try:
        value = fold_literals(op, left.value, right.value)
    except FoldError as error:
        return c.error(span, str(error))
    assert isinstance(value, int)
    if isinstance(value, bool):
        return typed.Const(int(value), type=t.BOOL, span=span)
    return typed.Const(value, literal=True, type=literal_type(value), span=span)


def _comparison(c: ExpressionChecker, op: str, left: typed.Expr, right: typed.Expr, span: Span) -> typed.Expr:
    left, right = spelt_beside(left, right), spelt_beside(right, left)
    a, b = left.type, right.type
    if t.is_word(a) and t.is_word(b):
        if is_literal(left) and is_literal(right):
            return _of_literals(c, op, left, right, span)
        if isinstance(a, t.Int | t.Bool | t.Enum) and isinstance(b, t.Int | t.Bool | t.Enum):
            kind = t.UINT64 if _is_unsigned(left) and _is_unsigned(right) else t.INT64
            _warn_of_signs(c, left, right)
            left, right = convert(left, kind), convert(right, kind)
        if isinstance(left, typed.Const) and isinstance(right, typed.Const):
            folded = fold(op, left.value, right.value)
            if folded is not None:
                return typed.Const(folded, type=t.BOOL, span=span)
        return typed.Binary(op, left, right, type=t.BOOL, span=span)
    if op in ("==", "!="):
        equality: Literal["==", "!="] = "==" if op == "==" else "!="
        if isinstance(a, t.String) and isinstance(b, t.String):
            return typed.Compare(equality, left, right, type=t.BOOL, span=span)
        joined = join(a, b) if isinstance(a, t.Tuple | t.Record | t.Array | t.Buffer | t.Mac | t.Inet) else None
        if joined is not None:
            return typed.Compare(equality, convert(left, joined), convert(right, joined), type=t.BOOL, span=span)
    return c.error(span, f"operator '{op}' cannot be used on expressions of types '{a}', '{b}'")


def _pointer_arithmetic(c: ExpressionChecker, op: str, left: typed.Expr, right: typed.Expr, span: Span) -> typed.Expr:
    pointer, number = (left, right) if isinstance(left.type, t.Pointer) else (right, left)
    both = isinstance(left.type, t.Pointer) and isinstance(right.type, t.Pointer)
    if both and op == "-":
        return typed.Binary("-", convert(left, t.INT64), convert(right, t.INT64), type=t.INT64, span=span)
    if both or op not in "+-" or (op == "-" and pointer is right) or not t.is_integral(number.type):
        kinds = f"'{left.type}', '{right.type}'"
        return c.error(span, f"operator '{op}' cannot be used on expressions of types {kinds}")
    assert isinstance(pointer.type, t.Pointer)
    base = typed.Convert(pointer, type=t.INT64, span=span)
    total = typed.Binary(op, base, scaled(c, pointer.type, number), type=t.INT64, span=span)
    return typed.Convert(total, type=pointer.type, span=span)


def scaled(c: ExpressionChecker, pointer: t.Pointer, number: typed.Expr) -> typed.Expr:
    """How many bytes a pointer moves by a number of steps."""
    step, number = members.pointee_size(c, pointer), convert(number, t.INT64)
    if step == 1:
        return number
    factor = typed.Const(step, type=t.INT64, span=number.span)
    return typed.Binary("*", number, factor, type=t.INT64, span=number.span)


def ternary(c: ExpressionChecker, n: ast.Ternary) -> typed.Expr:
    """`a ? b : c`, `a ?: c`."""
    condition = c.condition(n.condition)
    if n.then is None and not isinstance(condition.type, t.Unknown):
        return once(condition, lambda held: _either(c, n, held, held))
    return _either(c, n, condition, c.materialize(c.expr(n.then)) if n.then is not None else condition)


def _either(c: ExpressionChecker, n: ast.Ternary, condition: typed.Expr, then: typed.Expr) -> typed.Expr:
    otherwise = c.materialize(c.expr(n.otherwise))
    if isinstance(then.type, t.Unknown) or isinstance(otherwise.type, t.Unknown):
        return c.error(n.span)
    kind = join_expr(then.type, otherwise) or join_expr(otherwise.type, then)
    if kind is None:
        return c.error(n.span, f"Ternary operator must return the same type: have '{then.type}' and '{otherwise.type}'")
    if isinstance(condition, typed.Const):
        return convert(then if condition.value else otherwise, kind)
    return typed.Ternary(condition, convert(then, kind), convert(otherwise, kind), type=kind, span=n.span)


def increment(c: ExpressionChecker, n: ast.Increment) -> typed.Expr:
    """`++x` and its kin; what is narrower than 64 bits is widened first."""
    target = c.expr(n.target)
    if isinstance(target, typed.MapGet) and isinstance(target.type, t.Unknown):
        c.symbols.assign_map(c, target.map, typed.Const(0, type=t.INT64, span=n.span), n.span)
        target = typed.MapGet(target.map, target.key, type=target.map.value, span=n.span)
    if isinstance(target.type, t.Unknown):
        return c.error(n.span)
    if not isinstance(target, typed.Var | typed.MapGet) or not isinstance(target.type, t.Int | t.Pointer):
        return c.error(n.span, f"'{n.op}' needs an integer or pointer variable or map")
    step = 1
    if isinstance(target.type, t.Pointer):
        step = members.pointee_size(c, target.type)
    elif target.type.bits < 64 and not (isinstance(target, typed.Var) and c.symbols.is_fixed(target.symbol)):
        wide = typed.Const(0, type=t.INT64, span=n.span)
        if isinstance(target, typed.Var):
            c.symbols.assign_variable(c, target.symbol, wide, n.span)
        else:
            c.symbols.assign_map(c, target.map, wide, n.span)
    if isinstance(target, typed.MapGet):
        target.map.writers.add(c.ordinal)
    return typed.Increment(target, step if n.op == "++" else -step, n.prefix, type=target.type, span=n.span)


def spelt_beside(value: typed.Expr, other: typed.Expr) -> typed.Expr:
    """A number that prints as a name is that name where it meets a string."""
    if isinstance(value.type, t.Named) and isinstance(other.type, t.String):
        from pytrace.functions.tables import spelt

        return spelt(value)
    return value


def _signed(kind: t.Type) -> bool:
    return kind.signed if isinstance(kind, t.Int | t.Enum) else False


def _is_unsigned(value: typed.Expr) -> bool:
    if isinstance(value, typed.Const) and value.literal:
        return value.value >= 0
    return not _signed(value.type)


def fold(op: str, a: int, b: int) -> int | None:
    """The value of an operator on two constants before it is cut to its type, or None where it is left to run time."""
    if op in ("/", "%"):
        if b == 0:
            return None
        quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1)
        return quotient if op == "/" else a - quotient * b
    if op in ("<<", ">>"):
        return a << (b & 63) if op == "<<" else a >> (b & 63)
    table: dict[str, Callable[[int, int], int]] = {
        "+": lambda x, y: x + y,
        "-": lambda x, y: x - y,
        "*": lambda x, y: x * y,
        "&": lambda x, y: x & y,
        "|": lambda x, y: x | y,
        "^": lambda x, y: x ^ y,
        "==": lambda x, y: int(x == y),
        "!=": lambda x, y: int(x != y),
        "<": lambda x, y: int(x < y),
        "<=": lambda x, y: int(x <= y),
        ">": lambda x, y: int(x > y),
        ">=": lambda x, y: int(x >= y),
    }
    return table[op](a, b)
