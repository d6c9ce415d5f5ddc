"""Control groups and sockets, by their ids."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import passing
from pytrace import types as t
from pytrace.codegen import trusted
from pytrace.codegen.helpers import Helper
from pytrace.functions.base import function
from pytrace.semantics import members, typed
from pytrace.semantics.widen import convert

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower
    from pytrace.semantics.expressions import ExpressionChecker
    from pytrace.syntax import ast

GROUP = "Symbols and names"


@function(
    "cgroupid(const string path) -> uint64",
    "The id of the cgroup (v2) at a path.",
    'tracepoint:sched:sched_switch /cgroup == cgroupid("/sys/fs/cgroup")/ { @[comm] = count(); }',
    group=GROUP,
)
def cgroupid(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    import os

    path = c.string_literal(n.args[0], "the path for cgroupid()") if c.arity(n, 1) else None
    if path is None:
        return c.error(n.span)
    try:
        number = os.stat(path).st_ino  # what kernfs calls the id of the node
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not a path"
        return c.error(n.span, f'Failed to get `cgroupid` for path: "{path}": {reason}')
    passing.note("the id of a cgroup")
    return typed.Const(number, type=t.UINT64, span=n.span)


@function(
    "cgroup_path(int id[, const string filter]) -> cgroup_path_t",
    "The paths of a cgroup, looked up when they are printed; `filter` is a pattern for the hierarchy's name, which for "
    "v2 is `unified`.",
    'tracepoint:sched:sched_switch { @[cgroup_path(cgroup, "unified")] = count(); }',
    group=GROUP,
    lower=lambda lo, e: lo.word(e.args[0]),
)
def cgroup_path(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1, 2):
        return c.error(n.span)
    value = c.integer(n.args[0], "a cgroup's id")  # type: ignore[arg-type]  # types are reported there
    pattern: str | None = c.string_literal(n.args[1], "the filter of cgroup_path()") if len(n.args) > 1 else ""
    if pattern is None or isinstance(value.type, t.Unknown):
        return c.error(n.span)
    return c.call(n, t.CgroupPath(pattern), convert(value, t.UINT64))


def _lower_cookie(lo: Lower, e: typed.Call) -> str:
    f = lo.f
    result, absent = f.alloca(8), f.label("absent")
    f.store(0, result)
    f.store(f.helper(Helper.get_socket_cookie, f"ptr {trusted.pointer(lo, e.args[0], absent)}"), result)
    f.place(absent)
    return f.load(result)


@function(
    "socket_cookie(struct sock *sk) -> uint64",
    "The socket's cookie, a number that no other socket gets. For a typed argument of the probe (args.sk of a "
    "rawtracepoint, fentry or fexit probe) it is made if there is none yet; through any other pointer it is then 0.",
    "rawtracepoint:inet_sock_set_state { @[socket_cookie(args.sk)] = count(); }",
    group=GROUP,
    lower=_lower_cookie,
)
def socket_cookie(c: ExpressionChecker, n: ast.Call) -> typed.Expr:
    if not c.arity(n, 1):
        return c.error(n.span)
    value = c.expr(n.args[0])
    kind = value.type
    if isinstance(kind, t.Unknown):
        return c.error(n.span)
    struct = kind.to if isinstance(kind, t.Pointer) else None
    if not isinstance(struct, t.Struct) or struct.name != "sock":
        return c.error(n.span, f"socket_cookie() only supports 'struct sock *' arguments ('{kind}' provided)")
    if trusted.is_trusted(value, c.context) and c.kernel.features.has("socket_cookie"):
        return c.call(n, t.UINT64, value)
    for name in ("__sk_common", "skc_cookie", "counter"):
        value = members.member(c, value, name, n.span)
    return convert(value, t.UINT64)
