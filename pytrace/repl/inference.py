"""The type of an expression that is being typed, from what stands before it: enough to complete its members."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cached_property, lru_cache

from pytrace import types as t
from pytrace.diagnostics import ScriptError, Source
from pytrace.kernel import Kernel, KernelError
from pytrace.kernel.glob import is_glob
from pytrace.probes import Context, ProbeError, Target, expand, list_probes
from pytrace.program import UserMap
from pytrace.syntax import ast, parse_expression

_STATISTICS = t.Struct(
    "struct",
    "stats",
    24,
    tuple(t.Field(name, t.INT64, 8 * i) for i, name in enumerate(("count", "average", "total"))),
)


class Surroundings:
    """`text` is everything before the expression; `probe` the attach point of the block it is in, if any."""

    def __init__(self, text: str, probe: str, maps: Mapping[str, UserMap], target: Target) -> None:
        self._text, self._probe, self._maps, self._target = text, probe, maps, target
        self._following: set[str] = set()

    @cached_property
    def context(self) -> Context | None:
        """What a program sees at the probe."""
        return context_of(self._probe, self._target) if self._probe else None

    def members(self, text: str) -> list[tuple[str, str]]:
        """Names and types of the members of an expression, or of what it points to."""
        if text in ("args", "ctx"):
            return [(a.name, str(a.type)) for a in (self.context.args if self.context else None) or ()]
        kind = self.type_of(text)
        while isinstance(kind, t.Pointer):
            kind = kind.to
        if isinstance(kind, t.Stats):
            kind = _STATISTICS
        if isinstance(kind, t.Record):
            return [(name, str(part)) for name, part in kind.fields]
        if isinstance(kind, t.Tuple):
            return [(str(i), str(part)) for i, part in enumerate(kind.elements)]
        struct = complete(kind) if isinstance(kind, t.Struct) else None
        if struct is None:
            return []
        return [(name, str(f.type) if (f := struct.field(name)) else "") for name in struct.field_names()]

    def type_of(self, text: str) -> t.Type | None:
        """None where it is not known."""
        try:
            return self._type(parse_expression(Source("", text)))
        except ScriptError:
            return None

    def _type(self, node: ast.Expr) -> t.Type | None:
        match node:
            case ast.Identifier("curtask") | ast.Call("curtask"):
                return t.Pointer(t.Struct("struct", "task_struct", 0, None))
            case ast.Identifier("retval") | ast.Call("retval"):
                return self.context.retval[0] if self.context and self.context.retval else None
            case ast.Identifier(name) | ast.Call(name, ()) if name in ("args", "ctx"):
                return self.context.struct if self.context else None
            case ast.Field(ast.Identifier(name), member) if name in ("args", "ctx"):
                found = (a.type for a in (self.context.args if self.context else None) or () if a.name == member)
                return next(found, None)
            case ast.Field(inner, member):
                return _member(self._type(inner), member)
            case ast.Cast(kind):
                return written(kind)
            case ast.Unary("*", whole) | ast.Index(whole, _):
                pointer = self._type(whole)
                return pointer.to if isinstance(pointer, t.Pointer) else getattr(pointer, "element", None)
            case ast.Unary("&", variable):
                target = self._type(variable)
                return t.Pointer(target) if target else None
            case ast.Call(name, (argument, *_)) if name in ("kptr", "uptr"):
                return None if isinstance(argument, ast.TypeExpr) else self._type(argument)
            case ast.Map(name) | ast.MapAccess(ast.Map(name), _):
                known = self._maps.get(f"@{name}")
                return known.value if known else None
            case ast.Variable(name):
                return self._variable(name)
        return None

    def _variable(self, name: str) -> t.Type | None:
        """The type of what was last assigned to it."""
        assigned = re.findall(rf"\${re.escape(name)}\s*=(?!=)\s*([^;\n]+)", self._text)
        if not assigned or name in self._following:
            return None
        self._following.add(name)
        try:
            return self.type_of(assigned[-1].strip())
        finally:
            self._following.discard(name)


def _member(kind: t.Type | None, name: str) -> t.Type | None:
    while isinstance(kind, t.Pointer):
        kind = kind.to
    if isinstance(kind, t.Record):
        return dict(kind.fields).get(name)
    if isinstance(kind, t.Tuple):
        return kind.elements[int(name)] if name.isdecimal() and int(name) < len(kind.elements) else None
    struct = complete(kind) if isinstance(kind, t.Struct) else None
    found = struct.field(name) if struct else None
    return found.type if found else None


def written(node: ast.TypeExpr) -> t.Type | None:
    """A type as a script writes it, as far as members are concerned."""
    match node:
        case ast.PointerType(to):
            inner = written(to)
            return t.Pointer(inner) if inner else None
        case ast.NamedType(name, tag) if tag in ("struct", "union"):
            return t.Struct(tag, name, 0, None)
        case ast.NamedType(name, None):
            try:
                return Kernel.running().btf.typedef(name)
            except KernelError:
                return None
    return None


@lru_cache(maxsize=256)
def complete(kind: t.Struct) -> t.Struct | None:
    """With its fields."""
    if kind.fields is not None:
        return kind
    try:
        return Kernel.running().btf.struct(kind.name, kind.tag)
    except KernelError:
        return None


@lru_cache(maxsize=64)
def context_of(probe: str, target: Target) -> Context | None:
    """What a program sees at an attach point; of several, at the first one."""
    try:
        if is_glob(probe):
            probe = next(list_probes(probe, target))
        return expand(probe, target)[0].context
    except (ProbeError, KernelError, OSError, StopIteration):
        return None
