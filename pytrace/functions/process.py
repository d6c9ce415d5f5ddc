"""Who is running: process, user, CPU, cgroup."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower, Writer
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Process"
COMM = t.String(16)


def _high(lo: Lower, helper: Helper) -> str:
    return lo.f.binary("lshr", lo.f.helper(helper), 32)


def _low(lo: Lower, helper: Helper) -> str:
    return lo.f.binary("and", lo.f.helper(helper), 0xFFFFFFFF)


def _task(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    """The task that a call names by its argument, or the current one."""
    task = t.Pointer(t.Struct("struct", "task_struct", 0, None), "kernel")
    if n.args:
        value = c.expr(n.args[0])
        if not isinstance(value.type, t.Pointer | t.Unknown):
            return c.error(n.args[0].span, f"{n.name}() wants a struct task_struct *, found '{value.type}'")
        return convert(value, task)
    return typed.Call("curtask", (), type=task, span=n.span)


@function(
    "pid() -> uint32",
    "Process id (the kernel's tgid), as the initial namespace sees it.",
    "tracepoint:syscalls:sys_enter_openat { @[pid] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: _high(lo, Helper.get_current_pid_tgid),
)
def pid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return c.call(n, t.UINT32) if c.arity(n, 0, 1) else c.error(n.span)


@function(
    "tid() -> uint32",
    "Thread id (the kernel's pid), as the initial namespace sees it.",
    "tracepoint:sched:sched_switch { @[tid] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: _low(lo, Helper.get_current_pid_tgid),
)
def tid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return c.call(n, t.UINT32) if c.arity(n, 0, 1) else c.error(n.span)


@function(
    "uid() -> uint64",
    "User id of the current process, as the initial namespace sees it.",
    "tracepoint:syscalls:sys_enter_execve { @[uid] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: _low(lo, Helper.get_current_uid_gid),
)
def uid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return c.call(n, t.UINT64) if c.arity(n, 0) else c.error(n.span)


@function(
    "gid() -> uint64",
    "Group id of the current process, as the initial namespace sees it.",
    "tracepoint:syscalls:sys_enter_execve { @[gid] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: _high(lo, Helper.get_current_uid_gid),
)
def gid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return c.call(n, t.UINT64) if c.arity(n, 0) else c.error(n.span)


@function(
    "username() -> username_t",
    "The current user id, printed as a user name.",
    'tracepoint:syscalls:sys_enter_execve { printf("%s\\n", username); }',
    group=GROUP,
    bare=True,
    lower=lambda lo, e: _low(lo, Helper.get_current_uid_gid),
)
def username(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return c.call(n, t.Username()) if c.arity(n, 0) else c.error(n.span)


def _lower_comm(lo: Lower, e: typed.Call) -> Writer:
    return lambda to: lo.f.helper(Helper.get_current_comm, f"ptr {to}", "i32 16")


@function(
    "comm() -> string[16]",
    "Name of the current thread (the kernel's comm).",
    "tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }",
    group=GROUP,
    bare=True,
    fills=True,
    lower=_lower_comm,
)
def comm(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0, 1):
        return c.error(n.span)
    if n.args:
        return members.member(c, _task(c, n), "comm", n.span)
    return c.call(n, COMM)


@function(
    "curtask() -> struct task_struct *",
    "The kernel's task_struct of the current thread.",
    "tracepoint:sched:sched_switch { @[curtask.prio] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.helper(Helper.get_current_task),
)
def curtask(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    task = t.Pointer(t.Struct("struct", "task_struct", 0, None), "kernel")
    return c.call(n, task) if c.arity(n, 0) else c.error(n.span)


@function(
    "ppid([struct task_struct *task]) -> uint32",
    "Process id of the parent of the current (or the given) task.",
    "tracepoint:syscalls:sys_enter_execve { @[ppid] = count(); }",
    group=GROUP,
    bare=True,
)
def ppid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0, 1):
        return c.error(n.span)
    parent = members.member(c, _task(c, n), "real_parent", n.span)
    return convert(members.member(c, parent, "tgid", n.span), t.UINT32)


@function(
    "cgroup() -> uint64",
    "Id of the current process's cgroup (v2).",
    "tracepoint:syscalls:sys_enter_openat { @[cgroup] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.helper(Helper.get_current_cgroup_id),
)
def cgroup(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return c.call(n, t.UINT64) if c.arity(n, 0) else c.error(n.span)


@function(
    "cpu() -> uint32",
    "The CPU this runs on.",
    "tracepoint:sched:sched_switch { @[cpu] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.helper(Helper.get_smp_processor_id),
)
def cpu(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return c.call(n, t.UINT32) if c.arity(n, 0) else c.error(n.span)


@function(
    "ncpus() -> uint64",
    "Number of CPUs that the machine can have.",
    "begin { print(ncpus); }",
    group=GROUP,
    bare=True,
)
def ncpus(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0):
        return c.error(n.span)
    return typed.Const(c.kernel.possible_cpus, type=t.UINT64, span=n.span)


@function(
    "numaid() -> uint32",
    "The NUMA node this runs on.",
    "tracepoint:sched:sched_switch { @[numaid] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.helper(Helper.get_numa_node_id),
)
def numaid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return c.call(n, t.UINT32) if c.arity(n, 0) else c.error(n.span)


@function(
    "rand() -> uint32",
    "A pseudo-random number.",
    "interval:ms:10 { @[rand % 10] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.binary("and", lo.f.helper(Helper.get_prandom_u32), 0xFFFFFFFF),
)
def rand(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return c.call(n, t.UINT32) if c.arity(n, 0) else c.error(n.span)


@function(
    "cpid() -> uint32",
    "Process id of the command that -c runs; 0 without one.",
    "tracepoint:syscalls:sys_enter_openat /pid == cpid/ { @ = count(); }",
    group=GROUP,
    bare=True,
)
def cpid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0):
        return c.error(n.span)
    if not c.options.cpid:
        c.diagnostics.warning(n.span, "cpid is 0: there is no command", "run one with -c, or ask has_cpid first")
    return typed.Const(c.options.cpid, type=t.UINT32, span=n.span)


@function(
    "has_cpid() -> bool",
    "Whether -c runs a command.",
    "begin { if (has_cpid) { print(cpid); } }",
    group=GROUP,
    bare=True,
)
def has_cpid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0):
        return c.error(n.span)
    return typed.Const(int(bool(c.options.cpid)), type=t.BOOL, span=n.span)
