"""Statements, each by its own few lines; those with more to them by `maps` and `loops`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import loops, maps
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower


def statement(lo: Lower, s: typed.Stmt) -> None:
    """Emits one statement."""
    match s:
        case typed.ExprStmt():
            lo.effect(s.value)
        case typed.AssignVar():
            _assign_variable(lo, s.symbol, s.value)
        case typed.DeclareVar():
            if isinstance(s.symbol.type, t.Unknown):  # nothing is ever assigned to it
                return
            place = lo.variable(s.symbol)
            lo.zero(place, max(8 if t.is_word(s.symbol.type) else 0, s.symbol.type.size))
        case typed.AssignMap():
            maps.assign(lo, s)
        case typed.Aggregate():
            maps.aggregate(lo, s)
        case typed.Block():
            lo.statements(s.body)
        case typed.If():
            _if(lo, s)
        case typed.ForMap():
            loops.for_map(lo, s)
        case typed.ForRange():
            loops.for_range(lo, s)
        case typed.While():
            loops.while_(lo, s)
        case typed.Unroll():
            _unroll(lo, s)
        case typed.Jump():
            loops.jump(lo, s.kind)
        case typed.Return():
            loops.return_(lo, s)


def _assign_variable(lo: Lower, symbol: typed.VarSymbol, value: typed.Expr) -> None:
    if t.is_word(symbol.type):
        operand = lo.word(value)
        lo.set_variable(symbol, operand)
    else:
        writer = lo.writer(value)
        writer(lo.variable(symbol))


def _if(lo: Lower, s: typed.If) -> None:
    f = lo.f
    then, otherwise, end = f.label("then"), f.label("else"), f.label("endif")
    f.branch(lo.condition(s.condition), then, otherwise if s.otherwise else end)
    f.place(then)
    lo.statements(s.then.body)
    f.jump(end)
    if s.otherwise:
        f.place(otherwise)
        lo.statements(s.otherwise.body)
        f.jump(end)
    f.place(end)


def _unroll(lo: Lower, s: typed.Unroll) -> None:
    f = lo.f
    done = f.label("unrolled")
    for _ in range(s.count):
        following = f.label("next")
        lo.loop_labels.append((done, following))
        lo.statements(s.body.body)
        lo.loop_labels.pop()
        f.jump(following)
        f.place(following)
    f.place(done)
