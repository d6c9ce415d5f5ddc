"""Loops and subprograms: code that becomes a function of its own.

A loop's body is a callback of `bpf_for_each_map_elem` or `bpf_loop`; the variables that it shares with the code around
it are in the frame, a block of the entry function's stack whose address is the callback's context. A `return`
inside sets the frame's flow flag, which every enclosing loop passes on. On kernels without bpf_loop, loops that count
or wait for a condition are plain code of a limited number of rounds.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import maps
from pytrace.codegen.helpers import Helper
from pytrace.codegen.ir import Function
from pytrace.semantics import typed

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytrace.codegen.clang import Foreign
    from pytrace.codegen.lower import Lower
    from pytrace.diagnostics import Span

PLAIN_LIMIT = 1024
"""Rounds of a loop on kernels without bpf_loop (before 5.17), where the verifier follows each: it gives up at a million
instructions."""
MAX_LOOPS = 1 << 23
"""BPF_MAX_LOOPS: what one bpf_loop call may do; a longer loop is cut short and counted."""


def _inner(lo: Lower, params: tuple[str, ...], span: Span) -> tuple[Lower, Function]:
    from pytrace.codegen.lower import Lower as Lowering

    f = lo.unit.module.function(lo.program.callback_name(), params, main=False, span=span)
    return Lowering(lo.unit, lo.program, f, None), f


def _body(inner: Lower, body: typed.Block) -> None:
    """A loop body: `continue` returns 0, `break` and `return` return 1."""
    f = inner.f
    stop, following = f.label("break"), f.label("continue")
    inner.loop_labels.append((stop, following))
    inner.statements(body.body)
    f.jump(following)
    f.place(stop)
    f.ret("1")
    f.place(following)
    f.ret("0")


def _after(lo: Lower) -> None:
    """Passes a `return` from inside a loop on."""
    f = lo.f
    flow = f.load(f.offset("%frame", lo.program.FLOW))
    with f.when(f.truth(flow), "returned"):
        if lo.returns_value:
            f.store(f.load(f.offset("%frame", lo.program.RESULT)), "%result")
        _leave(lo)


def _leave(lo: Lower) -> None:
    if lo.on_return is not None:
        lo.f.jump(lo.on_return)
    else:
        lo.f.ret("1")


def for_map(lo: Lower, s: typed.ForMap) -> None:
    m = maps.layout(lo, s.map)
    inner, g = _inner(lo, ("map", "key", "value", "frame"), s.span)
    kind = s.variable.type
    assert isinstance(kind, t.Tuple)
    place = inner.variable(s.variable)
    inner.zero(place, kind.size)
    key_type, value_type = kind.elements
    inner.copy("%key", place, key_type.size, key_type.align)
    to = g.offset(place, kind.offsets[1])
    if isinstance(m.user.value, t.Aggregation):
        g.store(maps.merged_element(inner, m, place), to)
    elif t.is_word(value_type):
        bits, signed = t.signedness(value_type)
        g.store(g.load("%value", bits, signed), to, bits)
    else:
        inner.copy("%value", to, value_type.size, value_type.align)
    _body(inner, s.body)
    lo.f.helper(Helper.for_each_map_elem, f"ptr {lo.unit.map(m.name)}", f'ptr @"{g.name}"', "ptr %frame", "i64 0")
    _after(lo)


def for_range(lo: Lower, s: typed.ForRange) -> None:
    f = lo.f
    if not lo.unit.kernel.features.has("bpf_loop"):
        _plain_range(lo, s)
        return
    start, end = lo.word(s.start), lo.word(s.end)
    slot = lo.program.new_slot()
    f.store(start, f.offset("%frame", slot))
    count = f.op(f"sub i64 {end}, {start}")
    count = f.select(f.compare("sgt", end, start), count, "0")

    def begin(inner: Lower) -> None:
        at = inner.f.offset("%frame", slot)
        inner.f.store(inner.f.add(inner.f.load(at), "%index"), inner.variable(s.variable))

    _loop(lo, count, s.span, begin, s.body, None)


def _plain_range(lo: Lower, s: typed.ForRange) -> None:
    f = lo.f
    start, end = lo.word(s.start), lo.word(s.end)
    known = isinstance(s.start, typed.Const) and isinstance(s.end, typed.Const)

    def going(round: str, body: str, stop: str) -> None:
        at = f.add(start, round)
        f.store(at, lo.variable(s.variable))
        f.branch(f.compare("slt", at, end), body, stop)

    short = known and s.end.value - s.start.value <= PLAIN_LIMIT  # type: ignore[attr-defined]  # both are Const
    _plain_loop(lo, s.span, going, s.body, cut=not short)


def _plain_loop(lo: Lower, span: Span, going: Callable[[str, str, str], None], body: typed.Block, *, cut: bool) -> None:
    """A loop in the program itself. `going` gets the number of the round and branches to the body or out; with `cut`
    it may go on for longer than the verifier can follow, and is then ended and counted."""
    f = lo.f
    index = f.alloca(8)
    f.store(0, index)
    head, inside, following, stop, limit, first = (
        f.label(n) for n in ("loop", "body", "continue", "break", "limit", "round")
    )
    f.place(head)
    at = f.load(index)
    if cut:
        f.branch(f.compare("ult", at, PLAIN_LIMIT), first, limit)
        f.place(limit)
        lo.count("loop_limit", span=span)
        f.jump(stop)
        f.place(first)
    going(at, inside, stop)
    f.place(inside)
    lo.loop_labels.append((stop, following))
    lo.statements(body.body)
    lo.loop_labels.pop()
    f.place(following)
    f.store(f.add(f.load(index), 1), index)
    f.jump(head)
    f.place(stop)


def while_(lo: Lower, s: typed.While) -> None:
    if not lo.unit.kernel.features.has("bpf_loop"):
        condition = s.condition

        def going(round: str, body: str, stop: str) -> None:
            lo.f.branch(lo.condition(condition), body, stop)

        _plain_loop(lo, s.span, going, s.body, cut=True)
        return
    _loop(lo, str(MAX_LOOPS), s.span, lambda inner: None, s.body, s.condition)


def _loop(
    lo: Lower,
    count: str,
    span: Span,
    begin: Callable[[Lower], None],
    body: typed.Block,
    condition: typed.Expr | None,
) -> None:
    f = lo.f
    inner, g = _inner(lo, ("index", "frame"), span)
    begin(inner)
    if condition is not None:
        going = g.label("going")
        finished = g.label("finished")
        g.branch(inner.condition(condition), going, finished)
        g.place(finished)
        g.ret("1")
        g.place(going)
    _body(inner, body)
    over = f.compare("ugt", count, MAX_LOOPS) if condition is None else None
    capped = f.select(over, str(MAX_LOOPS), count) if over is not None else count
    narrow = f.op(f"trunc i64 {capped} to i32")
    call = f"i32 {narrow}", f'ptr @"{g.name}"', "ptr %frame", "i64 0"
    if over is None:
        cut = f.compare("sge", f.helper(Helper.loop, *call), MAX_LOOPS)
    else:
        cut = over
        # A callback of no rounds is dead code to the verifier, which then misses it where the call mentions it.
        with f.when(f.compare("ne", capped, 0), "some"):
            f.helper(Helper.loop, *call)
    with f.when(cut, "cut"):
        lo.count("loop_limit", span=span)
    _after(lo)


def jump(lo: Lower, kind: str) -> None:
    stop, following = lo.loop_labels[-1]
    lo.f.jump(stop if kind == "break" else following)


def return_(lo: Lower, s: typed.Return) -> None:
    f = lo.f
    if lo.returns_value:
        if s.value is not None:
            f.store(lo.word(s.value), "%result")
    elif lo.on_return is None:  # in a loop: whoever calls it knows whether the value is wanted
        f.store("0" if s.value is None else lo.word(s.value), f.offset("%frame", lo.program.RESULT))
    elif s.value is not None:
        lo.effect(s.value)
    if lo.on_return is None:
        f.store(1, f.offset("%frame", lo.program.FLOW))
    _leave(lo)


def call_subprogram(lo: Lower, e: typed.SubprogramCall) -> str:
    args = [lo.word(a) for a in e.args]
    if e.subprogram.foreign is not None:
        return _call_foreign(lo, e.subprogram.foreign, args)
    name = _subprogram(lo, e.subprogram)
    frame = ["ptr %frame"] if lo.program.framed else []
    return lo.f.call(name, *frame, *(f"i64 {a}" for a in args))


def _call_foreign(lo: Lower, function: Foreign, args: list[str]) -> str:
    """A call of a function in C, with words cut to what it takes, and what it gives made a word."""
    f = lo.f
    lo.unit.foreign[function.name] = function
    f.module.declare(function.name, function.signature)
    operands = [f"{kind} {_cut(lo, arg, kind)}" for arg, kind in zip(args, function.words, strict=True)]
    call = f'call {function.result} @"{function.name}"({", ".join(operands)})'
    if function.result == "void":
        f.emit(call)
        return "0"
    value = f.op(call)
    if function.result == "ptr":
        return f.address(value)
    _, signed = t.signedness(function.returns)
    return (
        value if function.result == "i64" else f.op(f"{'sext' if signed else 'zext'} {function.result} {value} to i64")
    )


def _cut(lo: Lower, word: str, kind: str) -> str:
    if kind == "i64":
        return word
    if kind == "ptr":
        return lo.f.pointer(word)
    if kind == "i1":
        return lo.f.truth(word)
    return lo.f.op(f"trunc i64 {word} to {kind}")


def _subprogram(lo: Lower, symbol: typed.SubprogramSymbol) -> str:
    """The function of a subprogram in this program; each program has its own copy, because each has its own scratch."""
    from pytrace.codegen.lower import Lower as Lowering

    known = lo.program.functions.get(symbol.name)
    if known:
        return known
    name = f"{lo.program.name}_fn_{symbol.name}"
    lo.program.functions[symbol.name] = name
    params = tuple(f"p{i}" for i in range(len(symbol.params)))
    frame = ("frame",) if lo.program.framed else ()
    f = lo.unit.module.function(name, frame + params, main=False, span=symbol.span)
    inner = Lowering(lo.unit, lo.program, f, "done")
    inner.returns_value = True
    f.result()
    for parameter, operand in zip(symbol.params, params, strict=True):
        f.store(f"%{operand}", inner.variable(parameter))
    assert symbol.body is not None
    inner.statements(symbol.body.body)
    f.place("done")
    if lo.program.has_callbacks:  # a `return` from a loop ends here
        f.store(0, f.offset("%frame", lo.program.FLOW))
    f.ret(f.load("%result"))
    return name
