"""Names for numbers, asked for when something is shown: symbols, stacks, users, cgroups, clocks."""

from __future__ import annotations

import struct
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pytrace.kernel import KernelError
from pytrace.output import StackValue, Symbol
from pytrace.program import Program
from pytrace.runtime.maps import KernelMap
from pytrace.runtime.processes import Processes
from pytrace.types import Array, Record, Stack, Tuple, Type, USym

if TYPE_CHECKING:
    from pytrace.kernel import Kernel
    from pytrace.kernel.kallsyms import Kallsyms
    from pytrace.runtime.cgroups import Cgroups


class Symbols:
    """The resolver of a live session; every question gets an answer, if only the number (see `output.Resolver`)."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.demangle = True
        """Whether C++ symbols are shown as they are written in C++."""
        self._stacks: dict[int, KernelMap] = {}
        self.processes = Processes(kernel)
        self._user_symbols: dict[tuple[int, int], Symbol] = {}
        self._users: dict[int, str] = {}
        self._cgroups: Cgroups | None = None
        self._offsets: dict[str, int] = {}
        self._kernel_symbols: dict[int, Symbol] = {}

    def add_stacks(self, stacks: Mapping[str, KernelMap]) -> None:
        """Maps of stacks, `stacks_N` by depth."""
        for name, kernel_map in stacks.items():
            self._stacks[int(name.rpartition("_")[2])] = kernel_map

    def watch(self, program: Program, pid: int = 0) -> None:
        """If a Program has values that are user addresses, remembers from now on which process has mapped what, the
        process `pid` first."""
        shown = [t for e in program.events for t in e.args]
        shown += [t for m in program.user_maps for t in (m.key, m.value) if t is not None]
        if any(_is_user_address(t) for t in shown):
            self.processes.watch()
            if pid:
                self.processes.see(pid)

    # --- code ------------------------------------------------------------------------------------

    def _kallsyms(self) -> Kallsyms | None:
        try:
            return self._kernel.kallsyms
        except KernelError:
            return None

    def ksym(self, address: int) -> Symbol:
        known = self._kernel_symbols.get(address)
        if known is None:
            table = self._kallsyms()
            found = table.at(address) if table else None
            known = Symbol(address)
            if found is not None:
                symbol, offset = found
                known = Symbol(address, symbol.name, offset, symbol.module or "kernel")
            self._kernel_symbols[address] = known
        return known

    def usym(self, address: int, pid: int) -> Symbol:
        known = self._user_symbols.get((pid, address))
        if known is None:
            known = self._user_symbol(address, pid)
            if known.name:
                self._user_symbols[pid, address] = known
        return known

    def _user_symbol(self, address: int, pid: int) -> Symbol:
        from pytrace.kernel.elf import Elf
        from pytrace.kernel.process import Process

        place = self.processes.locate(address, pid)
        if place is None:
            return Symbol(address)
        mapping, offset = place
        try:
            elf = Elf.open(Process(pid).path(mapping))
        except KernelError:
            return Symbol(address, module=mapping.path, file_offset=offset)
        where = elf.address_of(offset)
        found = elf.at(where) if where is not None else None
        if found is None:
            return Symbol(address, module=mapping.path, file_offset=offset, build_id=elf.build_id)
        symbol, distance = found
        name = symbol.name
        if self.demangle and name.startswith("_Z"):
            from pytrace.kernel.demangle import demangle

            name = demangle(name)
        return Symbol(address, name, distance, mapping.path, file_offset=offset, build_id=elf.build_id)

    def stack(self, stack: StackValue) -> Sequence[Symbol]:
        kernel_map = self._stacks.get(stack.depth)
        if not stack.id or kernel_map is None:
            return ()
        try:
            frames = kernel_map.lookup(struct.pack("=Q", stack.id))
        except OSError:
            return ()
        if frames is None:
            return ()
        count = min(stack.frames, stack.depth)
        addresses = struct.unpack_from(f"={count}Q", frames)
        if stack.kind == "kernel":
            return _of_the_kernel([self.ksym(a) for a in addresses if a])
        return [self.usym(a, stack.pid) for a in addresses if a]

    # --- the rest --------------------------------------------------------------------------------

    def username(self, uid: int) -> str:
        if uid not in self._users:
            import pwd

            try:
                self._users[uid] = pwd.getpwuid(uid).pw_name
            except (KeyError, OverflowError):
                self._users[uid] = ""
        return self._users[uid]

    def cgroup_path(self, cgroup: int, filter: str) -> str:
        if self._cgroups is None:
            from pytrace.runtime.cgroups import Cgroups

            self._cgroups = Cgroups()
        return self._cgroups.path(cgroup, filter)

    def wall_offset(self, clock: Literal["boot", "monotonic", "tai", "wall"]) -> int:
        if clock not in self._offsets:
            self._offsets[clock] = _wall_offset(clock)
        return self._offsets[clock]


def _of_the_kernel(frames: list[Symbol]) -> list[Symbol]:
    """Without the glue at its top through which a tracepoint reached the program."""
    first = 0
    while first < len(frames) and frames[first].name.startswith(("__bpf_trace_", "__traceiter_")):
        first += 1
    return frames[first:]


def _is_user_address(type: Type) -> bool:
    match type:
        case USym() | Stack(kind="user"):
            return True
        case Tuple(elements):
            return any(map(_is_user_address, elements))
        case Record(fields):
            return any(_is_user_address(field) for _, field in fields)
        case Array(element):
            return _is_user_address(element)
    return False


def _wall_offset(clock: str) -> int:
    id = {"boot": time.CLOCK_BOOTTIME, "monotonic": time.CLOCK_MONOTONIC, "tai": getattr(time, "CLOCK_TAI", 11)}.get(
        clock
    )
    if id is None:
        return 0
    # The pair of readings that lie closest together tells it best.
    best = (1 << 62, 0)
    for _ in range(8):
        before = time.clock_gettime_ns(id)
        wall = time.clock_gettime_ns(time.CLOCK_REALTIME)
        after = time.clock_gettime_ns(id)
        best = min(best, (after - before, wall - (before + after) // 2))
    # TAI and UTC are whole seconds apart.
    return round(best[1], -9) if clock == "tai" else best[1]
