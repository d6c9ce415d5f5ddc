"""Stack traces and symbols."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, get_args

from pytrace import types as t
from pytrace.codegen import ids
from pytrace.codegen.stacks import stack_writer
from pytrace.functions.base import function
from pytrace.semantics import typed
from pytrace.semantics.widen import convert
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.codegen.writers import Writer
    from pytrace.semantics.expressions import ExpressionChecker

GROUP = "Stacks and symbols"
DEFAULT_DEPTH = 127
MAX_DEPTH = 1024


def _lower_stack(lo: Lower, e: typed.Call) -> Writer:
    assert isinstance(e.type, t.Stack)
    return stack_writer(lo, e.type)


def _stack(c: ExpressionChecker, n: ast.Call, kind: Literal["kernel", "user"]) -> typed.Expr:
    if not c.arity(n, 0, 2):
        return c.error(n.span)
    mode: str = c.config.stack_mode
    depth = DEFAULT_DEPTH
    for position, node in enumerate(n.args):
        if isinstance(node, ast.Identifier | ast.NamedType) and node.name in get_args(t.StackMode) and position == 0:
            mode = node.name
            continue
        if position == 0 and len(n.args) == 2:
            hint = f"modes: {', '.join(get_args(t.StackMode))}"
            return c.error(node.span, f"the first of two arguments of {n.name}() must be a mode", hint)
        number = c.constant(node, f"the depth of {n.name}()")
        if number is None:
            return c.error(n.span)
        if not 0 <= number <= MAX_DEPTH:
            return c.error(node.span, f"{n.name}(): depth must be from 0 to {MAX_DEPTH}, not {number}")
        depth = number
    if mode == "build_id" and kind == "kernel":
        return c.error(n.span, "'build_id' stack mode can only be used for ustack")
    return c.call(n, t.Stack(kind, mode, depth))  # type: ignore[arg-type]  # one of the modes


@function(
    "kstack([mode,] [int depth = 127]) -> kstack",
    "The kernel stack. Modes: bpftrace, perf, raw.",
    "profile:hz:99 { @[kstack] = count(); }",
    group=GROUP,
    bare=True,
    lower=_lower_stack,
)
def kstack(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _stack(c, n, "kernel")


@function(
    "ustack([mode,] [int depth = 127]) -> ustack",
    "The user stack, as far as frame pointers lead. Modes: bpftrace, perf, raw.",
    "profile:hz:99 { @[ustack] = count(); }",
    group=GROUP,
    bare=True,
    lower=_lower_stack,
)
def ustack(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _stack(c, n, "user")


def _lower_unwound(lo: Lower, e: typed.Call) -> Writer:
    from pytrace.codegen.unwind import unwound

    assert isinstance(e.type, t.Stack)
    return stack_writer(lo, e.type, unwound)


@function(
    "dw_ustack([mode,] [int depth = 127]) -> ustack",
    "The user stack by the unwind tables (.eh_frame) of programs and libraries, which lead through code that keeps no "
    "frame pointers. Only of the processes of -p, -c and --dwarf-pid, and of those that they start; of others it is "
    "empty. On x86-64.",
    "uprobe:libc:malloc { @[dw_ustack] = count(); }",
    group=GROUP,
    bare=True,
    lower=_lower_unwound,
)
def dw_ustack(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if c.config.unstable_dw_ustack == "error":
        return c.error(n.span, "dw_ustack is not enabled", "enable it: config = { unstable_dw_ustack=enable }")
    if c.config.unstable_dw_ustack == "warn":
        hint = "say that you know: config = { unstable_dw_ustack=enable }"
        c.diagnostics.warning(n.span, "dw_ustack is an unstable feature: it may change", hint)
    if c.kernel.machine != "x86_64":
        return c.error(n.span, f"dw_ustack unwinds stacks on x86-64 only, not on {c.kernel.machine}")
    return _stack(c, n, "user")


@function(
    "ksym(uint64 address) -> ksym_t",
    "The kernel symbol at an address.",
    'iter:task { printf("%s\\n", ksym((uint64)ctx.task)); }',
    group=GROUP,
    lower=lambda lo, e: lo.word(e.args[0]),
)
def ksym(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1):
        return c.error(n.span)
    value = c.word(n.args[0], "an address")  # type: ignore[arg-type]  # types are reported there
    return c.error(n.span) if isinstance(value.type, t.Unknown) else c.call(n, t.KSym(), convert(value, t.UINT64))


def _lower_usym(lo: Lower, e: typed.Call) -> Writer:
    f = lo.f
    address = lo.word(e.args[0])
    tgid = ids.process_id(lo, ids.own_namespace())

    def write(to: str) -> None:
        f.store(address, to)
        f.store(tgid, f.offset(to, 8))

    return write


@function(
    "usym(uint64 address) -> usym_t",
    "The symbol at an address of the current process.",
    'uprobe:/bin/bash:readline { printf("%s\\n", usym(reg("ip"))); }',
    group=GROUP,
    lower=_lower_usym,
)
def usym(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1):
        return c.error(n.span)
    value = c.word(n.args[0], "an address")  # type: ignore[arg-type]  # types are reported there
    return c.error(n.span) if isinstance(value.type, t.Unknown) else c.call(n, t.USym(), convert(value, t.UINT64))
