"""Kernel functions as kprobe, kretprobe, fentry and fexit name them: `[module:]function`, wildcards in both."""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytrace.kernel import Kernel, KernelError
from pytrace.kernel.btf import Btf, Function
from pytrace.kernel.glob import is_glob, matches
from pytrace.probes.base import NoMatch, ProbeError
from pytrace.probes.text import did_you_mean

VMLINUX = "vmlinux"
_DECORATION = re.compile(r"^(__x64_sys_|__arm64_sys_|__do_sys_|__se_sys_|do_sys_|ksys_|__sys_|sys_|vfs_|do_|_+)")


def btf_of(module: str, kernel: Kernel) -> Btf | None:
    """The BTF of a module (or of vmlinux), None where it has none."""
    try:
        return kernel.btf if module in ("", VMLINUX) else kernel.btf.modules.get(module)
    except KernelError:
        return None


def described(function: str, module: str, kernel: Kernel) -> tuple[str, Btf, Function] | None:
    """Where BTF describes a function of that exact name: module (`vmlinux` for the kernel itself), BTF, prototype.
    A module of "" or "*" means any, the kernel itself first."""
    anywhere = module in ("", "*")
    for name in [VMLINUX, *_modules(kernel)] if anywhere else [module]:
        btf = btf_of(name, kernel)
        found = btf.function(function) if btf else None
        if btf and found and (name == VMLINUX or found.module):
            return name, btf, found
    return None


def _modules(kernel: Kernel) -> list[str]:
    try:
        return list(kernel.btf.modules)
    except KernelError:
        return []


def find(module: str, function: str, kernel: Kernel) -> Iterator[tuple[str, str]]:
    """(module, function) of the traceable functions that match two globs, vmlinux first; module "" means any."""
    traceable = kernel.traceable
    for name in [VMLINUX, *traceable.modules]:
        if matches(name, module or "*"):
            inner = "" if name == VMLINUX else name
            yield from ((name, f) for f in traceable.functions(function, inner))


def split(pattern: str) -> tuple[str, str]:
    """Module and function of `[module:]function`; a module of "" means any."""
    module, colon, function = pattern.partition(":")
    return (module, function) if colon else ("", pattern)


def exists(function: str, module: str, kernel: Kernel) -> bool:
    """Whether the kernel has a function of that name. Asks BTF first, which is faster than kallsyms."""
    if described(function, module, kernel):
        return True
    inner = {"": None, VMLINUX: ""}.get(module, module)
    return bool(kernel.kallsyms.lookup(function, inner))


def clones_of(function: str, module: str, kernel: Kernel) -> tuple[str, ...]:
    """The clones of a function that has no other form; none of one that does. BTF may describe it all the same."""
    if module not in ("", VMLINUX) or "." in function:
        return ()
    try:
        return kernel.clones.get(function, ())
    except KernelError:
        return ()


def no_match(provider: str, rest: str, function: str, kernel: Kernel) -> ProbeError:
    """The error for a function that is not there, with the nearest that are."""
    if is_glob(function):
        return NoMatch(f"No matches for {provider} {rest}.", f"see `pytrace -l '{provider}:...'`")
    hint = did_you_mean(function, kernel.traceable.functions())
    why = "there is no such function, or it is inlined everywhere or marked notrace"
    return NoMatch(f"No matches for {provider} {rest}.", f"{hint} ({why})" if hint else why)


def instead(function: str, kernel: Kernel) -> str:
    """What can be traced where the kernel cannot probe functions: the tracepoints named alike."""
    word = function
    while (shorter := _DECORATION.sub("", word)) != word and shorter:
        word = shorter
    word = word.strip("*_")
    found: list[tuple[str, str]] = []
    if len(word) > 2:
        try:
            tracefs = kernel.tracefs
            for pattern in (f"syscalls:sys_enter_{word}", f"syscalls:sys_enter_*{word}*", f"*:*{word}*"):
                found += [event for event in tracefs.match(pattern) if event not in found]
        except KernelError:
            found = []
    names = [f"tracepoint:{category}:{event}" for category, event in found[:3]]
    if names:
        return f"what this kernel can trace instead: {', '.join(names)}"
    return "tracepoints, uprobes and timers work without it: see `pytrace -l 'tracepoint:*'`"
