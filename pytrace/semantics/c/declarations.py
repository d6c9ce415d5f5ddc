"""C declarations: struct, union, enum and typedef to `types`. Functions and variables are read over.

What headers write beyond the standard is understood as far as it bears on layouts: `__attribute__((packed))` and
`((aligned(n)))`, `__packed`, `__aligned(n)`, `_Alignas`; the kernel's annotations (`__user`, `__rcu`, …) are passed,
but a pointer to `__user` memory knows that it is one.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from pytrace import types as t
from pytrace.diagnostics import Diagnostics, Span
from pytrace.semantics.c.declarators import (
    INTEGER_WORDS,
    MAX_DEPTH,
    QUALIFIERS,
    Declarations,
    DeclaratorParser,
    Names,
    Specifiers,
    Tag,
    integer,
)
from pytrace.semantics.c.layout import Member, lay_out
from pytrace.semantics.c.tokens import CError, Token

_STORAGE = frozenset(("extern", "static", "inline", "register", "auto", "_Thread_local", "_Noreturn", "__extension__"))
_STORAGE |= {"__inline", "__inline__", "__always_inline", "__thread"}
_FLOATS = {"float": 4, "double": 8, "_Float16": 2, "_Float32": 4, "_Float64": 8, "_Float128": 16, "__float128": 16}
_UINT8 = t.Int(8, False)
_VALIST = t.Array(t.UINT64, 3)


def declare(
    tokens: Sequence[Token],
    names: Names,
    into: Declarations,
    diagnostics: Diagnostics,
    is_own: Callable[[Span], bool] = lambda span: True,
) -> None:
    """Reads declarations, adding to `into`. One that cannot be understood is left out and reported: an error if it is
    the script's own (`is_own`), else a warning, as a header may well hold things that nobody here needs."""
    parser = _Parser(tokens, names, into)
    while parser.at < len(tokens):
        start = parser.at
        try:
            parser.external()
        except CError as e:
            report = diagnostics.error if is_own(tokens[start].span) else diagnostics.warning
            for d in e.diagnostics:
                report(d.span, d.message, d.hint)
            parser.skip_from(start)


class _Parser(DeclaratorParser):
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
            name, kind, _ = self.declarator(spec.type, spec.user)
            self.attributes(spec)
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

    def _specifiers(self) -> Specifiers:
        span = self.here()
        spec = Specifiers(t.VOID, span)
        found: t.Type | None = None
        words: list[str] = []
        while self.at < len(self.tokens):
            text = self.peek()
            if text == "typedef":
                spec.typedef = True
                self.at += 1
            elif text in _STORAGE or text in QUALIFIERS:
                self.at += 1
            elif text == "__user":
                spec.user = True
                self.at += 1
            elif self.attribute(spec):
                pass
            elif text in ("struct", "union") and not found:
                found = self._struct_specifier("struct" if text == "struct" else "union", spec)
            elif text == "enum" and not found:
                found = self._enum_specifier()
            elif text in INTEGER_WORDS and (not found or words):
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
            found = integer(words)
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

    # --- struct, union, enum --------------------------------------------------------------------------

    def _struct_specifier(self, tag: Tag, outer: Specifiers) -> t.Type:
        self.at += 1
        inner = Specifiers(t.VOID, self.here())
        while self.attribute(inner):
            pass
        name = ""
        if self.at < len(self.tokens) and self.tokens[self.at].kind == "name":
            name = self.tokens[self.at].text
            self.at += 1
        span = self.here()
        if not self.accept("{"):
            if not name:
                raise CError(span, f"expected a name or '{{' after '{tag}'")
            # A pointer's target may be declared later or never: nothing is looked up for it.
            known = self.struct(tag, name) if self.peek() != "*" else None
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
        after = Specifiers(t.VOID, span)
        self.attributes(after, ("", "*"))
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
            self.skip_brackets()
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
                (None, spec.type, self.here()) if self.peek() == ":" else self.declarator(spec.type, spec.user)
            )
            here = Specifiers(kind, span, packed=spec.packed, aligned=spec.aligned)
            bits = None
            if self.accept(":"):
                bits = self.constant("the width of a bitfield")
                if not isinstance(kind, t.Int | t.Bool | t.Enum):
                    raise CError(span, f"a bitfield cannot be a {kind}")
                if not 0 <= bits <= (1 if isinstance(kind, t.Bool) else 8 * kind.size):
                    raise CError(span, f"a bitfield of type {kind} cannot have {bits} bits")
            self.attributes(here)
            if isinstance(kind, t.Void) or (isinstance(kind, t.Struct) and kind.fields is None):
                raise CError(span, f"member '{name.text if name else ''}' has the incomplete type '{kind}'")
            natural = self.into.alignment(kind)
            members.append(Member(name.text if name else "", kind, natural, bits, here.aligned, here.packed))
            if not self.accept(","):
                break
        self.expect(";")

    def _enum_specifier(self) -> t.Type:
        self.at += 1
        spec = Specifiers(t.VOID, self.here())
        while self.attribute(spec):
            pass
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
        self.attributes(spec, ("", "*"))
        low, high = min((v for _, v in members), default=0), max((v for _, v in members), default=0)
        signed = low < 0
        wide = low < -(1 << 31) or high >= 1 << (31 if signed else 32)
        made = t.Enum(name, 8 if spec.packed else 64 if wide else 32, signed, tuple(members))
        if name:
            self.into.enums[name] = made
        for member, value in members:
            self.into.enumerators[member] = (value, made)
        return made
