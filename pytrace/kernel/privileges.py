"""Whether this process may trace at all, asked before anything is compiled, so that the answer is one clear line."""

from __future__ import annotations

import os

from pytrace.kernel.errors import KernelError

CAP_SYS_ADMIN, CAP_PERFMON, CAP_BPF = 21, 38, 39


class PrivilegeError(KernelError):
    """This process or this kernel does not allow tracing; the message says what is missing and how to get it."""


def require(status: str = "/proc/self/status", lockdown: str = "/sys/kernel/security/lockdown") -> None:
    """Raises `PrivilegeError` without CAP_SYS_ADMIN (or from Linux 5.8 on CAP_BPF and CAP_PERFMON), or under a lockdown
    that forbids reading kernel memory."""
    capabilities = 0
    said = _read(status)
    if not said:
        raise PrivilegeError(f"{status} cannot be read: tracing needs /proc (mount -t proc proc /proc)")
    for line in said.splitlines():
        if line.startswith("CapEff:"):
            capabilities = int(line.split()[1], 16)
    may = capabilities >> CAP_SYS_ADMIN & 1 or (capabilities >> CAP_BPF & 1 and capabilities >> CAP_PERFMON & 1)
    if not may:
        if os.geteuid() == 0:
            raise PrivilegeError(
                "this root lacks the capabilities CAP_BPF and CAP_PERFMON (a container?): "
                "run it privileged, or with --cap-add BPF --cap-add PERFMON --cap-add SYS_ADMIN"
            )
        if capabilities >> CAP_BPF & 1:
            raise PrivilegeError("tracing needs CAP_PERFMON besides CAP_BPF, or root")
        if capabilities >> CAP_PERFMON & 1:
            raise PrivilegeError("tracing needs CAP_BPF besides CAP_PERFMON, or root")
        raise PrivilegeError("tracing needs root: run this with sudo")
    if "[confidentiality]" in _read(lockdown):
        raise PrivilegeError(
            "this kernel is locked down for confidentiality and does not let anybody trace it: "
            "boot with lockdown=integrity or without Secure Boot"
        )


def _read(path: str) -> str:
    try:
        with open(path) as file:
            return file.read()
    except OSError:  # not mounted, or no such security module: it forbids nothing
        return ""
