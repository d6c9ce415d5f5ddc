"""One Program in the kernel: its maps, programs, links and ring. A session holds one or more."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from pytrace.kernel import KernelError
from pytrace.program import (
    Attach,
    Iter,
    Kprobe,
    KprobeMulti,
    MapSpec,
    MapType,
    PerfEvent,
    Program,
    ProgSpec,
    Signal,
    TestRun,
    Tracing,
    Uprobe,
    UprobeMulti,
    Watchpoint,
)
from pytrace.runtime.attach import AttachError, Link, Place, attach, detach, walk
from pytrace.runtime.books import Books
from pytrace.runtime.limits import make_room
from pytrace.runtime.maps import KernelMap, Maps
from pytrace.runtime.progs import LoadedProgram, load, load_btf
from pytrace.runtime.ring import Ring
from pytrace.runtime.usermaps import ScriptMap

if TYPE_CHECKING:
    from pytrace.runtime.native import Drain

Handle = Callable[[memoryview], bool | None]


class MapMismatch(KernelError):
    """Two programs of a session mean different things by a map of the same name."""


class Loaded:
    """A Program that has been loaded. Not attached until `attach`; the session decides when.

    `shared` are the script's maps, and `stacks` the maps of stacks, that other programs of the session have made; a
    script's map of the same name that does not fit raises `MapMismatch`. Other errors: `MapError`, `LoadError`,
    `VerifierError`. What it shares or makes for others to share, the session closes.
    """

    def __init__(
        self,
        program: Program,
        place: Place,
        shared: Mapping[str, ScriptMap] | None = None,
        stacks: Mapping[str, KernelMap] | None = None,
    ) -> None:
        self.program, self.place = program, place
        self.links: list[Link] = []
        self._watched: dict[int, list[Link]] = {}
        self.attached = 0
        """How many links there are or were."""
        self._drain: Drain | None = None
        self._handle: Handle = lambda record: None
        with ExitStack() as undo:
            self.maps = Maps(program.maps, place.kernel.possible_cpus, _usable(program, shared or {}, stacks or {}))
            undo.callback(self.maps.close)
            self.script_maps = self._script_maps(shared or {})
            self.ring = Ring(self.maps[program.ring].fd, self.maps[program.ring].spec.max_entries)
            undo.callback(self.ring.close)
            self.books = Books(program, self.maps[program.counters_map].view)
            self.programs = self._load(undo)
            undo.callback(self._close_programs)
            self._undo = undo.pop_all()

    def _script_maps(self, shared: Mapping[str, ScriptMap]) -> dict[str, ScriptMap]:
        found = {}
        for user_map in self.program.user_maps:
            known = shared.get(user_map.name)
            found[user_map.name] = known or ScriptMap(user_map, self.maps[user_map.spec], self.program.cpus)
        return found

    def _load(self, undo: ExitStack) -> list[LoadedProgram]:
        program = self.program
        btf = load_btf(program.btf) if program.btf else 0
        if btf:
            undo.callback(os.close, btf)
        config = dict(program.config)
        license, log_size = str(config.get("license", "GPL")), int(config.get("log_size", 1_000_000))
        loaded: list[LoadedProgram] = []
        try:
            for spec in program.progs:
                loaded.append(load(spec, self.maps, btf, program.btf, self.place.kernel, license, log_size))
        except BaseException:
            for done in loaded:
                done.close()
            raise
        return loaded

    # --- running and attaching -------------------------------------------------------------------

    def run(self, when: str) -> None:
        """Runs each program that has a `TestRun` of that time, once for each, until one of them calls `exit()`."""
        for prog in self.programs:
            for spec in prog.spec.attach:
                if isinstance(spec, TestRun) and spec.when == when and not self.books.exiting:
                    prog.run()

    def runs(self, when: str) -> list[tuple[str, LoadedProgram]]:
        """Name and program of each `TestRun` of that time: the `test:` and `bench:` probes."""
        return [
            (spec.name, prog)
            for prog in self.programs
            for spec in prog.spec.attach
            if isinstance(spec, TestRun) and spec.when == when
        ]

    def signal(self, number: int) -> None:
        """Runs the programs that wait for a signal of the tracer."""
        for prog in self.programs:
            for spec in prog.spec.attach:
                if isinstance(spec, Signal) and spec.number == number:
                    prog.run()

    @property
    def signals(self) -> frozenset[int]:
        """The signals that programs wait for."""
        return frozenset(s.number for p in self.program.progs for s in p.attach if isinstance(s, Signal))

    @property
    def waits(self) -> bool:
        """Whether anything may still happen: something is attached that is no iterator, or a signal is waited for."""
        return bool(self.signals) or any(not link.iterator for link in self.links)

    def attach(self, missed: Callable[[AttachError], None]) -> None:
        """Attaches everything, so that programs on one place run in their order. What cannot be attached is given to
        `missed`, which may raise it."""
        cpus = len(self.place.kernel.online_cpus)
        specs = [spec for prog in self.programs for spec in prog.spec.attach]
        make_room(sum(cpus if isinstance(spec, PerfEvent | Watchpoint) else 1 for spec in specs))
        for prog in _to_attach(self.programs):
            for spec in prog.spec.attach:
                try:
                    link = attach(spec, prog, self.place)
                except AttachError as error:
                    missed(error.at(prog.spec.place))
                    continue
                if link is not None:
                    self.links.append(link)
                    self.attached += 1
                    if isinstance(spec, Watchpoint):
                        self._watched.setdefault(spec.address, []).append(link)

    def walk(self, written: Callable[[bytes], object]) -> None:
        """Runs every iterator to its end; `written` gets what each wrote to the file that it was read from. One that is
        pinned waits for its readers."""
        pinned = any(isinstance(s, Iter) and s.pin for p in self.program.progs for s in p.attach)
        for link in self.links:
            if link.iterator and not pinned:
                written(walk(link))

    def adopt(self) -> tuple[dict[str, ScriptMap], dict[str, KernelMap]]:
        """The script's maps, and the maps of stacks, which are the caller's to close from now on."""
        stacks = {spec.name: self.maps[spec.name] for spec in self.program.maps if is_stacks(spec)}
        for name in [*stacks, *(m.user_map.spec for m in self.script_maps.values())]:
            self.maps.release(name)
        return self.script_maps, stacks

    def unwatch(self, address: int) -> None:
        """Detaches the watchpoints on an address."""
        for link in self._watched.pop(address, ()):
            link.close()

    def detach(self) -> None:
        """Closes all links."""
        links, self.links = self.links, []
        detach(links)

    # --- records ---------------------------------------------------------------------------------

    def deliver(
        self, handle: Handle, write: Callable[[memoryview], Any] | None = None, *, trailer: bytes = b".."
    ) -> bool:
        """Says where records go: to `handle`; with `write`, those that native code can make text of go there as text.
        Whether native code is used."""
        self._handle = handle
        if write is None or self.program.native is None:
            return False
        from pytrace.runtime.native import Drain, map_code

        code = map_code(self.program.native)
        if code is None:
            return False
        self._undo.callback(code.close)
        self._drain = Drain(
            code, self.ring, events=len(self.program.events), write=write, handle=handle, trailer=trailer
        )
        return True

    def drain(self) -> int:
        """Delivers what is in the ring now. Gives the bytes that were taken out."""
        if self._drain is None:
            return self.ring.consume(self._handle)
        before = self._drain.pending
        if before:
            self._drain.drain()
        return before

    @property
    def pending(self) -> int:
        """Bytes of the ring that wait, or are being written."""
        return self._drain.pending if self._drain is not None else self.ring.pending

    def misses(self) -> int:
        """How often the kernel did not run a program because it was running on that CPU already."""
        return sum(prog.misses() for prog in self.programs)

    def _close_programs(self) -> None:
        for prog in self.programs:
            prog.close()

    def close(self) -> None:
        """Detaches and gives everything back. Maps that were made for others to share stay open."""
        self.detach()
        self._drain = None
        self._undo.close()


def same(a: MapSpec, b: MapSpec) -> bool:
    return (a.type, a.key_size, a.value_size, a.max_entries, a.flags) == (
        b.type,
        b.key_size,
        b.value_size,
        b.max_entries,
        b.flags,
    )


def is_stacks(spec: MapSpec) -> bool:
    """Whether it keeps the frames of stacks, which values in the script's maps refer to."""
    return spec.name.startswith("stacks_") and spec.type == MapType.HASH


def _usable(program: Program, shared: Mapping[str, ScriptMap], stacks: Mapping[str, KernelMap]) -> dict[str, KernelMap]:
    """The kernel maps of the session that this program is to use."""
    specs = {spec.name: spec for spec in program.maps}
    usable = {name: map for name, map in stacks.items() if name in specs and same(map.spec, specs[name])}
    for user_map in program.user_maps:
        known = shared.get(user_map.name)
        if known is None:
            continue
        if known.user_map != user_map or not same(known.kernel_map.spec, specs[user_map.spec]):
            theirs, ours = known.user_map, user_map
            raise MapMismatch(
                f"{user_map.name} is a map of {_kind(theirs.key)} to {theirs.value} in this session already, "
                f"not of {_kind(ours.key)} to {ours.value}"
            )
        usable[user_map.spec] = known.kernel_map
    return usable


def _kind(key: object) -> str:
    return "nothing" if key is None else str(key)


__all__ = ["Handle", "Loaded", "MapMismatch", "ProgSpec"]


def _to_attach(programs: Sequence[LoadedProgram]) -> list[LoadedProgram]:
    """The programs in the order in which they are to be attached. On functions of programs, and at the entry of those
    of the kernel, what comes last runs first."""
    last_first = [any(map(_runs_before_older, prog.spec.attach)) for prog in programs]
    turned = iter([prog for prog, last in zip(programs, last_first, strict=True) if last][::-1])
    return [next(turned) if last else prog for prog, last in zip(programs, last_first, strict=True)]


def _runs_before_older(spec: Attach) -> bool:
    match spec:
        case Uprobe() | UprobeMulti() | Tracing():
            return True
        case Kprobe(returns=returns) | KprobeMulti(returns=returns):
            return not returns
    return False
