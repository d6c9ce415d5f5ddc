"""debugf(): a line in the kernel's trace buffer, past everything that pytrace does with output."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.format import Conversion
from pytrace.functions.base import function
from pytrace.functions.output import GROUP, formatted
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

MAX_ARGUMENTS = 3
"""What bpf_trace_printk takes."""
_VERBS = frozenset("diuxXps")


def _lower(lo: Lower, e: typed.Call) -> None:
    f = lo.f
    words = [lo.word(a) if t.is_word(a.type) else f.address(lo.place(a)) for a in e.args]
    data = e.data.encode("utf-8", "surrogateescape") + b"\0"
    text = f.offset(lo.unit.value("rodata"), lo.unit.rodata(data))
    f.helper(Helper.trace_printk, f"ptr {text}", f"i32 {len(data)}", *(f"i64 {word}" for word in words))


@function(
    "debugf(const string format, …)",
    "Writes formatted text with at most three values to the kernel's trace buffer (`trace_pipe` of tracefs), by "
    "bpf_trace_printk: for looking into scripts, as everybody who traces sees it.",
    'begin { debugf("cpu %d, %s", cpu, comm); }',
    group=GROUP,
    lower=_lower,
)
def debugf(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    call = formatted(c, n)
    if not isinstance(call, typed.Call):
        return call
    if len(call.args) > MAX_ARGUMENTS:
        return c.error(n.span, f"debugf() takes {MAX_ARGUMENTS} values at most", "printf() takes any number")
    text = ""
    values = iter(call.args)
    for piece in call.data.pieces:
        if isinstance(piece, str):
            text += piece.replace("%", "%%")
            continue
        value = next(values)
        if piece.verb not in _VERBS or (piece.verb == "s") != isinstance(value.type, t.String):
            return c.error(value.span, f"debugf() cannot show a '{value.type}' by {piece}", "printf() can")
        text += str(_wide(piece))
    hint = "printf() writes where all other output goes"
    c.diagnostics.warning(n.span, "debugf() writes to the trace buffer of the whole machine", hint)
    return typed.Call(n.name, call.args, text, type=t.VOID, span=n.span)


def _wide(conversion: Conversion) -> Conversion:
    """The same for the kernel, which is given 64 bits of every number."""
    if conversion.verb in "ps":
        return conversion
    verb = "d" if conversion.verb == "i" else conversion.verb.lower()
    return Conversion(verb, conversion.flags, conversion.width, None, "ll")
