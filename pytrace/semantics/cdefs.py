"""What C tells a script: its own declarations, its headers, and the names that the kernel knows anyway.

A name is looked up in the script's declarations and the headers it names with quotes, then in the kernel's BTF, then
among the well-known constants, and at last in the headers named with `<>`, which are read no sooner than that: nearly
all that scripts include them for is in BTF, and where they are not installed nothing is missing. In a uprobe, names of
the probed program come before the kernel's.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, TypeVar

from pytrace import types as t
from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.record import record, replace
from pytrace.semantics import fold
from pytrace.semantics.constants import constant as well_known
from pytrace.semantics.walk import rewrite
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.kernel.btf import Btf
    from pytrace.probes.programtypes import ProgramTypes
    from pytrace.semantics.c.declared import Declarations
    from pytrace.semantics.c.headers import Finder
    from pytrace.semantics.c.preprocess import Preprocessor
    from pytrace.semantics.c.tokens import Token


T = TypeVar("T")


@record
class _Unit:
    """What one run over C text has left."""

    declared: Declarations
    preprocessor: Preprocessor

    @staticmethod
    def empty(finder: Finder, diagnostics: Diagnostics) -> _Unit:
        from pytrace.semantics.c.declared import Declarations
        from pytrace.semantics.c.preprocess import Preprocessor

        return _Unit(Declarations(), Preprocessor(finder, diagnostics, os.uname().machine))


class CEnvironment:
    """Names of C for one script. Without declarations (the usual case) it is a thin front of BTF and the constants."""

    def __init__(self, btf: Btf | None = None) -> None:
        self.btf = btf
        self._own: _Unit | None = None
        self._reading: _Unit | None = None
        self._later: Finder | None = None
        self._header_unit: _Unit | None = None
        self._evaluating: set[str] = set()
        self.broken = False
        """Whether some of the script's own declarations were wrong, and left out."""
        self.program: ProgramTypes | None = None
        """Who else knows names, while a probe on a program with debug info is looked at: before the kernel those of the
        probed function's source file, after it all."""
        self.missing: list[str] = []
        """Headers that were asked for and are not there."""

    def struct(self, tag: str, name: str) -> t.Struct | None:
        """The complete struct or union."""
        found = self._declared(lambda d: d.structs.get((tag, name)))
        if found is None and self.program:
            found = self.program.struct(name, tag)
        if found is None and self.btf:
            found = self.btf.struct(name, tag)
        if found is None and self._headers:
            found = self._headers.declared.structs.get((tag, name))
        if found is None and self.program:
            found = self.program.struct(name, tag, everywhere=True)
        return found

    def enum(self, name: str) -> t.Enum | None:
        found = self._declared(lambda d: d.enums.get(name))
        if found is None and self.program:
            found = self.program.enum(name)
        if found is None and self.btf:
            found = self.btf.enum(name)
        if found is None and self._headers:
            found = self._headers.declared.enums.get(name)
        if found is None and self.program:
            found = self.program.enum(name, everywhere=True)
        return found

    def typedef(self, name: str) -> t.Type | None:
        """What a typedef (or a `#define` of a type) stands for, complete."""
        found = self._declared(lambda d: d.typedefs.get(name))
        if found is None and self._own:
            found = self._type_of_macro(self._own, name)
        if found is None and self.program:
            found = self.program.typedef(name)
        if found is None and self.btf:
            found = self.btf.typedef(name)
        if found is None and self._headers:
            found = self._headers.declared.typedefs.get(name)
        if found is None and self.program:
            found = self.program.typedef(name, everywhere=True)
        return found

    def constant(self, name: str) -> tuple[int, t.Type] | str | None:
        """The value of an enumerator with its enum, of a number with `types.UNKNOWN`, or of a string; None for any
        other name."""
        if self._own and name in self._own.preprocessor.macros and name not in self._evaluating:
            return self._constant_in(self._own, name)
        member = self._declared(lambda d: d.enumerators.get(name))
        if member is not None:
            return member
        member = self.program.enumerator(name) if self.program else None
        if member is None and self.btf:
            member = self.btf.enumerator(name)
        if member is not None:
            return member
        number = well_known(name)
        if number is not None:
            return number, t.UNKNOWN
        found = self._constant_in(self._headers, name) if self._headers else None
        if found is None and self.program:
            found = self.program.enumerator(name, everywhere=True)
        return found

    def expression(self, name: str) -> ast.Expr | None:
        """What a `#define` of the script stands for if it is an expression (`#define FD args->fd`); else None."""
        return self._body(self._own, name) if self._own else None

    def value(self, node: ast.Expr) -> fold.Value | None:
        """The compile-time value of a name, `sizeof` or `offsetof`, for `fold`."""
        match node:
            case ast.Identifier(name=name):
                found = self.constant(name)
                return found[0] if isinstance(found, tuple) else found
            case ast.Sizeof(of=of):
                kind = self._written(of)
                return None if kind is None else kind.size
            case ast.Offsetof(of=of, path=path):
                kind = self._written(of)
                offset = 0
                for name in path:
                    member = kind.field(name) if isinstance(kind, t.Struct) else None
                    if member is None:
                        return None
                    offset, kind = offset + member.offset, member.type
                return offset
            case _:
                return None

    def names(self) -> Iterator[str]:
        """Constants that the script itself defines, for hints and completion."""
        if self._own:
            yield from self._own.declared.enumerators
            yield from self._own.preprocessor.names()

    def takes_arguments(self, name: str) -> bool:
        """Whether it is a `#define` with parameters."""
        macro = self._own.preprocessor.macros.get(name) if self._own else None
        return macro is not None and macro.arglist is not None

    def is_type(self, name: str) -> bool:
        """Whether it is the name of a type of C's."""
        from pytrace.semantics.c.declared import OPAQUE, SIMPLE
        from pytrace.semantics.typenames import integer_type

        return name in SIMPLE or name in OPAQUE or integer_type(name) is not None or self.typedef(name) is not None

    # --- how ----------------------------------------------------------------------------------------

    def _declared(self, get: Callable[[Declarations], T | None]) -> T | None:
        """What is declared by the text that is being read, or by the script."""
        for unit in (self._reading, self._own):
            if unit is not None and (found := get(unit.declared)) is not None:
                return found
        return None

    @property
    def _headers(self) -> _Unit | None:
        """What the headers in `<>` say. While they are being read, what they have said so far."""
        if self._later is not None and self._later.later:
            finder, self._later = self._later, None
            spans = [Span(s, 0, len(s.text)) for s in finder.later]
            # What is wrong with a header is not the script's mistake.
            self._header_unit = _Unit.empty(type(finder)(finder.directories), Diagnostics())
            _read(self, self._header_unit, spans, Diagnostics())
        return self._header_unit

    def _constant_in(self, unit: _Unit, name: str) -> tuple[int, t.Type] | str | None:
        member = unit.declared.enumerators.get(name)
        if name in self._evaluating:  # `#define A A`
            return member
        self._evaluating.add(name)
        try:
            body = self._body(unit, name)
            value = None if body is None else fold.evaluate(body, self)
        except fold.FoldError:
            value = None
        finally:
            self._evaluating.discard(name)
        if value is None:
            return member
        return value if isinstance(value, str) else (int(value), t.UNKNOWN)

    def _body(self, unit: _Unit, name: str) -> ast.Expr | None:
        from pytrace.semantics.c.tokens import CError, number

        tokens = unit.preprocessor.body(name)
        if not tokens:
            return None
        value = number(tokens[0].text) if len(tokens) == 1 else None
        if value is not None:
            return ast.Integer(value, span=tokens[0].span)

        from pytrace.semantics.c.expressions import expression
        from pytrace.semantics.c.parse import Parser

        parser = Parser(self.is_type)
        tree = parser.expression(tokens)
        try:
            return None if tree is None else expression(tree, lambda coord: tokens[parser.index(coord)].span)
        except (CError, RecursionError):
            return None

    def _type_of_macro(self, unit: _Unit, name: str) -> t.Type | None:
        tokens = unit.preprocessor.body(name)
        if not tokens or name in self._evaluating or not all(token.is_name or token.text == "*" for token in tokens):
            return None
        self._evaluating.add(name)
        try:
            node = self._named_type(tokens)
            return None if node is None else self._written(node)
        finally:
            self._evaluating.discard(name)

    def _named_type(self, tokens: Sequence[Token]) -> ast.TypeExpr | None:
        from pytrace.semantics.c.expressions import expression
        from pytrace.semantics.c.parse import Parser

        parser = Parser(self.is_type)
        tree = parser.expression(tokens, "sizeof(")
        node = None if tree is None else expression(tree, lambda coord: tokens[parser.index(coord)].span)
        return (
            node.of if isinstance(node, ast.Sizeof) and isinstance(node.of, ast.NamedType | ast.PointerType) else None
        )

    def _written(self, node: ast.Expr | ast.TypeExpr) -> t.Type | None:
        from pytrace.semantics.c.declared import OPAQUE, SIMPLE
        from pytrace.semantics.typenames import BUILTIN_TYPES, integer_type

        match node:
            case ast.PointerType(to=to):
                target = self._written(to)
                return None if target is None else t.Pointer(target)
            case ast.ArrayType(size=size) if size is not None and (element := self._written(node.element)):
                count = fold.evaluate(size, self)
                return t.Array(element, count) if isinstance(count, int) else None
            case ast.NamedType(tag="struct" | "union" as tag, name=name):
                return self.struct(tag, name)
            case ast.NamedType(tag="enum", name=name):
                return self.enum(name)
            case ast.NamedType(name=name) | ast.Identifier(name=name):
                known = BUILTIN_TYPES.get(name) or integer_type(name) or SIMPLE.get(name) or OPAQUE.get(name)
                return known or self.typedef(name) or self.struct("struct", name)
            case _:
                return None


def read_definitions(
    definitions: Sequence[ast.CDefinition],
    diagnostics: Diagnostics,
    btf: Btf | None = None,
    *,
    include_files: Sequence[str] = (),
    include_directories: Sequence[str] = (),
) -> CEnvironment:
    """The names of C for a script with these definitions. `include_files` (`--include`) are read first, as if the
    script began with them; `include_directories` (`-I`) are searched before the system's. Mistakes become
    diagnostics."""
    env = CEnvironment(btf)
    if not definitions and not include_files:
        return env

    from pytrace.semantics.c.headers import Finder, put_off

    finder = Finder(tuple(include_directories), diagnostics)
    spans = [d.span for d in definitions]
    for path in reversed(include_files):
        text = f'#include "{path}"'
        spans.insert(0, Span(Source("--include", text), 0, len(text)))
    env._later = finder
    env.missing = finder.missing
    finder.script = frozenset(id(s.source) for s in spans)
    before = len(diagnostics.errors)
    if not put_off(finder, spans):
        env._own = _Unit.empty(finder, diagnostics)
        _read(env, env._own, spans, diagnostics)
    env.broken = len(diagnostics.errors) > before
    return env


def expand_defines(script: ast.Script, env: CEnvironment) -> ast.Script:
    """The script with what its `#define`s stand for in their places, where that is an expression but no constant."""
    defined = set(env.names())
    if not defined:
        return script

    def change(node: ast.Node) -> ast.Node | None:
        if not isinstance(node, ast.Identifier) or node.name not in defined or env.constant(node.name) is not None:
            return None
        body = env.expression(node.name)
        return None if body is None else _at(body, node.span)

    return rewrite(script, change)


def _at(node: ast.Expr, span: Span) -> ast.Expr:
    """The expression as if it had been written at `span`, where the mistakes in it show."""

    def move(part: ast.Node) -> ast.Node | None:
        return rewrite(replace(part, span=span), move) if part.span is not span else None

    return rewrite(node, move)


def _read(env: CEnvironment, unit: _Unit, spans: Sequence[Span], diagnostics: Diagnostics) -> None:
    tokens = unit.preprocessor.read(*spans)
    if not tokens:
        return

    from pytrace.semantics.c.declarations import declare

    own = {id(s.source) for s in spans}
    env._reading = unit
    declare(tokens, env, unit.declared, diagnostics, lambda span: id(span.source) in own)
    env._reading = None
    unit.declared.complete_pointers(env.btf)
