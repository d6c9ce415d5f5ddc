"""What C tells a script: its own declarations, its headers, and the names that the kernel knows anyway.

A name is looked up in the script's declarations and the headers it names with quotes, then in the kernel's BTF, then
among the well-known constants, and at last in the headers named with `<>`, which are read no sooner than that: nearly
all that scripts include them for is in BTF, and where they are not installed nothing is missing.
"""

from __future__ import annotations

import os
import platform
import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.record import record, replace
from pytrace.semantics import fold
from pytrace.semantics.constants import constant as well_known
from pytrace.semantics.walk import rewrite
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.kernel.btf import Btf
    from pytrace.semantics.c.declared import Declarations, Tag
    from pytrace.semantics.c.preprocess import Preprocessor
    from pytrace.semantics.c.tokens import Token

SYSTEM_DIRECTORIES = ("/usr/include", f"/usr/include/{platform.machine()}-linux-gnu")
MAX_HEADER = 16 << 20
_INCLUDE = re.compile(r"""#\s*include\s*([<"])([^<>"\n]+)[>"]""")


@record
class _Unit:
    """What one run over C text has left."""

    declared: Declarations
    preprocessor: Preprocessor

    @staticmethod
    def empty(finder: _Finder, diagnostics: Diagnostics) -> _Unit:
        from pytrace.semantics.c.declared import Declarations
        from pytrace.semantics.c.preprocess import Preprocessor

        return _Unit(Declarations(), Preprocessor(finder, diagnostics, platform.machine()))


class CEnvironment:
    """Names of C for one script. Without declarations (the usual case) it is a thin front of BTF and the constants."""

    def __init__(self, btf: Btf | None = None) -> None:
        self.btf = btf
        self._own: _Unit | None = None
        self._later: _Finder | None = None
        self._header_unit: _Unit | None = None
        self._evaluating: set[str] = set()

    def struct(self, tag: str, name: str) -> t.Struct | None:
        """The complete struct or union."""
        found = self._own.declared.structs.get((tag, name)) if self._own else None
        if found is None and self.btf:
            found = self.btf.struct(name, tag)
        if found is None and self._headers:
            found = self._headers.declared.structs.get((tag, name))
        return found

    def enum(self, name: str) -> t.Enum | None:
        found = self._own.declared.enums.get(name) if self._own else None
        if found is None and self.btf:
            found = self.btf.enum(name)
        if found is None and self._headers:
            found = self._headers.declared.enums.get(name)
        return found

    def typedef(self, name: str) -> t.Type | None:
        """What a typedef (or a `#define` of a type) stands for, complete."""
        if self._own:
            own = self._own.declared.typedefs.get(name) or self._type_of_macro(self._own, name)
            if own is not None:
                return own
        found = self.btf.typedef(name) if self.btf else None
        if found is None and self._headers:
            found = self._headers.declared.typedefs.get(name)
        return found

    def constant(self, name: str) -> tuple[int, t.Type] | str | None:
        """The value of an enumerator with its enum, of a number with `types.UNKNOWN`, or of a string; None for any
        other name."""
        if self._own:
            own = self._constant_in(self._own, name)
            if own is not None or name in self._own.preprocessor.macros:
                return own
        member = self.btf.enumerator(name) if self.btf else None
        if member is not None:
            return member
        number = well_known(name)
        if number is not None:
            return number, t.UNKNOWN
        return self._constant_in(self._headers, name) if self._headers else None

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

    # --- how ----------------------------------------------------------------------------------------

    @property
    def _headers(self) -> _Unit | None:
        """What the headers in `<>` say. While they are being read, what they have said so far."""
        if self._later is not None and self._later.later:
            finder, self._later = self._later, None
            spans = [Span(s, 0, len(s.text)) for s in finder.later]
            # What is wrong with a header is not the script's mistake.
            self._header_unit = _Unit.empty(_Finder(finder.directories), Diagnostics())
            _read(self, self._header_unit, spans, Diagnostics())
        return self._header_unit

    def _constant_in(self, unit: _Unit, name: str) -> tuple[int, t.Type] | str | None:
        member = unit.declared.enumerators.get(name)
        if member is not None:
            return member
        if name in self._evaluating:  # `#define A A`
            return None
        self._evaluating.add(name)
        try:
            body = self._body(unit, name)
            value = None if body is None else fold.evaluate(body, self)
        except fold.FoldError:
            value = None
        finally:
            self._evaluating.discard(name)
        return value if isinstance(value, str) or value is None else (int(value), t.UNKNOWN)

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

        parser = Parser(self._is_type)
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

        parser = Parser(self._is_type)
        tree = parser.expression(tokens, "sizeof(")
        node = None if tree is None else expression(tree, lambda coord: tokens[parser.index(coord)].span)
        return (
            node.of if isinstance(node, ast.Sizeof) and isinstance(node.of, ast.NamedType | ast.PointerType) else None
        )

    def _is_type(self, name: str) -> bool:
        from pytrace.semantics.typenames import integer_type

        return name in ("bool", "void") or integer_type(name) is not None or self.typedef(name) is not None

    def _written(self, node: ast.Expr | ast.TypeExpr) -> t.Type | None:
        from pytrace.semantics.typenames import BUILTIN_TYPES, integer_type

        match node:
            case ast.PointerType(to=to):
                target = self._written(to)
                return None if target is None else t.Pointer(target)
            case ast.NamedType(tag="struct" | "union" as tag, name=name):
                return self.struct(tag, name)
            case ast.NamedType(tag="enum", name=name):
                return self.enum(name)
            case ast.NamedType(name=name) | ast.Identifier(name=name):
                known = BUILTIN_TYPES.get(name) or integer_type(name)
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
    finder = _Finder(tuple(include_directories), diagnostics)
    spans = [d.span for d in definitions]
    for path in reversed(include_files):
        text = f'#include "{path}"'
        spans.insert(0, Span(Source("--include", text), 0, len(text)))
    env._later = finder
    if spans and not _put_off(finder, spans):
        env._own = _Unit.empty(finder, diagnostics)
        _read(env, env._own, spans, diagnostics)
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


# --- reading --------------------------------------------------------------------------------------


class _Finder:
    """Finds headers. Those in `<>` are put off to `later` at first; the lookup that then reads them takes all."""

    def __init__(self, directories: Sequence[str], diagnostics: Diagnostics | None = None) -> None:
        self.directories = tuple(directories)
        self.diagnostics = diagnostics
        self.later: list[Source] = []

    def __call__(self, name: str, system: bool, asking: Span) -> Source | None:
        beside = [] if system else [os.path.dirname(asking.source.name)]
        path = self._path(name, beside)
        if path is None:
            if not system and self.diagnostics is not None and not self._kernel_header(name):
                searched = " and in ".join(("beside the script", *self.directories))
                self.diagnostics.error(asking, f"'{name}' file not found", f"looked {searched}; -I adds a directory")
            return None
        try:
            source = _text_of(path)
        except OSError as e:
            if self.diagnostics is not None:
                self.diagnostics.error(asking, f"cannot read {path}: {e.strerror}")
            return None
        if self.diagnostics is not None and (system or path.startswith(SYSTEM_DIRECTORIES)):
            self.later.append(source)
            return None
        return source

    def _path(self, name: str, beside: Sequence[str]) -> str | None:
        if os.path.isabs(name):
            return name if os.path.isfile(name) else None
        for directory in (*beside, *self.directories, *SYSTEM_DIRECTORIES):
            path = os.path.join(directory, name)
            if os.path.isfile(path):
                return path
        return None

    @staticmethod
    def _kernel_header(name: str) -> bool:
        """A header of the kernel by its place, whose types BTF has."""
        return name.startswith(("linux/", "net/", "asm/", "uapi/", "vmlinux", "trace/", "asm-generic/"))


def _put_off(finder: _Finder, spans: Sequence[Span]) -> bool:
    """Whether the definitions only include headers that are not read now, which takes no preprocessor."""
    includes = [_INCLUDE.fullmatch(span.text.strip()) for span in spans]
    if None in includes:
        return False
    found = [finder(m[2], m[1] == "<", span) for m, span in zip(includes, spans, strict=True) if m]
    if any(found):
        finder.later.clear()
        return False
    return True


def _text_of(path: str) -> Source:
    with open(path, "rb") as file:
        data = file.read(MAX_HEADER)
    return Source(path, data.decode("utf-8", "surrogateescape"))


def _read(env: CEnvironment, unit: _Unit, spans: Sequence[Span], diagnostics: Diagnostics) -> None:
    tokens = unit.preprocessor.read(*spans)
    if not tokens:
        return

    from pytrace.semantics.c.declarations import declare

    own = {id(s.source) for s in spans}
    declare(tokens, _Names(env), unit.declared, diagnostics, lambda span: id(span.source) in own)
    _complete_pointers(unit.declared, env)


class _Names:
    """What C text sees while it is being read: its own macros are replaced by then, the rest is the environment's."""

    def __init__(self, env: CEnvironment) -> None:
        self.env = env

    def struct(self, tag: Tag, name: str) -> t.Struct | None:
        return self.env.struct(tag, name)

    def enum(self, name: str) -> t.Enum | None:
        return self.env.enum(name)

    def typedef(self, name: str) -> t.Type | None:
        from pytrace.semantics.typenames import integer_type

        return integer_type(name) or self.env.typedef(name)

    def value(self, node: ast.Expr) -> fold.Value | None:
        return self.env.value(node)


def _complete_pointers(declared: Declarations, env: CEnvironment) -> None:
    """Gives the structs behind pointers their sizes, which were not known while those were being declared."""

    def sized(kind: t.Type) -> t.Type:
        match kind:
            case t.Pointer(to=to):
                target = sized(to)
                return kind if target is to else replace(kind, to=target)
            case t.Array():
                element = sized(kind.element)
                return kind if element is kind.element else replace(kind, element=element)
            case t.Struct(fields=None, byte_size=0) if kind.name:
                own = declared.structs.get((kind.tag, kind.name))
                size = own.byte_size if own else env.btf.sized(kind.tag, kind.name) if env.btf else 0
                return replace(kind, byte_size=size) if size else kind
            case t.Struct(fields=fields) if fields:
                parts = tuple(f if (p := sized(f.type)) is f.type else replace(f, type=p) for f in fields)
                return kind if all(a is b for a, b in zip(parts, fields, strict=True)) else replace(kind, fields=parts)
            case _:
                return kind

    for key, struct in declared.structs.items():
        declared.structs[key] = sized(struct)  # type: ignore[assignment]  # a struct stays one
    for name, kind in declared.typedefs.items():
        declared.typedefs[name] = sized(kind)
