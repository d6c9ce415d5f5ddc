"""Kinds of probes: one file per provider, which says how its attach points are written, what they are, what a program
sees there, and what `-l` shows. Nothing here attaches anything. See docs/architecture.md.

    expand("t:sched:sched_*", target)     the `Point`s that one attach point names
    list_probes("kprobe:vfs_*", target)   the names that `-l` prints
    describe("fentry:vmlinux:vfs_read", target)   the argument lines that `-lv` prints below a name
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import import_module

from pytrace.kernel.errors import KernelError
from pytrace.kernel.glob import is_glob, matches
from pytrace.probes.base import (
    Arg,
    Context,
    CtxAddress,
    CtxCopy,
    CtxLoad,
    DataLoc,
    Load,
    Point,
    ProbeError,
    Provider,
    RegsCopy,
    RegsLoad,
    StackAddress,
    StackLoad,
    SyscallGuard,
    Target,
    UsdtArgument,
    UsdtOperand,
)
from pytrace.probes.text import did_you_mean

__all__ = [
    "PROVIDERS",
    "Arg",
    "Context",
    "CtxAddress",
    "CtxCopy",
    "CtxLoad",
    "DataLoc",
    "Load",
    "Point",
    "ProbeError",
    "Provider",
    "RegsCopy",
    "RegsLoad",
    "StackAddress",
    "StackLoad",
    "SyscallGuard",
    "Target",
    "UsdtArgument",
    "UsdtOperand",
    "describe",
    "expand",
    "list_file",
    "list_probes",
    "provider",
]

# Each name is also the module; the short names are repeated here so that finding a provider imports only that one.
_SHORT = {
    "begin": (),
    "bench": (),
    "end": (),
    "fentry": ("f", "kfunc"),
    "fexit": ("fr", "kretfunc"),
    "hardware": ("h",),
    "interval": ("i",),
    "iter": ("it",),
    "kprobe": ("k",),
    "kretprobe": ("kr",),
    "profile": ("p",),
    "rawtracepoint": ("rt",),
    "self": (),
    "software": ("s",),
    "test": (),
    "tracepoint": ("t",),
    "uprobe": ("u",),
    "uretprobe": ("ur",),
    "usdt": ("U",),
    "watchpoint": ("w",),
}
_NAMES = {alias: name for name, aliases in _SHORT.items() for alias in (name, *aliases)}


class _Providers(Mapping[str, Provider]):
    """Imports a provider's file when it is asked for."""

    def __getitem__(self, name: str) -> Provider:
        if name not in _SHORT:
            raise KeyError(name)
        found: Provider = import_module(f"pytrace.probes.{name}").PROVIDER
        return found

    def __iter__(self) -> Iterator[str]:
        # Not by iter(): within this package that is the module of the provider.
        yield from _SHORT

    def __len__(self) -> int:
        return len(_SHORT)


PROVIDERS: Mapping[str, Provider] = _Providers()


def provider(name: str) -> Provider:
    """The provider of that name or short name; `begin` and `end` in any case. Raises `ProbeError`."""
    found = _NAMES.get(name) or (name.lower() if name.lower() in ("begin", "end") else None)
    if found is None:
        raise ProbeError(f"invalid probe type: {name}", did_you_mean(name, _SHORT) or "see `pytrace -l`")
    return PROVIDERS[found]


def expand(text: str, target: Target) -> list[Point]:
    """The points named by one attach point, `provider:rest`, in the provider's order; never empty.

    Raises `ProbeError` for an unknown provider, malformed text, or when nothing matches.
    """
    if "\0" in text:
        raise ProbeError("the name of a probe has a NUL in it")
    name, _, rest = text.strip().partition(":")
    if not is_glob(name):
        return _expand(provider(name), rest, target)
    points, errors = [], []
    for full in (n for n in _SHORT if matches(n, name)):
        try:
            points += _expand(PROVIDERS[full], rest, target)
        except ProbeError as e:
            errors.append(e)
    if not points:
        raise errors[0] if errors else ProbeError(f"invalid probe type: {name}", "see `pytrace -l`")
    return points


def _expand(kind: Provider, rest: str, target: Target) -> list[Point]:
    try:
        return kind.expand(rest, target)
    except KernelError as e:
        raise ProbeError(e.message, e.hint) from e


def list_probes(pattern: str, target: Target) -> Iterator[str]:
    """Full names of the probes that match: `provider:glob`, or a bare glob that is searched for in every kind of
    kernel probe; an empty pattern is all of them, and with a process its own. `*:FILE:glob` is about user space too.
    Unknown providers raise `ProbeError`."""
    name, colon, rest = pattern.strip().partition(":")
    if colon and not is_glob(name):
        yield from provider(name).matches(rest or "*", target)
        return
    for full in _SHORT:
        if matches(full, name if colon else "*") and PROVIDERS[full].listed:
            yield from PROVIDERS[full].matches((rest if colon else name) or "*", target)
    if not pattern.strip() and target.pid:
        yield from _of_file("*", "*:*", target)
    elif colon and ":" in rest:
        yield from _of_file(name, rest, target)


def list_file(path: str, target: Target) -> Iterator[str]:
    """The probes of a program or library: its functions and its static probes."""
    yield from _of_file("*", f"{path}:*", target)


def _of_file(kinds: str, rest: str, target: Target) -> Iterator[str]:
    """What a file has, if the first part of `rest` is one."""
    for full in ("uprobe", "usdt"):
        if not matches(full, kinds) or (is_glob(rest.partition(":")[0]) and not target.pid):
            continue
        try:
            yield from PROVIDERS[full].matches(rest, target)
        except ProbeError:  # it is no file, but a module or a subsystem of the kernel
            continue


def describe(name: str, target: Target) -> list[str]:
    """The lines `type name` that `-lv` shows below a full probe name; empty where a probe has no arguments."""
    return provider(name.partition(":")[0]).describe(name, target)
