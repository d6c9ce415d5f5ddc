"""What all programs of a script share while they are emitted: maps, events, counters, scratch memory, constants."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING

from pytrace.codegen.ir import Function, Module
from pytrace.codegen.layout import MapLayout
from pytrace.program import (
    BPF_F_INNER_MAP,
    BPF_F_MMAPABLE,
    BPF_F_NO_PREALLOC,
    BPF_F_RDONLY_PROG,
    COUNTERS_HEADER,
    RANGE,
    UNWIND_RANGES,
    UNWIND_TABLES,
    Counter,
    EventSpec,
    MapSpec,
    MapType,
)
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.codegen.clang import Foreign
    from pytrace.codegen.plans import Plan
    from pytrace.diagnostics import Source, Span
    from pytrace.kernel import Kernel
    from pytrace.options import Options
    from pytrace.probes.base import Context, Point
    from pytrace.semantics.config import Config

RING = "ring"
RING_LEAST, RING_MOST = 256 << 10, 16 << 20
PAGE = os.sysconf("SC_PAGE_SIZE")
STACKS, STACKS_UP_FRONT = 1 << 16, 1 << 13
"""How many stacks of a depth are kept: where memory is taken as they come, and where it is taken beforehand."""
UNWIND_MOST_RANGES, UNWIND_MOST_TABLES = 1 + 2 * 8192, 1024


def power_of_two(n: int) -> int:
    """The least power of two that is not below `n`."""
    return 1 << max(0, n - 1).bit_length()


class Unit:
    """One script on its way to a `Program`."""

    SCRATCH_STRIDE = "$SCRATCH_STRIDE"  # these are known, and put in, when all programs have been emitted
    SCRATCH_ROW = "$SCRATCH_ROW"
    LEVEL_MASK = "$LEVEL_MASK"
    COUNTER_STRIDE = "$COUNTER_STRIDE"
    STACK_BUDGET = 192  # bytes of aggregates in one function; its words, spills and callees need the rest of 512

    def __init__(self, source: Source, kernel: Kernel, options: Options, config: Config) -> None:
        self.module = Module(source)
        self.kernel = kernel
        self.options = options
        self.config = config
        self.cpus = power_of_two(kernel.possible_cpus)
        self.maps: dict[str, MapLayout] = {}
        self.events: list[EventSpec] = []
        self.stacks: dict[str, MapSpec] = {}
        self.probes: list[str] = []
        self.plans: list[Plan] = []
        self.exits = False  # whether the script can call exit()
        self.exact = False  # whether all strings are zeros behind their NUL, not only those in keys
        self.spill = False  # whether values live in scratch memory, because the stack has no room for them
        self.script: typed.Script | None = None
        self.unwinds = False  # whether stacks are walked by unwind tables
        self.shared: set[str] = set()  # functions that any program may call
        self.foreign: dict[str, Foreign] = {}  # functions in C that are called
        self._counters: dict[Counter, int] = {Counter("lost"): 0}
        self.levels = 1  # how many runs on a CPU have scratch of their own
        self._scratch = 0
        self._rodata = bytearray()

    def map(self, name: str) -> str:
        """The operand that stands for a map itself."""
        return self.module.external(f"map.{name}")

    def value(self, name: str) -> str:
        """The operand that is a pointer to an array map's element 0."""
        return self.module.external(f"val.{name}")

    def scratch(self, size: int) -> int:
        """Reserves per-CPU memory that no other statement of any program uses; its offset."""
        offset = self._scratch
        self._scratch += (size + 7) // 8 * 8
        return offset

    def rodata(self, data: bytes, align: int = 8) -> int:
        """Puts constant bytes into the read-only map; their offset."""
        self._rodata += bytes(-len(self._rodata) % align)
        offset = self._rodata.find(data) if data else 0
        if offset < 0 or offset % align:
            offset = len(self._rodata)
            self._rodata += data
        return offset

    def counter(self, kind: str, subject: str = "", span: Span | None = None) -> int:
        place = (span.source.name, span.line, span.column) if span else ("", 0, 0)
        counter = Counter(kind, subject, place)  # type: ignore[arg-type]  # callers use the literals
        return self._counters.setdefault(counter, len(self._counters))

    def event(self, spec: EventSpec) -> EventSpec:
        self.events.append(spec)
        return spec

    def stacks_map(self, depth: int) -> str:
        """The map that keeps stacks of up to `depth` frames by their hash."""
        name = f"stacks_{depth}"
        if name not in self.stacks:
            on_demand = self.kernel.features.has("hash_on_demand")
            most, flags = (STACKS, BPF_F_NO_PREALLOC) if on_demand else (STACKS_UP_FRONT, 0)
            self.stacks[name] = MapSpec(name, MapType.HASH, 8, 8 * depth, most, flags)
        return name

    @property
    def counters(self) -> tuple[Counter, ...]:
        return tuple(self._counters)

    @property
    def counter_stride(self) -> int:
        return (8 * len(self._counters) + 63) // 64 * 64

    @property
    def scratch_stride(self) -> int:
        return (self._scratch + 63) // 64 * 64

    def text(self) -> str:
        """The module with the numbers that only now are known."""
        text = self.module.text()
        text = text.replace(self.LEVEL_MASK, str(self.levels - 1))
        text = text.replace(self.SCRATCH_ROW, str(self.levels * self.scratch_stride))
        text = text.replace(self.SCRATCH_STRIDE, str(self.scratch_stride))
        text = text.replace(self.COUNTER_STRIDE, str(self.counter_stride))
        if self.foreign:
            from pytrace.codegen.clang import linked

            return linked(text, self.foreign.values())
        return text

    def map_specs(self) -> tuple[MapSpec, ...]:
        """Every kernel map that the script needs."""
        specs = [MapSpec(RING, MapType.RINGBUF, 0, 0, self.ring_size())]
        size = COUNTERS_HEADER + self.cpus * self.counter_stride
        specs.append(MapSpec("counters", MapType.ARRAY, 4, size, 1, BPF_F_MMAPABLE))
        if self._scratch:
            specs.append(MapSpec("scratch", MapType.ARRAY, 4, self.cpus * self.levels * self.scratch_stride, 1))
        if self._rodata:
            data = bytes(self._rodata)
            specs.append(MapSpec("rodata", MapType.ARRAY, 4, len(data), 1, BPF_F_RDONLY_PROG, data, frozen=True))
        specs += self.stacks.values()
        specs += unwinding_maps() if self.unwinds else ()
        specs += [layout.spec for layout in self.maps.values()]
        return tuple(specs)

    def map_names(self) -> set[str]:
        """The kernel maps that hold the script's own maps and stacks."""
        return {layout.name for layout in self.maps.values()} | set(self.stacks)

    def ring_size(self) -> int:
        """Bytes of the ring: what `perf_rb_pages` asks for, or by the machine's memory; a power of two."""
        if self.config.perf_rb_pages:
            return power_of_two(self.config.perf_rb_pages) * PAGE
        memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
        return max(RING_LEAST, min(RING_MOST, power_of_two(memory // 512)))


def unwinding_maps() -> tuple[MapSpec, MapSpec]:
    """The maps that `dw_ustack` unwinds stacks by; see `program`."""
    flags = BPF_F_MMAPABLE | BPF_F_INNER_MAP
    table = MapSpec("unwind_table", MapType.ARRAY, 4, 8, 1, flags)  # of any length
    return (
        MapSpec(UNWIND_RANGES, MapType.ARRAY, 4, struct.calcsize(RANGE), UNWIND_MOST_RANGES, BPF_F_MMAPABLE),
        MapSpec(UNWIND_TABLES, MapType.ARRAY_OF_MAPS, 4, 4, UNWIND_MOST_TABLES, inner=table),
    )


class BpfProgram:
    """One BPF program being emitted: its entry function, its points, and the frame that its callbacks share."""

    def __init__(
        self, name: str, context: Context, points: tuple[Point, ...], has_callbacks: bool, preemptible: bool
    ) -> None:
        self.name = name
        self.context = context
        self.points = points
        self.has_callbacks = has_callbacks
        self.preemptible = preemptible
        self.uses_scratch = False
        self.claim_place = 0
        self.entry: Function | None = None
        self.probe_index = "0"
        self.fixed_point: int | None = 0
        self.point_operand = ""
        self.index_base = 0
        self.functions: dict[str, str] = {}
        self._slots: dict[int, int] = {}
        self._scratch: dict[int, int] = {}
        self._symbols: list[typed.VarSymbol] = []
        self._callbacks = 0
        self.frame_size = 40
        self.context_uses = 0

    CONTEXT, FLOW, PROBE, RESULT, LEVEL = 0, 8, 16, 24, 32

    @property
    def framed(self) -> bool:
        """Whether the entry function has a frame, and its functions get a pointer to it."""
        return self.has_callbacks or self.preemptible

    def context_slot(self) -> int:
        return self.CONTEXT

    def frame_slot(self, symbol: typed.VarSymbol) -> int:
        """The frame offset of a captured word."""
        self._symbols.append(symbol)  # keeps it alive, and so its id unique
        if id(symbol) not in self._slots:
            self._slots[id(symbol)] = self.new_slot()
        return self._slots[id(symbol)]

    def new_slot(self) -> int:
        """The frame offset of one more word."""
        offset = self.frame_size
        self.frame_size += 8
        return offset

    def scratch_slot(self, unit: Unit, symbol: typed.VarSymbol) -> int:
        """The scratch offset of a large or captured aggregate variable."""
        if id(symbol) not in self._scratch:
            self._symbols.append(symbol)
            self._scratch[id(symbol)] = unit.scratch(symbol.type.size)
        return self._scratch[id(symbol)]

    def callback_name(self) -> str:
        self._callbacks += 1
        return f"{self.name}_loop{self._callbacks}"
