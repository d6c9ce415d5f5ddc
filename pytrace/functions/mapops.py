"""Functions on whole maps and their elements."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import maps as lowering
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function
from pytrace.program import Storage
from pytrace.semantics import typed
from pytrace.semantics.prefixes import refused
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.semantics.expressions import ExpressionChecker

GROUP = "Maps"


def map_argument(c: ExpressionChecker, node: ast.Expr | ast.TypeExpr, n: ast.Call) -> typed.MapSymbol | None:
    """The map that an argument names, or None after a diagnostic."""
    if isinstance(node, ast.Map):
        return c.symbols.map(node)
    c.error(node.span, f"{n.name}() expects a map to be provided")
    return None


def _reference(symbol: typed.MapSymbol, n: ast.Call) -> typed.Expr:
    return typed.MapRef(symbol, type=t.VOID, span=n.span)


def _keyed(c: ExpressionChecker, n: ast.Call) -> tuple[typed.MapSymbol, typed.Expr] | None:
    """`f(@m, key)` or the old form `f(@m[key])`."""
    first = n.args[0]
    if isinstance(first, ast.MapAccess) and len(n.args) == 1:
        symbol, node = c.symbols.map(first.map), first.key
    else:
        found = map_argument(c, first, n)
        if found is None or not c.arity(n, 2, 3):
            return None
        symbol, node = found, n.args[1]  # type: ignore[assignment]  # a type is reported as not a value
    key = c.map_key(symbol, node, n.span)
    return None if key is None else (symbol, key)


def _whole(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    symbol = map_argument(c, n.args[0], n) if c.arity(n, 1) else None
    if symbol is None:
        return c.error(n.span)
    symbol.emptied = True
    return c.call(n, t.VOID, _reference(symbol, n))


def _lower_whole(lo: Lower, e: typed.Call) -> None:
    assert isinstance(e.args[0], typed.MapRef)
    lo.send(e.name, (), e.span, map="@" + e.args[0].map.name)


@function(
    "clear(map m)",
    "Removes all elements of a map. Done in user space, in order.",
    "interval:s:1 { @[rand % 5] = count(); print(@); clear(@); }",
    group=GROUP,
    lower=_lower_whole,
)
def clear(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _whole(c, n)


@function(
    "zero(map m)",
    "Sets all values of a map to zero. Done in user space, in order.",
    "interval:s:1 { @[rand % 5] = count(); print(@); zero(@); }",
    group=GROUP,
    lower=_lower_whole,
)
def zero(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _whole(c, n)


def _lower_delete(lo: Lower, e: typed.Call) -> str:
    f = lo.f
    assert isinstance(e.args[0], typed.MapRef)
    m = lowering.layout(lo, e.args[0].map)
    if m.user.storage is Storage.SLOT:
        place = lo.unit.value(m.name)
        present = f.offset(place, lowering.PRESENT)
        was = f.load(present)
        f.store(0, present)
        f.store(0, place)
        return was
    if m.user.storage is Storage.PERCPU_SLOT:
        for cpu in range(lo.unit.cpus):
            lo.zero(lowering.slot_row(lo, m, str(cpu)), m.user.value.size)
        return "1"
    key = lowering.key_place(lo, m, e.args[1] if len(e.args) > 1 else None)
    result = f.helper(Helper.map_delete_elem, f"ptr {lo.unit.map(m.name)}", f"ptr {key}")
    return f.word(f.compare("eq", f.extend(result, 32, True), 0))


@function(
    "delete(map m, key) -> bool",
    "Removes an element; false if it was not there. Without a key, empties a scalar map.",
    "tracepoint:sched:sched_switch { @start[tid] = nsecs; delete(@start, args.prev_pid); }",
    group=GROUP,
    lower=_lower_delete,
)
def delete(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 2):
        return c.error(n.span)
    if len(n.args) == 1 and isinstance(n.args[0], ast.Map):
        symbol = c.symbols.map(n.args[0])
        if symbol.keyed:
            return c.error(
                n.span, f"call to delete() expects a map without explicit keys (scalar map), @{symbol.name} has keys"
            )
        symbol.writers.add(c.ordinal)
        return c.call(n, t.BOOL, _reference(symbol, n))
    found = _keyed(c, n)
    if found is None:
        return c.error(n.span)
    found[0].writers.add(c.ordinal)
    return c.call(n, t.BOOL, _reference(found[0], n), found[1])


def _lookup(lo: Lower, e: typed.Call) -> str:
    assert isinstance(e.args[0], typed.MapRef)
    m = lowering.layout(lo, e.args[0].map)
    return lowering.lookup(lo, m, lowering.key_place(lo, m, e.args[1]))


def _lower_has_key(lo: Lower, e: typed.Call) -> str:
    return lo.f.word(lo.f.op(f"icmp ne ptr {_lookup(lo, e)}, null"))


@function(
    "has_key(map m, key) -> bool",
    "Whether a map has an element.",
    "begin { @a[1] = 2; print(has_key(@a, 1)); }",
    group=GROUP,
    lower=_lower_has_key,
)
def has_key(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    found = _keyed(c, n) if c.arity(n, 1, 2) else None
    return c.error(n.span) if found is None else c.call(n, t.BOOL, _reference(found[0], n), found[1])


def _lower_find(lo: Lower, e: typed.Call) -> str:
    f = lo.f
    out = e.data
    result = f.alloca(8)
    f.store(0, result)
    assert isinstance(e.args[0], typed.MapRef)
    m = lowering.layout(lo, e.args[0].map)
    key = lowering.key_place(lo, m, e.args[1])
    found = lowering.lookup(lo, m, key)
    with f.when(f.op(f"icmp ne ptr {found}, null"), "found"):
        place = lo.variable(out)
        if isinstance(m.user.value, t.Aggregation):
            f.store(lowering.merged_element(lo, m, key), place)
        elif t.is_word(m.user.value):
            bits, signed = t.signedness(m.user.value)
            f.store(f.load(found, bits, signed), place)
        else:
            lo.copy(found, place, m.user.value.size, 8)
        f.store(1, result)
    return f.load(result)


@function(
    "find(map m, key, $value) -> bool",
    "Whether a map has an element; if so its value is put into the variable.",
    "begin { @a[1] = 2; if (find(@a, 1, $v)) { print($v); } }",
    group=GROUP,
    lower=_lower_find,
)
def find(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 3):
        return c.error(n.span)
    target = n.args[2]
    found = _keyed(c, n)
    if not isinstance(target, ast.Variable):
        return c.error(target.span, "find() expects a variable for its third argument")
    if found is None:
        return c.error(n.span)
    kind = c.read_type(found[0], n.span)
    symbol = c.symbols.variable(target.name) or c.symbols.declare(target.name, t.UNKNOWN)
    value = typed.MapGet(found[0], found[1], type=kind, span=n.span)
    if not c.symbols.assign_variable(c, symbol, value, n.span):
        return c.error(n.span)
    return c.call(n, t.BOOL, _reference(found[0], n), found[1], data=symbol)


def _lower_len(lo: Lower, e: typed.Call) -> str:
    f = lo.f
    if not isinstance(e.args[0], typed.MapRef):
        return f.load(f.offset(lo.place(e.args[0]), 12), 32)
    m = lowering.layout(lo, e.args[0].map)
    if m.user.storage is Storage.SLOT:
        return f.load(f.offset(lo.unit.value(m.name), lowering.PRESENT))
    name = lo.program.callback_name()
    g = lo.unit.module.function(name, ("map", "key", "value", "frame"), main=False, span=e.span)
    g.ret("0")
    # How many elements it went through is what the helper returns.
    visit = f"ptr {lo.unit.map(m.name)}", f'ptr @"{name}"', "ptr %frame", "i64 0"
    return f.helper(Helper.for_each_map_elem, *visit)


@function(
    "len(map m | stack s) -> int64",
    "Number of elements of a map, or of frames of a stack.",
    "interval:s:1 { @[rand] = 1; print(len(@)); }",
    group=GROUP,
    lower=_lower_len,
)
def len_(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1):
        return c.error(n.span)
    if isinstance(n.args[0], ast.Map):
        symbol = c.symbols.map(n.args[0])
        if symbol.keyed is False and isinstance(symbol.value, t.Aggregation):
            return c.error(n.span, "call to len() expects a map with explicit keys (non-scalar map)")
        if refused(c, symbol, "the kernel cannot count", n.args[0].span):
            return c.error(n.span)
        if symbol.keyed is not False:
            return c.call(n, t.INT64, _reference(symbol, n))
        if not isinstance(symbol.value, t.Stack):
            return c.error(n.span, "call to len() expects a map with explicit keys (non-scalar map)")
    value = c.materialize(c.expr(n.args[0]))
    if isinstance(value.type, t.Unknown | t.Stack):
        return c.call(n, t.INT64, value)
    return c.error(n.span, f"len() expects a map or stack to be provided, not a value of type '{value.type}'")
