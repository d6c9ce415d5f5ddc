"""What C text has declared, and what it can refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from pytrace import types as t
from pytrace.record import field, record, replace
from pytrace.semantics.c.layout import alignment

if TYPE_CHECKING:
    from pytrace.kernel.btf import Btf

Tag = Literal["struct", "union"]


_BYTE = t.Int(8, False)
# What the language has no values of takes its room all the same, at its own size.
_SIZES = {"float": 4, "double": 8, "long double": 16, "_Float16": 2, "_Float32": 4, "_Float64": 8, "_Float128": 16}
_SIZES |= {"__float128": 16, "__int128": 16}
OPAQUE = {name: t.Array(_BYTE, size) for name, size in _SIZES.items()}
SIMPLE: dict[str, t.Type] = {"void": t.VOID, "_Bool": t.BOOL, "bool": t.BOOL, "signed": t.INT32}
SIMPLE["__builtin_va_list"] = t.Array(t.UINT64, 3)


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

    def complete_pointers(self, btf: Btf | None) -> None:
        """Gives the structs behind pointers their sizes, which were not known while those were being made."""

        def sized(kind: t.Type) -> t.Type:
            match kind:
                case t.Pointer(to=to):
                    target = sized(to)
                    return kind if target is to else replace(kind, to=target)
                case t.Array():
                    element = sized(kind.element)
                    return kind if element is kind.element else replace(kind, element=element)
                case t.Struct(fields=None, byte_size=0) if kind.name:
                    own = self.structs.get((kind.tag, kind.name))
                    size = own.byte_size if own else btf.sized(kind.tag, kind.name) if btf else 0
                    return replace(kind, byte_size=size) if size else kind
                case t.Struct(fields=fields) if fields:
                    parts = tuple(f if (p := sized(f.type)) is f.type else replace(f, type=p) for f in fields)
                    return (
                        kind if all(a is b for a, b in zip(parts, fields, strict=True)) else replace(kind, fields=parts)
                    )
                case _:
                    return kind

        for key, struct in self.structs.items():
            self.structs[key] = sized(struct)  # type: ignore[assignment]  # a struct stays one
        for name, kind in self.typedefs.items():
            self.typedefs[name] = sized(kind)
