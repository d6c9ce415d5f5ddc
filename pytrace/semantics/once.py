"""What stands once in the script is evaluated once, however often the tree needs its value."""

from __future__ import annotations

from collections.abc import Callable

from pytrace.semantics import typed


def once(value: typed.Expr, make: Callable[[typed.Expr], typed.Expr]) -> typed.Expr:
    """`make(value)`, which may use the value in several places."""
    if stable(value):
        return make(value)
    symbol = typed.VarSymbol("", value.type)
    result = make(typed.Var(symbol, type=value.type, span=value.span))
    return typed.BlockExpr(
        (typed.AssignVar(symbol, value, span=value.span),), result, type=result.type, span=value.span
    )


def stable(value: typed.Expr) -> bool:
    """Whether evaluating it again changes nothing, and gives the same. What is read from maps and memory may be
    different the next time."""
    match value:
        case typed.Const() | typed.Str() | typed.Var() | typed.ContextLoad() | typed.ContextPointer():
            return True
        case typed.Convert(operand) | typed.Reinterpret(operand) | typed.Unary(_, operand):
            return stable(operand)
        case typed.Binary(_, left, right) | typed.Logical(_, left, right):
            return stable(left) and stable(right)
        case typed.TupleExpr(elements):
            return all(map(stable, elements))
    return False
