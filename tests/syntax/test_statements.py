"""Every form of statement, probe and definition."""

from __future__ import annotations

import pytest

from pytrace.diagnostics import ScriptError, Source
from pytrace.syntax import ast, parse_statements
from tests.syntax.shapes import points, prefix, script, shape, statements

X = ("Variable", "x")
ONE = ("Integer", 1)
EMPTY = ("Block", ())
A = ("Map", "a")
PRINT = ("ExprStmt", ("Call", "print", (ONE,)))

FORMS = {
    "": (),
    ";;": (),
    "print(1)": (PRINT,),
    "print(1);": (PRINT,),
    "print(1); print(1)": (PRINT, PRINT),
    "$x = 1": (("Assign", X, ONE),),
    "@a = 1": (("Assign", A, ONE),),
    "@a[1] = 1": (("Assign", ("MapAccess", A, ONE), ONE),),
    "@[1,1] = 1": (("Assign", ("MapAccess", ("Map", ""), ("Tuple", (ONE, ONE))), ONE),),
    **{f"$x {op}= 1": (("Assign", X, ONE, op),) for op in ("+", "-", "*", "/", "%", "&", "|", "^", "<<", ">>")},
    "$x++": (("ExprStmt", ("Increment", "++", X)),),
    "++$x": (("ExprStmt", ("Increment", "++", X, True)),),
    "let $x": (("Let", X),),
    "let $x : uint8": (("Let", X, ("NamedType", "uint8")),),
    "let $x = 1": (("Let", X, None, ONE),),
    "let $x : struct s * = 1": (("Let", X, ("PointerType", ("NamedType", "s", "struct")), ONE),),
    "let $x : (uint8, string[4])": (
        ("Let", X, ("TupleType", (("NamedType", "uint8"), ("ArrayType", ("NamedType", "string"), ("Integer", 4))))),
    ),
    "let $x : typeof($x) = 1": (("Let", X, ("TypeofType", X), ONE),),
    "_ = 1": (("Discard", ONE),),
    "{ }": (EMPTY,),
    "{ $x = 1 } print(1)": (("Block", (("Assign", X, ONE),)), PRINT),
    "{ 1 }": (("Block", (("ExprStmt", ONE),)),),
    "if (1) { }": (("If", ONE, EMPTY),),
    "if 1 { }": (("If", ONE, EMPTY),),
    "if $x > 1 { } print(1)": (("If", ("Binary", ">", X, ONE), EMPTY), PRINT),
    "if 1 { } else { print(1) }": (("If", ONE, EMPTY, ("Block", (PRINT,))),),
    "if 1 {} else if $x {} else {}": (("If", ONE, EMPTY, ("If", X, EMPTY, EMPTY)),),
    "if comptime 1 { }": (("If", ONE, EMPTY, None, True),),
    "if 1 {} ++$x;": (("If", ONE, EMPTY), ("ExprStmt", ("Increment", "++", X, True))),
    "if 1 {};": (("If", ONE, EMPTY),),
    "while (1) { break; continue }": (("While", ONE, ("Block", (("Jump", "break"), ("Jump", "continue")))),),
    "while $x < 1 { }": (("While", ("Binary", "<", X, ONE), EMPTY),),
    "unroll(1) { }": (("Unroll", ONE, EMPTY),),
    "unroll 1 { }": (("Unroll", ONE, EMPTY),),
    "for ($x : @a) { }": (("ForMap", X, A, EMPTY),),
    "for $x : @a { }": (("ForMap", X, A, EMPTY),),
    "for ($x : 1..5) { }": (("ForRange", X, ONE, ("Integer", 5), EMPTY),),
    "for $x : 1..5 { }": (("ForRange", X, ONE, ("Integer", 5), EMPTY),),
    "for $x : (1)..$x+1 { }": (("ForRange", X, ONE, ("Binary", "+", X, ONE), EMPTY),),
    "return": (("Return",),),
    "return 1;": (("Return", ONE),),
    'import "a.bt";': (("ImportStmt", "a.bt"),),
    "$x = { let $x = 1; $x }": (("Assign", X, ("BlockExpr", (("Let", X, None, ONE),), X)),),
    "$x = if 1 { $x = 1; 1 } else { 1 }": (
        ("Assign", X, ("Ternary", ONE, ("BlockExpr", (("Assign", X, ONE),), ONE), ONE)),
    ),
    "print /* in */ (1) // out": (PRINT,),
}


@pytest.mark.parametrize(("text", "shapes"), FORMS.items())
def test_statement(text: str, shapes: object) -> None:
    assert statements(text) == shapes
    probe = script(f"begin {{ {text}\n }}").probes[0]
    assert shape(probe.body.body) == shapes
    if ">" not in text:
        assert shape(script(f"begin < {text}\n >").probes[0].body.body) == shapes


@pytest.mark.parametrize(
    "text",
    [
        "print(1) print(2)",
        "$x = 1 $y = 2",
        "if (1) print(1)",
        "if 1 {} else 3",
        "for ($i : @m[1]) {}",
        "let @x",
        "else {}",
        "$x.y = 1",
        "*$x = 1",
        "f() = 1",
        "pid++",
        "$x = $y = 1",
        "for (;;) {}",
        "$x = {}",
        "import x",
        "return 1 2",
        "}",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ScriptError):
        parse_statements(Source("-e", text))


# --- attach points ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "point",
    [
        "begin",
        "END",
        "Begin",
        "uprobe:/bin/bash:readline",
        "usdt:/bin/a:ns:probe",
        "usdt:*:ns:probe",
        "kprobe:f+0x10",
        "kprobe:0xffff",
        "tracepoint:a:b*",
        "profile:hz:99",
        "interval:1s",
        "software:faults:1e3",
        "iter:task:pin",
        'uprobe:lib:cpp:"Foo::bar(int, char *) {"',
        "uprobe:/bin/x:cpp:std::vector<int>::f",
        "uprobe:/bin/x@file.c:10:5",
        "watchpoint:0x123:8:rw",
        "self:signal:SIGUSR1",
        "uprobe:/proc/$1/exe:*",
        "uprobe:$1:$2",
        "uprobe:a/b:f",
        "uprobe:/a.apk!/lib/x.so:f",
        "kprobe:f[a-c]?x",
        "iter:task:/sys/fs/bpf/x",
        "*:a:b",
        "uprobe:/bin//bash:f",
        'uprobe:"/bin/b,a sh":f',
        "test:name",
        "fentry:bpf:123:prog",
        "uprobe:/bin/*:f",
        "hardware:cache-misses:1e6",
    ],
)
@pytest.mark.parametrize("action", [" {}", "{}", " /1/ {}", " < >", ",\n begin {}", " // c\n {}", " /* c */ /1/ < >"])
def test_attach_point(point: str, action: str) -> None:
    assert points(point + action)[0] == point


@pytest.mark.parametrize("point", ["kprobe:f", "begin", "interval:s:1", "tracepoint:a:b"])
def test_predicate_right_after_a_point_without_path(point: str) -> None:
    probe = script(f"{point}/pid == 1/{{}}").probes[0]
    assert probe.points[0].text == point
    assert prefix(probe.predicate) == "(== pid 1)"


def test_a_path_may_hold_slashes_to_its_end() -> None:
    assert points("uprobe:a:f/1/ {}") == ["uprobe:a:f/1/"]


def test_several_points() -> None:
    assert points("kprobe:f,kprobe:g ,\n uprobe:/a/b:c, {}") == ["kprobe:f", "kprobe:g", "uprobe:/a/b:c"]


def test_probe_name() -> None:
    (probe,) = script("name=kprobe:f {}").probes
    assert probe.name == "name"
    assert probe.points[0].text == "kprobe:f"


@pytest.mark.parametrize(
    ("predicate", "tree"),
    [
        ("1", "1"),
        ("pid / 2 == 1", "(== (/ pid 2) 1)"),
        ("@a[1] / $x", "(/ (at @a 1) $x)"),
        ("$x / $y / -$z", "(/ (/ $x $y) (unary- $z))"),
        ('"a/b" == comm', "(== 'a/b' comm)"),
        ("1 < 2", "(< 1 2)"),
        ("pid > 2", "(> pid 2)"),
        ("x >> 2 >= 3", "(>= (>> x 2) 3)"),
        ("(1)", "1"),
        ("1 /* c */ ", "1"),
    ],
)
@pytest.mark.parametrize("action", ["{ $x = 1 / 2; }", " < $x = 1 / 2; >", " // c\n { $x = 1 / 2; }"])
def test_predicate(predicate: str, tree: str, action: str) -> None:
    (probe,) = script(f"kprobe:f /{predicate}/{action}").probes
    assert prefix(probe.predicate) == tree
    assert shape(probe.body) == ("Block", (("Assign", X, ("Binary", "/", ONE, ("Integer", 2))),))


# --- < > ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        "@[comm] = count();",
        "@[comm] = count()",
        "if ($a > 5) { @ = $b > 3; }",
        "@ = ($a > 5);",
        "@x = $a >> 2; @y = $a >= 2; $a >>= 1;",
        "@x = $p->y->z;",
        "@x[$a > 1] = 2; f($a > 1);",
        "@x--;",
        "$a = $b < 3;",
        "if ($a > 5) { }",
        "",
        "// > in a comment\n f();",
        'print(">");',
    ],
)
@pytest.mark.parametrize("after", ["", "\n", " // end", " kprobe:g { f(); }", "kprobe:g < f(); >", " END < >"])
def test_angle_block_is_a_brace_block(body: str, after: str) -> None:
    angled = script(f"kprobe:f /pid > 1/ < {body} >{after}")
    braced = script(f"kprobe:f /pid > 1/ {{ {body} }}{after}")
    assert angled == braced


@pytest.mark.parametrize(
    "text",
    [
        "begin < $x = $a > 5; >",
        "begin < if $a > 3 { f(); } >",
        "begin < f($x) > g(); >",
        "begin < @ = 1; }",
        "begin { f(); >",
    ],
)
def test_wrong_guess_about_angles_says_so(text: str) -> None:
    with pytest.raises(ScriptError) as caught:
        script(text)
    (diagnostic,) = caught.value.diagnostics
    assert "'>'" in diagnostic.message + str(diagnostic.hint)


# --- the rest of a script -----------------------------------------------------------------------


def test_definitions() -> None:
    tree = script(
        """#!/usr/bin/env pytrace
#include <linux/a.h>
#define X(a) \\
    (a + 1)
struct s { int x; struct { char y[4]; } z; }
union u { int a; /* } */ };
enum { A, B = 2 };
typedef struct { int x; } foo_t;
config = { stack_mode = perf; max_map_keys=1e3; a = "x"; b = true }
import "lib.bt";
let @m = lruhash(100);
begin {}
"""
    )
    assert [d.text for d in tree.c_definitions] == [
        "#include <linux/a.h>",
        "#define X(a) \\\n    (a + 1)",
        "struct s { int x; struct { char y[4]; } z; }",
        "union u { int a; /* } */ };",
        "enum { A, B = 2 };",
        "typedef struct { int x; } foo_t;",
    ]
    assert shape(tree.config) == (
        "Config",
        tuple(
            ("ConfigEntry", key, value)
            for key, value in [
                ("stack_mode", "perf"),
                ("max_map_keys", ("Integer", 1000)),
                ("a", ("String", "x")),
                ("b", ("Boolean", True)),
            ]
        ),
    )
    assert shape(tree.imports) == (("Import", "lib.bt"),)
    assert shape(tree.items[0]) == ("MapDecl", ("Map", "m"), "lruhash", ("Integer", 100))
    assert len(tree.probes) == 1


@pytest.mark.parametrize(
    "behind",
    [
        "",
        ";",
        " /* c */ ;",
        " __attribute__((packed))",
        " __attribute__((packed, aligned(sizeof(long))));",
        "\n__packed // c\n__aligned(8) ;",
    ],
)
@pytest.mark.parametrize("then", ["begin { }", " // c\nkprobe:f { }", "struct y { int z; }\nbegin { }"])
def test_c_definitions_end_with_a_brace_and_what_belongs_to_it(behind: str, then: str) -> None:
    tree = script(f"struct x {{ int a; }}{behind}\n{then}")
    assert tree.c_definitions[0].text == f"struct x {{ int a; }}{behind}"
    assert len(tree.c_definitions) == 1 + then.startswith("struct")
    assert len(tree.probes) == 1


@pytest.mark.parametrize("late", ["struct x { int y; };", "config = { a = 1 }", 'import "x";', "#define A 1"])
def test_definitions_come_first(late: str) -> None:
    with pytest.raises(ScriptError, match="must come before"):
        script(f"begin {{}}\n{late}")


def test_macros() -> None:
    tree = script(
        """macro one() { 1 }
macro m($a, b, @c, typeof(T)) { @c = b; $a + 1 }
macro s(x) { x; x; }
macro w(x) { if x { 1 } else { $y = 2; $y } }"""
    )
    assert shape(tree.items) == (
        ("Macro", "one", (), (), ONE),
        (
            "Macro",
            "m",
            (("Variable", "a"), ("Identifier", "b"), ("Map", "c"), ("TypeofType", ("Identifier", "T"))),
            (("Assign", ("Map", "c"), ("Identifier", "b")),),
            ("Binary", "+", ("Variable", "a"), ONE),
        ),
        ("Macro", "s", (("Identifier", "x"),), (("ExprStmt", ("Identifier", "x")),) * 2),
        (
            "Macro",
            "w",
            (("Identifier", "x"),),
            (),
            (
                "Ternary",
                ("Identifier", "x"),
                ONE,
                ("BlockExpr", (("Assign", ("Variable", "y"), ("Integer", 2)),), ("Variable", "y")),
            ),
        ),
    )


def test_subprogram() -> None:
    tree = script("fn f($a : uint8, $b : struct foo *) : uint64 { return 1; } fn g() { }")
    assert shape(tree.items) == (
        (
            "Subprogram",
            "f",
            (
                ("Param", "a", ("NamedType", "uint8")),
                ("Param", "b", ("PointerType", ("NamedType", "foo", "struct"))),
            ),
            ("NamedType", "uint64"),
            ("Block", (("Return", ONE),)),
        ),
        ("Subprogram", "g", (), None, EMPTY),
    )


def test_comments_are_kept_beside_the_tree() -> None:
    tree = script("// one\nbegin { /* two\n lines */ f(); // three\n}")
    assert [c.span.text for c in tree.comments] == ["// one", "/* two\n lines */", "// three"]
    assert isinstance(tree.probes[0].body, ast.Block)
