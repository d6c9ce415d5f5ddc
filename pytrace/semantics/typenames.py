"""Names of types and constants: what `uint64`, `struct task_struct`, `pid_t` or `AF_INET` stand for in a script.

The script's own C declarations come first, then the kernel's BTF, then the constants that headers give by `#define`
(see `cdefs` and `constants`).
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.diagnostics import Diagnostics, Span
from pytrace.semantics import typed
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.semantics.cdefs import CEnvironment

_INT = re.compile(r"(u?)int(8|16|32|64)(?:_t)?$")
_KERNEL_INT = re.compile(r"(?:__)?([us])(8|16|32|64)$")
_C_INTS: dict[str, t.Type] = {
    "char": t.Int(8, True),
    "short": t.Int(16, True),
    "int": t.INT32,
    "long": t.INT64,
    "size_t": t.UINT64,
    "ssize_t": t.INT64,
    "uintptr_t": t.UINT64,
}
BUILTIN_TYPES: dict[str, t.Type] = {
    "void": t.VOID,
    "bool": t.BOOL,
    "ksym_t": t.KSym(),
    "usym_t": t.USym(),
    "username_t": t.Username(),
    "macaddr_t": t.Mac(),
    "mac_address": t.Mac(),
    "count_t": t.Count(),
    "sum_t": t.Sum(True),
    "usum_t": t.Sum(False),
    "min_t": t.Min(True),
    "umin_t": t.Min(False),
    "max_t": t.Max(True),
    "umax_t": t.Max(False),
    "avg_t": t.Avg(True),
    "uavg_t": t.Avg(False),
    "stats_t": t.Stats(True),
    "ustats_t": t.Stats(False),
}


def integer_type(name: str) -> t.Type | None:
    """The integer type of a name that is known without BTF."""
    m = _INT.match(name)
    if m:
        return t.Int(int(m[2]), not m[1])  # type: ignore[arg-type]  # the pattern allows just the four widths
    m = _KERNEL_INT.match(name)
    if m:
        return t.Int(int(m[2]), m[1] == "s")  # type: ignore[arg-type]  # likewise
    words = name.split()
    if len(words) > 1 and set(words) <= {"unsigned", "signed", "int", "char", "short", "long"}:
        bits = 8 if "char" in words else 16 if "short" in words else 64 if "long" in words else 32
        return t.Int(bits, "unsigned" not in words)  # type: ignore[arg-type]  # one of the four
    if name == "unsigned":
        return t.UINT32
    return _C_INTS.get(name)


def is_builtin(name: str) -> bool:
    """Whether a bare name is a value of the language, like `pid`, of which the kernel also has a struct."""
    from pytrace.functions import REGISTRY

    return name in REGISTRY and REGISTRY[name].bare


class TypeResolver:
    """Turns types as written into `types.Type`. `evaluate` types an expression, for `typeof` and array sizes."""

    def __init__(
        self, names: CEnvironment, diagnostics: Diagnostics, max_strlen: int, macros: frozenset[str] = frozenset()
    ) -> None:
        self.macros = macros
        self.names = names
        self.diagnostics = diagnostics
        self.max_strlen = max_strlen
        self.evaluate: Callable[[ast.Expr], typed.Expr] | None = None
        self.reported: set[tuple[int, str]] = set()
        """Arguments, by place and name, that some probes of one body were found not to have."""

    def constant(self, name: str) -> tuple[int, t.Type] | str | None:
        """The value of a named constant, with its enum's type or `Unknown` for a plain number."""
        return self.names.constant(name)

    def struct(self, tag: str, name: str) -> t.Struct | None:
        return self.names.struct(tag, name)

    def complete(self, kind: t.Type) -> t.Type:
        """An incomplete struct with its fields, where they are known; any other type as it is."""
        if isinstance(kind, t.Struct) and kind.fields is None:
            return self.names.struct(kind.tag, kind.name) or kind
        return kind

    def resolve(self, node: ast.TypeExpr, quiet: bool = False) -> t.Type | None:
        """The type that is written, or None after a diagnostic."""
        match node:
            case ast.NamedType():
                return self._named(node, quiet)
            case ast.PointerType():
                to = self._target(node.to, quiet)
                return None if to is None else t.Pointer(to)
            case ast.ArrayType():
                return self._array(node, quiet)
            case ast.TupleType():
                parts = [self.resolve(e, quiet) for e in node.elements]
                return None if None in parts else t.Tuple(tuple(p for p in parts if p is not None))
            case ast.TypeofType():
                return self.type_of(node.of)

    def type_of(self, node: ast.Expr | ast.TypeExpr) -> t.Type | None:
        """The type of an expression or type, as in `sizeof` and `typeof`. A bare name that is a type is one."""
        if isinstance(node, ast.NamedType | ast.PointerType | ast.ArrayType | ast.TupleType | ast.TypeofType):
            return self.resolve(node)
        if isinstance(node, ast.Identifier) and not is_builtin(node.name):
            kind = self.resolve(ast.NamedType(node.name, span=node.span), quiet=True)
            if kind is not None:
                return kind
        assert self.evaluate is not None
        kind = self.evaluate(node).type
        return None if isinstance(kind, t.Unknown) else kind

    def _target(self, node: ast.TypeExpr, quiet: bool) -> t.Type | None:
        """What a pointer points to: a struct of any name will do, as long as nobody looks inside."""
        if isinstance(node, ast.NamedType) and node.tag in ("struct", "union"):
            found = self.names.struct(node.tag, node.name)
            size = found.byte_size if found else 0
            return t.Struct(node.tag, node.name, size, None)
        return self.resolve(node, quiet)

    def _named(self, node: ast.NamedType, quiet: bool) -> t.Type | None:
        if node.tag is not None:
            found: t.Type | None = (
                self.names.enum(node.name) if node.tag == "enum" else self.names.struct(node.tag, node.name)
            )
            return found if found is not None else self._unknown(node.span, f"{node.tag} {node.name}", quiet)
        if node.name in ("string", "buffer"):
            size = self.max_strlen
            return t.String(size) if node.name == "string" else t.Buffer(size)
        if node.name == "inet":
            return t.Inet()
        if node.name == "timestamp":
            return t.Timestamp("")
        known = BUILTIN_TYPES.get(node.name) or integer_type(node.name) or self.names.typedef(node.name)
        if known is None:
            known = self.names.struct("struct", node.name) or self.names.struct("union", node.name)
        if known is None:
            known = self.names.enum(node.name)
        return known if known is not None else self._unknown(node.span, node.name, quiet)

    def _unknown(self, span: Span, name: str, quiet: bool) -> t.Type | None:
        """Reports a name that means no type."""
        if not quiet and not self.names.broken:
            hint = self.missing() or "is it in this kernel's BTF, or declared in the script?"
            self.diagnostics.error(span, f'Cannot resolve unknown type "{name}"', hint)
        return None

    def missing(self) -> str | None:
        """The hint that a header may be what is missing."""
        names = ", ".join(f"<{n}>" for n in self.names.missing)
        return f"not found: {names}; -I adds a directory" if names else None

    def _array(self, node: ast.ArrayType, quiet: bool) -> t.Type | None:
        size = 0
        if node.size is not None:
            assert self.evaluate is not None
            value = self.evaluate(node.size)
            if not isinstance(value, typed.Const) or value.value < 0:
                if isinstance(value, typed.Const) and not isinstance(value.type, t.Unknown):
                    self.diagnostics.error(node.size.span, f"an array cannot have {value.value} elements")
                elif not isinstance(value.type, t.Unknown):
                    self.diagnostics.error(node.size.span, "the size of an array must be a literal integer")
                return None
            size = value.value
        if isinstance(node.element, ast.NamedType) and node.element.tag is None:
            match node.element.name:
                case "string":
                    return t.String(size or self.max_strlen)
                case "buffer":
                    return t.Buffer(size or self.max_strlen)
                case "inet":
                    return t.Inet()
        element = self.resolve(node.element, quiet)
        return None if element is None else t.Array(element, size)
