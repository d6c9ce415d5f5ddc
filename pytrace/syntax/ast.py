"""The AST: what a script says, before anybody asks what it means.

Frozen dataclasses; every node carries its `span`, which takes no part in equality, so that two
scripts that differ in layout only are equal. Names keep their sigil off: `Variable("x")` is `$x`,
`Map("x")` is `@x` and `Map("")` is `@`.
"""

from __future__ import annotations

from typing import Literal

from pytrace.diagnostics import Source, Span
from pytrace.syntax.node import Base, field, node


@node
class Node(Base):
    span: Span = field(repr=False, compare=False, kw_only=True)


# --- types as written -------------------------------------------------------------------------


@node
class NamedType(Node):
    """`uint64`, `string`, `pid_t`, or with a tag `struct task_struct`, `union u`, `enum e`."""

    name: str
    tag: Literal["struct", "union", "enum"] | None = None


@node
class PointerType(Node):
    to: TypeExpr


@node
class ArrayType(Node):
    """`T[n]`, `T[]`; `string[64]`, `buffer[8]` and `inet[16]` are written this way too."""

    element: TypeExpr
    size: Expr | None


@node
class TupleType(Node):
    elements: tuple[TypeExpr, ...]


@node
class TypeofType(Node):
    """`typeof(expr)` or `typeof(T)` in the place of a type."""

    of: Expr | TypeExpr


TypeExpr = NamedType | PointerType | ArrayType | TupleType | TypeofType


# --- expressions ------------------------------------------------------------------------------


@node
class Integer(Node):
    """A literal in any form; `value` is never negative (minus is a `Unary`)."""

    value: int


@node
class String(Node):
    """A string literal with its escapes undone. Characters are bytes 0–255 or text; encoded as UTF-8
    with `surrogateescape`, so `"\\xff"` is the one byte 0xff."""

    value: str


@node
class Boolean(Node):
    value: bool


@node
class Identifier(Node):
    """A bare name: builtin, enum constant, C macro, macro call without parentheses."""

    name: str


@node
class Positional(Node):
    """`$1`, `$2`, …"""

    index: int


@node
class PositionalCount(Node):
    """`$#`"""


@node
class Variable(Node):
    name: str


@node
class Map(Node):
    """`@name` without a key: a scalar map, or the whole of a keyed one."""

    name: str


@node
class MapAccess(Node):
    """`@name[key]`; `@name[a, b]` has a `Tuple` for its key."""

    map: Map
    key: Expr


@node
class Tuple(Node):
    elements: tuple[Expr, ...]


@node
class Record(Node):
    """`(name=value, …)`"""

    fields: tuple[tuple[str, Expr], ...]


@node
class Unary(Node):
    """`op` is one of `-  !  ~  *  &  +`."""

    op: str
    operand: Expr


@node
class Increment(Node):
    """`++x`, `x++`, `--x`, `x--`"""

    op: Literal["++", "--"]
    target: Expr
    prefix: bool


@node
class Binary(Node):
    """`op` as in C; `&&` and `||` short-circuit."""

    op: str
    left: Expr
    right: Expr


@node
class Ternary(Node):
    """`condition ? then : otherwise`; `then` is None in `a ?: b`."""

    condition: Expr
    then: Expr | None
    otherwise: Expr


@node
class Field(Node):
    """`object.name`, `object->name`, and `object.0` for a tuple (name ``"0"``)."""

    object: Expr
    name: str
    arrow: bool = False


@node
class Index(Node):
    """`object[index]` on anything but a map."""

    object: Expr
    index: Expr


@node
class Call(Node):
    """`name(args)`; `bang` for `name!(args)`. An argument may be a type (macros, `sizeof`-likes)."""

    name: str
    args: tuple[Expr | TypeExpr, ...]
    bang: bool = False


@node
class Cast(Node):
    type: TypeExpr
    operand: Expr


@node
class Sizeof(Node):
    of: Expr | TypeExpr


@node
class Offsetof(Node):
    """`offsetof(T, a.b)`"""

    of: Expr | TypeExpr
    path: tuple[str, ...]


@node
class Typeinfo(Node):
    of: Expr | TypeExpr


@node
class BlockExpr(Node):
    """`{ statements; value }`"""

    body: tuple[Stmt, ...]
    value: Expr


@node
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


@node
class ExprStmt(Node):
    value: Expr


@node
class Assign(Node):
    """`target = value`, or `target op= value` with `op` the operator without its `=`.
    The target is a `Variable`, `Map`, `MapAccess`, or (rejected later) anything else."""

    target: Expr
    value: Expr
    op: str | None = None


@node
class Let(Node):
    """`let $x`, `let $x : T`, `let $x = e`, `let $x : T = e`"""

    variable: Variable
    type: TypeExpr | None
    value: Expr | None


@node
class Discard(Node):
    """`_ = e`"""

    value: Expr


@node
class Block(Node):
    body: tuple[Stmt, ...]


@node
class If(Node):
    """`otherwise` is a `Block`, another `If` (`else if`) or None. `comptime` for `if comptime …`."""

    condition: Expr
    then: Block
    otherwise: Block | If | None
    comptime: bool = False


@node
class ForMap(Node):
    """`for ($kv : @map) { }`"""

    variable: Variable
    map: Map
    body: Block


@node
class ForRange(Node):
    """`for ($i : start..end) { }`; `end` is exclusive."""

    variable: Variable
    start: Expr
    end: Expr
    body: Block


@node
class While(Node):
    condition: Expr
    body: Block


@node
class Unroll(Node):
    count: Expr
    body: Block


@node
class Jump(Node):
    kind: Literal["break", "continue"]


@node
class Return(Node):
    value: Expr | None


@node
class ImportStmt(Node):
    path: str


Stmt = ExprStmt | Assign | Let | Discard | Block | If | ForMap | ForRange | While | Unroll | Jump | Return | ImportStmt


# --- top level --------------------------------------------------------------------------------


@node
class AttachPoint(Node):
    """One probe as written, e.g. `tracepoint:syscalls:sys_enter_*`; its provider parses the text.
    Positional parameters inside are still `$1`."""

    text: str


@node
class Probe(Node):
    """`name = a, b /predicate/ { body }`"""

    points: tuple[AttachPoint, ...]
    predicate: Expr | None
    body: Block
    name: str | None = None


@node
class CDefinition(Node):
    """A `#include`/`#define`/… line or a struct/union/enum/typedef declaration, as raw C text."""

    text: str


@node
class ConfigEntry(Node):
    key: str
    value: Expr | str


@node
class Config(Node):
    entries: tuple[ConfigEntry, ...]


@node
class Import(Node):
    path: str


@node
class MapDecl(Node):
    """`let @m = lruhash(100);`"""

    map: Map
    kind: str
    size: Expr | None


@node
class Macro(Node):
    """`macro name($var, expr, @map) { body }`; parameters are `Variable`, `Identifier`, `Map` or
    `TypeofType` (a type argument). `value` is the block's value, if it has one."""

    name: str
    params: tuple[Variable | Identifier | Map | TypeofType, ...]
    body: tuple[Stmt, ...]
    value: Expr | None


@node
class Param(Node):
    name: str
    type: TypeExpr


@node
class Subprogram(Node):
    """`fn name($a : type, …) : type { body }`"""

    name: str
    params: tuple[Param, ...]
    returns: TypeExpr | None
    body: Block


@node
class Comment(Node):
    """`// …` or `/* … */`; its span has the text. Comments stand beside the tree, in source order."""


@node
class Script(Node):
    """`comments` take no part in equality: they are kept for the printer."""

    source: Source = field(repr=False, compare=False)
    c_definitions: tuple[CDefinition, ...]
    config: Config | None
    imports: tuple[Import, ...]
    items: tuple[Probe | Macro | Subprogram | MapDecl, ...]
    comments: tuple[Comment, ...] = field(default=(), repr=False, compare=False)

    @property
    def probes(self) -> tuple[Probe, ...]:
        return tuple(i for i in self.items if isinstance(i, Probe))
