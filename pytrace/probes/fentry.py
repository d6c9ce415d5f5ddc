"""fentry — the entry of a kernel function by a BPF trampoline (5.5+), with typed arguments.

    fentry:FUNCTION         fentry:MODULE:FUNCTION       wildcards in both
    fentry:bpf:PROGRAM      fentry:bpf:ID:PROGRAM        a function of a BPF program that is loaded, wildcards in both

`args.NAME` are the function's parameters with their kernel types; members behind pointers are read without a helper.
The kernel needs BTF and CONFIG_DYNAMIC_FTRACE_WITH_DIRECT_CALLS. Probes on BPF programs have no `args`.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from pytrace.kernel import btf_c
from pytrace.kernel.btf import Btf, Function
from pytrace.kernel.glob import is_glob, matches
from pytrace.probes.base import Arg, Context, CtxAddress, CtxCopy, CtxLoad, Load, Point, ProbeError, Target
from pytrace.probes.denylist import REFUSED, denied, endless, in_wildcard
from pytrace.probes.kfunctions import VMLINUX, described, find, instead, no_match, split
from pytrace.probes.lowering import has
from pytrace.probes.text import arguments, did_you_mean
from pytrace.probes.uapi import AttachType, ProgType
from pytrace.program import Tracing
from pytrace.record import record, replace
from pytrace.types import UINT64, Array, Field, Struct, Type, Void

if TYPE_CHECKING:
    from pytrace.kernel.bpfprogs import BpfFunction

# The trampoline passes what stands in registers; more needs newer kernels.
_REGISTERS = 6


def _layout(proto: Function) -> tuple[tuple[Arg, ...], int]:
    """The arguments and the result's offset: an array of u64 words, of which a struct takes as many as it fills."""
    args, at = [], 0
    for number, (name, type) in enumerate(proto.params):
        inside = isinstance(type, Struct | Array)
        load: Load = CtxAddress(at) if inside else CtxCopy(at) if number in proto.opaque else CtxLoad(at)
        args.append(Arg(name, type, load))
        at += (max(type.size, 1) + 7) // 8 * 8
    return tuple(args), at


def context(module: str, proto: Function, provider: str, returns: bool) -> Context:
    """What a program at the entry (with `returns`, the return) of a function sees."""
    args, end = _layout(proto)
    result: tuple[Type, Load] | None = None
    shown = args
    if returns and not isinstance(proto.returns, Void):
        result = proto.returns, CtxCopy(end) if -1 in proto.opaque else CtxLoad(end)
        shown = (*args, Arg("retval", *result))
    offsets = [a.load.offset if isinstance(a.load, CtxLoad | CtxAddress | CtxCopy) else 0 for a in shown]
    fields = tuple(Field(a.name, a.type, o) for a, o in zip(shown, offsets, strict=True))
    return Context(
        prog_type=ProgType.TRACING,
        expected_attach_type=AttachType.TRACE_FEXIT if returns else AttachType.TRACE_FENTRY,
        args=shown,
        struct=Struct("struct", f"{provider}:{module}:{proto.name}_args", end + 8 * (len(shown) - len(args)), fields),
        retval=result,
        btf=True,
        attach_btf=proto.name,
        attach_module="" if module == VMLINUX else module,
    )


def possible(proto: Function) -> bool:
    """Whether the kernel makes trampolines for functions of this prototype."""
    return not proto.variadic and len(proto.params) <= 12 and proto.name not in REFUSED


def instead_of_kprobe(point: Point, function: str, returns: bool, target: Target) -> Point | None:
    """A kprobe's point as fentry (a kretprobe's as fexit): same name, same `argN` and `retval`; None where the kernel
    or the function does not allow it."""
    if not has(target.kernel, "fentry"):
        return None
    parts = point.name.split(":")
    found = described(function, parts[1] if len(parts) == 3 else "", target.kernel)
    if found is None:
        return None
    module, _, proto = found
    words, end = _layout(proto)
    if endless(function) and not has(target.kernel, "recursion_guard"):
        return None
    if not possible(proto) or any(isinstance(a.load, CtxAddress) for a in words) or len(words) > _REGISTERS:
        return None
    lowered = replace(
        context(module, proto, "fentry", returns),
        args=None,
        struct=None,
        positional=() if returns else tuple(a.load for a in words),
        retval=(UINT64, CtxCopy(end) if -1 in proto.opaque else CtxLoad(end))
        if returns and not isinstance(proto.returns, Void)
        else None,
        btf=False,
    )
    if returns and lowered.retval is None:
        return None
    return replace(point, attach=Tracing(), context=lowered)


def programs(pattern: str) -> list[BpfFunction]:
    """The functions of loaded BPF programs that match `[ID:]FUNCTION`, wildcards in both."""
    from pytrace.kernel.bpfprogs import functions

    id, name = split(pattern)
    try:
        return [f for f in functions() if matches(str(f.id), id or "*") and matches(f.name, name)]
    except OSError as error:
        raise ProbeError(f"the loaded BPF programs cannot be listed: {error.strerror}") from error


@record
class FentryProvider:
    name: str
    aliases: tuple[str, ...]
    doc: str
    returns: bool
    listed: bool = True

    def expand(self, rest: str, target: Target) -> list[Point]:
        parts = arguments(self.name, rest, 1, 2, 3)
        if parts[0] == "bpf" and len(parts) > 1:
            return self._bpf(parts[1:], rest, target)
        if len(parts) == 3:
            raise ProbeError(f"{self.name} probe type requires 1 or 2 arguments, found 3")
        module, function = parts if len(parts) == 2 else ("", parts[0])
        kernel = target.kernel
        found = list(self._find(module, function, target))
        if not found:
            raise no_match(self.name, rest, function, kernel)
        why = None if is_glob(function) or target.unsafe else denied(function, self.returns)
        if why is None and not target.unsafe and not has(kernel, "recursion_guard"):
            why = next(filter(None, (endless(p.name) for _, _, p in found)), None)
        if why:
            raise ProbeError(f"{self.name}:{function} is refused: {why}", "--unsafe attaches it all the same")
        if not has(kernel, "fentry"):
            why = kernel.features.why("fentry")
            hint = instead(function, kernel)
            if has(kernel, "kprobe"):
                hint = f"use {'kretprobe' if self.returns else 'kprobe'}:{rest} instead"
            raise ProbeError(f"{self.name}:{rest} cannot be attached on this kernel: {why}", hint)
        points = [
            Point(f"{self.name}:{m}:{p.name}", Tracing(), context(m, p, self.name, self.returns), function=p.name)
            for m, _, p in found
            if possible(p)
        ]
        if not points:
            raise ProbeError(f"{self.name}:{rest}: the kernel makes no trampoline for this function", "try kprobe")
        return points

    def _find(self, module: str, function: str, target: Target) -> Iterator[tuple[str, Btf, Function]]:
        if not is_glob(module + function):
            exact = described(function, module, target.kernel)
            if exact:
                yield exact
            return
        for m, f in find(module, function, target.kernel):
            inner = described(f, m, target.kernel) if in_wildcard(f, self.returns, function) else None
            if inner:
                yield inner

    def _bpf(self, parts: list[str], rest: str, target: Target) -> list[Point]:
        """`[ID:]PROGRAM`. Names of programs are not unique: without an id it is every program of that name, but for
        tracing programs, which kernels refuse or allow on terms of their own."""
        found = programs(":".join(parts))
        if len(parts) == 1 or is_glob(":".join(parts)):
            found = [f for f in found if f.type != ProgType.TRACING]
        if not found:
            names = sorted({f.name for f in programs("*")})
            hint = did_you_mean(parts[-1], names) or f"see `pytrace -l '{self.name}:bpf:*'`"
            raise ProbeError(f"{self.name}:{rest}: no BPF program that is loaded has such a function", hint)
        if not has(target.kernel, "fentry"):
            why = target.kernel.features.why("fentry")
            raise ProbeError(f"{self.name}:{rest} cannot be attached on this kernel: {why}")
        expected = AttachType.TRACE_FEXIT if self.returns else AttachType.TRACE_FENTRY
        return [
            Point(
                f"{self.name}:bpf:{f.id}:{f.name}",
                Tracing(target_prog=f.id),
                Context(
                    prog_type=ProgType.TRACING,
                    expected_attach_type=expected,
                    btf=True,
                    attach_btf=f.name,
                    attach_module=f"bpf:{f.id}",
                ),
                function=f.name,
            )
            for f in found
        ]

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        module, function = split(pattern)
        if module == "bpf":
            yield from (f"{self.name}:bpf:{f.id}:{f.name}" for f in programs(function))
            return
        for m, f in find(module, function, target.kernel):
            yield f"{self.name}:{m}:{f}"

    def describe(self, name: str, target: Target) -> list[str]:
        *_, module, function = ("", *name.split(":")[1:])
        found = described(function, module, target.kernel)
        if found is None:
            return []
        _, btf, proto = found
        lines = btf_c.parameters(btf, proto)
        if self.returns and not isinstance(proto.returns, Void):
            lines.append(f"{btf_c.returns(btf, proto)} retval")
        return lines


PROVIDER = FentryProvider("fentry", ("f", "kfunc"), "the entry of a kernel function, typed", returns=False)
