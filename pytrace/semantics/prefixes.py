"""Keys of maps declared as `let @m = lpm(n)`, where the longest prefix that an address is in decides.

bpftrace has none. A key is an address, all of whose bits count, or `(address, bits)`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.functions.bytes import AF_INET, AF_INET6, address
from pytrace.semantics import typed
from pytrace.semantics.scopes import PREFIXES
from pytrace.semantics.widen import convert
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.diagnostics import Span
    from pytrace.semantics.expressions import ExpressionChecker

_BITS = {AF_INET: 32, AF_INET6: 128}
_HOW = 'keys are addresses, or addresses and a number of bits: @m[pton("10.0.0.0"), 8], @m[ntop(args.saddr)]'


def prefix(c: ExpressionChecker, symbol: typed.MapSymbol, node: ast.Expr) -> typed.Expr | None:
    """A key of an `lpm` map; None after a diagnostic."""
    parts = node.elements if isinstance(node, ast.Tuple) else (node,)
    if len(parts) > 2:
        c.error(node.span, f"@{symbol.name} is an lpm map: its keys are no tuples of {len(parts)}", _HOW)
        return None
    value = c.materialize(c.expr(parts[0]))
    length = c.integer(parts[1], "a number of bits") if len(parts) == 2 else None
    if isinstance(value.type, t.Unknown) or (length is not None and isinstance(length.type, t.Unknown)):
        return None
    if isinstance(value, typed.Str) or not isinstance(value.type, t.Inet | t.Int | t.Enum | t.Array):
        c.error(parts[0].span, f"@{symbol.name} is an lpm map: '{value.type}' is no address", _HOW)
        return None
    inet = value if isinstance(value.type, t.Inet) else address(c, value, parts[0].span)
    if isinstance(inet.type, t.Unknown):
        return None
    if length is not None:
        if isinstance(length, typed.Const) and not 0 <= length.value <= (most := _bits(inet)):
            c.error(length.span, f"an address of {most} bits has no prefix of {length.value}")
            return None
        length = convert(length, t.INT64)
    if symbol.key is None:
        symbol.key = t.Prefix()
        c.symbols.learnt.changed = True
    return typed.Prefix(inet, length, type=t.Prefix(), span=node.span)


def _bits(inet: typed.Expr) -> int:
    """How many bits an address has, or may have."""
    if isinstance(inet, typed.Call) and isinstance(inet.args[0], typed.Const):
        return _BITS.get(inet.args[0].value, 128)
    return 128


def refused(c: ExpressionChecker, symbol: typed.MapSymbol, what: str, span: Span) -> bool:
    """Whether a map is one of these, which cannot do `what`: there is a diagnostic then."""
    if symbol.kind == PREFIXES:
        c.error(span, f"@{symbol.name} is an lpm map, which {what}")
    return symbol.kind == PREFIXES
