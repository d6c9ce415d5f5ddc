"""Macro expansion: what bpftrace 0.27 accepts means the same, what it refuses is refused."""

from __future__ import annotations

import re

import pytest

from pytrace.diagnostics import Diagnostics, Source
from pytrace.semantics.macros import expand_macros
from pytrace.syntax import ast, parse


def expanded(text: str, library: str = "") -> tuple[ast.Script, list[str]]:
    found = Diagnostics()
    macros = [i for i in parse(Source("library", library)).items if isinstance(i, ast.Macro)] if library else []
    result = expand_macros(parse(Source("test", text)), found, macros)
    assert not any(isinstance(i, ast.Macro) for i in result.items)
    return result, [d.message for d in found]


def same(text: str, plain: str, library: str = "") -> None:
    """That `text` expands to what `plain` says, in which `_1` at the end of a name stands for `#1`."""
    result, messages = expanded(text, library)
    assert messages == []
    assert _marked(str(result)) == str(parse(Source("test", plain)))


def _marked(text: str) -> str:
    return re.sub(r"#(\d+)'", r"_\1'", text)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("macro m() { 5 } begin { print(m); print(m()); print(m!()); }", "begin { print(5); print(5); print(5); }"),
        ("macro m(x) { x + x } begin { print(m(pid)); }", "begin { print(pid + pid); }"),
        ("macro m($x) { $x += 1; } begin { $a = 1; m($a); }", "begin { $a = 1; { $a += 1; } }"),
        ("macro m(@x) { @x[1] = 5; } begin { m(@a); }", "begin { { @a[1] = 5; } }"),
        ("macro m(@x) { @x } begin { print(m(@a)); }", "begin { print(@a); }"),
        ("macro m($x) { $x += 1; $x } begin { $a = 1; print(m($a)); }", "begin { $a = 1; print({ $a += 1; $a }); }"),
        ("macro m() { } begin { m(); }", "begin { { } }"),
        ("macro m() { 1; } begin { m(); }", "begin { { 1; } }"),
        ("begin { m(); } macro m() { print(3); }", "begin { { print(3); } }"),
        ("macro n() { 5 } macro m() { n() + 1 } begin { print(m); }", "begin { print(5 + 1); }"),
        ("macro m(x) { x } begin { print(m(m(m(1)))); }", "begin { print(1); }"),
        ("macro m(x) { x } macro m(x, y) { x - y } begin { print(m(1)); print(m(1, 2)); }",
         "begin { print(1); print(1 - 2); }"),
        ("macro m($x) { 1 } macro m(y) { 2 } begin { $a = 1; print(m($a), m(1)); }", "begin { $a = 1; print(1, 2); }"),
        ("macro m(x, $y) { 1 } macro m($x, y) { 2 } begin { $a = 1; print(m($a, $a)); }",
         "begin { $a = 1; print(1); }"),
        ("macro m() { 5 } interval:s:1 /m == 5/ { m(); }", "interval:s:1 /5 == 5/ { 5; }"),
        ("macro m(x) { unroll(x) { print(1); } } begin { m(2); }", "begin { { unroll(2) { print(1); } } }"),
        ("macro add(x) { x + 1 } begin { @[add(1)] = add(2); }", "begin { @[1 + 1] = 2 + 1; }"),
        ("macro strlen(x) { 7 } begin { print(strlen(\"a\")); }", "begin { print(7); }"),
        ("macro m(@x, k) { for ($kv : @x) { print($kv.0 + k); } } begin { m(@a, 1); }",
         "begin { { for ($kv_1 : @a) { print($kv_1.0 + 1); } } }"),
        ("macro m() { 1 } fn f($a : int64) : int64 { return m; }", "fn f($a : int64) : int64 { return 1; }"),
    ],
)  # fmt: skip
def test_arguments_and_forms(text: str, plain: str) -> None:
    same(text, plain)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("macro m() { $a = 2; print($a); } begin { $a = 1; m(); }", "begin { $a = 1; { $a_1 = 2; print($a_1); } }"),
        ("macro m() { print($a); } begin { $a = 1; m(); }", "begin { $a = 1; { print($a); } }"),
        ("macro m() { print($a); $a = 2; print($a); } begin { $a = 1; m(); }",
         "begin { $a = 1; { print($a); $a_1 = 2; print($a_1); } }"),
        ("macro m() { $a = $a + 1; $a } begin { $a = 1; print(m); }",
         "begin { $a = 1; print({ $a_1 = $a + 1; $a_1 }); }"),
        ("macro m() { $a++; } begin { $a = 1; m(); }", "begin { $a = 1; { $a++; } }"),
        ("macro m(x) { $a = x; $a + x } begin { $a = 7; print(m($a)); print(m($a)); }",
         "begin { $a = 7; print({ $a_1 = $a; $a_1 + $a }); print({ $a_2 = $a; $a_2 + $a }); }"),
        ("macro m($x) { let $y = $x; $x = 9; $y } begin { let $y = 3; print(m($y)); }",
         "begin { let $y = 3; print({ let $y_1 = $y; $y = 9; $y_1 }); }"),
        ("macro m() { for ($i : 0..$i) { print($i); } print($i); } begin { $i = 2; m(); }",
         "begin { $i = 2; { for ($i_1 : 0..$i) { print($i_1); } print($i_1); } }"),
        ("macro n($x) { $a = $x; } macro m() { $a = 1; n($a); } begin { m(); }",
         "begin { { $a_1 = 1; { $a_2 = $a_1; } } }"),
    ],
)  # fmt: skip
def test_hygiene(text: str, plain: str) -> None:
    same(text, plain)


@pytest.mark.parametrize(
    ("text", "plain"),
    [
        ("macro m(x) { sizeof(x) } begin { m(typeof(int32)); }", "begin { sizeof(typeof(int32)); }"),
        ("macro m(x) { sizeof(x) } begin { m(int32); }", "begin { sizeof(int32); }"),
        ("macro m(x) { (x)300 } begin { m(uint8); }", "begin { (uint8)300; }"),
        ("macro m(x) { (typeof(x))300 } begin { m(uint8); }", "begin { (typeof(uint8))300; }"),
        ("macro m(x) { let $a : typeof(x) = 3; } begin { m(uint8); }", "begin { { let $a_1 : typeof(uint8) = 3; } }"),
        ("macro m(x) { sizeof(struct x) } begin { m(task_struct); }", "begin { sizeof(struct task_struct); }"),
        ("macro n(y) { sizeof(y) } macro m(x) { n(x) } begin { m(struct sock); }", "begin { sizeof(struct sock); }"),
        ("macro m(typeof(T)) { (T)1 } macro m(x) { 2 } begin { m(int8); m(1 + 1); }", "begin { (int8)1; 2; }"),
    ],
)  # fmt: skip
def test_type_arguments(text: str, plain: str) -> None:
    same(text, plain)


def test_the_script_wins_over_the_library() -> None:
    library = "macro m(x) { 1 } macro m(x, y) { 2 } macro only() { 3 }"
    same("macro m(x) { 10 } begin { print(m(0), m(0, 0), only); }", "begin { print(10, 2, 3); }", library)


@pytest.mark.parametrize(
    ("text", "messages"),
    [
        ("macro m() { m() } begin { m(); }", ["Recursive macro call detected. Call chain: m > m"]),
        ("macro m() { n() } macro n() { m() } begin { m(); }",
         ["Recursive macro call detected. Call chain: m > n > m"]),
        ("macro m() { @a = 2; } begin { m(); }",
         ["Unhygienic access to map: @a. Maps must be passed into the macro as arguments."]),
        ("macro m() { @a = 2; } begin { }", []),
        ("macro m(x) { x } begin { m(); }",
         ["Call to m() has arguments that do not match any definition: it takes 1 argument, not 0"]),
        ("macro m(x) { x } begin { print(m); }",
         ["Call to m() has arguments that do not match any definition: it takes 1 argument, not 0"]),
        ("macro m() { 1 } macro m(x, y) { x } begin { m(1); }",
         ["Call to m() has arguments that do not match any definition: it takes 0 or 2 arguments, not 1"]),
        ("macro m($x) { $x } begin { m(5); }",
         ["Call to m() has arguments that do not match any definition: $x must be a variable, this is an expression"]),
        ("macro m(@x) { 1 } begin { m(@a[1]); }",
         ["Call to m() has arguments that do not match any definition: @x must be a map, this is an expression"]),
        ("macro m(@x) { 1 } begin { $a = 1; m($a); }",
         ["Call to m() has arguments that do not match any definition: @x must be a map, this is a variable"]),
        ("macro m(x) { x } macro m(y) { 2 } begin { }", ["Redefinition of macro: m"]),
        ("macro m(x, x) { x } begin { }", ["parameter 'x' is already there"]),
        ("macro m() { return; } begin { }", ["'return' statement is not allowed in a macro"]),
        ("macro m() { break; } begin { }", ["'break' statement is not allowed in a macro outside of a loop"]),
        ("macro m() { for ($i : 0..2) { break; } } begin { }", []),
        ("macro m($x) { let $x = 1; } begin { $y = 3; m($y); }", ["Variable declaration shadows macro arg $x"]),
        ("macro m() { 1; } begin { print(m()); }", ["macro m() gives no value"]),
        ("macro m(x) { x } begin { print(m(int8)); }", ["'x' is a type here, not a value"]),
        ("macro m(x) { (x)3 } begin { print(m(1 + 1)); }", ["'x' is an expression here, not a type"]),
        ("begin { print(m!()); }", ["Unknown macro: 'm'"]),
    ],
)  # fmt: skip
def test_refused(text: str, messages: list[str]) -> None:
    assert expanded(text)[1] == messages


def test_a_mistake_shows_the_calls_that_led_to_it() -> None:
    text = "macro inner() { print(@a); }\nmacro outer() { inner(); }\nbegin { outer(); }"
    found = Diagnostics()
    expand_macros(parse(Source("test", text)), found)
    (mistake,) = found
    assert mistake.render() == (
        "test:1:23-25: ERROR: Unhygienic access to map: @a. Maps must be passed into the macro as arguments.\n"
        "macro inner() { print(@a); }\n"
        "                      ~~\n"
        "test:2:17-24: ERROR: expanded from\n"
        "macro outer() { inner(); }\n"
        "                ~~~~~~~\n"
        "test:3:9-16: ERROR: expanded from\n"
        "begin { outer(); }\n"
        "        ~~~~~~~\n"
        "HINT: give the macro a parameter '@a'"
    )


def test_growth_is_bounded() -> None:
    macros = "macro m0() { 1 } " + " ".join(f"macro m{i}() {{ m{i - 1} + m{i - 1} }}" for i in range(1, 30))
    messages = expanded(macros + " begin { m29(); }")[1]
    assert messages[0].endswith("leads to too many further macro calls")
    chain = "macro m0() { 1 } " + " ".join(f"macro m{i}() {{ m{i - 1} }}" for i in range(1, 100))
    assert len(expanded(chain + " begin { m99(); }")[1]) == 1


def test_without_macros_nothing_changes() -> None:
    script = parse(Source("test", "begin { $a = { 1; 2 }; print(f($a), pid); }"))
    assert expand_macros(script, Diagnostics()).items is not None
    assert expand_macros(script, Diagnostics()) == script
