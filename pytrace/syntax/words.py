"""Words that decide how a script is read: types of the language, builtin values, providers without paths."""

from __future__ import annotations

BUILTIN_TYPES = frozenset(
    "bool int8 int16 int32 int64 uint8 uint16 uint32 uint64 string buffer inet void".split()  # noqa: SIM905
)
"""Names that are types wherever a type or an expression may stand."""

BUILTIN_VALUES = frozenset(
    """args retval ctx pid tid ppid pcomm leader_tid leader_comm comm uid gid username cpu ncpus numaid cgroup nsecs
    elapsed jiffies rand curtask kstack ustack dw_ustack func probe probetype cpid has_cpid usermode config""".split()  # noqa: SIM905 - words read better than quotes
    + [f"{prefix}{n}" for prefix in ("arg", "sarg") for n in range(10)]
)
"""Names that are values: `(pid)-1` is a subtraction, `(pid_t)-1` a cast."""

PATHLESS_PROVIDERS = frozenset(
    """begin end self test bench kprobe k kretprobe kr tracepoint t rawtracepoint rt fentry f kfunc fexit fr kretfunc
    profile p interval i software s hardware h watchpoint w""".split()  # noqa: SIM905
)
"""Providers (in lower case) whose attach points hold no path, so that a `/` right after one opens a predicate."""
