"""Where and for whom something runs: user, CPU, cgroup, the command of -c. `tasks` has who it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import passing
from pytrace import types as t
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function, nullary
from pytrace.functions.probe import SPECIAL
from pytrace.probes.regs import register
from pytrace.semantics import typed
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Process"


def _high(lo: Lower, helper: Helper) -> str:
    return lo.f.binary("lshr", lo.f.helper(helper), 32)


def _low(lo: Lower, helper: Helper) -> str:
    return lo.f.binary("and", lo.f.helper(helper), 0xFFFFFFFF)


function(
    "uid() -> uint64",
    "User id of the current process, as the initial namespace sees it.",
    "tracepoint:syscalls:sys_enter_execve { @[uid] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: _low(lo, Helper.get_current_uid_gid),
)(nullary(t.UINT64))


function(
    "gid() -> uint64",
    "Group id of the current process, as the initial namespace sees it.",
    "tracepoint:syscalls:sys_enter_execve { @[gid] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: _high(lo, Helper.get_current_uid_gid),
)(nullary(t.UINT64))


function(
    "username() -> username_t",
    "The current user id, printed as a user name.",
    'tracepoint:syscalls:sys_enter_execve { printf("%s\\n", username); }',
    group=GROUP,
    bare=True,
    lower=lambda lo, e: _low(lo, Helper.get_current_uid_gid),
)(nullary(t.Username()))


function(
    "cgroup() -> uint64",
    "Id of the current process's cgroup (v2).",
    "tracepoint:syscalls:sys_enter_openat { @[cgroup] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.helper(Helper.get_current_cgroup_id),
)(nullary(t.UINT64))


function(
    "cpu() -> uint32",
    "The CPU this runs on.",
    "tracepoint:sched:sched_switch { @[cpu] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.helper(Helper.get_smp_processor_id),
)(nullary(t.UINT32))


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


function(
    "numaid() -> uint32",
    "The NUMA node this runs on.",
    "tracepoint:sched:sched_switch { @[numaid] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.helper(Helper.get_numa_node_id),
)(nullary(t.UINT32))


function(
    "rand() -> uint32",
    "A pseudo-random number.",
    "interval:ms:10 { @[rand % 10] = count(); }",
    group=GROUP,
    bare=True,
    lower=lambda lo, e: lo.f.binary("and", lo.f.helper(Helper.get_prandom_u32), 0xFFFFFFFF),
)(nullary(t.UINT32))


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
    passing.note("the process of the command")
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


def _mode_bits(machine: str) -> tuple[str, int, int]:
    """The register that says what mode the CPU was in, a mask, and what is left of it in user mode."""
    return ("cs", 3, 3) if machine == "x86_64" else ("pstate", 15, 0)


@function(
    "usermode() -> uint8",
    "1 if the probe interrupted user code, 0 if kernel code.",
    "profile:hz:99 { @[usermode] = count(); }",
    group=GROUP,
    bare=True,
)
def usermode(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    """Programs without registers of interrupted code run in the kernel; `begin` and its kin count as user code, as they
    do in bpftrace, which runs them from a uprobe."""
    if not c.arity(n, 0):
        return c.error(n.span)
    kind = t.Int(8, False)
    if c.context is None or not c.context.regs:
        special = bool(c.points) and c.points[0].name.split(":")[0] in SPECIAL
        return typed.Const(int(special), type=kind, span=n.span)
    name, mask, user = _mode_bits(c.kernel.machine)
    value: typed.Expr = typed.ContextLoad(register(name, c.kernel.machine), type=t.UINT64, span=n.span)
    value = typed.Binary("&", value, typed.Const(mask, type=t.UINT64, span=n.span), type=t.UINT64, span=n.span)
    wanted = typed.Const(user, type=t.UINT64, span=n.span)
    return convert(typed.Binary("==", value, wanted, type=t.BOOL, span=n.span), kind)
