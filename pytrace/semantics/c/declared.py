"""What C text has declared, and what it can refer to."""

from __future__ import annotations

from typing import Literal, Protocol

from pytrace import types as t
from pytrace.record import field, record, replace
from pytrace.semantics import fold
from pytrace.semantics.c.layout import alignment
from pytrace.syntax import ast

Tag = Literal["struct", "union"]


class Names(Protocol):
    """Names that are known from elsewhere (the kernel's BTF, headers read before)."""

    def struct(self, tag: Tag, name: str) -> t.Struct | None:
        """A complete struct or union."""

    def enum(self, name: str) -> t.Enum | None: ...

    def typedef(self, name: str) -> t.Type | None: ...

    def value(self, node: ast.Expr) -> fold.Value | None:
        """The value of a constant."""


@record(frozen=False)
class Declarations:
    """What has been declared so far."""

    structs: dict[tuple[str, str], t.Struct] = field(default_factory=dict)
    enums: dict[str, t.Enum] = field(default_factory=dict)
    typedefs: dict[str, t.Type] = field(default_factory=dict)
    enumerators: dict[str, tuple[int, t.Enum]] = field(default_factory=dict)
    alignments: dict[int, tuple[t.Type, int]] = field(default_factory=dict)

    def alignment(self, kind: t.Type) -> int:
        """The alignment of a type, as declared."""
        known = self.alignments.get(id(kind))
        if known is not None:
            return known[1]
        return self.alignment(kind.element) if isinstance(kind, t.Array) else alignment(kind)

    def aligned(self, kind: t.Type, boundary: int) -> t.Type:
        """The type, which is another object than any that is aligned otherwise."""
        own: t.Type = replace(kind)  # type: ignore[type-var]  # every type is a record
        self.alignments[id(own)] = (own, boundary)
        return own
