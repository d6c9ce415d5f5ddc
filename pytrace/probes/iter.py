"""iter — a BPF iterator: the program runs once for each kernel object of a kind, then the script ends.

    iter:task   iter:task_file   iter:task_vma   …       whatever this kernel's BTF has
    iter:task:NAME                                       pinned at /sys/fs/bpf/NAME: whoever reads that file runs it,
                                                         and reads what its printf write

`ctx.NAME` (also `args.NAME`) are the members of `struct bpf_iter__KIND`; pointers may be null and are followed
without a helper. At the end of the walk the kernel calls once more, without an object (the last pointer): the program
is not run for that.
"""

from __future__ import annotations

from collections.abc import Iterator

from pytrace.kernel import btf_c
from pytrace.kernel.glob import matches
from pytrace.probes.base import Arg, Context, CtxLoad, Point, ProbeError, Target
from pytrace.probes.text import arguments, did_you_mean
from pytrace.probes.uapi import AttachType, ProgType
from pytrace.program import Iter
from pytrace.types import Pointer

# These are made for a map that has to be handed over.
_OF_A_MAP = frozenset(("bpf_map_elem", "bpf_sk_storage_map", "sockmap"))
# Parents before their children.
_ORDER = {"cgroup": 2}


class IterProvider:
    name = "iter"
    aliases = ("it",)
    doc = "every kernel object of a kind"
    listed = True

    def expand(self, rest: str, target: Target) -> list[Point]:
        kind, pin = (*arguments(self.name, rest, 1, 2), "")[:2]
        btf = target.kernel.btf
        struct = btf.struct(f"bpf_iter__{kind}")
        if struct is None or btf.iterator(kind) is None:
            hint = did_you_mean(kind, btf.iterators()) or f"this kernel has: {', '.join(btf.iterators())}"
            raise ProbeError(f"iter {kind} not available for your kernel version.", hint)
        if kind in _OF_A_MAP:
            hint = "iter:bpf_map walks all maps, and a `for` loop a map of the script"
            raise ProbeError(f"iter:{kind} walks one map of another program, which a script cannot name", hint)
        if ".." in pin.split("/"):
            raise ProbeError(f"iter pin path leads elsewhere: {pin}", "a name below /sys/fs/bpf")
        args: list[Arg] = []
        for name in struct.field_names():
            field = struct.field(name)
            if field is not None and name != "meta":
                args.append(Arg(name, field.type, CtxLoad(field.offset)))
        # The kernel's last call, after the walk, has none.
        object = next((a.load for a in reversed(args) if isinstance(a.type, Pointer)), None)
        context = Context(
            prog_type=ProgType.TRACING,
            expected_attach_type=AttachType.TRACE_ITER,
            args=tuple(args),
            struct=struct,
            btf=True,
            attach_btf=f"bpf_iter_{kind}",
            unless_null=object if isinstance(object, CtxLoad) else None,
        )
        return [Point(":".join(["iter", kind, *filter(None, [pin])]), Iter(pin, _ORDER.get(kind, 0)), context)]

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        for kind in target.kernel.btf.iterators():
            if matches(kind, pattern):
                yield f"iter:{kind}"

    def describe(self, name: str, target: Target) -> list[str]:
        btf = target.kernel.btf
        found = btf.iterator(name.split(":")[1])
        lines = btf_c.parameters(btf, found) if found else []
        return [line for line in lines if not line.endswith(" meta")]


PROVIDER = IterProvider()
