"""C declarations: struct, union, enum and typedef to `types`. Functions and variables are read over.

What headers write beyond the standard is understood as far as it bears on layouts: `__attribute__((packed))` and
`((aligned(n)))`, `__packed`, `__aligned(n)`, `_Alignas`; the kernel's annotations (`__user`, `__rcu`, …) are passed,
but a pointer to `__user` memory knows that it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Literal, Protocol

from pytrace import types as t
from pytrace.diagnostics import Diagnostics, Span
from pytrace.semantics import fold
from pytrace.semantics.c.expressions import ExpressionParser
from pytrace.semantics.c.layout import Member, alignment, lay_out
from pytrace.semantics.c.tokens import CError, Token
from pytrace.syntax import ast

MAX_DEPTH = 60
Tag = Literal["struct", "union"]
_STORAGE = frozenset(("extern", "static", "inline", "register", "auto", "_Thread_local", "_Noreturn", "__extension__"))
_STORAGE |= {"__inline", "__inline__", "__always_inline", "__thread"}
_QUALIFIERS = frozenset(("const", "volatile", "restrict", "_Atomic", "__const", "__volatile__", "__restrict"))
_QUALIFIERS |= {
    "__restrict__",
    "__signed",
    "__rcu",
    "__iomem",
    "__percpu",
    "__force",
    "__kernel",
    "__bitwise",
    "__safe",
}
_INTEGER_WORDS = frozenset(("char", "short", "int", "long", "signed", "unsigned", "__signed__", "__int128"))
_FLOATS = {"float": 4, "double": 8, "_Float16": 2, "_Float32": 4, "_Float64": 8, "_Float128": 16, "__float128": 16}
_UINT8 = t.Int(8, False)
_VALIST = t.Array(t.UINT64, 3)


class Names(Protocol):
    """Names that are known from elsewhere (the kernel's BTF, headers read before)."""

    def struct(self, tag: Tag, name: str) -> t.Struct | None:
        """A complete struct or union."""

    def enum(self, name: str) -> t.Enum | None: ...

    def typedef(self, name: str) -> t.Type | None: ...

    def value(self, node: ast.Expr) -> fold.Value | None:
        """The value of a constant."""


@dataclass
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


@dataclass
class _Specifiers:
    type: t.Type
    span: Span
    typedef: bool = False
    packed: bool = False
    aligned: int = 0
    user: bool = False


def declare(
    tokens: Sequence[Token],
    names: Names,
    into: Declarations,
    diagnostics: Diagnostics,
    is_own: Callable[[Span], bool] = lambda span: True,
) -> None:
    """Reads declarations, adding to `into`. One that cannot be understood is reported if it is the script's own
    (`is_own`), and left out in any case; a header may well hold things that nobody here needs."""
    parser = _Parser(tokens, names, into)
    while parser.at < len(tokens):
        start = parser.at
        try:
            parser.external()
        except CError as e:
            if is_own(tokens[start].span):
                for d in e.diagnostics:
                    diagnostics.error(d.span, d.message, d.hint)
            parser.skip_from(start)


class _Parser(ExpressionParser):
    def __init__(self, tokens: Sequence[Token], names: Names, into: Declarations) -> None:
        super().__init__(tokens, 0, self._is_typedef)
        self.names = names
        self.into = into
        self.nesting = 0

    # --- what is known ------------------------------------------------------------------------------

    def _is_typedef(self, name: str) -> bool:
        return name in self.into.typedefs or self.names.typedef(name) is not None

    def value(self, node: ast.Expr) -> fold.Value | None:
        """For `fold`: enumerators and sizes."""
        match node:
            case ast.Identifier(name=name) if name in self.into.enumerators:
                return self.into.enumerators[name][0]
            case ast.Sizeof(of=ast.NamedType() | ast.PointerType() as of):
                kind = self._resolve(of)
                return None if kind is None else kind.size
            case _:
                return self.names.value(node)

    def _resolve(self, node: ast.TypeExpr) -> t.Type | None:
        match node:
            case ast.PointerType():
                return t.Pointer(t.VOID)
            case ast.NamedType(tag="struct" | "union" as tag, name=name):
                return self._struct(tag, name)
            case ast.NamedType(tag="enum", name=name):
                return self.into.enums.get(name) or self.names.enum(name)
            case ast.NamedType(name=name):
                return self.into.typedefs.get(name) or self.names.typedef(name) or _integer(name.split())
            case _:
                return None

    def _struct(self, tag: Tag, name: str) -> t.Struct | None:
        return self.into.structs.get((tag, name)) or self.names.struct(tag, name)

    def constant(self, what: str) -> int:
        node = self.expression()
        try:
            value = fold.evaluate(node, self)
        except fold.FoldError as e:
            raise CError(node.span, str(e)) from None
        if not isinstance(value, int):
            raise CError(node.span, f"{what} must be a constant integer")
        return int(value)

    # --- declarations -------------------------------------------------------------------------------

    def external(self) -> None:
        """One declaration, or a stray `;`."""
        if self.accept(";"):
            return
        if self.peek() in ("_Static_assert", "static_assert", "asm", "__asm__"):
            self.skip_from(self.at)
            return
        spec = self._specifiers()
        if self.accept(";"):
            return
        while True:
            name, kind, _ = self._declarator(spec.type, spec.user)
            self._attributes(spec)
            if spec.typedef and name is not None:
                self.into.typedefs[name.text] = kind
                if spec.aligned or spec.packed:
                    self.into.alignments[id(kind)] = (kind, spec.aligned or 1)
            if self.peek() in ("=", "{"):  # a variable or a function: nobody asks for it
                self.skip_from(self.at)
                return
            if not self.accept(","):
                break
        self.expect(";")

    def skip_from(self, start: int) -> None:
        """Goes behind the declaration that begins at `start`: its `;`, or the `}` of a function."""
        self.at = start
        depth = 0
        while self.at < len(self.tokens):
            text = self.peek()
            self.at += 1
            if text in ("{", "(", "["):
                depth += 1
            elif text in ("}", ")", "]"):
                depth -= 1
                if text == "}" and depth <= 0 and self.peek() not in (";", ",", "*", "=", "__attribute__", "__packed"):
                    following = self.tokens[self.at] if self.at < len(self.tokens) else None
                    if following is None or following.kind != "name" or following.gap == "\n":
                        return
            elif text == ";" and depth <= 0:
                return

    def _specifiers(self) -> _Specifiers:
        span = self.here()
        spec = _Specifiers(t.VOID, span)
        found: t.Type | None = None
        words: list[str] = []
        while self.at < len(self.tokens):
            text = self.peek()
            if text == "typedef":
                spec.typedef = True
                self.at += 1
            elif text in _STORAGE or text in _QUALIFIERS:
                self.at += 1
            elif text == "__user":
                spec.user = True
                self.at += 1
            elif self._attribute(spec):
                pass
            elif text in ("struct", "union") and not found:
                found = self._struct_specifier("struct" if text == "struct" else "union", spec)
            elif text == "enum" and not found:
                found = self._enum_specifier()
            elif text in _INTEGER_WORDS and (not found or words):
                words.append(text)
                found = t.VOID
                self.at += 1
            elif not found and (known := self._simple(text)) is not None:
                found = known
                self.at += 1
            else:
                break
        if words == ["long"] and self.peek() == "double":
            self.at += 1
            found, words = t.Array(_UINT8, 16), []
            self.into.alignments[id(found)] = (found, 16)
        if words:
            found = _integer(words)
            if isinstance(found, t.Array):
                self.into.alignments[id(found)] = (found, 16)
        if found is None:
            token = self.tokens[self.at] if self.at < len(self.tokens) else None
            if token is not None and token.kind == "name":
                raise CError(token.span, f"unknown type name '{token.text}'")
            raise CError(self.here(), "expected a declaration")
        spec.type = found
        spec.span = span
        return spec

    def _simple(self, name: str) -> t.Type | None:
        """A type of one word that is not an integer's."""
        match name:
            case "void":
                return t.VOID
            case "_Bool" | "bool":
                return t.BOOL
            case "__builtin_va_list":
                return _VALIST
            case _ if name in _FLOATS:
                kind = t.Array(_UINT8, _FLOATS[name])
                self.into.alignments[id(kind)] = (kind, kind.count)
                return kind
            case _ if self.at < len(self.tokens) and self.tokens[self.at].kind == "name":
                return self.into.typedefs.get(name) or self.names.typedef(name)
        return None

    # --- attributes ---------------------------------------------------------------------------------

    def _attributes(self, spec: _Specifiers) -> None:
        while self._attribute(spec) or self._annotation():
            pass

    def _annotation(self) -> bool:
        """An annotation in a place where nothing else can stand, like `__randomize_layout` behind a struct."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is None or token.kind != "name" or not token.text.startswith("__"):
            return False
        self.at += 1
        if self.peek() == "(":
            self._skip_brackets()
        return True

    def _attribute(self, spec: _Specifiers) -> bool:
        match self.peek():
            case "__packed":
                spec.packed = True
                self.at += 1
            case "__aligned" | "_Alignas" | "alignas":
                self.at += 1
                self.expect("(")
                spec.aligned = max(spec.aligned, self._alignment_value())
                self.expect(")")
            case "__attribute__" | "__attribute":
                self.at += 1
                self._attribute_list(spec)
            case "asm" | "__asm__" | "__asm":
                self.at += 1
                self._skip_brackets()
            case _:
                return False
        return True

    def _attribute_list(self, spec: _Specifiers) -> None:
        self.expect("(")
        self.expect("(")
        while not self.accept(")"):
            word = self.peek().strip("_")
            self.at += 1
            if word == "packed":
                spec.packed = True
            elif word == "aligned":
                if self.accept("("):
                    spec.aligned = max(spec.aligned, self._alignment_value())
                    self.expect(")")
                else:
                    spec.aligned = 16
            elif self.peek() == "(":
                self._skip_brackets()
            if self.at >= len(self.tokens):
                raise CError(self.here(), "this attribute does not end")
        self.expect(")")

    def _alignment_value(self) -> int:
        if self._type_ahead():
            kind = self._resolve(self.type_name())
            return 1 if kind is None else self.into.alignment(kind)
        span = self.here()
        value = self.constant("an alignment")
        if value < 1 or value & (value - 1) or value > 1 << 20:
            raise CError(span, f"an alignment must be a power of two, not {value}")
        return value

    def _skip_brackets(self) -> None:
        depth = 0
        while self.at < len(self.tokens):
            depth += (self.peek() in ("(", "[", "{")) - (self.peek() in (")", "]", "}"))
            self.at += 1
            if depth <= 0:
                return
        raise CError(self.here(), "this bracket is not closed")

    # --- struct, union, enum --------------------------------------------------------------------------

    def _struct_specifier(self, tag: Tag, outer: _Specifiers) -> t.Type:
        self.at += 1
        inner = _Specifiers(t.VOID, self.here())
        self._attributes(inner)
        name = ""
        if self.at < len(self.tokens) and self.tokens[self.at].kind == "name":
            name = self.tokens[self.at].text
            self.at += 1
        span = self.here()
        if not self.accept("{"):
            if not name:
                raise CError(span, f"expected a name or '{{' after '{tag}'")
            # A pointer's target may be declared later or never: nothing is looked up for it.
            known = self._struct(tag, name) if self.peek() != "*" else None
            return known or t.Struct(tag, name, 0, None)
        self.nesting += 1
        if self.nesting > MAX_DEPTH:
            raise CError(span, "structs are nested too deeply")
        members: list[Member] = []
        while not self.accept("}"):
            if self.at >= len(self.tokens):
                raise CError(span, f"this {tag} does not end", "its closing '}' is missing")
            self._members(members)
        self.nesting -= 1
        after = _Specifiers(t.VOID, span)
        while self._attribute(after) or (
            self.peek().startswith("__") and self.peek() != "__user" and self._annotation()
        ):
            pass
        packed = inner.packed or after.packed
        made, align = lay_out(tag, name, members, packed, max(inner.aligned, after.aligned))
        self.into.alignments[id(made)] = (made, align)
        if name:
            self.into.structs[tag, name] = made
        return made

    def _members(self, members: list[Member]) -> None:
        if self.accept(";"):
            return
        if self.peek() in ("_Static_assert", "static_assert"):
            self.at += 1
            self._skip_brackets()
            self.expect(";")
            return
        spec = self._specifiers()
        if self.peek() == ";":
            self.at += 1
            # Without a name only an anonymous struct or union is a member; `struct x { … };` inside another declares x.
            if isinstance(spec.type, t.Struct) and not spec.type.name:
                members.append(Member("", spec.type, self.into.alignment(spec.type), None, spec.aligned, spec.packed))
            return
        while True:
            name, kind, span = (
                (None, spec.type, self.here()) if self.peek() == ":" else self._declarator(spec.type, spec.user)
            )
            here = _Specifiers(kind, span, packed=spec.packed, aligned=spec.aligned)
            bits = None
            if self.accept(":"):
                bits = self.constant("the width of a bitfield")
                if not isinstance(kind, t.Int | t.Bool | t.Enum):
                    raise CError(span, f"a bitfield cannot be a {kind}")
                if not 0 <= bits <= (1 if isinstance(kind, t.Bool) else 8 * kind.size):
                    raise CError(span, f"a bitfield of type {kind} cannot have {bits} bits")
            self._attributes(here)
            if isinstance(kind, t.Void) or (isinstance(kind, t.Struct) and kind.fields is None):
                raise CError(span, f"member '{name.text if name else ''}' has the incomplete type '{kind}'")
            natural = self.into.alignment(kind)
            members.append(Member(name.text if name else "", kind, natural, bits, here.aligned, here.packed))
            if not self.accept(","):
                break
        self.expect(";")

    def _enum_specifier(self) -> t.Type:
        self.at += 1
        spec = _Specifiers(t.VOID, self.here())
        self._attributes(spec)
        name = ""
        if self.at < len(self.tokens) and self.tokens[self.at].kind == "name":
            name = self.tokens[self.at].text
            self.at += 1
        span = self.here()
        if not self.accept("{"):
            known = self.into.enums.get(name) or self.names.enum(name)
            return known or t.Enum(name, 32, False, ())
        members: list[tuple[str, int]] = []
        pending = dict(self.into.enumerators)
        following = 0
        while not self.accept("}"):
            token = self.tokens[self.at] if self.at < len(self.tokens) else None
            if token is None or token.kind != "name":
                raise CError(token.span if token else span, "expected the name of an enumerator")
            self.at += 1
            if self.accept("="):
                following = self.constant("the value of an enumerator")
            members.append((token.text, following))
            self.into.enumerators[token.text] = (following, t.Enum(name, 32, False, ()))
            following += 1
            if not self.accept(","):
                self.expect("}")
                break
        self.into.enumerators = pending
        self._attributes(spec)
        low, high = min((v for _, v in members), default=0), max((v for _, v in members), default=0)
        signed = low < 0
        wide = low < -(1 << 31) or high >= 1 << (31 if signed else 32)
        made = t.Enum(name, 8 if spec.packed else 64 if wide else 32, signed, tuple(members))
        if name:
            self.into.enums[name] = made
        for member, value in members:
            self.into.enumerators[member] = (value, made)
        return made

    # --- declarators --------------------------------------------------------------------------------

    def _declarator(self, base: t.Type, user: bool) -> tuple[Token | None, t.Type, Span]:
        self.nesting += 1
        if self.nesting > MAX_DEPTH:
            raise CError(self.here(), "this declaration is nested too deeply")
        span = self.here()
        kind = base
        while True:
            if self.accept("*"):
                kind = t.Pointer(_behind_pointer(kind), "user" if user else "")
            elif self.peek() in _QUALIFIERS or self.peek() == "__user":
                user = user or self.peek() == "__user"
                self.at += 1
            elif not self._attribute(_Specifiers(kind, span)):
                break
        inner = -1
        name = None
        if self.peek() == "(" and self._declarator_ahead():
            inner = self.at + 1
            self._skip_brackets()
        elif self.at < len(self.tokens) and self.tokens[self.at].kind == "name":
            name = self.tokens[self.at]
            span = name.span
            self.at += 1
        kind = self._suffixes(kind)
        if inner >= 0:
            end, self.at = self.at, inner
            name, kind, span = self._declarator(kind, False)
            self.expect(")")
            self.at = end
        self.nesting -= 1
        return name, kind, span

    def _declarator_ahead(self) -> bool:
        """Whether the bracket here is around a declarator, as in `(*f)(int)`, and not around parameters."""
        following = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None
        if following is None:
            return False
        if following.text in ("*", "(", "^") or following.text.startswith("__attribute"):
            return True
        return following.kind == "name" and not self._names_type(following.text)

    def _names_type(self, word: str) -> bool:
        return word in _INTEGER_WORDS | _QUALIFIERS | {"void", "struct", "union", "enum", "bool"} or self._is_typedef(
            word
        )

    def _suffixes(self, kind: t.Type) -> t.Type:
        sizes: list[int] = []
        while True:
            if self.accept("["):
                while self.peek() in _QUALIFIERS or self.peek() == "static":
                    self.at += 1
                span = self.here()
                size = 0 if self.peek() == "]" else self.constant("the size of an array")
                self.expect("]")
                if not 0 <= size <= 1 << 40:
                    raise CError(span, f"an array cannot have {size} elements")
                sizes.append(size)
            elif self.peek() == "(":
                self._skip_brackets()
                kind = t.VOID  # a function; only pointers to it can be members
            else:
                break
        for size in reversed(sizes):
            if isinstance(kind, t.Void) or (isinstance(kind, t.Struct) and kind.fields is None):
                raise CError(self.here(), f"an array cannot be made of '{kind}'")
            element = kind
            kind = t.Array(element, size)
            if isinstance(element, t.Struct | t.Array):
                self.into.alignments[id(kind)] = (kind, self.into.alignment(element))
        return kind


def _behind_pointer(kind: t.Type) -> t.Type:
    """Named structs are incomplete behind a pointer, which keeps types finite."""
    match kind:
        case t.Struct(name=name) if name:
            return t.Struct(kind.tag, name, kind.byte_size, None)
        case t.Array():
            return t.Array(_behind_pointer(kind.element), kind.count)
        case _:
            return kind


def _integer(words: Sequence[str]) -> t.Type | None:
    """`unsigned long int` in any order of words; None for other names."""
    if not words or not set(words) <= _INTEGER_WORDS:
        return None
    signed = "unsigned" not in words
    if "__int128" in words:
        return t.Array(t.UINT64, 2)
    if "char" in words:
        return t.Int(8, signed)
    if "short" in words:
        return t.Int(16, signed)
    return t.Int(64 if "long" in words else 32, signed)
