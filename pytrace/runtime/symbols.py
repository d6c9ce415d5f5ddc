"""Names for numbers, asked for when something is shown: symbols, stacks, users, cgroups, clocks."""

from __future__ import annotations

import os
import struct
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pytrace.kernel import KernelError
from pytrace.output import StackValue, Symbol
from pytrace.runtime.maps import KernelMap

if TYPE_CHECKING:
    from pytrace.kernel import Kernel
    from pytrace.kernel.kallsyms import Kallsyms
    from pytrace.kernel.process import Mapping as FileMapping

_CGROUP2 = ("/sys/fs/cgroup", "/sys/fs/cgroup/unified")


class Symbols:
    """The resolver of a live session; every question gets an answer, if only the number (see `output.Resolver`)."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self._stacks: dict[int, KernelMap] = {}
        self._processes: dict[int, list[FileMapping]] = {}
        self._users: dict[int, str] = {}
        self._cgroups: dict[int, str] | None = None
        self._offsets: dict[str, int] = {}
        self._kernel_symbols: dict[int, Symbol] = {}

    def add_stacks(self, stacks: Mapping[str, KernelMap]) -> None:
        """Maps of stacks, `stacks_N` by depth."""
        for name, kernel_map in stacks.items():
            self._stacks[int(name.rpartition("_")[2])] = kernel_map

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

    def see(self, pid: int) -> None:
        """Remembers the memory map of a process now, so that its addresses have names after its end."""
        from pytrace.kernel.process import Process

        maps = Process(pid).maps()
        if maps:
            self._processes[pid] = maps

    def usym(self, address: int, pid: int) -> Symbol:
        from pytrace.kernel.elf import Elf
        from pytrace.kernel.process import Process

        process = Process(pid)
        place = process.locate(address, self._processes.get(pid, []))
        if place is None:
            # Not seen yet, or it has loaded something since.
            self.see(pid)
            place = process.locate(address, self._processes.get(pid, []))
        if place is None:
            return Symbol(address)
        mapping, offset = place
        try:
            elf = Elf.open(process.path(mapping))
        except KernelError:
            return Symbol(address, module=mapping.path, file_offset=offset)
        where = elf.address_of(offset)
        found = elf.at(where) if where is not None else None
        if found is None:
            return Symbol(address, module=mapping.path, file_offset=offset, build_id=elf.build_id)
        symbol, distance = found
        return Symbol(address, symbol.name, distance, mapping.path, file_offset=offset, build_id=elf.build_id)

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
            return [self.ksym(a) for a in addresses if a]
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
        """cgroup ids are inode numbers of the cgroup2 tree. It is walked again for an id that is not known."""
        if self._cgroups is None or cgroup not in self._cgroups:
            self._cgroups = _cgroup2_paths()
        path = self._cgroups.get(cgroup, "")
        return f"unified:{path}" if path else ""

    def wall_offset(self, clock: Literal["boot", "monotonic", "tai", "wall"]) -> int:
        if clock not in self._offsets:
            self._offsets[clock] = _wall_offset(clock)
        return self._offsets[clock]


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
    return best[1]


def _cgroup2_paths() -> dict[int, str]:
    found: dict[int, str] = {}
    for root in _CGROUP2:
        if not os.path.exists(f"{root}/cgroup.controllers"):
            continue
        for directory, _, _ in os.walk(root):
            try:
                found[os.stat(directory).st_ino] = directory.removeprefix(root) or "/"
            except OSError:
                continue  # removed meanwhile
        break
    return found
