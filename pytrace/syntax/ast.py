"""The AST: what a script says, before anybody asks what it means.

Frozen records; every node carries its `span`, which takes no part in equality, so that two
scripts that differ in layout only are equal. Names keep their sigil off: `Variable("x")` is `$x`,
`Map("x")` is `@x` and `Map("")` is `@`.
"""

from __future__ import annotations

from typing import Literal

from pytrace.diagnostics import Source, Span
from pytrace.record import field, record


@record
class Node:
    span: Span = field(repr=False, compare=False, kw_only=True)


# --- types as written -------------------------------------------------------------------------


@record
class NamedType(Node):
    """`uint64`, `string`, `pid_t`, or with a tag `struct task_struct`, `union u`, `enum e`."""

    name: str
    tag: Literal["struct", "union", "enum"] | None = None


@record
class PointerType(Node):
    to: TypeExpr


@record
class ArrayType(Node):
    """`T[n]`, `T[]`; `string[64]`, `buffer[8]` and `inet[16]` are written this way too."""

    element: TypeExpr
    size: Expr | None


@record
class TupleType(Node):
    elements: tuple[TypeExpr, ...]


@record
class TypeofType(Node):
    """`typeof(expr)` or `typeof(T)` in the place of a type."""

    of: Expr | TypeExpr


TypeExpr = NamedType | PointerType | ArrayType | TupleType | TypeofType


# --- expressions ------------------------------------------------------------------------------


@record
class Integer(Node):
    """A literal in any form; `value` is never negative (minus is a `Unary`)."""

    value: int


@record
class String(Node):
    """A string literal with its escapes undone. Characters are bytes 0–255 or text; encoded as UTF-8
    with `surrogateescape`, so `"\\xff"` is the one byte 0xff."""

    value: str


@record
class Boolean(Node):
    value: bool


@record
class Identifier(Node):
    """A bare name: builtin, enum constant, C macro, macro call without parentheses."""

    name: str


@record
class Positional(Node):
    """`$1`, `$2`, …"""

    index: int


@record
class PositionalCount(Node):
    """`$#`"""


@record
class Variable(Node):
    name: str


@record
class Map(Node):
    """`@name` without a key: a scalar map, or the whole of a keyed one."""

    name: str


@record
class MapAccess(Node):
    """`@name[key]`; `@name[a, b]` has a `Tuple` for its key."""

    map: Map
    key: Expr


@record
class Tuple(Node):
    elements: tuple[Expr, ...]


@record
class Record(Node):
    """`(name=value, …)`"""

    fields: tuple[tuple[str, Expr], ...]


@record
class Unary(Node):
    """`op` is one of `-  !  ~  *  &  +`."""

    op: str
    operand: Expr


@record
class Increment(Node):
    """`++x`, `x++`, `--x`, `x--`"""

    op: Literal["++", "--"]
    target: Expr
    prefix: bool


@record
class Binary(Node):
    """`op` as in C; `&&` and `||` short-circuit."""

    op: str
    left: Expr
    right: Expr


@record
class Ternary(Node):
    """`condition ? then : otherwise`; `then` is None in `a ?: b`."""

    condition: Expr
    then: Expr | None
    otherwise: Expr


@record
class Field(Node):
    """`object.name`, `object->name`, and `object.0` for a tuple (name ``"0"``)."""

    object: Expr
    name: str
    arrow: bool = False


@record
class Index(Node):
    """`object[index]` on anything but a map."""

    object: Expr
    index: Expr


@record
class Call(Node):
    """`name(args)`; `bang` for `name!(args)`. An argument may be a type (macros, `sizeof`-likes)."""

    name: str
    args: tuple[Expr | TypeExpr, ...]
    bang: bool = False


@record
class Cast(Node):
    type: TypeExpr
    operand: Expr


@record
class Sizeof(Node):
    of: Expr | TypeExpr


@record
class Offsetof(Node):
    """`offsetof(T, a.b)`"""

    of: Expr | TypeExpr
    path: tuple[str, ...]


@record
class Typeinfo(Node):
    of: Expr | TypeExpr


@record
class BlockExpr(Node):
    """`{ statements; value }`"""

    body: tuple[Stmt, ...]
    value: Expr


@record
class Comptime(Node):
    operand: Expr


Expr = (
    Integer
    | String
    | Boolean
    | Identifier
    | Positional
    | PositionalCount
    | Variable
    | Map
    | MapAccess
    | Tuple
    | Record
    | Unary
    | Increment
    | Binary
    | Ternary
    | Field
    | Index
    | Call
    | Cast
    | Sizeof
    | Offsetof
    | Typeinfo
    | BlockExpr
    | Comptime
)


# --- statements -------------------------------------------------------------------------------


@record
class ExprStmt(Node):
    value: Expr


@record
class Assign(Node):
    """`target = value`, or `target op= value` with `op` the operator without its `=`.
    The target is a `Variable`, `Map`, `MapAccess`, or (rejected later) anything else."""

    target: Expr
    value: Expr
    op: str | None = None


@record
class Let(Node):
    """`let $x`, `let $x : T`, `let $x = e`, `let $x : T = e`"""

    variable: Variable
    type: TypeExpr | None
    value: Expr | None


@record
class Discard(Node):
    """`_ = e`"""

    value: Expr


@record
class Block(Node):
    body: tuple[Stmt, ...]


@record
class If(Node):
    """`otherwise` is a `Block`, another `If` (`else if`) or None. `comptime` for `if comptime …`."""

    condition: Expr
    then: Block
    otherwise: Block | If | None
    comptime: bool = False


@record
class ForMap(Node):
    """`for ($kv : @map) { }`"""

    variable: Variable
    map: Map
    body: Block


@record
class ForRange(Node):
    """`for ($i : start..end) { }`; `end` is exclusive."""

    variable: Variable
    start: Expr
    end: Expr
    body: Block


@record
class While(Node):
    condition: Expr
    body: Block


@record
class Unroll(Node):
    count: Expr
    body: Block


@record
class Jump(Node):
    kind: Literal["break", "continue"]


@record
class Return(Node):
    value: Expr | None


@record
class ImportStmt(Node):
    path: str


Stmt = ExprStmt | Assign | Let | Discard | Block | If | ForMap | ForRange | While | Unroll | Jump | Return | ImportStmt


# --- top level --------------------------------------------------------------------------------


@record
class AttachPoint(Node):
    """One probe as written, e.g. `tracepoint:syscalls:sys_enter_*`; its provider parses the text.
    Positional parameters inside are still `$1`."""

    text: str


@record
class Probe(Node):
    """`name = a, b /predicate/ { body }`"""

    points: tuple[AttachPoint, ...]
    predicate: Expr | None
    body: Block
    name: str | None = None


@record
class CDefinition(Node):
    """A `#include`/`#define`/… line or a struct/union/enum/typedef declaration, as raw C text."""

    text: str


@record
class ConfigEntry(Node):
    key: str
    value: Expr | str


@record
class Config(Node):
    entries: tuple[ConfigEntry, ...]


@record
class Import(Node):
    path: str


@record
class CSource(Node):
    """A C program that was imported, instead of its `import`."""

    path: str


@record
class MapDecl(Node):
    """`let @m = lruhash(100);`"""

    map: Map
    kind: str
    size: Expr | None


@record
class Macro(Node):
    """`macro name($var, expr, @map) { body }`; parameters are `Variable`, `Identifier`, `Map` or
    `TypeofType` (a type argument). `value` is the block's value, if it has one."""

    name: str
    params: tuple[Variable | Identifier | Map | TypeofType, ...]
    body: tuple[Stmt, ...]
    value: Expr | None


@record
class Param(Node):
    name: str
    type: TypeExpr


@record
class Subprogram(Node):
    """`fn name($a : type, …) : type { body }`"""

    name: str
    params: tuple[Param, ...]
    returns: TypeExpr | None
    body: Block


@record
class Comment(Node):
    """`// …` or `/* … */`; its span has the text. Comments stand beside the tree, in source order."""


Item = Probe | Macro | Subprogram | MapDecl | CSource


@record
class Script(Node):
    """`comments` take no part in equality: they are kept for the printer."""

    source: Source = field(repr=False, compare=False)
    c_definitions: tuple[CDefinition, ...]
    config: Config | None
    imports: tuple[Import, ...]
    items: tuple[Item, ...]
    comments: tuple[Comment, ...] = field(default=(), repr=False, compare=False)

    @property
    def probes(self) -> tuple[Probe, ...]:
        return tuple(i for i in self.items if isinstance(i, Probe))
