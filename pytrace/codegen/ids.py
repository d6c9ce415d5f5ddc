"""Process and thread ids as the tracer knows them: those of its own pid namespace.

The ids that a helper gives for free are those of the initial namespace. In another one, a process that it does not see
has the id 0.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytrace.codegen.helpers import Helper

if TYPE_CHECKING:
    from pytrace.codegen.lower import Lower

INITIAL_NAMESPACE = 0xEFFFFFFC
"""The inode of the pid namespace that the kernel starts with (PROC_PID_INIT_INO)."""

Namespace = tuple[int, int]


def own_namespace() -> Namespace | None:
    """Device, as the kernel packs it, and inode of this process's pid namespace; None if it is the initial one."""
    own = os.stat("/proc/self/ns/pid")
    if own.st_ino == INITIAL_NAMESPACE:
        return None
    return os.major(own.st_dev) << 20 | os.minor(own.st_dev), own.st_ino


def process_id(lo: Lower, namespace: Namespace | None) -> str:
    """The current process's id (the kernel's tgid)."""
    if namespace is None:
        return lo.f.binary("lshr", lo.f.helper(Helper.get_current_pid_tgid), 32)
    return lo.f.load(lo.f.offset(_both(lo, namespace), 4), 32)


def thread_id(lo: Lower, namespace: Namespace | None) -> str:
    """The current thread's id (the kernel's pid)."""
    if namespace is None:
        return lo.f.binary("and", lo.f.helper(Helper.get_current_pid_tgid), 0xFFFFFFFF)
    return lo.f.load(_both(lo, namespace), 32)


def _both(lo: Lower, namespace: Namespace) -> str:
    """`struct bpf_pidns_info`: the thread's id, then the process's."""
    room = lo.temporary()
    lo.f.store(0, room)
    lo.f.helper(Helper.get_ns_current_pid_tgid, f"i64 {namespace[0]}", f"i64 {namespace[1]}", f"ptr {room}", "i32 8")
    return room
