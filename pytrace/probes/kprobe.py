"""kprobe — the entry of a kernel function, or any instruction in it.

    kprobe:FUNCTION         kprobe:MODULE:FUNCTION       wildcards in both
    kprobe:FUNCTION+OFFSET                               an instruction, OFFSET bytes into the function
    kprobe:0xADDRESS                                     needs --unsafe

`arg0`, `arg1`, … are the function's arguments as unsigned numbers, `reg("name")` any register, `func` the function.
Functions are those that ftrace lists, or where it may not be asked, those of BTF and kallsyms; inlined calls do not
count. Functions that BPF programs themselves run through are left out of wildcards (`probes.denylist`). How they
attach: `probes.lowering`. Needs CONFIG_KPROBES or, for whole functions, fentry.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from pytrace.kernel import btf_c
from pytrace.kernel.glob import is_glob
from pytrace.probes.base import Context, Load, Point, ProbeError, StackLoad, Target
from pytrace.probes.denylist import denied, in_wildcard
from pytrace.probes.fentry import instead_of_kprobe
from pytrace.probes.kfunctions import VMLINUX, clones_of, described, exists, find, instead, no_match, split
from pytrace.probes.lowering import has
from pytrace.probes.regs import registers
from pytrace.probes.text import arguments, integer
from pytrace.probes.uapi import AttachType, ProgType
from pytrace.program import Kprobe, KprobeMulti
from pytrace.record import record, replace
from pytrace.types import UINT64

# As many as bpftrace gives: those in registers, then those in memory.
POSITIONAL = 10


def regs_context(machine_name: str, returns: bool, expected: int = 0, space: str = "kernel") -> Context:
    """What a program on a kprobe or uprobe sees: `struct pt_regs`."""
    m = registers(machine_name)
    loads: list[Load] = [m.load(r) for r in m.functions]
    loads += [StackLoad(m.stack_arguments + 8 * i) for i in range(POSITIONAL - len(loads))]
    return Context(
        prog_type=ProgType.KPROBE,
        expected_attach_type=expected,
        space="user" if space == "user" else "kernel",
        positional=() if returns else tuple(loads),
        retval=(UINT64, m.load(m.result)) if returns else None,
        regs=True,
    )


@record
class KprobeProvider:
    name: str
    aliases: tuple[str, ...]
    doc: str
    returns: bool
    listed: bool = True

    def expand(self, rest: str, target: Target) -> list[Point]:
        parts = arguments(self.name, rest, 1, 2)
        module, text = parts if len(parts) == 2 else ("", parts[0])
        if (address := integer(text)) is not None:
            return [self._at_address(text, address, target)]
        m = re.fullmatch(r"(.*?)\+(\w+)", text)
        function, offset = (m[1], integer(m[2])) if m else (text, 0)
        if offset is None or not function:
            raise ProbeError(f"{self.name} has a malformed offset: {text}", f"write {self.name}:FUNCTION+OFFSET")
        if is_glob(module + function):
            return self._several(rest, module, function, target)
        if offset and self.returns:
            raise ProbeError(f"{self.name} takes no offset: a function returns as a whole")
        if clones := clones_of(function, module, target.kernel):
            return self._clones(clones, module, function, offset, target)
        if not exists(function, module, target.kernel):
            raise no_match(self.name, rest, function, target.kernel)
        if (why := denied(function, self.returns)) and not target.unsafe:
            raise ProbeError(f"{self.name}:{function} is refused: {why}", "--unsafe attaches it all the same")
        return [self._one(rest, function, offset, target)]

    def _one(self, rest: str, function: str, offset: int, target: Target) -> Point:
        attach = Kprobe(function, offset, returns=self.returns)
        context = regs_context(target.kernel.machine, self.returns)
        point = Point(f"{self.name}:{rest}", attach, context, function=function)
        if has(target.kernel, "kprobe"):
            return point
        lowered = instead_of_kprobe(point, function, self.returns, target) if not offset else None
        if lowered is None:
            raise self._cannot(function, target)
        return lowered

    def _clones(self, clones: tuple[str, ...], module: str, function: str, offset: int, target: Target) -> list[Point]:
        """A function that the compiler has left in other forms only."""
        if offset:
            hint = f"write {self.name}:{clones[0]}+{offset}"
            raise ProbeError(f"The kernel has no {function}, but {' and '.join(clones)}", hint)
        shown = f"{clones[0]} and {len(clones) - 1} more" if len(clones) > 3 else " and ".join(clones)
        note = f"the kernel has no {function}, but {shown}: its arguments may not be those of the source"
        points = [self._one(self._rest(module, module, name), name, 0, target) for name in clones]
        return [replace(p, note=note) for p in points]

    def _several(self, rest: str, module: str, function: str, target: Target) -> list[Point]:
        kernel = target.kernel
        found = [(m, f) for m, f in find(module, function, kernel) if in_wildcard(f, self.returns, function)]
        if not found:
            raise no_match(self.name, rest, function, kernel)
        if not has(kernel, "kprobe") and not has(kernel, "kprobe_multi"):
            if not has(kernel, "fentry"):
                raise self._cannot(function, target)
            return [self._one(self._rest(module, m, f), f, 0, target) for m, f in found if described(f, m, kernel)]
        multi = has(kernel, "kprobe_multi")
        context = regs_context(kernel.machine, self.returns, AttachType.TRACE_KPROBE_MULTI if multi else 0)
        return [
            Point(
                f"{self.name}:{self._rest(module, m, f)}",
                KprobeMulti((f,), returns=self.returns) if multi else Kprobe(f, returns=self.returns),
                context,
                function=f,
            )
            for m, f in found
        ]

    @staticmethod
    def _rest(written: str, module: str, function: str) -> str:
        return f"{module}:{function}" if written else function

    def _at_address(self, text: str, address: int, target: Target) -> Point:
        if not target.unsafe:
            raise ProbeError(
                "Probing by address requires --unsafe", "an address within an instruction crashes the kernel"
            )
        if not has(target.kernel, "kprobe"):
            raise self._cannot(text, target)
        context = regs_context(target.kernel.machine, self.returns)
        return Point(f"{self.name}:{text}", Kprobe("", address=address, returns=self.returns), context)

    def _cannot(self, function: str, target: Target) -> ProbeError:
        features = target.kernel.features
        return ProbeError(
            f"{self.name}:{function} cannot be attached on this kernel: {features.why('kprobe')}; "
            f"and no fentry in its place: {features.why('fentry')}",
            instead(function, target.kernel),
        )

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        module, function = split(pattern)
        for m, f in find(module, function, target.kernel):
            yield f"{self.name}:{self._rest(module or m.replace(VMLINUX, ''), m, f)}"

    def describe(self, name: str, target: Target) -> list[str]:
        *_, module, function = ("", *name.split(":")[1:])
        found = described(function, module, target.kernel)
        if found is None:
            return []
        _, btf, proto = found
        if self.returns:
            result = btf_c.returns(btf, proto)
            return [] if result == "void" else [f"{result} retval"]
        return btf_c.parameters(
            btf, replace(proto, params=tuple((f"arg{i}", t) for i, (_, t) in enumerate(proto.params)))
        )


PROVIDER = KprobeProvider("kprobe", ("k",), "the entry of a kernel function", returns=False)
