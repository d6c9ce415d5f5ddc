"""watchpoint — a hardware breakpoint: an address is read, written or executed.

    watchpoint:ADDRESS:LENGTH:MODE       for example watchpoint:0x10000000:8:w

LENGTH is 1, 2, 4 or 8 bytes; MODE is made of r, w, x. x86-64 has w, rw and x only. With `-p` it watches all threads of
that process, otherwise every CPU. An address must be a multiple of its length, except with x: an instruction is
executed or not, whatever length is written. No `args`; `reg()` reads the registers at the access. A processor has few
of them (four on x86-64).
"""

from __future__ import annotations

from collections.abc import Iterator

from pytrace.probes.base import Point, ProbeError, Target
from pytrace.probes.regs import perf_context
from pytrace.probes.text import arguments, integer
from pytrace.program import Watchpoint
from pytrace.record import replace

_MODES = {"x86_64": ("x", "w", "rw"), "aarch64": ("r", "w", "x", "rw")}
_LENGTHS = (1, 2, 4, 8)
_EXECUTED = {"x86_64": 8, "aarch64": 4}
"""The length that kernels want of an instruction."""
_KERNEL_HALF = 1 << 63


class WatchpointProvider:
    name = "watchpoint"
    aliases = ("w",)
    doc = "an access to an address"
    listed = False

    def expand(self, rest: str, target: Target) -> list[Point]:
        where, size, letters = arguments(self.name, rest, 3)
        address, length = integer(where), integer(size)
        if address is None or address >= 1 << 64:
            raise ProbeError(f"watchpoint address is not a number: {where}")
        if length not in _LENGTHS:
            raise ProbeError("watchpoint length must be one of (1,2,4,8)")
        if not letters or set(letters) - set("rwx") or len(set(letters)) != len(letters):
            raise ProbeError("watchpoint mode must be combination of (r,w,x)")
        mode = "".join(c for c in "rwx" if c in letters)
        modes = _MODES.get(target.kernel.machine, ("r", "w", "x", "rw"))
        if mode not in modes:
            raise ProbeError(f"invalid watchpoint mode: {letters}", f"supported modes: {','.join(modes)}")
        if mode != "x" and address % length:
            raise ProbeError(f"watchpoint address {where} is not a multiple of its length {length}")
        context = perf_context(target.kernel.machine)
        if address < _KERNEL_HALF:
            context = replace(context, space="user")
        watched = _EXECUTED.get(target.kernel.machine, length) if mode == "x" else length
        return [Point(f"watchpoint:{where}:{length}:{letters}", Watchpoint(address, watched, mode), context)]

    def matches(self, pattern: str, target: Target) -> Iterator[str]:
        return iter(())

    def describe(self, name: str, target: Target) -> list[str]:
        return []


PROVIDER = WatchpointProvider()
