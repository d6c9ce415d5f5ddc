"""What a user reads: the whole text of the reports for the mistakes people make."""

from __future__ import annotations

import pytest

from pytrace.diagnostics import ScriptError, Source
from pytrace.syntax import IncompleteError, ast, parse, parse_entry

REPORTS = {
    # --- separators and delimiters
    "begin { print(1) print(2) }": """
-e:1:17-18: ERROR: missing ';' before 'print'
begin { print(1) print(2) }
                ~""",
    "begin { print(1 }": """
-e:1:14-15: ERROR: this '(' is not closed before the '}' in line 1
begin { print(1 }
             ~""",
    "begin {\n  print(1);\n": """
-e:1:7-8: ERROR: this '{' is never closed
begin {
      ~""",
    "begin { f(); } }": """
-e:1:16-17: ERROR: this '}' closes nothing
begin { f(); } }
               ~""",
    'begin { print("abc); }': """
-e:1:15-19: ERROR: this string is never closed
begin { print("abc); }
              ~~~~
HINT: a string ends with '"' on the same line""",
    "begin { /* never }": """
-e:1:9-11: ERROR: this comment is never closed
begin { /* never }
        ~~
HINT: a comment ends with '*/'""",
    # --- < >
    "kprobe:f < $x = $a > 5; @ = 1; >": """
-e:1:20-21: ERROR: this '>' can be read as a comparison or as the end of the action
kprobe:f < $x = $a > 5; @ = 1; >
                   ~
HINT: inside '< … >', write a comparison in parentheses, `(a > b)`, and end the last statement with ';'""",
    "kprobe:f < @ = count(); }": """
-e:1:25-26: ERROR: this '}' cannot close an action that was opened with '<'
kprobe:f < @ = count(); }
                        ~
HINT: close it with '>'""",
    "kprobe:f { @ = count(); >": """
-e:1:25-26: ERROR: this '>' cannot close an action that was opened with '{'
kprobe:f { @ = count(); >
                        ~
HINT: close it with '}'""",
    "kprobe:f < @ = 1;": """
-e:1:10-11: ERROR: this '<' opens an action that is never closed
kprobe:f < @ = 1;
         ~
HINT: the action ends with '>'; a '>' that compares stands in parentheses, `(a > b)`""",
    # --- outside of actions
    "kprobe:f foo { }": """
-e:1:10-13: ERROR: expected '{' or a predicate after the probe, found 'foo'
kprobe:f foo { }
         ~~~
HINT: write `probe /condition/ { statements }`; an attach point with spaces in it stands in double quotes""",
    "uprobe:/bin/bash:readline/pid == 1/ { }": """
-e:1:31-33: ERROR: expected '{' or a predicate after the probe, found '=='
uprobe:/bin/bash:readline/pid == 1/ { }
                              ~~
HINT: after a path, a predicate needs a space before its first '/'""",
    "kprobe:f /pid == 1 { }": """
-e:1:20-21: ERROR: expected '/', found '{'
kprobe:f /pid == 1 { }
                   ~
HINT: a predicate ends with '/', and an action '{ … }' follows""",
    "begin {} struct x { int y; };": """
-e:1:10-30: ERROR: C definitions must come before the first probe, macro or function
begin {} struct x { int y; };
         ~~~~~~~~~~~~~~~~~~~~
HINT: move it to the top of the script""",
    # --- inside
    "begin { if $x = 1 { } }": """
-e:1:15-16: ERROR: expected '{', found '='
begin { if $x = 1 { } }
              ~
HINT: '=' assigns, and only in a statement of its own; '==' compares""",
    "begin { if ($x) print(1); }": """
-e:1:17-22: ERROR: expected '{', found 'print'
begin { if ($x) print(1); }
                ~~~~~
HINT: the body of an if, else, for, while or unroll stands in braces""",
    "begin { if (1) { } elif (2) { } }": """
-e:1:29-30: ERROR: expected '=', '}' or ';', found '{'
begin { if (1) { } elif (2) { } }
                            ~
HINT: write `else if`""",
    "begin { for ($i = 0; $i < 5; $i++) { } }": """
-e:1:17-18: ERROR: expected ':', found '='
begin { for ($i = 0; $i < 5; $i++) { } }
                ~
HINT: loops are `for ($i : 0..10) { … }` and `for ($kv : @map) { … }`""",
    "begin { else { } }": """
-e:1:9-13: ERROR: expected a statement or '}', found 'else'
begin { else { } }
        ~~~~
HINT: `else` follows the '}' of an `if`""",
    'begin { printf "hello"; }': """
-e:1:16-23: ERROR: unexpected "hello"
begin { printf "hello"; }
               ~~~~~~~
HINT: arguments stand in parentheses: `printf(…)`""",
    "begin { let x = 1; }": """
-e:1:13-14: ERROR: expected a variable, found 'x'
begin { let x = 1; }
            ~""",
    "begin { let $x : = 1; }": """
-e:1:18-19: ERROR: expected a type, found '='
begin { let $x : = 1; }
                 ~""",
    "begin { $a.b = 2; }": """
-e:1:9-17: ERROR: tuples, records and what is read from memory cannot be assigned to
begin { $a.b = 2; }
        ~~~~~~~~
HINT: make a new value and assign that to a variable or a map""",
    "begin { f()++; }": """
-e:1:9-12: ERROR: ++ changes a variable or a map, and this is neither
begin { f()++; }
        ~~~""",
    "begin { $x = { 1; }; }": """
-e:1:14-20: ERROR: this block is used as a value and has none
begin { $x = { 1; }; }
             ~~~~~~
HINT: its last statement must be an expression without ';'""",
    "begin { $x = 1.5; }": """
-e:1:14-17: ERROR: there are no floating-point numbers
begin { $x = 1.5; }
             ~~~
HINT: count in smaller units""",
    "begin { $x = 'a'; }": """
-e:1:14-17: ERROR: unexpected ''a''
begin { $x = 'a'; }
             ~~~
HINT: strings are written in double quotes; a character is written as its number""",
    r'begin { print("a\q"); }': r"""
-e:1:17-19: ERROR: unknown escape \q
begin { print("a\q"); }
                ~~
HINT: the escapes are \n \t \r \\ \" \NNN (octal) and \xNN (hexadecimal)""",
    # --- several in one go
    "begin { @x = ; $y = 1 +; print(1; }\nend { $z = 09; }\nkprobe:f { let x; ok(); }": """
-e:1:14-15: ERROR: expected an expression, found ';'
begin { @x = ; $y = 1 +; print(1; }
             ~
-e:1:24-25: ERROR: expected an expression, found ';'
begin { @x = ; $y = 1 +; print(1; }
                       ~
-e:1:33-34: ERROR: expected ',' or ')', found ';'
begin { @x = ; $y = 1 +; print(1; }
                                ~
-e:2:12-14: ERROR: '09' is not an integer
end { $z = 09; }
           ~~
HINT: a leading 0 makes it octal, with digits 0 to 7
-e:3:16-17: ERROR: expected a variable, found 'x'
kprobe:f { let x; ok(); }
               ~""",
}


@pytest.mark.parametrize(("text", "report"), REPORTS.items())
def test_report(text: str, report: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse(Source("-e", text))
    assert str(caught.value) == report.removeprefix("\n")


def test_one_report_for_each_broken_probe() -> None:
    text = "\n".join(f"kprobe:f{i} {{ $x = ; ok(); }}" if i % 2 else f"kprobe:f{i} {{ ok(); }}" for i in range(10))
    with pytest.raises(ScriptError) as caught:
        parse(Source("-e", text))
    assert [d.span.line for d in caught.value.diagnostics] == [2, 4, 6, 8, 10]


@pytest.mark.parametrize(
    "text",
    [
        "begin {",
        "kprobe:f",
        "kprobe:f /pid",
        "begin { f(",
        "begin { if 1 {",
        "kprobe:f < @ = 1;",
        "if 1 {",
        "f(1,",
        "$x =",
    ],
)
def test_what_more_lines_could_mend(text: str) -> None:
    with pytest.raises(IncompleteError):
        parse_entry(Source("prompt", text))


@pytest.mark.parametrize("text", ["begin { ) ", "f(;", "kprobe:f foo", "$x = ;", "begin { } }", "1 2"])
def test_what_more_lines_cannot_mend(text: str) -> None:
    with pytest.raises(ScriptError) as caught:
        parse_entry(Source("prompt", text))
    assert not isinstance(caught.value, IncompleteError)


@pytest.mark.parametrize(
    "text",
    [
        "begin { }",
        "END < >",
        "tracepoint:a:b { f(); }",
        "name=kprobe:f {}",
        "macro m() { 1 }",
        "let @m = hash(1);",
        "// c\n kprobe:f { }",
        "#include <a.h>\nbegin {}",
        "struct s { int x; };",
        "*:a:b {}",
        'import "x";',
        "i:s:1{}",
    ],
)
def test_entry_that_is_a_script(text: str) -> None:
    assert isinstance(parse_entry(Source("prompt", text)), ast.Script)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        ("1 << 20", 1),
        ("print(@)", 1),
        ("@x = 5; clear(@)", 2),
        ("if 1 { f() }", 1),
        ("$x ? 1 : 2", 1),
        ("let $x = 1", 1),
        ("@", 1),
        ("begin", 1),
        ("{ 1 }", 1),
        ("for ($i : 1..2) { }", 1),
        ("// only a comment", 0),
    ],
)
def test_entry_that_is_statements(text: str, count: int) -> None:
    entry = parse_entry(Source("prompt", text))
    assert isinstance(entry, tuple)
    assert len(entry) == count
