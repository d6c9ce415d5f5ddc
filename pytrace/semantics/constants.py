"""Constants by the names that C headers give them with `#define`: BTF holds enumerators but no macros.

Values are the kernel's for the 64-bit architectures that share the generic ABI (x86-64, arm64, riscv64). What Python's
own modules know is asked there, module by module and only when a name of theirs comes up; others are in
`constants_table`. Every constant of the headers that Linux has for user space is in `uapi.txt`, whose first line says
of which version; it is looked into last.
"""

from __future__ import annotations

import importlib
import os
from collections.abc import Iterator
from functools import cache

# Which modules know names that start so. A longer prefix decides before a shorter one.
_MODULES: dict[str, tuple[str, ...]] = {
    "AF_": ("socket",),
    "PF_": ("socket",),
    "SOCK_": ("socket",),
    "IPPROTO_": ("socket",),
    "IPV6_": ("socket",),
    "IP_": ("socket",),
    "INADDR_": ("socket",),
    "MSG_": ("socket",),
    "SOL_": ("socket",),
    "SO_": ("socket",),
    "TCP_": ("socket",),
    "SHUT_": ("socket",),
    "SCM_": ("socket",),
    "NI_": ("socket",),
    "AI_": ("socket",),
    "EAI_": ("socket",),
    "CAN_": ("socket",),
    "VMADDR_": ("socket",),
    "O_": ("os",),
    "F_OK": ("os",),
    "R_OK": ("os",),
    "W_OK": ("os",),
    "X_OK": ("os",),
    "SEEK_": ("os",),
    "SCHED_": ("os",),
    "CLONE_": ("os",),
    "PRIO_": ("os",),
    "P_": ("os",),
    "W": ("os",),
    "RTLD_": ("os",),
    "GRND_": ("os",),
    "MFD_": ("os",),
    "EFD_": ("os",),
    "TFD_": ("os",),
    "RWF_": ("os",),
    "SPLICE_F_": ("os",),
    "XATTR_": ("os",),
    "EX_": ("os",),
    "POSIX_FADV_": ("os",),
    "S_I": ("stat",),
    "UF_": ("stat",),
    "SF_": ("stat",),
    "SIG": ("signal",),
    "ITIMER_": ("signal",),
    "PROT_": ("mmap",),
    "MAP_": ("mmap",),
    "MADV_": ("mmap",),
    "F_": ("fcntl",),
    "FD_": ("fcntl",),
    "LOCK_": ("fcntl",),
    "DN_": ("fcntl",),
    "FICLONE": ("fcntl",),
    "EPOLL": ("select",),
    "POLL": ("select",),
    "RLIMIT_": ("resource",),
    "RLIM_": ("resource",),
    "RUSAGE_": ("resource",),
    "CLOCK_": ("time",),
    "LOG_": ("syslog",),
    "E": ("errno",),
}
# Python gives these other values than the kernel, or none that a header has.
_NOT_FROM_PYTHON = frozenset(("O_LARGEFILE",))


def constant(name: str) -> int | None:
    """The value of a well-known constant (`AF_INET`, `O_CREAT`, `ENOENT`, `SIGKILL`, …), or None."""
    from pytrace.semantics.constants_table import TABLE

    value = TABLE.get(name)
    if value is None:
        value = _from_python(name)
    return _from_headers(name) if value is None else value


@cache
def _headers() -> bytes:
    """Sorted lines `NAME VALUE`, or `NAME VALUE-ON-X86-64 VALUE-ON-ARM64` where these differ; `-` is none."""
    with open(os.path.join(os.path.dirname(__file__), "uapi.txt"), "rb") as file:
        return file.read()


def _from_headers(name: str) -> int | None:
    text, wanted = _headers(), name.encode("utf-8", "replace")
    low = text.index(b"\n") + 1
    high = len(text)
    while low < high:
        start = text.rfind(b"\n", low, (low + high) // 2) + 1 or low
        end = text.find(b"\n", start)
        found, *values = text[start:end].split(b" ")
        if found == wanted:
            value = values[-1 if os.uname().machine == "aarch64" else 0]
            return None if value == b"-" else int(value)
        low, high = (end + 1, high) if found < wanted else (low, start)
    return None


def _from_python(name: str) -> int | None:
    if name in ("PAGE_SIZE", "PAGE_SHIFT"):
        size = importlib.import_module("mmap").PAGESIZE
        return int(size) if name == "PAGE_SIZE" else int(size).bit_length() - 1
    if not name.isupper() or name in _NOT_FROM_PYTHON:
        return None
    for length in range(len(name), 0, -1):
        for module in _MODULES.get(name[:length], ()):
            value = getattr(importlib.import_module(module), name, None)
            if isinstance(value, int) and not isinstance(value, bool):
                return int(value)
    return None


def names() -> Iterator[str]:
    """Every name that `constant` knows, for completion and for hints."""
    from pytrace.semantics.constants_table import TABLE

    known = set(TABLE)
    modules = {m: tuple(p for p, ms in _MODULES.items() if m in ms) for ms in _MODULES.values() for m in ms}
    for module, prefixes in modules.items():
        for name in dir(importlib.import_module(module)):
            if name.startswith(prefixes) and name.isupper() and _from_python(name) is not None:
                known.add(name)
    for line in _headers().decode("ascii").splitlines()[1:]:
        name = line.partition(" ")[0]
        if name not in known and _from_headers(name) is not None:
            known.add(name)
    yield from sorted(known)
