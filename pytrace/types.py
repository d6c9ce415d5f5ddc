"""The language's types: plain frozen data that both halves of a program and every renderer agree on.

A type knows its size and alignment in bytes and the offsets of its parts, and nothing else: how a value
prints is `output/`'s business, how it is computed is `codegen/`'s. Types cross the wall, so they are
serialisable and hold no references to BTF. A `Struct` that stands behind a `Pointer` is *incomplete*
(`fields is None`): it is a name to look up, which is also what makes recursive structs finite.

All multi-byte values are in the byte order of the machine (every supported one is little-endian).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import ClassVar, Literal

from pytrace.record import record


def align_up(offset: int, alignment: int) -> int:
    return (offset + alignment - 1) // alignment * alignment


class Type:
    """Base of all types. `size` and `align` are in bytes."""

    @property
    def size(self) -> int:
        raise TypeError(f"{self} has no size")

    @property
    def align(self) -> int:
        return 8


@record
class Void(Type):
    """No value: what `printf()` gives. Also the target of a `void *`."""

    @property
    def size(self) -> int:
        return 0

    @property
    def align(self) -> int:
        return 1

    def __str__(self) -> str:
        return "void"


@record
class Unknown(Type):
    """Not inferred yet: a map or variable that no assignment has given a type so far."""

    def __str__(self) -> str:
        return "none"


@record
class Int(Type):
    bits: Literal[8, 16, 32, 64]
    signed: bool

    @property
    def size(self) -> int:
        return self.bits // 8

    @property
    def align(self) -> int:
        return self.bits // 8

    def __str__(self) -> str:
        return f"{'' if self.signed else 'u'}int{self.bits}"


@record
class Bool(Type):
    """One byte, 0 or 1."""

    @property
    def size(self) -> int:
        return 1

    @property
    def align(self) -> int:
        return 1

    def __str__(self) -> str:
        return "bool"


@record
class Enum(Type):
    """A C enum. `members` are (name, value); a value that no member has prints as a number."""

    name: str
    bits: Literal[8, 16, 32, 64]
    signed: bool
    members: tuple[tuple[str, int], ...]

    @property
    def size(self) -> int:
        return self.bits // 8

    @property
    def align(self) -> int:
        return self.bits // 8

    def __str__(self) -> str:
        return f"enum {self.name}"


@record
class String(Type):
    """`capacity` bytes of text, NUL-terminated where shorter; a full one has no NUL and was (or may have
    been) cut, unless it is a `whole` one: what a `char[n]` of C holds. Bytes after the NUL are zero in map keys and
    undefined elsewhere."""

    capacity: int
    whole: bool = False

    @property
    def size(self) -> int:
        return self.capacity

    @property
    def align(self) -> int:
        return 1

    def __str__(self) -> str:
        return f"string[{self.capacity}]"


@record
class Buffer(Type):
    """A u32 length, then `capacity` bytes of which the first `length` count."""

    capacity: int

    @property
    def size(self) -> int:
        return align_up(4 + self.capacity, 4)

    @property
    def align(self) -> int:
        return 4

    def __str__(self) -> str:
        return f"buffer[{self.capacity}]"


@record
class Pointer(Type):
    """`space` is where it points: kernel, user, or program (stack and map memory of the BPF program)."""

    to: Type
    space: Literal["kernel", "user", "program", ""] = ""

    @property
    def size(self) -> int:
        return 8

    def __str__(self) -> str:
        return f"{self.to} *" if not isinstance(self.to, Pointer) else f"{self.to}*"


@record
class Array(Type):
    element: Type
    count: int

    @property
    def size(self) -> int:
        return self.element.size * self.count

    @property
    def align(self) -> int:
        return self.element.align

    def __str__(self) -> str:
        return f"{self.element}[{self.count}]"


@record
class Field:
    """A member of a struct or union at a byte offset. For a bitfield, `bit_offset` counts from the start of
    the byte at `offset` and `bit_size` is its width; both are 0 for an ordinary member. An anonymous struct or
    union member has the name ``""``."""

    name: str
    type: Type
    offset: int
    bit_offset: int = 0
    bit_size: int = 0


@record
class Struct(Type):
    """A C struct or union. `fields` is None where only the name is known (see the module's text)."""

    tag: Literal["struct", "union"]
    name: str
    byte_size: int
    fields: tuple[Field, ...] | None

    @property
    def size(self) -> int:
        return self.byte_size

    @property
    def align(self) -> int:
        return max((f.type.align for f in self.fields or ()), default=1)

    def field(self, name: str) -> Field | None:
        """The member of that name, with its offset from the start of this struct; looks into anonymous members."""
        for f in self.fields or ():
            if f.name == name:
                return f
            if f.name == "" and isinstance(f.type, Struct):
                inner = f.type.field(name)
                if inner:
                    return Field(name, inner.type, f.offset + inner.offset, inner.bit_offset, inner.bit_size)
        return None

    def field_names(self) -> Iterator[str]:
        """Every name that `field` finds, in order."""
        for f in self.fields or ():
            if f.name:
                yield f.name
            elif isinstance(f.type, Struct):
                yield from f.type.field_names()

    def __str__(self) -> str:
        return f"{self.tag} {self.name}" if self.name else self.tag


class _Aggregate(Type):
    """Parts one after the other: words at their natural alignment, anything larger at 8 bytes, so that it can be
    written word by word. Padding is zero in map keys."""

    _parts: Sequence[Type]

    @cached_property
    def offsets(self) -> tuple[int, ...]:
        offsets, at = [], 0
        for part in self._parts:
            at = align_up(at, _part_align(part))
            offsets.append(at)
            at += part.size
        return tuple(offsets)

    @property
    def size(self) -> int:
        if not self._parts:
            return 0
        return align_up(self.offsets[-1] + self._parts[-1].size, self.align)

    @property
    def align(self) -> int:
        return max((_part_align(p) for p in self._parts), default=1)


def _part_align(part: Type) -> int:
    return part.align if is_word(part) else 8


@record
class Tuple(_Aggregate):
    elements: tuple[Type, ...]

    @property
    def _parts(self) -> Sequence[Type]:  # type: ignore[override]  # a dataclass field in all but name
        return self.elements

    def __str__(self) -> str:
        return f"({','.join(map(str, self.elements))})"


@record
class Record(_Aggregate):
    """`(name=value, …)`: a tuple whose elements have names."""

    fields: tuple[tuple[str, Type], ...]

    @property
    def _parts(self) -> Sequence[Type]:  # type: ignore[override]  # as above
        return tuple(t for _, t in self.fields)

    def index(self, name: str) -> int | None:
        return next((i for i, (n, _) in enumerate(self.fields) if n == name), None)

    def __str__(self) -> str:
        return "record { " + " ".join(f".{n}={t}," for n, t in self.fields).rstrip(",") + " }"


# --- values that print as something else than what they are ------------------------------------


class _Word(Type):
    """A u64 with a meaning that is looked up when it is printed."""

    label: ClassVar[str]

    @property
    def size(self) -> int:
        return 8

    def __str__(self) -> str:
        return self.label


@record
class KSym(_Word):
    """A kernel address: prints `symbol+offset`, or hex."""

    label: ClassVar[str] = "ksym_t"


@record
class USym(Type):
    """A user address (u64), then the tgid it belongs to (u32), a u32 of zeros."""

    @property
    def size(self) -> int:
        return 16

    def __str__(self) -> str:
        return "usym_t"


@record
class Username(_Word):
    """A uid that prints as a user name."""

    label: ClassVar[str] = "username_t"


@record
class CgroupPath(_Word):
    """A cgroup v2 id that prints as `root:path`; `filter` is a glob on the hierarchy's name."""

    filter: str = ""
    label: ClassVar[str] = "cgroup_path_t"


@record
class Timestamp(_Word):
    """Nanoseconds that print by `format` (strftime plus `%f` microseconds). The clock they were read
    from says which offset makes them wall time."""

    format: str
    clock: Literal["boot", "monotonic", "tai", "wall"] = "boot"
    label: ClassVar[str] = "timestamp"


@record
class Named(_Word):
    """A number that prints as a name from a table: `strerror`, `signal`, `syscall`."""

    table: Literal["strerror", "signal", "syscall"]
    label: ClassVar[str] = "string"


@record
class Inet(Type):
    """`family` u64 (AF_INET 2 or AF_INET6 10), then 16 bytes of address in network order."""

    @property
    def size(self) -> int:
        return 24

    def __str__(self) -> str:
        return "inet"


@record
class Prefix(Type):
    """An address and how much of it counts, the key of an `lpm` map: u32 32 + the number of bits, then as many bytes as
    the kernel compares: u32 family (so that no IPv4 address is in an IPv6 network), 16 bytes of address, 4 zeros."""

    @property
    def size(self) -> int:
        return 28

    @property
    def align(self) -> int:
        return 4

    def __str__(self) -> str:
        return "prefix"


@record
class Mac(Type):
    """Six bytes that print as `AA:BB:CC:DD:EE:FF`."""

    @property
    def size(self) -> int:
        return 6

    @property
    def align(self) -> int:
        return 1

    def __str__(self) -> str:
        return "mac_address"


StackMode = Literal["bpftrace", "perf", "raw", "build_id"]


@record
class Stack(Type):
    """A stack trace by reference: u64 id into the stacks map of this depth (0: none), u32 tgid,
    u32 number of frames. The stacks map's value is `depth` u64 addresses."""

    kind: Literal["kernel", "user"]
    mode: StackMode
    depth: int

    @property
    def size(self) -> int:
        return 16

    def __str__(self) -> str:
        return "kstack" if self.kind == "kernel" else "ustack"


# --- what aggregating functions leave in a map -------------------------------------------------


class Aggregation(Type):
    """A value that lives per CPU and is merged when it is read. All fields are 64 bits wide; `n` counts
    the samples, and an entry with no sample is not there."""


@record
class Count(Aggregation):
    """n"""

    @property
    def size(self) -> int:
        return 8

    def __str__(self) -> str:
        return "count_t"


class _Pair(Aggregation):
    """Two words, the second of which counts the samples."""

    signed: bool
    label: ClassVar[str]

    @property
    def size(self) -> int:
        return 16

    def __str__(self) -> str:
        return self.label if self.signed else "u" + self.label


@record
class Sum(_Pair):
    """sum, n"""

    signed: bool
    label: ClassVar[str] = "sum_t"


@record
class Min(_Pair):
    """value, n"""

    signed: bool
    label: ClassVar[str] = "min_t"


@record
class Max(_Pair):
    """value, n"""

    signed: bool
    label: ClassVar[str] = "max_t"


@record
class Avg(_Pair):
    """sum, n"""

    signed: bool
    label: ClassVar[str] = "avg_t"


@record
class Stats(_Pair):
    """sum, n"""

    signed: bool
    label: ClassVar[str] = "stats_t"


@record
class Hist(Aggregation):
    """Power-of-two histogram with `2**bits` buckets for each power: an array of u64 counts.

    Bucket 0 counts negative values, bucket 1 + v counts the value v for v < 2**bits; above that, a value
    whose highest set bit is p falls into 1 + ((p - bits + 1) << bits) + the `bits` bits below the highest.
    """

    bits: int

    @property
    def buckets(self) -> int:
        return 1 + ((64 - self.bits + 1) << self.bits)

    @property
    def size(self) -> int:
        return 8 * self.buckets

    def __str__(self) -> str:
        return "hist_t"


@record
class LHist(Aggregation):
    """Linear histogram: bucket 0 counts values < `min`, bucket i+1 those in [min+i*step, min+(i+1)*step), as long
    as that ends at or below `max`; the last one counts everything from there on."""

    min: int
    max: int
    step: int

    @property
    def buckets(self) -> int:
        return (self.max - self.min) // self.step + 2

    @property
    def size(self) -> int:
        return 8 * self.buckets

    def __str__(self) -> str:
        return "lhist_t"


@record
class TSeries(Aggregation):
    """A ring of `count` intervals of `interval` ns. Each slot: u64 epoch (interval number since boot, plus
    one; 0 is empty), u64 value, u64 n. For `avg` and `sum`, value is a sum; without `merge`, the last value,
    and n is its time stamp."""

    interval: int
    count: int
    merge: Literal["", "avg", "max", "min", "sum"]
    signed: bool

    @property
    def size(self) -> int:
        return 24 * self.count

    def __str__(self) -> str:
        return "tseries_t"


INT64 = Int(64, True)
UINT64 = Int(64, False)
INT32 = Int(32, True)
UINT32 = Int(32, False)
BOOL = Bool()
VOID = Void()
UNKNOWN = Unknown()


def shown(t: Type) -> Type:
    """The type that a member of a struct has in expressions and prints as: a `char[n]` is a string."""
    return String(t.count, whole=True) if isinstance(t, Array) and t.element == Int(8, True) and t.count else t


def is_integral(t: Type) -> bool:
    """Whether arithmetic is possible on it as an integer."""
    return isinstance(t, Int | Bool | Enum)


def is_word(t: Type) -> bool:
    """Whether a value of it fits a register: integers, pointers and the looked-up u64 kinds."""
    return isinstance(t, Int | Bool | Enum | Pointer | _Word)


def signedness(kind: Type) -> tuple[int, bool]:
    """Bits and sign of a word type as it stands in memory."""
    match kind:
        case Int() | Enum():
            return kind.bits, kind.signed
        case Bool():
            return 8, False
    return 64, False
