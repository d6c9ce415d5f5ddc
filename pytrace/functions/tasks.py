"""Who is running: processes and threads, by number and by name."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.codegen import ids
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function, nullary
from pytrace.functions.meta import may_call
from pytrace.functions.probe import SPECIAL
from pytrace.functions.process import GROUP
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.codegen.writers import Writer
    from pytrace.semantics.expressions import ExpressionChecker

COMM = t.String(16)
TASK = t.Struct("struct", "task_struct", 0, None)


# --- pid, tid ---------------------------------------------------------------------------------------------


def _lower_id(lo: Lower, e: typed.Call) -> str:
    return ids.process_id(lo, e.data) if e.name == "pid" else ids.thread_id(lo, e.data)


def _id(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0, 1):
        return c.error(n.span)
    mode = "curr_ns"
    if n.args:
        mode = n.args[0].name if isinstance(n.args[0], ast.Identifier | ast.NamedType) else n.args[0].span.text
        if mode not in ("curr_ns", "init"):
            message = f"Invalid PID namespace mode: {mode} (expects: curr_ns or init)"
            return c.error(n.args[0].span, message)
    return c.call(n, t.UINT32, data=None if mode == "init" else ids.own_namespace())


@function(
    "pid([curr_ns | init]) -> uint32",
    "Process id (the kernel's tgid), as the tracer's pid namespace (curr_ns, the default) or the initial one sees it.",
    "tracepoint:syscalls:sys_enter_openat { @[pid] = count(); }",
    group=GROUP,
    bare=True,
    lower=_lower_id,
)
def pid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _id(c, n)


@function(
    "tid([curr_ns | init]) -> uint32",
    "Thread id (the kernel's pid), as the tracer's pid namespace (curr_ns, the default) or the initial one sees it.",
    "tracepoint:sched:sched_switch { @[tid] = count(); }",
    group=GROUP,
    bare=True,
    lower=_lower_id,
)
def tid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _id(c, n)


# --- tasks ------------------------------------------------------------------------------------------------


function(
    "curtask() -> struct task_struct *",
    "The kernel's task_struct of the current thread.",
    "tracepoint:sched:sched_switch { @[curtask.prio] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.helper(Helper.get_current_task),
)(nullary(t.Pointer(TASK, "kernel")))


def _task(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    """The task that a call names by its argument, or the current one."""
    task = t.Pointer(TASK, "kernel")
    if not n.args:
        return typed.Call("curtask", (), type=task, span=n.span)
    value = c.expr(n.args[0])
    if isinstance(value.type, t.Unknown):
        return c.error(n.span)
    if not isinstance(value.type, t.Pointer):
        return c.error(n.args[0].span, f"{n.name}() wants a struct task_struct *, found '{value.type}'")
    return typed.Convert(value, type=task, span=n.span)


def _through(c: ExpressionChecker, n: ast.Call, *path: str) -> typed.Expr:
    """A member of the task, over other members."""
    if not c.arity(n, 0, 1):
        return c.error(n.span)
    value = _task(c, n)
    for name in path:
        value = members.member(c, value, name, n.span)
    return value if isinstance(value.type, t.Unknown | t.String) else convert(value, t.UINT32)


@function(
    "ppid([struct task_struct *task]) -> uint32",
    "Process id of the parent of the current (or the given) task.",
    "tracepoint:syscalls:sys_enter_execve { @[ppid] = count(); }",
    group=GROUP,
    bare=True,
)
def ppid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _through(c, n, "real_parent", "tgid")


@function(
    "pcomm([struct task_struct *task]) -> string[16]",
    "Name of the parent of the current (or the given) task.",
    "tracepoint:syscalls:sys_enter_execve { @[pcomm] = count(); }",
    group=GROUP,
    bare=True,
)
def pcomm(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _through(c, n, "real_parent", "comm")


@function(
    "leader_tid([struct task_struct *task]) -> uint32",
    "Thread id of the first thread of the current (or the given) task's process.",
    "tracepoint:sched:sched_switch { @[leader_tid] = count(); }",
    group=GROUP,
    bare=True,
)
def leader_tid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _through(c, n, "group_leader", "pid")


@function(
    "leader_comm([struct task_struct *task]) -> string[16]",
    "Name of the first thread of the current (or the given) task's process.",
    "tracepoint:sched:sched_switch { @[leader_comm] = count(); }",
    group=GROUP,
    bare=True,
)
def leader_comm(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    return _through(c, n, "group_leader", "comm")


# --- comm -------------------------------------------------------------------------------------------------


def _lower_comm(lo: Lower, e: typed.Call) -> Writer:
    f = lo.f
    if not e.args:
        return lambda to: f.helper(Helper.get_current_comm, f"ptr {to}", "i32 16")
    room = lo.scratch(16)
    lo.f.store(int.from_bytes(b"N/A", "little"), room)
    number = f.op(f"trunc i64 {lo.word(e.args[0])} to i32")
    task = f.kernel_function("bpf_task_from_pid", "ptr", f"i32 {number}")
    with f.when(f.op(f"xor i1 {f.is_null(task)}, true"), "task"):
        f.helper(Helper.probe_read_kernel_str, f"ptr {room}", "i32 16", f"ptr {f.offset(task, e.data)}")
        f.kernel_function("bpf_task_release", "void", f"ptr {task}")
    return lambda to: lo.copy(room, to, 16, 8)


def _comm_of_pid(c: ExpressionChecker, n: ast.Call, number: typed.Expr) -> typed.Expr:
    if not may_call(c, "bpf_task_from_pid"):
        kind = c.points[0].name.split(":")[0] if c.points else ""
        shown = "special" if kind in SPECIAL else kind
        message = f"Syntax comm(PID) is not supported in this probe type yet. Type: {shown}"
        return c.error(n.span, message, "it needs the kernel function bpf_task_from_pid, which Linux 6.2 brought")
    struct = members.complete(c, TASK)
    found = struct.field("comm") if isinstance(struct, t.Struct) else None
    if found is None:
        return c.error(n.span, "the kernel's BTF does not say where a task's name is")
    return c.call(n, COMM, convert(number, t.UINT32), data=found.offset)


@function(
    "comm([uint32 pid | struct task_struct *task]) -> string[16]",
    "Name of the current thread (the kernel's comm), or of that of a pid (N/A if there is none) or task.",
    "tracepoint:syscalls:sys_enter_openat { @[comm] = count(); }",
    group=GROUP,
    bare=True,
    lower=_lower_comm,
)
def comm(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 0, 1):
        return c.error(n.span)
    if not n.args:
        return c.call(n, COMM)
    value = c.expr(n.args[0])
    if isinstance(value.type, t.Int):
        return _comm_of_pid(c, n, value)
    return _through(c, n, "comm")
