"""C declarations: layouts against gcc's, names against what the text says."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pytrace import types as t
from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.semantics.cdefs import CEnvironment, expand_defines, read_definitions
from pytrace.syntax import ast
from tests.semantics.asts import expr, probe, script

needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler to compare with")


def read(
    text: str, *, found: Diagnostics | None = None, name: str = "test", directories: tuple[str, ...] = ()
) -> CEnvironment:
    span = Span(Source(name, text), 0, len(text))
    diagnostics = Diagnostics() if found is None else found
    env = read_definitions([ast.CDefinition(text, span=span)], diagnostics, include_directories=directories)
    if found is None:
        assert [d.render() for d in diagnostics] == []
    return env


def places(kind: t.Type, base: str = "", offset: int = 0) -> Iterator[tuple[str, int, int, int]]:
    """Path, offset, bit position (from `offset`) and size (bits of a bitfield, else bytes) of every member."""
    assert isinstance(kind, t.Struct)
    for f in kind.fields or ():
        if f.name == "":
            yield from places(f.type, base, offset + f.offset)
            continue
        path = base + f.name
        if f.bit_size:
            yield path, 8 * (offset + f.offset) + f.bit_offset, -1, f.bit_size
        else:
            yield path, offset + f.offset, 0, f.type.size
            if isinstance(f.type, t.Struct) and f.type.fields is not None:
                yield from places(f.type, path + ".", offset + f.offset)


def compiled(text: str, names: list[str], env: CEnvironment, directory: Path) -> dict[str, int]:
    """What gcc says of the sizes, offsets and bit positions that `env` has computed; keys as in `ours`."""
    lines = ["#include <stddef.h>", "#include <stdint.h>", "#include <stdio.h>", "#include <string.h>"]
    lines += ["typedef uint32_t u32; typedef uint64_t u64; typedef uint8_t u8; typedef uint16_t u16;", text]
    lines.append(
        "static int bits(unsigned char *p, int n) { int first = -1, count = 0; for (int i = 0; i < 8 * n; i++)"
    )
    lines.append("  if (p[i / 8] >> (i % 8) & 1) { if (first < 0) first = i; count++; } return first * 1000 + count; }")
    lines.append("int main(void) {")
    for name in names:
        lines.append(f'printf("{name} %zu\\n", sizeof({name}));')
        tag, _, plain = name.partition(" ")
        for path, _, bit, size in places(env.struct(tag, plain) or t.VOID):
            if bit < 0:
                lines.append(f"{{ {name} v; memset(&v, 0, sizeof v); v.{path} = -1;")
                lines.append(f'printf("{name}:{path} %d\\n", bits((void *)&v, sizeof v)); }}')
            else:
                lines.append(f'printf("{name}.{path} %zu\\n", offsetof({name}, {path}));')
            if bit == 0 and size:  # a flexible array has no size to ask for
                lines.append(f'printf("{name}!{path} %zu\\n", sizeof((({name} *)0)->{path}));')
    source = directory / "p.c"
    source.write_text("\n".join([*lines, "return 0; }"]))
    subprocess.run(["gcc", "-w", "-O0", "-o", directory / "p", source], check=True)
    output = subprocess.run([directory / "p"], capture_output=True, text=True, check=True).stdout
    return {k: int(v) for k, _, v in (line.rpartition(" ") for line in output.splitlines())}


def ours(names: list[str], env: CEnvironment) -> dict[str, int]:
    result = {}
    for name in names:
        tag, _, plain = name.partition(" ")
        kind = env.struct(tag, plain)
        assert kind is not None
        result[name] = kind.size
        for path, place, bit, size in places(kind):
            if bit < 0:
                result[f"{name}:{path}"] = place * 1000 + size
            else:
                result[f"{name}.{path}"] = place
                if size:
                    result[f"{name}!{path}"] = size
    return result


STRUCTS = """
#define N 3
#define TWICE(x) ((x) * 2)
struct plain { char a; int b; short c; long d; char e; };
struct arrays { char a[N]; int b[2][N]; void *p[TWICE(2)]; long flexible[]; };
struct nested { char a; struct plain p; struct { char x; long y; } inner[2]; union { int i; char c[7]; } u; };
struct anonymous { int a; struct { char b; int c; }; union { long d; struct { short e, f; }; }; char g; };
struct bits { u32 a : 3, b : 5; u32 c : 30; int : 0; u8 d : 7; u8 e : 2; u64 f : 40; u64 g : 30; };
struct odd { char a; int b : 24; int c : 9; short d : 3; char e; long long f : 60; };
struct unnamed { char a; int : 5; int b : 3; short : 0; char c; };
struct packed { char a; int b; long c; short d; } __attribute__((packed));
struct __attribute__((__packed__)) packed2 { char a; struct plain p; u32 b : 7; u64 c : 50; char d; };
struct holds { char a; struct packed p; char b; struct packed q[2]; };
struct aligned { char a; int b __attribute__((aligned(16))); char c; } __attribute__((aligned(64)));
struct holds2 { char a; struct aligned b; char c; };
struct member { char a; long b __attribute__((packed)); _Alignas(8) char c; };
#pragma pack(push, 2)
struct pack2 { char a; int b; struct { char c; long d; } e; short f; };
#pragma pack(pop)
struct __attribute__((aligned(sizeof(long)))) aligned2 { int a; __attribute__((aligned(8))) short b, c; };
typedef int wide_t __attribute__((aligned(16)));
struct holds3 { char a; wide_t b; char c; struct aligned2 d[2]; };
struct unended { char a; int b }
;
union choice { char a[13]; long b; struct packed c; };
struct function { int (*f)(int, void *); void (*g[2])(void); int *(*h)(int (*)(int)); char c; };
struct pointers { struct plain *p; struct unseen *q; const char *const *r; struct pointers *self, **more; };
struct words { unsigned long int a; long long unsigned b; short int c; signed char d; unsigned e; _Bool f; float g;
  double h; long double i; unsigned __int128 j; };
enum small { S0, S1 = 5 }; enum negative { M1 = -1 }; enum wide { W = 1ULL << 40 };
struct enums { char a; enum small s; char b; enum negative n; char c; enum wide w; enum small t : 3; };
typedef struct { int a; char b; } pair_t;
typedef pair_t pairs_t[2];
typedef unsigned short word_t;
struct typedefs { char a; pair_t p; word_t w; pairs_t ps; struct { word_t x; } q; uint16_t r; size_t s; };
struct sized { char a[sizeof(struct plain)]; char b[sizeof(int) * 2 + (1 ? 2 : 3)]; char c['a']; char d[S1]; };
"""
NAMES = [
    re.sub(r"__attribute__\S+ ", "", line).split(" {")[0]
    for line in STRUCTS.splitlines()
    if line.startswith(("struct ", "union "))
]


@needs_gcc
def test_layouts_are_those_of_gcc(tmp_path: Path) -> None:
    env = read(STRUCTS)
    assert len(NAMES) == 24
    assert ours(NAMES, env) == compiled(STRUCTS, NAMES, env, tmp_path)


_TYPES = ["char", "unsigned char", "short", "int", "unsigned int", "long", "unsigned long long", "void *"]


@st.composite
def members(draw: st.DrawFn, depth: int = 2) -> str:
    text = ""
    for i in range(draw(st.integers(1, 5))):
        name = f"m{i}_{depth}"
        form = draw(st.sampled_from(("plain", "array", "bits", "bits", "struct", "union", "gap", "aligned")))
        kind = draw(st.sampled_from(_TYPES))
        if form == "array":
            text += f"{kind} {name}[{draw(st.integers(1, 4))}]; "
        elif form == "bits" and "*" not in kind:
            width = {"char": 8, "short": 16, "int": 32}.get(kind.split()[-1], 64)
            width = 64 if "long" in kind else width
            text += f"{kind} {name} : {draw(st.integers(1, width))}; "
        elif form == "gap" and "*" not in kind:
            text += f"{kind} : {draw(st.sampled_from((0, 1, 5)))}; "
        elif form in ("struct", "union") and depth:
            packed = draw(st.sampled_from(("", "__attribute__((packed)) ")))
            label = draw(st.sampled_from(("", f"{name}x")))
            inner = draw(members(depth=depth - 1)).replace("m", f"n{i}m")
            text += f"{form} {packed}{{ char f{name}; {inner}}} {label}; "
        elif form == "aligned":
            text += f"{kind} {name} __attribute__((aligned({draw(st.sampled_from((1, 2, 8, 32)))}))); "
        else:
            text += f"{kind} {name}; "
    return text


@needs_gcc
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.sampled_from(("", " __attribute__((packed))")), members()), min_size=8, max_size=12))
def test_any_layout_is_that_of_gcc(tmp_path: Path, bodies: list[tuple[str, str]]) -> None:
    text = "\n".join(f"struct s{i} {{ char first; {body}}}{packed};" for i, (packed, body) in enumerate(bodies))
    names = [f"struct s{i}" for i in range(len(bodies))]
    env = read(text)
    assert ours(names, env) == compiled(text, names, env, tmp_path)


def test_types_of_members() -> None:
    env = read("struct s { char c; unsigned char u; u32 w; struct s *next; const char __user *text; bool b; };")
    kind = env.struct("struct", "s")
    assert kind is not None
    assert {f.name: f.type for f in kind.fields or ()} == {
        "c": t.Int(8, True),
        "u": t.Int(8, False),
        "w": t.UINT32,
        "next": t.Pointer(t.Struct("struct", "s", kind.size, None)),
        "text": t.Pointer(t.Int(8, True), "user"),
        "b": t.BOOL,
    }


def test_annotations_are_not_names_and_names_not_annotations() -> None:
    env = read(
        "#define __mark\n"
        "struct __own { int __a; struct { char b; } __c; enum __e { X } __d; void __odd *__p; } __layout;\n"
        "struct holder { struct __own o; struct __randomize * __q; };"
    )
    kind = env.struct("struct", "__own")
    assert kind is not None
    assert list(kind.field_names()) == ["__a", "__c", "__d", "__p"]
    holder = env.struct("struct", "holder")
    assert holder is not None
    assert [f.name for f in holder.fields or ()] == ["o", "__q"]


def test_enums() -> None:
    env = read("enum e { A = 1, B, C = 10 }; enum { LONE = -1 };")
    kind = env.enum("e")
    assert kind == t.Enum("e", 32, False, (("A", 1), ("B", 2), ("C", 10)))
    assert env.constant("B") == (2, kind)
    assert env.constant("LONE") == (-1, t.Enum("", 32, True, (("LONE", -1),)))


@pytest.mark.parametrize(
    ("define", "value"),
    [
        ("X 5", 5),
        ("X -1", -1),
        ("X (1UL << 3 | 0x10)", 24),
        ("X 'a'", 97),
        ("X '\\n'", 10),
        ("X 017", 15),
        ("X (sizeof(int) * 2)", 8),
        ("X ((u32)-1)", 2**32 - 1),
        ("X (5 > 3 ? 7 : 8)", 7),
        ("X AF_INET6", 10),
        ("X \\\n 5 /* five */ // really", 5),
    ],
)
def test_integer_defines(define: str, value: int) -> None:
    assert read(f"#define {define}").constant("X") == (value, t.UNKNOWN)


def test_other_defines() -> None:
    env = read(
        '#define S "abc" "\\x64\\n"\n#define FD args->fd\n'
        "#define NOTHING\n#define F(x) (x + 1)\n#define A B\n#define B A"
    )
    assert env.constant("S") == "abcd\n"
    assert env.constant("FD") is None
    assert env.expression("FD") == ast.Field(expr("args"), "fd", True, span=expr("args").span)
    for name in ("NOTHING", "F", "A", "B", "MISSING"):
        assert env.constant(name) is None
    assert set(env.names()) == {"S", "FD", "NOTHING", "A", "B"}


def test_defines_of_expressions_are_put_in_place() -> None:
    env = read("#define P pid\n#define N 5\n#define BOTH (P + N)")
    before = script(probe("print(P == N)", "print(BOTH)"))
    after = script(probe("print(pid == N)", "print(pid + 5)"))
    assert expand_defines(before, env) == after
    assert expand_defines(before, CEnvironment()) == before


def test_typedefs_and_defined_types() -> None:
    env = read(
        "typedef unsigned int foo_t; typedef struct { int a; } bar_t;\n#define baz_t foo_t\n#define ptr_t char *"
    )
    assert env.typedef("foo_t") == t.UINT32
    assert env.typedef("baz_t") == t.UINT32
    assert env.typedef("ptr_t") == t.Pointer(t.Int(8, True))
    bar = env.typedef("bar_t")
    assert isinstance(bar, t.Struct)
    assert bar.field("a") == t.Field("a", t.INT32, 0)


def test_values_for_fold() -> None:
    env = read("struct s { char a; struct { int b, c; } in; };")
    span = expr("x").span
    s = ast.NamedType("s", "struct", span=span)
    assert env.value(ast.Sizeof(s, span=span)) == 12
    assert env.value(ast.Offsetof(s, ("in", "c"), span=span)) == 8
    assert env.value(ast.Offsetof(s, ("nope",), span=span)) is None
    assert env.value(ast.Sizeof(ast.PointerType(s, span=span), span=span)) == 8
    assert env.value(ast.Identifier("ENOENT", span=span)) == 2


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("#ifdef X\n#define R 1\n#else\n#define R 2\n#endif", 2),
        ("#ifndef X\n#define R 1\n#else\n#define R 2\n#endif", 1),
        ("#ifdef BPFTRACE_HAVE_BTF\n#define R 1\n#endif", 1),
        ("#if defined(A) || !defined B && 1 > 0\n#define R 1\n#endif", 1),
        (
            "#define V 6\n#if V < 5\n#define R 1\n#elif V == 6\n#define R 2\n"
            "#elif 1\n#define R 3\n#else\n#define R 4\n#endif",
            2,
        ),
        ("#if 0\n#if 1\n#define R 1\n#endif\n#else\n#define R 2\n#endif", 2),
        ("#if 0\n#error don't\n#endif\n#define R 1", 1),
        ("#define F(a, b) a##b\n#define R F(1, 2)", 12),
        ("#define LAST(a, ...) (__VA_ARGS__)\n#define R LAST(1, 7)", 7),
        ("#define F(x) G(x)\n#define G(x) (x * 2)\n#define R F(F(2))", 8),
        ("#define R 1\n#undef R\n#define R 3", 3),
        ("#pragma whatever\n#define R 1", 1),
    ],
)
def test_preprocessor(text: str, value: int) -> None:
    assert read(text).constant("R") == (value, t.UNKNOWN)


def test_stringize() -> None:
    assert read('#define Q(x) #x\n#define R Q(a  "b")').constant("R") == 'a "b"'


def test_local_headers_are_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "a.h").write_text(
        '#pragma once\n#include "sub/b.h"\nstruct a { struct b x; };\nthis is no C;\nstruct c { int i; };'
    )
    (tmp_path / "sub").mkdir()
    (tmp_path / "sub" / "b.h").write_text(
        "#include <missing_everywhere.h>\nstruct b { long y; };\nint f(void) { return 1; }"
    )
    found = Diagnostics()
    env = read('#include "a.h"\n#include "a.h"', name=str(tmp_path / "script.pt"), found=found)
    assert [(d.severity, d.message) for d in found] == [("warning", "unknown type name 'this'")]
    assert env.struct("struct", "a") is not None
    assert env.struct("struct", "c") is not None
    searched = read('#include "b.h"', directories=(str(tmp_path / "sub"),))
    assert searched.struct("struct", "b") is not None


def test_included_files_come_first(tmp_path: Path) -> None:
    header = tmp_path / "first.h"
    header.write_text("#define WIDTH 4")
    text = "struct s { char a[WIDTH]; };"
    span = Span(Source("test", text), 0, len(text))
    found = Diagnostics()
    env = read_definitions([ast.CDefinition(text, span=span)], found, include_files=(str(header),))
    assert list(found) == []
    struct = env.struct("struct", "s")
    assert struct is not None
    assert struct.size == 4


def test_system_headers_wait_until_they_are_needed(tmp_path: Path) -> None:
    header = tmp_path / "later.h"
    header.write_text("#define LATE 7\nstruct late { int a; };\nbroken {{{\n")
    env = read("#include <later.h>\n#include <linux/not_installed.h>", directories=(str(tmp_path),))
    header.unlink()  # its text was kept; nothing was made of it yet
    assert env.constant("AF_INET") == (2, t.UNKNOWN)
    assert env._header_unit is None
    assert env.constant("LATE") == (7, t.UNKNOWN)
    assert env.struct("struct", "late") is not None
    assert env.constant("NEVER") is None


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "struct x { nosuch_t a; };",
            "test:1:12-20: ERROR: unknown type name 'nosuch_t'\nstruct x { nosuch_t a; };\n           ~~~~~~~~",
        ),
        ("struct x { int a\nint b; };", "test:2:1-4: ERROR: expected ';'\nint b; };\n~~~"),
        (
            "struct x { int a b; };",
            "test:1:18-19: ERROR: unexpected 'b'\nstruct x { int a b; };\n                 ~",
        ),
        (
            "enum e : u8 { A = 256 };",
            "test:1:6-7: ERROR: the value 256 of 'A' does not fit in 'uint8'\nenum e : u8 { A = 256 };\n     ~",
        ),
        (
            "enum e : nothing { A };",
            "test:1:10-17: ERROR: the type of an enum must be one of the integer types\n"
            "enum e : nothing { A };\n         ~~~~~~~",
        ),
        (
            "struct x { int a; };\nstruct x { long a; };",
            "test:2:8-9: ERROR: redefinition of 'struct x'\nstruct x { long a; };\n       ~",
        ),
        (
            "struct x { int a; union { int b; struct { int a; }; }; };",
            "test:1:47-48: ERROR: duplicate member 'a'\n"
            "struct x { int a; union { int b; struct { int a; }; }; };\n" + " " * 46 + "~",
        ),
        (
            "enum x { A, B, A };",
            "test:1:16-17: ERROR: redefinition of enumerator 'A'\nenum x { A, B, A };\n               ~",
        ),
        (
            "enum x { A };\nenum y { B, A };",
            "test:2:13-14: ERROR: redefinition of enumerator 'A'\nenum y { B, A };\n            ~",
        ),
        (
            "enum x { A };\nenum x { A, B };",
            "test:2:6-7: ERROR: redefinition of 'enum x'\nenum x { A, B };\n     ~",
        ),
        (
            "typedef int x;\ntypedef long x;",
            "test:2:14-15: ERROR: 'x' is declared as 'int32' and as 'int64'\ntypedef long x;\n             ~",
        ),
        (
            "struct x { int a; };\nstruct y { struct x b",
            "test:2:10-11: ERROR: this struct does not end\nstruct y { struct x b\n         ~\n"
            "HINT: its closing '}' is missing",
        ),
        (
            "#define F(x) nosuch_t x\nstruct x { F(a); };",
            "test:2:12-13: ERROR: unknown type name 'nosuch_t'\nstruct x { F(a); };\n           ~",
        ),
        (
            "struct x { struct y b; };",
            "test:1:21-22: ERROR: member 'b' has the incomplete type 'struct y'\n"
            "struct x { struct y b; };\n"
            "                    ~",
        ),
        (
            "struct x { int a : 33; };",
            "test:1:16-17: ERROR: a bitfield of type int32 cannot have 33 bits\n"
            "struct x { int a : 33; };\n"
            "               ~",
        ),
        (
            "struct x { int a[1 / 0]; };",
            "test:1:18-23: ERROR: division by zero\nstruct x { int a[1 / 0]; };\n                 ~~~~~",
        ),
        (
            "struct x { int a[n]; };",
            "test:1:18-19: ERROR: the size of an array must be a constant integer\n"
            "struct x { int a[n]; };\n"
            "                 ~",
        ),
        ("#if 1", "test:1:1-6: ERROR: this conditional has no #endif\n#if 1\n~~~~~"),
        ("#endif", "test:1:1-7: ERROR: #endif without #if\n#endif\n~~~~~~"),
        ("#error not here", "test:1:1-16: ERROR: error not here\n#error not here\n~~~~~~~~~~~~~~~"),
        (
            '#include "nosuch.h"',
            "test:1:1-20: ERROR: 'nosuch.h' file not found\n"
            '#include "nosuch.h"\n'
            "~~~~~~~~~~~~~~~~~~~\n"
            "HINT: looked beside the script; -I adds a directory",
        ),
        ("/* for ever", "test:1:1-3: ERROR: this comment does not end\n/* for ever\n~~"),
    ],
)
def test_mistakes(text: str, message: str) -> None:
    found = Diagnostics()
    read(text, found=found)
    assert [d.render() for d in found] == [message]


def test_one_mistake_does_not_hide_the_rest() -> None:
    found = Diagnostics()
    env = read("struct a { nosuch_t x; };\nstruct b { int y; };\nstruct c { int z[-1]; };", found=found)
    assert [d.message for d in found] == ["unknown type name 'nosuch_t'", "an array cannot have -1 elements"]
    assert env.struct("struct", "b") is not None


@pytest.mark.parametrize(
    "text", ["struct s {" * 500, "#define R " + "(" * 5000, "struct s { int " + "(" * 3000 + "a; };"]
)
def test_depth_is_bounded(text: str) -> None:
    found = Diagnostics()
    assert read(text, found=found).constant("R") is None


def test_macros_cannot_grow_without_end() -> None:
    lines = ["#define A0 x x"] + [f"#define A{i} A{i - 1} A{i - 1}" for i in range(1, 40)]
    found = Diagnostics()
    read("\n".join([*lines, "A39"]), found=found)
    assert next(d.message for d in found).endswith("grows without end")


@given(st.text(alphabet="struct union{}[]();:*,#define if/\\'\" \n\t0x9ab_<>", max_size=80))
def test_any_text_gives_diagnostics_at_worst(text: str) -> None:
    found = Diagnostics()
    env = read(text, found=found)
    env.constant("a")
    for d in found:
        d.render()
