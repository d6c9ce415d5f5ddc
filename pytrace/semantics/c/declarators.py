"""Declarators and attributes: the parts of C declarations around names. See `declarations`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from pytrace import types as t
from pytrace.diagnostics import Span
from pytrace.record import field, record
from pytrace.semantics import fold
from pytrace.semantics.c.expressions import ExpressionParser
from pytrace.semantics.c.layout import alignment
from pytrace.semantics.c.tokens import CError, Token
from pytrace.syntax import ast

MAX_DEPTH = 60
Tag = Literal["struct", "union"]
QUALIFIERS = frozenset(("const", "volatile", "restrict", "_Atomic", "__const", "__volatile__", "__restrict"))
QUALIFIERS |= {
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
INTEGER_WORDS = frozenset(("char", "short", "int", "long", "signed", "unsigned", "__signed__", "__int128"))


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


@record(frozen=False)
class Specifiers:
    type: t.Type
    span: Span
    typedef: bool = False
    packed: bool = False
    aligned: int = 0
    user: bool = False


class DeclaratorParser(ExpressionParser):
    """Reads declarators; `nesting` bounds what is read inside of what."""

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
                kind = self.resolve(of)
                return None if kind is None else kind.size
            case _:
                return self.names.value(node)

    def resolve(self, node: ast.TypeExpr) -> t.Type | None:
        match node:
            case ast.PointerType():
                return t.Pointer(t.VOID)
            case ast.NamedType(tag="struct" | "union" as tag, name=name):
                return self.struct(tag, name)
            case ast.NamedType(tag="enum", name=name):
                return self.into.enums.get(name) or self.names.enum(name)
            case ast.NamedType(name=name):
                return self.into.typedefs.get(name) or self.names.typedef(name) or integer(name.split())
            case _:
                return None

    def struct(self, tag: Tag, name: str) -> t.Struct | None:
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

    # --- attributes ---------------------------------------------------------------------------------

    def attributes(self, spec: Specifiers, then: tuple[str, ...] = ()) -> None:
        """Any number of attributes and annotations; `then` as for `annotation`."""
        while self.attribute(spec) or self.annotation(then):
            pass

    def annotation(self, then: tuple[str, ...] = ()) -> bool:
        """An annotation that headers invented, like `__randomize_layout`. Where it might be a name itself, `then` are
        the texts one of which must follow; ``""`` stands for a name."""
        token = self.tokens[self.at] if self.at < len(self.tokens) else None
        if token is None or token.kind != "name" or not token.text.startswith("__") or token.text == "__user":
            return False
        following = self.tokens[self.at + 1] if self.at + 1 < len(self.tokens) else None
        if then and (following is None or ("" if following.kind == "name" else following.text) not in then):
            return False
        self.at += 1
        if self.peek() == "(" and not then:
            self.skip_brackets()
        return True

    def attribute(self, spec: Specifiers) -> bool:
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
                self.skip_brackets()
            case _:
                return False
        return True

    def _attribute_list(self, spec: Specifiers) -> None:
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
                self.skip_brackets()
            if self.at >= len(self.tokens):
                raise CError(self.here(), "this attribute does not end")
        self.expect(")")

    def _alignment_value(self) -> int:
        if self._type_ahead():
            kind = self.resolve(self.type_name())
            return 1 if kind is None else self.into.alignment(kind)
        span = self.here()
        value = self.constant("an alignment")
        if value < 1 or value & (value - 1) or value > 1 << 20:
            raise CError(span, f"an alignment must be a power of two, not {value}")
        return value

    def skip_brackets(self) -> None:
        depth = 0
        while self.at < len(self.tokens):
            depth += (self.peek() in ("(", "[", "{")) - (self.peek() in (")", "]", "}"))
            self.at += 1
            if depth <= 0:
                return
        raise CError(self.here(), "this bracket is not closed")

    # --- declarators --------------------------------------------------------------------------------

    def declarator(self, base: t.Type, user: bool) -> tuple[Token | None, t.Type, Span]:
        self.nesting += 1
        if self.nesting > MAX_DEPTH:
            raise CError(self.here(), "this declaration is nested too deeply")
        span = self.here()
        kind = base
        while True:
            if self.accept("*"):
                kind = t.Pointer(_behind_pointer(kind), "user" if user else "")
            elif self.peek() in QUALIFIERS or self.peek() == "__user":
                user = user or self.peek() == "__user"
                self.at += 1
            elif not self.attribute(Specifiers(kind, span)) and not self.annotation(("", "*")):
                break
        inner = -1
        name = None
        if self.peek() == "(" and self._declarator_ahead():
            inner = self.at + 1
            self.skip_brackets()
        elif self.at < len(self.tokens) and self.tokens[self.at].kind == "name":
            name = self.tokens[self.at]
            span = name.span
            self.at += 1
        kind = self._suffixes(kind)
        if inner >= 0:
            end, self.at = self.at, inner
            name, kind, span = self.declarator(kind, False)
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
        return word in INTEGER_WORDS | QUALIFIERS | {"void", "struct", "union", "enum", "bool"} or self._is_typedef(
            word
        )

    def _suffixes(self, kind: t.Type) -> t.Type:
        sizes: list[int] = []
        while True:
            if self.accept("["):
                while self.peek() in QUALIFIERS or self.peek() == "static":
                    self.at += 1
                span = self.here()
                size = 0 if self.peek() == "]" else self.constant("the size of an array")
                self.expect("]")
                if not 0 <= size <= 1 << 40:
                    raise CError(span, f"an array cannot have {size} elements")
                sizes.append(size)
            elif self.peek() == "(":
                self.skip_brackets()
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


def integer(words: Sequence[str]) -> t.Type | None:
    """`unsigned long int` in any order of words; None for other names."""
    if not words or not set(words) <= INTEGER_WORDS:
        return None
    signed = "unsigned" not in words
    if "__int128" in words:
        return t.Array(t.UINT64, 2)
    if "char" in words:
        return t.Int(8, signed)
    if "short" in words:
        return t.Int(16, signed)
    return t.Int(64 if "long" in words else 32, signed)
