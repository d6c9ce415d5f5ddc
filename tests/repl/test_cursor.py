"""Where the cursor stands, in texts that are not finished."""

from __future__ import annotations

import pytest

from pytrace.repl.cursor import cursor_at

SWITCH = "tracepoint:sched:sched_switch"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("trac", "trac"),
        ("tracepoint:sched:sched_sw", "tracepoint:sched:sched_sw"),
        ("k:a, k:vfs_", "k:vfs_"),
        ("begin { } interval:", "interval:"),
        ('printf("%d", @no', "@no"),
        (f"{SWITCH} {{ $va", "$va"),
    ],
)
def test_the_word(text: str, word: str) -> None:
    assert cursor_at(text).word == word


@pytest.mark.parametrize(
    ("text", "expression", "probe"),
    [
        (f"{SWITCH} {{ @[args.", "args", SWITCH),
        (f"{SWITCH} /args.prev", "args", SWITCH),
        (f"{SWITCH}, interval:s:1 /pid/ {{ print(args.p", "args", SWITCH),
        (f"begin {{ }} {SWITCH} {{ args.", "args", SWITCH),
        (f"{SWITCH} < @[args.", "args", SWITCH),
        ("print(curtask->mm->own", "curtask->mm", ""),
        ("((struct task_struct *)curtask)->", "((struct task_struct *)curtask)", ""),
        ("$a = f(1, g(2)).x[3][4].", "f(1, g(2)).x[3][4]", ""),
        ("1 + $t.", "$t", ""),
        ("uprobe:/bin/bash:readline { args.", "args", "uprobe:/bin/bash:readline"),
    ],
)
def test_members(text: str, expression: str, probe: str) -> None:
    found = cursor_at(text)
    assert (found.member_of, found.probe) == (expression, probe)


@pytest.mark.parametrize("text", ['begin { printf("args.', "begin { // args.", "begin { /* args."])
def test_nothing_is_offered_in_strings_and_comments(text: str) -> None:
    assert cursor_at(text).quoted


@pytest.mark.parametrize(
    ("text", "call"), [("@ = hist(", "hist"), ("print(len(@x", "len"), ("print(len(@x), ", "print"), ("(1, ", "")]
)
def test_the_call_whose_arguments_are_typed(text: str, call: str) -> None:
    assert cursor_at(text).call == call
