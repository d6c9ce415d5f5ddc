"""`print(@x)` of a map without keys: its value goes into the record, so that what is shown is what it was then.

Histograms and time series are read by user space when the record arrives, and so is a map that the script also clears
or zeroes, since user space does that too, in the order of the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import maps
from pytrace.program import Storage
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.layout import MapLayout
    from pytrace.codegen.lower import Lower
    from pytrace.diagnostics import Span


def print_map(lo: Lower, e: typed.Call, symbol: typed.MapSymbol) -> None:
    """Sends the value of a scalar map (zero if there is none); for any other, what asks user space to read it."""
    m = maps.layout(lo, symbol)
    action, values = ("print_scalar", _values(m, symbol, e.span)) if _is_sent(e, m, symbol) else ("print_map", e.args)
    lo.send(action, values, e.span, map="@" + symbol.name)


def _is_sent(e: typed.Call, m: MapLayout, symbol: typed.MapSymbol) -> bool:
    plain = all(isinstance(a, typed.Const) and a.value == 0 for a in e.args)  # no `top`, no `div`
    if not plain or symbol.key is not None or symbol.emptied:
        return False
    if m.user.storage is Storage.PERCPU_SLOT:
        return isinstance(m.user.value, t.Count | t.Sum | t.Min | t.Max | t.Avg | t.Stats)
    return m.user.storage in (Storage.SLOT, Storage.HASH)


def _values(m: MapLayout, symbol: typed.MapSymbol, span: Span) -> tuple[typed.Expr, ...]:
    """What the record holds: the value, of averages and statistics the sum and the number of samples."""
    kind = m.user.value
    if isinstance(kind, t.Avg | t.Stats):
        total = typed.MapGet(symbol, None, "total", type=t.Int(64, kind.signed), span=span)
        return total, typed.MapGet(symbol, None, "count", type=t.UINT64, span=span)
    if isinstance(kind, t.Aggregation):
        return (typed.MapGet(symbol, None, type=t.Int(64, getattr(kind, "signed", False)), span=span),)
    return (typed.MapGet(symbol, None, type=kind, span=span),)
