"""What a probe knows of itself: its name, arguments and registers."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import probename
from pytrace.functions.base import function
from pytrace.probes.base import UsdtArgument
from pytrace.probes.uapi import ProgType
from pytrace.semantics import members, typed

if TYPE_CHECKING:
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Probe"
SPECIAL = frozenset(("begin", "end", "self", "test", "bench"))
_CONTEXTS = {ProgType.KPROBE: "pt_regs", ProgType.PERF_EVENT: "bpf_perf_event_data"}
"""The structs that the programs of probes without `args` are called with."""


def _name(c: ExpressionChecker, n: ast.Call, names: list[str]) -> typed.Expr:
    """A string that is one of `names`, one for each point of the probe."""
    if not names:
        return c.error(n.span, f"{n.name} can only be used in a probe", "pass it to the function as an argument")
    distinct = set(names)
    if len(distinct) <= 1:
        value = names[0].encode()
        return typed.Str(value, type=t.String(len(value) + 1), span=n.span)
    c.uses_probe = True
    capacity = t.align_up(max(len(x.encode()) for x in names) + 1, 8)
    return c.call(n, t.String(capacity), data=tuple(names))


@function(
    "probe() -> string",
    "Full name of the probe that fired.",
    "tracepoint:sched:sched* { @[probe] = count(); }",
    group=GROUP,
    bare=True,
    fills=True,
    lower=probename.lower_name,
)
def probe(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _name(c, n, [p.name for p in c.points]) if c.arity(n, 0) else c.error(n.span)


@function(
    "probetype() -> string",
    "Kind of the probe that fired.",
    "begin { print(probetype); }",
    group=GROUP,
    bare=True,
    fills=True,
    lower=probename.lower_name,
)
def probetype(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    kinds = [p.name.split(":")[0] for p in c.points]
    return _name(c, n, ["special" if k in SPECIAL else k for k in kinds]) if c.arity(n, 0) else c.error(n.span)


@function(
    "func() -> string",
    "Name of the function that is traced.",
    "uprobe:libc:str* { @[func] = count(); }",
    group=GROUP,
    bare=True,
    fills=True,
    lower=probename.lower_name,
)
def func(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0):
        return c.error(n.span)
    names = [p.function for p in c.points]
    if not all(names):
        return c.error(n.span, f"func is not available in {c.where()}")
    return _name(c, n, names)


@function(
    "args() -> struct",
    "The arguments of the probe; args.name is one of them.",
    "tracepoint:syscalls:sys_enter_read { @ = hist(args.count); }",
    group=GROUP,
    bare=True,
)
def args(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0):
        return c.error(n.span)
    found = c.context.args if c.context else None
    if found is None:
        return members.no_arguments(c, n.span)
    parts = [
        (a.name, members.load_argument(c, a.type, typed.ContextLoad(a.load, type=a.type, span=n.span), n.span))
        for a in found
    ]
    kind = t.Record(tuple((name, e.type) for name, e in parts))
    return typed.TupleExpr(tuple(e for _, e in parts), type=kind, span=n.span)


@function(
    "ctx() -> pointer",
    "The context of the program; ctx.name is a member of an iterator's.",
    'iter:task { printf("%d\\n", ctx.task.pid); }',
    group=GROUP,
    bare=True,
)
def ctx(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0):
        return c.error(n.span)
    kind = c.kind_of_probe()
    if kind in SPECIAL or kind in ("tracepoint", "rawtracepoint"):
        hint = None if kind in SPECIAL else "use args"
        return c.error(n.span, f"The ctx builtin cannot be used in {c.where()}", hint)
    if c.context is None:
        return c.error(n.span, "ctx can only be used in a probe")
    known = _CONTEXTS.get(c.context.prog_type)
    struct: t.Type = t.Struct("struct", known, 0, None) if known else c.context.struct or t.VOID
    return typed.ContextPointer(type=t.Pointer(struct, "kernel"), span=n.span)


@function(
    "argN() -> uint64",
    "The N-th argument of the traced function, from 0 (arg0, arg1, …).",
    "uprobe:libc:malloc { @ = hist(arg0); }",
    group=GROUP,
    bare=True,
)
def arg(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    text = n.span.text.strip()
    digits = "".join(ch for ch in text if ch.isdigit())
    number = int(digits) if text.startswith("arg") and digits else -1
    found = c.context.positional if c.context else ()
    if not found:
        hint = "use args.name" if c.context and c.context.args else None
        return c.error(n.span, f"The {text} builtin cannot be used in {c.where()}", hint)
    if not 0 <= number < len(found):
        return c.error(n.span, f"{text} is not available here", f"this probe has arg0 to arg{len(found) - 1}")
    load = found[number]
    if isinstance(load, UsdtArgument) and (why := next((f.unreadable for f in load.forms if f.unreadable), "")):
        return c.error(n.span, f"{text} of {c.points[0].name} cannot be read: its place {why}")
    return typed.ContextLoad(load, untyped=True, type=t.UINT64, span=n.span)


@function(
    "retval() -> the function's type, or uint64",
    "What the traced function returns.",
    "uretprobe:libc:strlen { @ = hist(retval); }",
    group=GROUP,
    bare=True,
)
def retval(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    found = c.context.retval if c.context else None
    if found is None:
        kind = c.kind_of_probe()
        hint = "system call exits have args.ret" if kind == "tracepoint" else None
        return c.error(n.span, f"The retval builtin cannot be used in {c.where()}", hint)
    kind_, load = found
    return typed.ContextLoad(load, untyped=kind_ == t.UINT64, type=kind_, span=n.span)
