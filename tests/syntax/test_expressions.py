"""Every form of expression and type, and what tree it is."""

from __future__ import annotations

import random

import pytest

from pytrace.diagnostics import ScriptError, Source
from pytrace.syntax import ast, parse_expression
from tests.syntax.shapes import expr, prefix

LITERALS = {
    "0": 0,
    "42": 42,
    "1_000_000": 1_000_000,
    "0x1F": 31,
    "0X1f": 31,
    "0xff_ff": 0xFFFF,
    "0777": 0o777,
    "0_1": 1,
    "1e6": 1_000_000,
    "3E2": 300,
    "1e19": 10**19,
    "10u": 10,
    "10ULL": 10,
    "10ul": 10,
    "10LL": 10,
    "0x10UL": 16,
    "7ns": 7,
    "7us": 7_000,
    "7ms": 7_000_000,
    "7s": 7_000_000_000,
    "7m": 420_000_000_000,
    "7h": 7 * 3600 * 10**9,
    "7d": 7 * 86400 * 10**9,
    "1_0s": 10 * 10**9,
    "18446744073709551615": 2**64 - 1,
}

STRINGS = {
    r'"abc"': "abc",
    r'"a\nb\tc\rd"': "a\nb\tc\rd",
    r'"\\ \""': '\\ "',
    r'"\0"': "\0",
    r'"\101\x41\x4g"': "AA\x04g",
    r'"\1234"': "S4",
    r'"\xff"': "\udcff",
    r'"\377"': "\udcff",
    '"é // no comment /* none */"': "é // no comment /* none */",
}

FORMS = {
    # names
    "pid": "pid",
    "$x": "$x",
    "$1 + $#": "(+ $1 $#)",
    "$01": "$1",
    "@": "@",
    "@a": "@a",
    "@a[1]": "(at @a 1)",
    "@[1]": "(at @ 1)",
    "@ [1]": "(at @ 1)",
    "@a[1, 2]": "(at @a (tuple 1 2))",
    "@a[(1, 2)]": "(at @a (tuple 1 2))",
    "@a[(1,)]": "(at @a (tuple 1))",
    "@a[1][2]": "(index (at @a 1) 2)",
    "true ? false : true": "(? True False True)",
    # precedence and associativity
    "1 + 2 * 3": "(+ 1 (* 2 3))",
    "(1 + 2) * 3": "(* (+ 1 2) 3)",
    "1 - 2 - 3": "(- (- 1 2) 3)",
    "1 << 2 + 3 < 4 == 5 & 6 ^ 7 | 8 && 9 || 10": ("(|| (&& (| (^ (& (== (< (<< 1 (+ 2 3)) 4) 5) 6) 7) 8) 9) 10)"),
    "1 / 2 % 3": "(% (/ 1 2) 3)",
    "1 >> 2 >= 3 != 4": "(!= (>= (>> 1 2) 3) 4)",
    "a ? b : c ? d : e": "(? a b (? c d e))",
    "a ? b ? c : d : e": "(? a (? b c d) e)",
    "a ?: b": "(? a - b)",
    "a ? : b": "(? a - b)",
    "a || b ? c : d": "(? (|| a b) c d)",
    "-a * b": "(* (unary- a) b)",
    "!a == b": "(== (unary! a) b)",
    "~a & b": "(& (unary~ a) b)",
    "a - -b": "(- a (unary- b))",
    "a && &$b": "(&& a (unary& $b))",
    "a*b": "(* a b)",
    "a * *$b": "(* a (unary* $b))",
    "**$a": "(unary* (unary* $a))",
    "*$x.y": "(unary* (.y $x))",
    "(*$x).y": "(.y (unary* $x))",
    "&$x.y": "(unary& (.y $x))",
    "-$x++": "(unary- (post++ $x))",
    "$x++ + ++$x": "(+ (post++ $x) (pre++ $x))",
    "$x+++$y": "(+ (post++ $x) $y)",
    "--@a[1]": "(pre-- (at @a 1))",
    # access
    "args.filename": "(.filename args)",
    "args.if.struct.config.string": "(.string (.config (.struct (.if args))))",
    "$a->b.c->d": "(->d (.c (->b $a)))",
    "$kv.0.1": "(.1 (.0 $kv))",
    "$a[1].b[2]": "(index (.b (index $a 1)) 2)",
    '"abc"[1]': "(index 'abc' 1)",
    "((1, 2), 3).0.1": "(.1 (.0 (tuple (tuple 1 2) 3)))",
    # tuples and records
    "()": "(tuple)",
    "(1,)": "(tuple 1)",
    "(1, 2)": "(tuple 1 2)",
    "(1, 2,)": "(tuple 1 2)",
    "((1))": "1",
    '(color="x", size=2)': "(record color='x' size=2)",
    "(a=1).a": "(.a (record a=1))",
    # calls
    "f()": "(f())",
    "f(1, $x, @m)": "(f() 1 $x @m)",
    "m!(1)": "(m!() 1)",
    "m !(1)": "(m!() 1)",
    "f (1)": "(f() 1)",
    "f({ 1 })": "(f() (block 1))",
    "m(struct foo, uint8, foo *, typeof($x))": "(m() <struct foo> <uint8> <ptr <foo>> <typeof $x>)",
    "f(a * b)": "(f() (* a b))",
    # types in expressions
    "sizeof(struct foo)": "(sizeof <struct foo>)",
    "sizeof(uint8[3])": "(sizeof <array <uint8> 3>)",
    "sizeof(union u *)": "(sizeof <ptr <union u>>)",
    "sizeof($x)": "(sizeof $x)",
    "sizeof(foo)": "(sizeof foo)",
    "sizeof(1 + 2)": "(sizeof (+ 1 2))",
    "typeinfo(uint64)": "(typeinfo <uint64>)",
    "offsetof(struct x, a.b)": "(offsetof <struct x> a.b)",
    "offsetof(*$x, a)": "(offsetof (unary* $x) a)",
    # casts
    "(uint8)1": "(cast <uint8> 1)",
    "(int32)$x": "(cast <int32> $x)",
    "(struct task_struct *)curtask": "(cast <ptr <struct task_struct>> curtask)",
    "(struct task_struct *)x->y": "(cast <ptr <struct task_struct>> (->y x))",
    "((struct x *)$p)->y": "(->y (cast <ptr <struct x>> $p))",
    "(uint8[8])x": "(cast <array <uint8> 8> x)",
    "(uint8[])x": "(cast <array <uint8>> x)",
    "(string[64])p": "(cast <array <string> 64> p)",
    "(string[$1])$p": "(cast <array <string> $1> $p)",
    "(void *)0": "(cast <ptr <void>> 0)",
    "(int **)$p": "(cast <ptr <ptr <int>>> $p)",
    "(foo[3]*)$p": "(cast <ptr <array <foo> 3>> $p)",
    "(foo*[3])$p": "(cast <array <ptr <foo>> 3> $p)",
    "(uint8)(uint16)$x": "(cast <uint8> (cast <uint16> $x))",
    "(typeof($x))$y": "(cast <typeof $x> $y)",
    "(typeof(*$x) *)$y": "(cast <ptr <typeof (unary* $x)>> $y)",
    "(enum e)2": "(cast <enum e> 2)",
    "(uint8)$x++": "(cast <uint8> (post++ $x))",
    "(uint8)1 + 2": "(+ (cast <uint8> 1) 2)",
    # `(name)` is a cast where an operand follows, unless the name is a builtin value
    "(foo)1": "(cast <foo> 1)",
    "(foo)(1)": "(cast <foo> 1)",
    "(foo)-1": "(cast <foo> (unary- 1))",
    "(foo)*$x": "(cast <foo> (unary* $x))",
    "(foo)&$x": "(cast <foo> (unary& $x))",
    "(foo)!1": "(cast <foo> (unary! 1))",
    "(foo)--$x": "(cast <foo> (pre-- $x))",
    "(foo)+1": "(+ foo 1)",
    "(foo) && 1": "(&& foo 1)",
    "(foo)": "foo",
    "(pid)-1": "(- pid 1)",
    "(arg0)*2": "(* arg0 2)",
    "(pid_t)-1": "(cast <pid_t> (unary- 1))",
    "(pid).x": "(.x pid)",
    # blocks as values
    "{ 1 }": "(block 1)",
    "{ 1 } + 2": "(+ (block 1) 2)",
    "if $x { 1 } else { 2 }": "(? $x 1 2)",
    "if a { 1 } else if b { 2 } else { 3 }": "(? a 1 (? b 2 3))",
    "comptime 1 + 2": "(+ (comptime 1) 2)",
    "comptime (1 + 2)": "(comptime (+ 1 2))",
}


@pytest.mark.parametrize(("text", "value"), LITERALS.items())
def test_integer(text: str, value: int) -> None:
    node = parse_expression(Source("-e", text))
    assert isinstance(node, ast.Integer)
    assert node.value == value


@pytest.mark.parametrize(("text", "value"), STRINGS.items())
def test_string(text: str, value: str) -> None:
    node = parse_expression(Source("-e", text))
    assert isinstance(node, ast.String)
    assert node.value == value


@pytest.mark.parametrize(("text", "tree"), FORMS.items())
def test_form(text: str, tree: str) -> None:
    assert expr(text) == tree


@pytest.mark.parametrize(
    "text",
    [
        "1_",
        "09",
        "08ms",
        "0x",
        "0xg",
        "12q",
        "5msx",
        "1e99",
        "18446744073709551616",
        "213504d",
        "1f",
        "0b11",
        "1e",
        "1.5",
        "$0",
        r'"\q"',
        r'"\xg"',
        r'"\400"',
        '"a\nb"',
        '"abc',
        "'a'",
        "f()++",
        "--1",
        "5 ms",
        "1 2",
        "(1 2)",
        "a b",
        "$ x",
        "@ x",
        "$",
        "#",
        "(struct foo)",
        "sizeof",
        "offsetof(struct x)",
        "$x = 1",
        "{ 1; }",
        "if 1 { 2 }",
        "",
    ],
)
def test_refused(text: str) -> None:
    with pytest.raises(ScriptError):
        parse_expression(Source("-e", text))


def test_precedence_is_that_of_c() -> None:
    """Against an independent parser of C expressions."""
    from pycparser import c_ast, c_parser

    def c_prefix(node: c_ast.Node) -> str:
        match node:
            case c_ast.BinaryOp():
                return f"({node.op} {c_prefix(node.left)} {c_prefix(node.right)})"
            case c_ast.UnaryOp():
                return f"(unary{node.op} {c_prefix(node.expr)})"
            case c_ast.TernaryOp():
                return f"(? {c_prefix(node.cond)} {c_prefix(node.iftrue)} {c_prefix(node.iffalse)})"
            case c_ast.ID():
                return str(node.name)
        raise AssertionError(node)

    operators = "+ - * / % << >> < > <= >= == != & ^ | && ||".split()  # noqa: SIM905
    choose = random.Random(1)
    parser = c_parser.CParser()
    for _ in range(300):
        words = ["a"]
        ternaries = 0
        for _ in range(choose.randint(1, 9)):
            if choose.random() < 0.1:
                words += ["?", "b", ":", "c"]
                ternaries += 1
            else:
                words += [choose.choice(operators), choose.choice(["x", "- y", "! z", "~ w"])]
        text = " ".join(words)
        function = parser.parse(f"int f(void) {{ return {text}; }}").ext[0]
        assert prefix(parse_expression(Source("-e", text))) == c_prefix(function.body.block_items[0].expr), text


def test_spans_cover_the_text() -> None:
    text = "$abc + f(1, (uint8)$x.y)[2]"
    node = parse_expression(Source("-e", text))
    assert isinstance(node, ast.Binary)
    assert node.span.text == text
    assert node.left.span.text == "$abc"
    assert node.right.span.text == "f(1, (uint8)$x.y)[2]"
    assert isinstance(node.right, ast.Index)
    call = node.right.object
    assert isinstance(call, ast.Call)
    assert [a.span.text for a in call.args] == ["1", "(uint8)$x.y"]
    assert isinstance(call.args[1], ast.Cast)
    assert call.args[1].type.span.text == "uint8"
