"""C declarations: struct, union, enum and typedef to `types`. Functions and variables are read over."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Literal

from pycparser import c_ast

from pytrace import types as t
from pytrace.diagnostics import Diagnostics, Span
from pytrace.semantics import fold
from pytrace.semantics.c.declared import OPAQUE, SIMPLE, Declarations, Tag
from pytrace.semantics.c.expressions import expression
from pytrace.semantics.c.layout import Member, lay_out
from pytrace.semantics.c.parse import Parser
from pytrace.semantics.c.scan import Attribute, Declaration, scan
from pytrace.semantics.c.tokens import CError, Token
from pytrace.semantics.typenames import integer_type
from pytrace.semantics.widen import wrap

if TYPE_CHECKING:
    from pytrace.semantics.cdefs import CEnvironment


def declare(
    tokens: Sequence[Token],
    env: CEnvironment,
    into: Declarations,
    diagnostics: Diagnostics,
    is_own: Callable[[Span], bool] = lambda span: True,
) -> None:
    """Reads declarations, adding to `into`. One that cannot be understood is left out and reported: an error if it is
    the script's own (`is_own`), else a warning, as a header may well hold things that nobody here needs."""
    reader = _Reader(tokens, env, into)
    for declaration in reader.scanned.declarations:
        first = reader.tokens[declaration.start]
        if declaration.function or first.text in ("extern", "static"):
            continue
        try:
            reader.read(declaration)
        except CError as e:
            report = diagnostics.error if is_own(first.span) else diagnostics.warning
            for d in e.diagnostics:
                report(d.span, d.message, d.hint)
        except RecursionError:
            diagnostics.error(first.span, "this declaration is nested too deeply")


class _Reader:
    def __init__(self, tokens: Sequence[Token], env: CEnvironment, into: Declarations) -> None:
        self.scanned = scan(tokens)
        self.tokens = self.scanned.tokens
        self.env = env
        self.into = into
        self.parser = Parser(self.env.is_type)
        self._made: dict[int, t.Type] = {}

    def read(self, declaration: Declaration) -> None:
        self._made = {}
        for node in self.parser.declaration(self.tokens, declaration.start, declaration.end):
            match node:
                case c_ast.Typedef():
                    kind = self._type(node.type)
                    packed, aligned = self._attributes(
                        self.scanned.of_member(self.parser.index(_named(node.type).coord))
                    )
                    if packed or aligned:
                        kind = self.into.aligned(kind, aligned or 1)
                    known = self.into.typedefs.get(node.name)
                    if known is not None and known != kind and not isinstance(kind, t.Struct | t.Pointer):
                        message = f"'{node.name}' is declared as '{known}' and as '{kind}'"
                        raise CError(self._span(_named(node.type).coord), message)
                    self.into.typedefs[node.name] = kind
                case c_ast.Decl(type=c_ast.Struct() | c_ast.Union() | c_ast.Enum()):
                    self._base(node.type)
                case c_ast.Decl():
                    self._base(_named(node.type).type)

    # --- what is known ------------------------------------------------------------------------------

    def _simple(self, name: str) -> t.Type | None:
        if name in OPAQUE:
            return self.into.aligned(OPAQUE[name], OPAQUE[name].size)
        return SIMPLE.get(name) or self.into.typedefs.get(name) or integer_type(name) or self.env.typedef(name)

    def _span(self, coord: Any) -> Span:
        return self.tokens[self.parser.index(coord)].span

    def _constant(self, node: Any, what: str) -> int:
        tree = expression(node, self._span)
        try:
            value = fold.evaluate(tree, self.env)
        except fold.FoldError as e:
            raise CError(tree.span, str(e)) from None
        if not isinstance(value, int):
            raise CError(tree.span, f"{what} must be a constant integer")
        return int(value)

    def _attributes(self, attributes: Sequence[Attribute]) -> tuple[bool, int]:
        """Whether they say packed, and the largest alignment that they ask for, 0 if none does."""
        aligned = 0
        for attribute in attributes:
            if not attribute.packed:
                aligned = max(aligned, self._alignment(attribute.value))
        return any(a.packed for a in attributes), aligned

    def _alignment(self, value: Sequence[Token]) -> int:
        if not value:
            return 16
        parser = Parser(self.env.is_type)

        node = parser.expression(value, "sizeof(")
        if node is not None and isinstance(node.expr, c_ast.Typename):
            return self.into.alignment(self._type(node.expr.type))
        tree = expression(parser.expression(value), lambda coord: value[parser.index(coord)].span)
        number = fold.evaluate(tree, self.env)
        if not isinstance(number, int) or number < 1 or number & (number - 1) or number > 1 << 20:
            raise CError(value[0].span.to(value[-1].span), f"an alignment must be a power of two, not {number}")
        return number

    # --- types --------------------------------------------------------------------------------------

    def _type(self, node: Any) -> t.Type:
        match node:
            case c_ast.TypeDecl() | c_ast.Typename():
                return self._base(node.type)
            case c_ast.PtrDecl():
                space: Literal["user", ""] = "user" if "volatile" in (getattr(node.type, "quals", None) or ()) else ""
                return t.Pointer(self._target(node.type), space)
            case c_ast.ArrayDecl():
                return self._array(node)
            case c_ast.FuncDecl():  # only pointers to functions can be members
                return t.VOID
            case _:
                return self._base(node)

    def _target(self, node: Any) -> t.Type:
        """What a pointer is to. Named structs are incomplete there, which keeps types finite; such a one may be
        declared later or never."""
        match node:
            case c_ast.TypeDecl(type=c_ast.Struct(decls=None) | c_ast.Union(decls=None)):
                return t.Struct(_tag(node.type), node.type.name, 0, None)
            case _:
                return _incomplete(self._type(node))

    def _array(self, node: Any) -> t.Type:
        element = self._type(node.type)
        count = 0 if node.dim is None else self._constant(node.dim, "the size of an array")
        if not 0 <= count <= 1 << 40:
            raise CError(expression(node.dim, self._span).span, f"an array cannot have {count} elements")
        if isinstance(element, t.Void) or (isinstance(element, t.Struct) and element.fields is None):
            raise CError(self._span(node.coord), f"an array cannot be made of '{element}'")
        return self.into.aligned(t.Array(element, count), self.into.alignment(element))

    def _base(self, node: Any) -> t.Type:
        known = self._made.get(id(node))  # `struct { … } a, b;` has one node for both
        if known is None:
            self._made[id(node)] = known = self._make(node)
        return known

    def _make(self, node: Any) -> t.Type:
        match node:
            case c_ast.IdentifierType():
                name = " ".join(sorted(node.names, reverse=True))  # `double long` is `long double`
                kind = self._simple("__int128" if "__int128" in node.names else name)
                if kind is None:
                    raise CError(self._span(node.coord), f"unknown type name '{name}'")
                return kind
            case c_ast.Struct(decls=None) | c_ast.Union(decls=None):
                return self.env.struct(_tag(node), node.name) or t.Struct(_tag(node), node.name, 0, None)
            case c_ast.Struct() | c_ast.Union():
                return self._defined_struct(node)
            case c_ast.Enum(values=None):
                return self.env.enum(node.name) or t.Enum(node.name, 32, False, ())
            case c_ast.Enum():
                return self._defined_enum(node)
            case c_ast.Typename():
                return self._type(node.type)
            case _:
                raise CError(self._span(node.coord), "this type is not understood")

    # --- struct, union, enum --------------------------------------------------------------------------

    def _tag_span(self, node: Any) -> Span:
        """The name behind the word struct, union or enum."""
        at = self.parser.index(node.coord)
        return self.tokens[at if self.tokens[at].text == node.name else at + 1].span

    def _body(self, coord: Any) -> int:
        """The `{` after the name of a struct or the word enum."""
        at = self.parser.index(coord)
        while self.tokens[at].text != "{":
            at += 1
        return at

    def _defined_struct(self, node: Any) -> t.Struct:
        tag, body = _tag(node), self._body(node.coord)
        pack = self.scanned.packs.get(body, 0)
        members = [m for decl in node.decls or () if isinstance(decl, c_ast.Decl) for m in self._member(decl, pack)]
        seen: set[str] = set()
        for name, coord in _member_names(node):
            if name in seen:
                raise CError(self._span(coord), f"duplicate member '{name}'")
            seen.add(name)
        packed, aligned = self._attributes(self.scanned.of_body.get(body, ()))
        made, boundary = lay_out(tag, node.name or "", members, packed or pack == 1, aligned)
        self.into.alignments[id(made)] = (made, boundary)
        if node.name and self.into.structs.get((tag, node.name), made) != made:
            raise CError(self._tag_span(node), f"redefinition of '{tag} {node.name}'")
        if node.name:
            self.into.structs[tag, node.name] = made
        return made

    def _underlying(self, tokens: Sequence[Token], node: Any) -> t.Int:
        """The integer type that an enum was given."""
        kind = self._simple(" ".join(sorted((token.text for token in tokens), reverse=True)))
        if not isinstance(kind, t.Int):
            span = tokens[0].span.to(tokens[-1].span) if tokens else self._tag_span(node)
            raise CError(span, "the type of an enum must be one of the integer types")
        return kind

    def _member(self, node: Any, pack: int) -> list[Member]:
        kind = self._type(node.type)
        bare = isinstance(node.type, c_ast.Struct | c_ast.Union | c_ast.Enum | c_ast.IdentifierType)
        # Without a name only an anonymous struct or union is a member: `struct x { … };` declares x, `char;` nothing.
        if bare and (not isinstance(kind, t.Struct) or kind.name):
            return []
        coord = node.type.coord if bare else _named(node.type).coord
        span = self._span(coord if coord is not None or node.bitsize is None else node.bitsize.coord)
        bits = None if node.bitsize is None else self._constant(node.bitsize, "the width of a bitfield")
        if bits is not None and not isinstance(kind, t.Int | t.Bool | t.Enum):
            raise CError(span, f"a bitfield cannot be a {kind}")
        if bits is not None and not 0 <= bits <= (1 if isinstance(kind, t.Bool) else 8 * kind.size):
            raise CError(span, f"a bitfield of type {kind} cannot have {bits} bits")
        if isinstance(kind, t.Void) or (isinstance(kind, t.Struct) and kind.fields is None):
            raise CError(span, f"member '{node.name or ''}' has the incomplete type '{kind}'")
        packed, aligned = self._attributes(() if coord is None else self.scanned.of_member(self.parser.index(coord)))
        natural = self.into.alignment(kind)
        return [Member(node.name or "", kind, min(natural, pack or natural), bits, aligned, packed)]

    def _defined_enum(self, node: Any) -> t.Enum:
        members: list[tuple[str, int]] = []
        before = dict(self.into.enumerators)
        following = 0
        try:
            for item in node.values.enumerators:
                if not isinstance(item, c_ast.Enumerator):
                    continue
                if item.name in (self.into.enumerators if node.name not in self.into.enums else dict(members)):
                    raise CError(self._span(item.coord), f"redefinition of enumerator '{item.name}'")
                if item.value is not None:
                    following = self._constant(item.value, "the value of an enumerator")
                members.append((item.name, following))
                self.into.enumerators[item.name] = (following, t.Enum(node.name or "", 32, False, ()))
                following += 1
        finally:
            self.into.enumerators = before
        body = self._body(node.coord)
        packed, _ = self._attributes(self.scanned.of_body.get(body, ()))
        low, high = min((v for _, v in members), default=0), max((v for _, v in members), default=0)
        signed = low < 0
        wide = low < -(1 << 31) or high >= 1 << (31 if signed else 32)
        made = t.Enum(node.name or "", 8 if packed else 64 if wide else 32, signed, tuple(members))
        if body in self.scanned.underlying:
            kind = self._underlying(self.scanned.underlying[body], node)
            made = t.Enum(made.name, kind.bits, kind.signed, made.members)
            for name, value in members:
                if wrap(value, kind) != value:
                    raise CError(self._tag_span(node), f"the value {value} of '{name}' does not fit in '{kind}'")
        if node.name:
            if self.into.enums.get(node.name, made) != made:
                raise CError(self._tag_span(node), f"redefinition of 'enum {node.name}'")
            self.into.enums[node.name] = made
        for name, value in members:
            self.into.enumerators[name] = (value, made)
        return made


def _tag(node: Any) -> Tag:
    return "struct" if isinstance(node, c_ast.Struct) else "union"


def _member_names(node: Any) -> Iterator[tuple[str, Any]]:
    """The names of members and where they stand, those of anonymous structs and unions included."""
    for declared in node.decls or ():
        if not isinstance(declared, c_ast.Decl):
            continue
        if declared.name:
            yield declared.name, _named(declared.type).coord
        elif isinstance(declared.type, c_ast.Struct | c_ast.Union) and not declared.type.name:
            yield from _member_names(declared.type)


def _named(node: Any) -> Any:
    """The innermost part of a declarator, which has its name."""
    while not isinstance(node, c_ast.TypeDecl):
        node = node.type
    return node


def _incomplete(kind: t.Type) -> t.Type:
    match kind:
        case t.Struct(name=name) if name:
            return t.Struct(kind.tag, name, kind.byte_size, None)
        case t.Array():
            return t.Array(_incomplete(kind.element), kind.count)
        case _:
            return kind
