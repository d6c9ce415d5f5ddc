"""Kernel functions that a probe must not or cannot go to, with the reason.

`RETURNS` deadlock or crash when their return is probed: what handles the return takes the same locks. They are
refused by name (but for `--unsafe`) and left out of wildcards. `ENTRY` are what a BPF program itself runs through for
every event; the kernel's recursion guards make probes there lose events at best, so wildcards leave them out, but a
name is obeyed. `REFUSED` are those that the kernel itself refuses to fentry/fexit (`btf_id_deny` in
kernel/bpf/verifier.c).
"""

from __future__ import annotations

from pytrace.kernel.glob import matches

_LOCKS = "kretprobes and BPF maps take this lock themselves: returning from it would deadlock"
_NORETURN = "it does not return"
_BPF = "every BPF program runs through it"

RETURNS = {
    "_raw_spin_lock": _LOCKS,
    "_raw_spin_lock_irqsave": _LOCKS,
    "_raw_spin_lock_bh": _LOCKS,
    "_raw_spin_lock_irq": _LOCKS,
    "_raw_spin_trylock": _LOCKS,
    "_raw_spin_unlock": _LOCKS,
    "_raw_spin_unlock_irqrestore": _LOCKS,
    "_raw_spin_unlock_bh": _LOCKS,
    "_raw_spin_unlock_irq": _LOCKS,
    "queued_spin_lock_slowpath": _LOCKS,
    "native_queued_spin_lock_slowpath": _LOCKS,
    "__pv_queued_spin_lock_slowpath": _LOCKS,
    "do_exit": _NORETURN,
    "do_group_exit": _NORETURN,
    "make_task_dead": _NORETURN,
    "panic": _NORETURN,
    "kthread_exit": _NORETURN,
    "kthread_complete_and_exit": _NORETURN,
    "do_task_dead": _NORETURN,
    "rewind_stack_and_make_dead": _NORETURN,
    "cpu_startup_entry": _NORETURN,
    "start_secondary": _NORETURN,
    "__module_put_and_kthread_exit": _NORETURN,
}

ENTRY = {
    **{name: why for name, why in RETURNS.items() if why is _LOCKS},
    "__bpf_prog_enter*": _BPF,
    "__bpf_prog_exit*": _BPF,
    "bpf_trace_run*": _BPF,
    "trace_call_bpf": _BPF,
    "bpf_get_current_*": _BPF,
    "bpf_ktime_get_*": _BPF,
    "bpf_map_*_elem": _BPF,
    "bpf_probe_read_*": _BPF,
    "bpf_ringbuf_*": _BPF,
    "htab_*": _BPF,
    "__htab_*": _BPF,
    "array_map_*": _BPF,
    "kprobe_*": _BPF,
    "ftrace_*": _BPF,
    "rcu_read_*": _BPF,
    "__rcu_read_*": _BPF,
    "preempt_count_*": _BPF,
    "migrate_*": _BPF,
    "ktime_get*": _BPF,
    "copy_from_kernel_nofault*": _BPF,
    "strncpy_from_kernel_nofault": _BPF,
}

REFUSED = frozenset(
    (
        "migrate_disable",
        "migrate_enable",
        "rcu_read_unlock_strict",
        "preempt_count_add",
        "preempt_count_sub",
        "__rcu_read_lock",
        "__rcu_read_unlock",
    )
)

_GLOBS = [g for g in ENTRY if "*" in g]


def denied(function: str, returns: bool) -> str | None:
    """Why a probe on this function (or with `returns`, on its return) is refused; None if it is not."""
    return RETURNS.get(function) if returns else None


def endless(function: str) -> str | None:
    """Why a program on a trampoline of this function would run within itself for ever, where the kernel has no guard
    against that (before 5.12); None if it would not."""
    for pattern, why in ENTRY.items():
        if matches(function, pattern):
            return f"{why}, and this kernel does not keep a program from running within itself"
    return None


def in_wildcard(function: str, returns: bool, pattern: str) -> bool:
    """Whether this wildcard may bring this function in. One that asks for its kind by name (`htab_map_*`) does."""
    if function in REFUSED or (returns and function in RETURNS):
        return False
    if function in ENTRY:
        return pattern == function
    return not any(matches(function, g) and not pattern.startswith(g.partition("*")[0]) for g in _GLOBS)
