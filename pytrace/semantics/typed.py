"""The typed script: what semantics hands to codegen.

Every expression has its final type, every name is resolved to a symbol, every conversion is written out,
macros and compile-time branches are gone. Codegen never looks anything up and never decides about types.

Memory of the traced system (`Memory`) is kept apart from values that the program holds: the first is read with
probe reads (or directly, where the verifier knows the pointer) when it is needed, the second is just there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from pytrace import types as t
from pytrace.diagnostics import Span
from pytrace.probes.base import Context, Load, Point
from pytrace.program import MapSpec, UserMap
from pytrace.record import field, record

if TYPE_CHECKING:
    from pytrace.codegen.clang import Foreign


@record(frozen=False, eq=False)
class VarSymbol:
    """A scratch variable. `captured` is set when a loop body that becomes a callback uses it."""

    name: str
    type: t.Type
    captured: bool = False


@record(frozen=False, eq=False)
class MapSymbol:
    """A map of the script while its types are inferred. `key` is None for a scalar map. `probes` are the ordinals
    of the probes that write it: more than one means that updates must be atomic. `emptied`: the script has a `clear()`
    or `zero()` of it. A map that a session has already is
    `known`: its types are settled."""

    name: str
    span: Span
    key: t.Type | None = None
    value: t.Type = t.UNKNOWN
    keyed: bool | None = None
    kind: str = ""
    max_entries: int | None = None
    writers: set[int] = field(default_factory=set)
    used: bool = False
    emptied: bool = False
    known: tuple[UserMap, MapSpec] | None = None


@record(kw_only=True)
class Node:
    span: Span = field(repr=False, compare=False)


@record(kw_only=True)
class Expr(Node):
    type: t.Type


# --- values ---------------------------------------------------------------------------------------


@record
class Const(Expr):
    """An integer, bool, enum or pointer known now. `literal` is set while its type may still be chosen freely
    (an integer literal adapts to what it is used with)."""

    value: int
    literal: bool = False


@record
class Str(Expr):
    """A string known now; its type has room for the NUL."""

    value: bytes


@record
class Var(Expr):
    symbol: VarSymbol


@record
class MapGet(Expr):
    """The value of a map at a key (None: scalar), or zero where there is none. An aggregation reads as an integer; of
    statistics, `part` says which."""

    map: MapSymbol
    key: Expr | None
    part: Literal["", "count", "average", "total"] = ""


@record
class MapRef(Expr):
    """A whole map as an argument of a function."""

    map: MapSymbol


@record
class ContextLoad(Expr):
    """A value read from the probe's context. `untyped`: a register of a function whose types are not known, where an
    int leaves the upper half as it likes."""

    load: Load
    untyped: bool = False


@record
class ContextPointer(Expr):
    """The context itself, as a pointer."""


@record
class Memory(Expr):
    """What stands at `address` (an integer or pointer value) in the traced system: an lvalue that is read when needed.
    `bits` are the bit offset and size of a bitfield."""

    address: Expr
    space: Literal["kernel", "user"]
    bits: tuple[int, int] | None = None


@record
class AddressOf(Expr):
    """The address of a variable or map value in the program's own memory."""

    target: Expr


@record
class Part(Expr):
    """`type` at byte `offset` of an aggregate that the program holds."""

    object: Expr
    offset: int
    bits: tuple[int, int] | None = None


@record
class Element(Expr):
    """`object[index]` of an array or string that the program holds; out of bounds reads as zero, and is counted."""

    object: Expr
    index: Expr


@record
class Bounded(Expr):
    """The address of an array's element if `index` is below `count`; otherwise 0, where nothing can be read, and that
    is counted."""

    address: Expr
    index: Expr
    count: int


@record
class Unary(Expr):
    """`-`, `~` or `!` on a word."""

    op: Literal["-", "~", "!"]
    operand: Expr


@record
class Binary(Expr):
    """Arithmetic, bit and comparison operators on words; signedness is that of the operands' (equal) type."""

    op: str
    left: Expr
    right: Expr


@record
class Logical(Expr):
    op: Literal["&&", "||"]
    left: Expr
    right: Expr


@record
class Compare(Expr):
    """Equality of two strings, arrays or tuples that the program holds. For strings up to the NUL; `limit` is
    the number of bytes to look at (strncmp)."""

    op: Literal["==", "!="]
    left: Expr
    right: Expr
    limit: int | None = None


@record
class Ternary(Expr):
    condition: Expr
    then: Expr
    otherwise: Expr


@record
class Convert(Expr):
    """The operand as another type of the same family: integer width, to bool, string capacity, tuple by element."""

    operand: Expr


@record
class Reinterpret(Expr):
    """The operand's bytes as another type of the same size: integer ↔ array."""

    operand: Expr


@record
class Prefix(Expr):
    """A key of an `lpm` map: an `inet`, and how many bits of it count (None: all)."""

    address: Expr
    length: Expr | None


@record
class TupleExpr(Expr):
    """A tuple or record being made."""

    elements: tuple[Expr, ...]


@record
class Increment(Expr):
    """`++`/`--` by `step` (negative for `--`; pointers step by their target's size)."""

    target: Var | MapGet
    step: int
    prefix: bool


@record
class Call(Expr):
    """A function of the registry. `data` is what its `check` worked out for its `lower`."""

    name: str
    args: tuple[Expr, ...]
    data: Any = None


@record
class SubprogramCall(Expr):
    subprogram: SubprogramSymbol
    args: tuple[Expr, ...]


@record
class BlockExpr(Expr):
    body: tuple[Stmt, ...]
    value: Expr


@record
class Held(Expr):
    """A value that codegen has at a pointer operand already."""

    place: str


# --- statements -------------------------------------------------------------------------------------


@record
class ExprStmt(Node):
    value: Expr


@record
class AssignVar(Node):
    symbol: VarSymbol
    value: Expr


@record
class DeclareVar(Node):
    """`let $x`: zero again each time control comes here."""

    symbol: VarSymbol


@record
class AssignMap(Node):
    """`@m[key] = value`. With `op`, a compound assignment (`+` can be done by an atomic add)."""

    map: MapSymbol
    key: Expr | None
    value: Expr
    op: str | None = None


@record
class Aggregate(Node):
    """`@m[key] = count()` and its kin: `map.value` says which."""

    map: MapSymbol
    key: Expr | None
    args: tuple[Expr, ...]


@record
class Block(Node):
    body: tuple[Stmt, ...]


@record
class If(Node):
    condition: Expr
    then: Block
    otherwise: Block | None


@record
class ForMap(Node):
    """`variable` is a (key, value) tuple."""

    variable: VarSymbol
    map: MapSymbol
    body: Block


@record
class ForRange(Node):
    variable: VarSymbol
    start: Expr
    end: Expr
    body: Block


@record
class While(Node):
    condition: Expr
    body: Block


@record
class Unroll(Node):
    count: int
    body: Block


@record
class Jump(Node):
    kind: Literal["break", "continue"]


@record
class Return(Node):
    value: Expr | None


Stmt = (
    ExprStmt
    | AssignVar
    | DeclareVar
    | AssignMap
    | Aggregate
    | Block
    | If
    | ForMap
    | ForRange
    | While
    | Unroll
    | Jump
    | Return
)


# --- the whole ----------------------------------------------------------------------------------------


@record(frozen=False, eq=False)
class SubprogramSymbol:
    """A `fn`. `body` is None until it was checked, and of a function in C, which is `foreign`."""

    name: str
    params: tuple[VarSymbol, ...]
    returns: t.Type
    span: Span
    body: Block | None = None
    foreign: Foreign | None = None


@record
class Probe(Node):
    """Points that share one context and so one body. `uses_probe`: the body asks which point it is."""

    points: tuple[Point, ...]
    context: Context
    predicate: Expr | None
    body: Block
    ordinal: int
    uses_probe: bool = False


@record
class Script:
    probes: tuple[Probe, ...]
    maps: tuple[MapSymbol, ...]
    subprograms: tuple[SubprogramSymbol, ...]
