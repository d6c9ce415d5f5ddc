"""rawtracepoint — a tracepoint's own arguments, before any record is made of them: the cheapest static event.

    rawtracepoint:EVENT   rawtracepoint:vmlinux:EVENT   rawtracepoint:MODULE:EVENT     wildcards in both

`args.NAME` are the parameters of the tracepoint's prototype with their kernel types (BTF `btf_trace_EVENT`), `argN`
the same as plain numbers. Attaches as a BTF tracepoint (tp_btf, 5.5+), whose pointers can be followed without a
helper; without tp_btf as a raw tracepoint.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytrace.kernel import btf_c
from pytrace.kernel.btf import Btf, Function
from pytrace.kernel.glob import is_glob, matches
from pytrace.probes.base import Arg, Context, CtxCopy, CtxLoad, NoMatch, Point, Target
from pytrace.probes.lowering import has
from pytrace.probes.text import arguments, did_you_mean
from pytrace.probes.uapi import AttachType, ProgType
from pytrace.program import RawTracepoint
from pytrace.types import Field, Struct


class RawTracepointProvider:
    name = "rawtracepoint"
    aliases = ("rt",)
    doc = "a tracepoint's own arguments"
    listed = True

    def expand(self, rest: str, target: Target) -> list[Point]:
        parts = arguments(self.name, rest, 1, 2)
        module, event = parts if len(parts) == 2 else ("*", parts[0])
        points = []
        for found_module, btf, name in self._find(module, event, target):
            proto = btf.tracepoint(name)
            if proto is not None:
                points.append(self._point(found_module, proto, target))
        if not points:
            names = [n for _, _, n in self._find("*", "*", target)]
            raise NoMatch(f"No matches for rawtracepoint {rest}.", did_you_mean(event, names))
        return points

    def _find(self, module: str, event: str, target: Target) -> Iterator[tuple[str, Btf, str]]:
        btf = target.kernel.btf
        if matches("vmlinux", module):
            yield from (("vmlinux", btf, n) for n in btf.tracepoint_names(event))
            if module == "*" and not is_glob(event) and btf.tracepoint(event) is not None:
                return
        for name, inner in btf.modules.items() if is_glob(module) else []:
            if matches(name, module):
                yield from ((name, inner, n) for n in inner.tracepoint_names(event))
        if not is_glob(module) and module in btf.modules:
            yield from ((module, btf.modules[module], n) for n in btf.modules[module].tracepoint_names(event))

    def _point(self, module: str, proto: Function, target: Target) -> Point:
        args = tuple(
            Arg(n, t, CtxCopy(8 * i) if i in proto.opaque else CtxLoad(8 * i)) for i, (n, t) in enumerate(proto.params)
        )
        fields = tuple(Field(a.name, a.type, 8 * i) for i, a in enumerate(args))
        typed = has(target.kernel, "tp_btf")
        context = Context(
            prog_type=ProgType.TRACING if typed else ProgType.RAW_TRACEPOINT,
            expected_attach_type=AttachType.TRACE_RAW_TP if typed else 0,
            args=args,
            struct=Struct("struct", f"rawtracepoint:{module}:{proto.name}_args", 8 * len(args), fields),
            positional=tuple(a.load for a in args),
            btf=typed,
            attach_btf=f"btf_trace_{proto.name}" if typed else "",
            attach_module=module if typed and module != "vmlinux" else "",
        )
        return Point(f"rawtracepoint:{module}:{proto.name}", RawTracepoint(proto.name), context)

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        module, colon, event = pattern.partition(":")
        if not colon:
            module, event = "*", pattern
        for found, _, name in self._find(module, event, target):
            yield f"rawtracepoint:{found}:{name}"

    def describe(self, name: str, target: Target) -> list[str]:
        _, module, event = name.split(":")
        btf = target.kernel.btf if module == "vmlinux" else target.kernel.btf.modules[module]
        proto = btf.tracepoint(event)
        return btf_c.parameters(btf, proto) if proto else []


PROVIDER = RawTracepointProvider()
