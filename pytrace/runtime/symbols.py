"""Names for numbers, asked for when something is shown: symbols, stacks, users, cgroups, clocks."""

from __future__ import annotations

import contextlib
import os
import struct
import time
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from pytrace.environment import variable
from pytrace.kernel import KernelError
from pytrace.output import StackValue, Symbol
from pytrace.program import Program, Uprobe, UprobeMulti
from pytrace.record import replace
from pytrace.runtime.maps import KernelMap
from pytrace.runtime.processes import Processes
from pytrace.types import Array, Record, Stack, Tuple, Type, USym

if TYPE_CHECKING:
    from pytrace.kernel import Kernel
    from pytrace.kernel.elf import Elf
    from pytrace.kernel.kallsyms import Kallsyms
    from pytrace.kernel.process import Mapping as Mapped
    from pytrace.kernel.sourcelines import Place, SourceLines
    from pytrace.runtime.cgroups import Cgroups
    from pytrace.runtime.perfmaps import PerfMaps


class Symbols:
    """The resolver of a live session; every question gets an answer, if only the number (see `output.Resolver`)."""

    def __init__(self, kernel: Kernel) -> None:
        self._kernel = kernel
        self.demangle = True
        """Whether C++ symbols are shown as they are written in C++."""
        self._debug_info = False
        self._keep: str = "PER_PROGRAM"
        self._lazy = True
        self._stacks: dict[int, KernelMap] = {}
        self.processes = Processes(kernel)
        self._user_symbols: dict[tuple[int, int, int], Symbol] = {}
        self._of_files: dict[tuple[str, int, int], Symbol] = {}
        self._files: dict[tuple[str, int], Elf] = {}
        self._users: dict[int, str] = {}
        self._cgroups: Cgroups | None = None
        self._perf_maps: PerfMaps | None = None
        self._offsets: dict[str, int] = {}
        self._kernel_symbols: dict[int, Symbol] = {}
        self._vmlinux: tuple[SourceLines | None, int] | None = None

    def configure(self, config: Mapping[str, str | int | bool]) -> None:
        """Takes over the settings of a script that are about symbols. Those not there are left at their defaults."""
        self.demangle = bool(config.get("cpp_demangle", True))
        self._debug_info = bool(config.get("show_debug_info", False))
        self._lazy = bool(config.get("lazy_symbolication", True))
        keep = str(config.get("cache_user_symbols", "AUTO"))
        # A symbol is kept under its place in the file, which is the same wherever the file is loaded.
        self._keep = "PER_PROGRAM" if keep == "AUTO" else keep

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
                self.processes.refresh(pid)
            if not self._lazy:
                self._read_ahead(program, pid)

    def _read_ahead(self, program: Program, pid: int) -> None:
        """Opens the files that probes of the program are in, those of the processes that run them now, and those of
        the process `pid`: what happens to the files later does not matter then."""
        from pytrace.kernel.elf import Elf
        from pytrace.kernel.process import Process, processes

        inodes = set()
        for path in {a.path for p in program.progs for a in p.attach if isinstance(a, Uprobe | UprobeMulti)}:
            with contextlib.suppress(OSError, KernelError):
                info = os.stat(path)
                device = f"{os.major(info.st_dev):02x}:{os.minor(info.st_dev):02x}"
                self._keep_file((device, info.st_ino), Elf.open(path))
                inodes.add(info.st_ino)
        for each in {pid} if pid else processes():
            mapped = [m for m in Process(each).maps() if m.executable and m.is_file]
            if each == pid or any(m.inode in inodes for m in mapped):
                self.processes.refresh(each)
                for mapping in mapped:
                    self._file(mapping, each)

    def _keep_file(self, key: tuple[str, int], elf: Elf) -> None:
        elf.at(0)  # reads the symbols
        self._files[key] = elf

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
        self.processes.poll()
        return self._usym(address, pid)

    def _usym(self, address: int, pid: int) -> Symbol:
        # What a process has mapped is part of the key: after an exec the address is another function's.
        key = pid, address, self.processes.generation(pid)
        known = self._user_symbols.get(key)
        if known is None:
            known = self._find(address, pid)
            if known.name and self._keep != "NONE":
                self._user_symbols[key] = known
        if not known.name:  # what is made at run time is not kept: other code may come to stand there
            return self._made(address, pid) or known
        return known

    def _made(self, address: int, pid: int) -> Symbol | None:
        """The name of code that the process has made, and told profilers of."""
        if self._perf_maps is None:
            from pytrace.runtime.perfmaps import PerfMaps

            self._perf_maps = PerfMaps()
        return self._perf_maps.symbol(address, pid)

    def _find(self, address: int, pid: int) -> Symbol:
        place = self.processes.locate(address, pid)
        if place is None:
            return Symbol(address)
        mapping, offset = place
        key = mapping.device, mapping.inode, offset
        known = self._of_files.get(key)
        if known is None:
            known = self._user_symbol(mapping, offset, pid)
            if known.name and self._keep == "PER_PROGRAM":
                self._of_files[key] = known
        return replace(known, address=address)

    def _file(self, mapping: Mapped, pid: int) -> Elf | None:
        """The file of a mapping; None where it cannot be read any more."""
        known = self._files.get((mapping.device, mapping.inode))
        if known is None:
            from pytrace.kernel.elf import Elf
            from pytrace.kernel.process import Process

            try:
                known = Elf.open(Process(pid).path(mapping))
            except KernelError:
                return None
            if not self._lazy:
                self._keep_file((mapping.device, mapping.inode), known)
        return known

    def _user_symbol(self, mapping: Mapped, offset: int, pid: int) -> Symbol:
        elf, start = self._file(mapping, pid), 0
        if elf is None:
            from pytrace.kernel.archives import open_at
            from pytrace.kernel.process import Process

            elf, start = open_at(Process(pid).path(mapping), offset) or (None, 0)
        if elf is None:
            return Symbol(0, module=mapping.path, file_offset=offset)
        where = elf.address_of(offset - start)
        found = elf.at(where) if where is not None else None
        if found is None:
            return Symbol(0, module=mapping.path, file_offset=offset, build_id=elf.build_id)
        symbol, distance = found
        return Symbol(0, self._written(symbol.name), distance, mapping.path, file_offset=offset, build_id=elf.build_id)

    def _written(self, name: str) -> str:
        """A symbol's name as the source has it."""
        if self.demangle and name.startswith("_Z"):
            from pytrace.kernel.demangle import demangle

            return demangle(name)
        return name

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
        addresses = [a for a in struct.unpack_from(f"={count}Q", frames) if a]
        lines = self._debug_info and stack.mode in ("bpftrace", "perf")
        if stack.kind == "kernel":
            found = _of_the_kernel([self.ksym(a) for a in addresses])
            return self._with_lines(found, self._kernel_place) if lines else found
        self.processes.poll()
        found = [self._usym(a, stack.pid) for a in addresses]
        return self._with_lines(found, lambda a: self._user_place(a, stack.pid)) if lines else found

    def _with_lines(self, frames: list[Symbol], place: Callable[[int], Place | None]) -> list[Symbol]:
        """The frames with their source lines, and the functions that were inlined into each before it."""
        found: list[Symbol] = []
        for number, frame in enumerate(frames):
            # All but the first are addresses to return to, which may belong to the next line already.
            at = place(frame.address - (number > 0))
            if at is None:
                found.append(frame)
                continue
            found += (
                Symbol(frame.address, self._written(name), source=source, inlined=True) for name, source in at.inlined
            )
            found.append(replace(frame, source=at.source))
        return found

    def _user_place(self, address: int, pid: int) -> Place | None:
        from pytrace.kernel.sourcelines import SourceLines

        place = self.processes.locate(address, pid)
        elf = self._file(place[0], pid) if place else None
        where = elf.address_of(place[1]) if elf and place else None
        lines = SourceLines.of(elf) if elf and where is not None else None
        return lines.at(where) if lines and where is not None else None

    def _kernel_place(self, address: int) -> Place | None:
        """By the vmlinux that the environment names: kernels that run carry no debug info."""
        if self._vmlinux is None:
            self._vmlinux = _kernel_lines(self._kallsyms())
        lines, shift = self._vmlinux
        return lines.at(address - shift) if lines else None

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


def _kernel_lines(table: Kallsyms | None) -> tuple[SourceLines | None, int]:
    """The source lines of the vmlinux of `$PYTRACE_VMLINUX`, and how far from its addresses the kernel was loaded."""
    path = variable("vmlinux")
    if not path or table is None:
        return None, 0
    from pytrace.kernel.elf import Elf
    from pytrace.kernel.sourcelines import SourceLines

    try:
        elf = Elf.open(path)
    except KernelError:
        return None, 0
    theirs, ours = elf.lookup("_text"), table.lookup("_text")
    return (SourceLines.of(elf), ours[0].address - theirs[0].address) if theirs and ours else (None, 0)


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
