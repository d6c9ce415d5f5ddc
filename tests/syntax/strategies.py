"""Hypothesis strategies for ASTs: every tree that a text can have."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from pytrace.diagnostics import Source, Span
from pytrace.syntax import ast

SPAN = Span(Source("made", ""), 0, 0)
BINARY = ("||", "&&", "|", "^", "&", "==", "!=", "<", ">", "<=", ">=", "<<", ">>", "+", "-", "*", "/", "%")

names = st.sampled_from(["x", "foo", "pid", "comm", "args", "nsecs", "_a1", "configure", "iffy", "x_t"])
type_names = st.sampled_from(["foo_t", "uint8", "string", "size_t", "pid_t"])
field_names = st.sampled_from(["x", "if", "struct", "config", "string", "0", "12", "begin"])
texts = st.text(st.sampled_from('ab"\\\n\t\r\0\x7f/*{}<>é\udcff%1'), max_size=6)


def node(kind: Any, *args: Any, **named: Any) -> st.SearchStrategy[Any]:
    return st.builds(kind, *args, span=st.just(SPAN), **named)


def many(strategy: st.SearchStrategy[Any], least: int = 0, most: int = 3) -> st.SearchStrategy[tuple[Any, ...]]:
    return st.lists(strategy, min_size=least, max_size=most).map(tuple)


variables = node(ast.Variable, names)
maps = node(ast.Map, st.sampled_from(["", "a", "if", "x1"]))
integers = node(ast.Integer, st.one_of(st.integers(0, 300), st.integers(0, 2**64 - 1)))
atoms = st.one_of(
    integers,
    node(ast.String, texts),
    node(ast.Boolean, st.booleans()),
    node(ast.Identifier, names),
    node(ast.Positional, st.integers(1, 99)),
    node(ast.PositionalCount),
    variables,
    maps,
)

named_types = st.one_of(
    node(ast.NamedType, type_names),
    node(ast.NamedType, names, st.sampled_from(["struct", "union", "enum"])),
)


def pointed(inner: st.SearchStrategy[Any], size: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        inner,
        lambda t: st.one_of(node(ast.PointerType, t), node(ast.ArrayType, t, size)),
        max_leaves=3,
    )


cast_types = pointed(named_types, st.none() | integers)
"""Types that a cast can name: array sizes are plain numbers."""

argument_types = pointed(
    st.one_of(
        node(ast.NamedType, st.sampled_from(["uint8", "string", "void"])),
        node(ast.NamedType, names, st.sampled_from(["struct", "union", "enum"])),
    ),
    st.none() | integers,
)
"""Types where an expression may stand too: what looks like an expression is one."""

declared_types = st.recursive(
    pointed(named_types, st.none() | integers), lambda t: node(ast.TupleType, many(t, 1)), max_leaves=4
)


def _not_a_map(candidate: Any) -> bool:
    return not isinstance(candidate, ast.Map)


def _grow(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    targets = st.one_of(variables, maps, node(ast.MapAccess, maps, inner))
    args = many(st.one_of(inner, argument_types))
    of = st.one_of(inner, argument_types)
    return st.one_of(
        node(ast.Binary, st.sampled_from(BINARY), inner, inner),
        node(ast.Binary, st.sampled_from(BINARY), inner, inner),
        node(ast.Unary, st.sampled_from("-!~*&+"), inner),
        node(ast.Increment, st.sampled_from(["++", "--"]), targets, st.booleans()),
        node(ast.Ternary, inner, st.none() | inner, inner),
        node(ast.MapAccess, maps, inner),
        node(ast.Tuple, many(inner)),
        node(ast.Record, many(st.tuples(names, inner), 1)),
        node(ast.Field, inner.filter(lambda e: not isinstance(e, ast.Integer)), field_names, st.booleans()),
        node(ast.Index, inner.filter(_not_a_map), inner),
        node(ast.Call, names, args, st.booleans()),
        node(ast.Cast, st.one_of(cast_types, node(ast.TypeofType, of)), inner),
        node(ast.Sizeof, of),
        node(ast.Typeinfo, of),
        node(ast.Offsetof, of, many(names, 1)),
        node(ast.Comptime, inner),
        node(ast.BlockExpr, many(simple_statements(inner), 0, 2), inner),
    )


def simple_statements(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    targets = st.one_of(variables, maps, node(ast.MapAccess, maps, inner))
    return st.one_of(
        node(ast.ExprStmt, inner),
        node(ast.Assign, targets, inner, st.none() | st.sampled_from("+-*/%&|^") | st.sampled_from(["<<", ">>"])),
        node(ast.Let, variables, st.none() | declared_types, st.none() | inner),
        node(ast.Discard, inner),
        node(ast.Jump, st.sampled_from(["break", "continue"])),
        node(ast.Return, st.none() | inner),
        node(ast.ImportStmt, texts),
    )


expressions: st.SearchStrategy[Any] = st.recursive(atoms, _grow, max_leaves=12)

_conditions = expressions.filter(lambda e: not isinstance(e, ast.Comptime))


def _nest(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    block = node(ast.Block, many(inner))
    simple_if = node(ast.If, _conditions, block, st.none() | block, st.booleans())
    return st.one_of(
        block,
        simple_if,
        node(ast.If, _conditions, block, simple_if, st.booleans()),
        node(ast.ForMap, variables, maps, block),
        node(ast.ForRange, variables, expressions, expressions, block),
        node(ast.While, expressions, block),
        node(ast.Unroll, expressions, block),
    )


statements = st.recursive(simple_statements(expressions), _nest, max_leaves=6)
blocks = node(ast.Block, many(statements))

points = node(
    ast.AttachPoint,
    st.sampled_from(
        [
            "begin",
            "END",
            "tracepoint:a:b*",
            "uprobe:/bin/a/b:f",
            'uprobe:x:cpp:"f(int, char) {"',
            "kprobe:f+0x10",
            "i:1s",
        ]
    ),
)
probes = node(ast.Probe, many(points, 1), st.none() | expressions, blocks, st.none() | st.sampled_from(["name", "a1"]))
macros = node(
    ast.Macro,
    names,
    many(st.one_of(variables, maps, node(ast.Identifier, names), node(ast.TypeofType, node(ast.Identifier, names)))),
    many(statements),
    st.none() | expressions,
)
subprograms = node(
    ast.Subprogram, names, many(node(ast.Param, names, declared_types)), st.none() | declared_types, blocks
)
map_declarations = node(ast.MapDecl, maps, st.sampled_from(["hash", "lruhash"]), st.none() | integers)
configs = node(
    ast.Config,
    many(
        node(
            ast.ConfigEntry,
            names,
            st.one_of(
                st.sampled_from(["perf", "x"]), integers, node(ast.String, texts), node(ast.Boolean, st.booleans())
            ),
        )
    ),
)
definitions = node(
    ast.CDefinition,
    st.sampled_from(["#include <a.h>", "#define A \\\n  1", "struct s { int x; };", "enum { A, B }", "typedef int t;"]),
)
scripts = st.builds(
    ast.Script,
    source=st.just(SPAN.source),
    c_definitions=many(definitions),
    config=st.none() | configs,
    imports=many(node(ast.Import, texts)),
    items=many(st.one_of(probes, probes, macros, subprograms, map_declarations)),
    span=st.just(SPAN),
)
