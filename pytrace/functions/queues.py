"""Queues and stacks: maps declared as `let @q = queue(n);` or `stack(n)`, which bpftrace does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import maps
from pytrace.codegen.helpers import Helper
from pytrace.codegen.layout import MapLayout
from pytrace.functions.base import function
from pytrace.semantics import typed
from pytrace.semantics.scopes import QUEUES
from pytrace.semantics.widen import convert
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.semantics.expressions import ExpressionChecker

GROUP = "Maps"


def _queue(c: ExpressionChecker, n: ast.Call) -> typed.MapSymbol | None:
    """The queue that the first argument names, or None after a diagnostic."""
    node = n.args[0]
    if not isinstance(node, ast.Map):
        c.error(node.span, f"{n.name}() expects a queue or stack", "declare one: let @q = queue(100);")
        return None
    symbol = c.symbols.map(node)
    if symbol.kind not in QUEUES:
        c.error(node.span, f"@{symbol.name} is not a queue or stack", f"declare it: let @{symbol.name} = queue(100);")
        return None
    return symbol


def _layout(lo: Lower, e: typed.Call) -> MapLayout:
    assert isinstance(e.args[0], typed.MapRef)
    return maps.layout(lo, e.args[0].map)


def _done(lo: Lower, result: str) -> str:
    return lo.f.word(lo.f.compare("eq", lo.f.extend(result, 32, True), 0))


def _lower_push(lo: Lower, e: typed.Call) -> str:
    m = _layout(lo, e)
    room = lo.room(max(8, m.spec.value_size))
    lo.writer(e.args[1])(room)
    done = _done(lo, lo.f.helper(Helper.map_push_elem, f"ptr {lo.unit.map(m.name)}", f"ptr {room}", "i64 0"))
    with lo.f.when(lo.f.compare("eq", done, 0), "full"):
        lo.count("map_full", m.user.name)
    return done


@function(
    "push(map queue, value) -> bool",
    "Puts a value into a queue or onto a stack; false, and counted, if there is no room.",
    "let @q = queue(10); begin { push(@q, 1); }",
    group=GROUP,
    lower=_lower_push,
)
def push(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    symbol = _queue(c, n) if c.arity(n, 2) else None
    if symbol is None:
        return c.error(n.span)
    value = c.materialize(c.expr(n.args[1]))
    if not c.symbols.assign_map(c, symbol, value, n.span):
        return c.error(n.span)
    reference = typed.MapRef(symbol, type=t.VOID, span=n.span)
    return c.call(n, t.BOOL, reference, convert(value, symbol.value))


def _lower_take(lo: Lower, e: typed.Call) -> str:
    f = lo.f
    m = _layout(lo, e)
    helper = Helper.map_pop_elem if e.name == "pop" else Helper.map_peek_elem
    room = lo.room(max(8, m.spec.value_size))
    done = _done(lo, f.helper(helper, f"ptr {lo.unit.map(m.name)}", f"ptr {room}"))
    with f.when(f.truth(done), "taken"):
        place = lo.variable(e.data)
        if t.is_word(m.user.value):
            bits, signed = t.signedness(m.user.value)
            f.store(f.load(room, bits, signed), place)
        else:
            lo.copy(room, place, m.user.value.size, 8)
    return done


def _take(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    symbol = _queue(c, n) if c.arity(n, 2) else None
    target = n.args[1] if len(n.args) == 2 else None
    if symbol is None:
        return c.error(n.span)
    if not isinstance(target, ast.Variable):
        return c.error(n.args[1].span, f"{n.name}() expects a variable for its second argument")
    variable = c.symbols.variable(target.name) or c.symbols.declare(target.name, t.UNKNOWN)
    value = typed.MapGet(symbol, None, type=symbol.value, span=n.span)
    if not c.symbols.assign_variable(c, variable, value, n.span):
        return c.error(n.span)
    return c.call(n, t.BOOL, typed.MapRef(symbol, type=t.VOID, span=n.span), data=variable)


@function(
    "pop(map queue, $value) -> bool",
    "Takes the oldest value of a queue, or the newest of a stack, into the variable; false if there is none.",
    "let @q = queue(10); begin { push(@q, 1); if (pop(@q, $x)) { print($x); } }",
    group=GROUP,
    lower=_lower_take,
)
def pop(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _take(c, n)


@function(
    "peek(map queue, $value) -> bool",
    "What pop() would take, left where it is.",
    "let @q = stack(10); begin { push(@q, 1); if (peek(@q, $x)) { print($x); } }",
    group=GROUP,
    lower=_lower_take,
)
def peek(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _take(c, n)
