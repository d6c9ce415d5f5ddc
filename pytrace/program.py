"""The wall between compiler and runtime: a `Program` is everything a kernel and a user half need to run a script.

Plain frozen data only. The compiler makes it, the runtime loads it, `save`/`load` keep it on disk; it
holds no file descriptors, no LLVM objects and no syntax trees, and reading one runs no code from it.
Native code of the user half is kept apart (`NativeCode`), because it is only ever taken from this run's compiler
or a cache that nobody but its owner could have written.

Layout of a ring record: u32 event id, u32 probe index, u64 boot time in ns if `Program.timestamps`,
then the event's `args` as `types.Tuple` lays them out, starting at an offset that is a multiple of 8.

Layout of the counters map (one mmapable array element): u32 exit flag, u32 exit code, u64 CLOCK_BOOTTIME in ns at
which the session began, i64 ns that CLOCK_TAI was ahead of it then (both are written by the runtime before any
program runs), 40 bytes of zeros; then for each
CPU of `Program.cpus` a row of `counter_stride` bytes holding one u64 for each entry of `counters`.

Layout of per-CPU slots (`Storage.PERCPU_SLOT`): for each of `Program.cpus` CPUs (a power of two, so that a
program can mask the CPU number) a row of `UserMap.stride` bytes that begins with one value.
An element of a striped hash (`Storage.STRIPED_HASH`) is a power of two of rows of `UserMap.stride` bytes; a CPU adds to
the row of its number modulo the number of rows.
A plain slot (`Storage.SLOT`) is the value, padded to 8 bytes, then a u64 that is 1 once the map was assigned.

Two maps hold what `dw_ustack` unwinds stacks by; a program that has them says so in `Program.unwinding`, and the
runtime, which alone knows the processes, fills them. `UNWIND_TABLES` is an array of arrays of u64, each with the tables
(`kernel.ehframe`) of some files one after the other. `UNWIND_RANGES` is an array of `RANGE` records: the first begins
with u32 the index and u32 the number of those that hold now, which stand together, ascending. Each tells where a
process has mapped code: u64 the process's id << `RANGE_PID_SHIFT` | the first page's number, u64 what to subtract from
addresses there to get those that the file says, u32 how many pages, and where the rows of that file are: u32 in which
table, u32 from which row on, u32 how many. A process has at least one record, if only of no pages;
if that has `RANGE_NO_PROGRAM` pages, the process has yet to begin its program, and its stacks are one frame.
"""

from __future__ import annotations

import enum
import os
from typing import Literal

from pytrace.format import Format
from pytrace.record import field, record
from pytrace.types import Type

EXIT_FLAG = 0
EXIT_CODE = 4
START_TIME = 8
TAI_OFFSET = 16
COUNTERS_HEADER = 64

UNWIND_RANGES, UNWIND_TABLES = "unwind_ranges", "unwind_tables"
RANGE = "=QQIIII"
RANGE_BIAS, RANGE_PAGES, RANGE_TABLE, RANGE_FIRST, RANGE_COUNT = 8, 16, 20, 24, 28
RANGE_NO_PROGRAM = 0xFFFFFFFF
RANGE_PID_SHIFT = 42  # ids have 22 bits, page numbers 42 or less


# --- maps -------------------------------------------------------------------------------------


class MapType(enum.IntEnum):
    """`enum bpf_map_type` of the kernel's uapi, as far as it is used."""

    HASH = 1
    ARRAY = 2
    PERCPU_HASH = 5
    PERCPU_ARRAY = 6
    STACK_TRACE = 7
    LRU_HASH = 9
    LRU_PERCPU_HASH = 10
    LPM_TRIE = 11
    ARRAY_OF_MAPS = 12
    QUEUE = 22
    STACK = 23
    RINGBUF = 27


BPF_F_NO_PREALLOC = 1
BPF_F_RDONLY_PROG = 1 << 7
BPF_F_MMAPABLE = 1 << 10
BPF_F_INNER_MAP = 1 << 12


@record
class MapSpec:
    """One kernel map. `name` is the symbol that relocations refer to; the kernel sees its first 15 legal
    characters. `data` is written to element 0 at load; `frozen` makes it read-only afterwards.
    For RINGBUF, `max_entries` is its size in bytes. A map of maps says in `inner` what they are like."""

    name: str
    type: MapType
    key_size: int
    value_size: int
    max_entries: int
    flags: int = 0
    data: bytes = b""
    frozen: bool = False
    inner: MapSpec | None = None


class Storage(enum.Enum):
    """How a script's map is kept in its kernel map."""

    SLOT = "slot"
    PERCPU_SLOT = "percpu_slot"
    HASH = "hash"
    PERCPU_HASH = "percpu_hash"
    STRIPED_HASH = "striped_hash"
    QUEUE = "queue"


@record
class UserMap:
    """A map of the script: `@name`, kept in the kernel map `spec`. `key` is None for a scalar map; a scalar in a
    HASH has the u32 key 0. `declared` is the kind of a `let @m = kind(n)`."""

    name: str
    spec: str
    storage: Storage
    key: Type | None
    value: Type
    stride: int = 0
    declared: str = ""


# --- kernel programs ---------------------------------------------------------------------------


@record
class Reloc:
    """A 16-byte `ld_imm64` at instruction `insn` that gets the fd of map `map`; with `value`, the
    address of its element 0 plus `addend` (BPF_PSEUDO_MAP_VALUE)."""

    insn: int
    map: str
    value: bool = False
    addend: int = 0


@record
class FuncReloc:
    """A call at instruction `insn` of the kernel function (kfunc) `name`, resolved against BTF at load."""

    insn: int
    name: str


@record
class ProgSpec:
    """One BPF program to load. `insns` has its subprograms appended and calls between them resolved;
    `func_info` and `line_info` are arrays of the kernel's 8- and 16-byte records against `Program.btf`.

    `attach_btf` names the kernel function, tracepoint typedef (`btf_trace_x`) or iterator
    (`bpf_iter_x`) whose BTF id the load needs; `attach_module` the module it is in. `probe` is the name of its first
    probe and `place` the source, line and column of it, for messages.
    """

    name: str
    type: int
    expected_attach_type: int
    insns: bytes
    relocs: tuple[Reloc, ...]
    func_info: bytes
    line_info: bytes
    attach: tuple[Attach, ...]
    attach_btf: str = ""
    attach_module: str = ""
    sleepable: bool = False
    func_relocs: tuple[FuncReloc, ...] = ()
    probe: str = ""
    place: tuple[str, int, int] = ("", 0, 0)


# --- where programs go --------------------------------------------------------------------------


@record
class RawTracepoint:
    """BPF_RAW_TRACEPOINT_OPEN. For a tp_btf program the name is in `ProgSpec.attach_btf` and unused here."""

    name: str


@record
class PerfTracepoint:
    """perf event on tracefs `events/category/event`."""

    category: str
    event: str


@record
class PerfEvent:
    """perf_event_open on a software or hardware event, on every CPU or (`one_cpu`) on one.
    Exactly one of `period` and `freq` is not 0. With `freq` in Hz."""

    type: int
    config: int
    period: int = 0
    freq: int = 0
    one_cpu: bool = False


@record
class Kprobe:
    """perf kprobe; `function` may be empty for an absolute `address`."""

    function: str
    offset: int = 0
    address: int = 0
    returns: bool = False


@record
class KprobeMulti:
    """One BPF_TRACE_KPROBE_MULTI link (5.18+) for many functions; `cookies` pairs up with them.
    `session` is BPF_TRACE_KPROBE_SESSION (6.10+)."""

    functions: tuple[str, ...]
    cookies: tuple[int, ...] = ()
    returns: bool = False
    session: bool = False


@record
class Uprobe:
    """perf uprobe on a file offset; `ref_ctr_offset` is a USDT semaphore's file offset. `pid` 0 is all."""

    path: str
    offset: int
    returns: bool = False
    ref_ctr_offset: int = 0
    cookie: int = 0


@record
class UprobeMulti:
    """One BPF_TRACE_UPROBE_MULTI link (6.6+) for many offsets of one file."""

    path: str
    offsets: tuple[int, ...]
    ref_ctr_offsets: tuple[int, ...] = ()
    cookies: tuple[int, ...] = ()
    returns: bool = False
    session: bool = False


@record
class Tracing:
    """BPF_LINK_CREATE of a fentry/fexit program (5.5+ through BPF_RAW_TRACEPOINT_OPEN). Where it goes was said
    at load."""

    target_prog: int = 0


@record
class Iter:
    """A BPF iterator: read to its end once, or pinned below /sys/fs/bpf. `order` is that of a walk over cgroups from
    their root (`enum bpf_cgroup_iter_order`), 0 for other iterators."""

    pin: str = ""
    order: int = 0


@record
class Watchpoint:
    """PERF_TYPE_BREAKPOINT; `mode` is a subset of r, w, x."""

    address: int
    length: int
    mode: str


@record
class TestRun:
    """Run once by BPF_PROG_TEST_RUN: before anything is attached (`begin`), after all is detached (`end`),
    or on demand (`test`, `bench`)."""

    when: Literal["begin", "end", "test", "bench"]
    name: str = ""


@record
class Signal:
    """Run by BPF_PROG_TEST_RUN whenever the tracer gets the signal."""

    number: int


Attach = (
    RawTracepoint
    | PerfTracepoint
    | PerfEvent
    | Kprobe
    | KprobeMulti
    | Uprobe
    | UprobeMulti
    | Tracing
    | Iter
    | Watchpoint
    | TestRun
    | Signal
)


# --- what the kernel half sends -------------------------------------------------------------------


@record
class EventSpec:
    """One statement that sends records. `id` is its index in `Program.events`.

    action      args                what user space does
    printf      the arguments       writes `format`
    cat/system  the arguments       reads the file / runs the command that `format` gives
    errorf/warnf the arguments      writes `format` with `location` (file, line, column) to stderr; `text` is the
                                    location as text output shows it (`file:line:c1-c2`; empty: made of `location`)
    print       one value           prints it on a line of its own
    print_map   top, div (i64)      prints the script map `map`
    print_scalar the value (of avg and stats: sum, samples)   prints the script map `map`, which has no key
    print_entry key                 prints the entry of `map` that has this key
    clear/zero  none                clears or zeroes `map`
    join        argc u64, then argc strings   writes them separated by `text` (see below)
    time        none                writes the wall time by the strftime string `text`
    exit        code i64            ends the session
    skboutput   boot time u64, size u64, Buffer   appends a packet to the capture file `text`
    unwatch     address u64         removes the program's watchpoints on an address

    `join`'s args are a Tuple of (u64 count, String…); unused strings are empty.
    """

    id: int
    action: str
    args: tuple[Type, ...]
    format: Format | None = None
    map: str = ""
    text: str = ""
    location: tuple[str, int, int] = ("", 0, 0)
    control: bool = False


@record
class Counter:
    """One counter of the counters map.

    lost            records that found no room
    map_full        updates of the script map `subject` that found it full
    map_failed      those for which there was no memory at that moment
    bad_prefix      those whose prefix is longer than its address
    sample_lost     samples of an aggregation that came while another was added
    stack_lost      stacks not kept
    run_lost        runs of a probe that came while too many others on the CPU were interrupted
    loop_limit      loops cut short
    divide_by_zero  divisions whose result is 1 for want of a better
    out_of_bounds   elements of arrays that are not there, and read as 0
    helper_error    failed probe reads and helpers, kept with `-k`
    unwind_process  unwound stacks that are empty, because their process was not named
    unwind_unknown  those that end early in code of which nothing is known
    unwind_fault    those that end early where memory cannot be read
    """

    kind: Literal[
        "lost",
        "map_full",
        "map_failed",
        "bad_prefix",
        "sample_lost",
        "stack_lost",
        "run_lost",
        "loop_limit",
        "divide_by_zero",
        "out_of_bounds",
        "helper_error",
        "unwind_process",
        "unwind_unknown",
        "unwind_fault",
    ]
    subject: str = ""
    location: tuple[str, int, int] = ("", 0, 0)


@record
class NativeCode:
    """Position-independent machine code of the user half and the offset of its one entry (see `runtime.native`)."""

    machine: str
    code: bytes
    entry: int


@record
class Program:
    """See the module's text. `probes` are the names of all attached probes in order: a record's probe index
    and the `attached_probes` count refer to it. `kernel` says what it was compiled against."""

    name: str
    text: str
    kernel: str
    cpus: int
    maps: tuple[MapSpec, ...]
    user_maps: tuple[UserMap, ...]
    progs: tuple[ProgSpec, ...]
    events: tuple[EventSpec, ...]
    counters: tuple[Counter, ...]
    counter_stride: int
    btf: bytes
    probes: tuple[str, ...]
    config: tuple[tuple[str, str | int | bool], ...] = ()
    warnings: tuple[str, ...] = ()
    timestamps: bool = False
    ring: str = "ring"
    counters_map: str = "counters"
    native: NativeCode | None = field(default=None, compare=False)
    unwinding: bool = False

    def save(self, path: str | os.PathLike[str]) -> None:
        """Writes a file that `load` reads: everything but the native code. Raises OSError."""
        from pytrace import serial

        with open(path, "wb") as file:
            file.write(serial.dump(self))

    @classmethod
    def load(cls, path: str | os.PathLike[str]) -> Program:
        """The program of a file that `save` wrote. Raises OSError, or `serial.BadProgram` if it is damaged or from
        a release of pytrace whose programs look different."""
        from pytrace import serial

        with open(path, "rb") as file:
            return serial.load(file.read())
