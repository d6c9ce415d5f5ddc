"""Names by prefix, types from what stands before, colours that lose no character."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pytrace import types as t
from pytrace.kernel import Kernel
from pytrace.probes import Target
from pytrace.program import Storage, UserMap
from pytrace.repl.inference import Surroundings
from pytrace.repl.lexer import PytraceLexer
from pytrace.repl.probenames import MOST, ProbeNames, search

NAMES = sorted(
    ["net:a_one", "net:a_two", "sched:b", "syscalls:sys_enter_open", "syscalls:sys_enter_openat", "syscalls:z"]
)


def test_names_come_a_part_at_a_time_where_there_is_something_to_choose() -> None:
    assert list(search(NAMES, "")) == ["net:", "sched:", "syscalls:"]
    assert list(search(NAMES, "s")) == ["sched:", "syscalls:"]
    assert list(search(NAMES, "n")) == ["net:a_one", "net:a_two"]
    assert list(search(NAMES, "syscalls:sys_enter_o")) == ["syscalls:sys_enter_open", "syscalls:sys_enter_openat"]
    assert list(search(NAMES, "enter_open")) == ["syscalls:sys_enter_open", "syscalls:sys_enter_openat"]
    assert list(search(NAMES, "zz")) == []


@given(st.lists(st.text("ab_", min_size=1, max_size=6), min_size=1), st.text("ab_", max_size=3))
def test_search_is_filtering_by_prefix(names: list[str], prefix: str) -> None:
    names = sorted(set(names))
    filtered = [name for name in names if name.startswith(prefix)]
    if filtered:
        assert list(search(names, prefix)) == filtered


def test_of_very_many_names_the_last_is_given_too() -> None:
    names = [f"a{n:05}" for n in range(3 * MOST)]
    found = list(search(names, "a"))
    assert len(found) == MOST + 1 and found[-1] == names[-1]


def test_kinds_of_probes_and_files() -> None:
    names = ProbeNames(Target(Kernel.running()))
    assert list(names.complete("tracep")) == ["tracepoint:"]
    assert list(names.complete("interval:m")) == ["interval:ms:"]
    assert "uprobe:/bin/" in names.complete("uprobe:/bi")
    assert list(names.complete("nonsense:x")) == []


def members(expression: str, before: str = "", probe: str = "", maps: dict[str, UserMap] | None = None) -> list[str]:
    around = Surroundings(before, probe, maps or {}, Target(Kernel.running()))
    return [name for name, _ in around.members(expression)]


def test_members_of_what_types_are_known() -> None:
    assert "real_parent" in members("curtask")
    assert "tgid" in members("curtask->real_parent")
    assert "tgid" in members("(struct task_struct *)0") or "tgid" in members("((struct task_struct *)0)")
    assert "pgd" in members("$m", "$t = curtask; $m = $t->mm;")
    assert members("$a", "$a = $b; $b = $a;") == []
    assert members("nonsense") == members("1 +") == []
    kind = t.Record((("size", t.INT64), ("file", t.String(16))))
    assert members("@m[1]", maps={"@m": UserMap("@m", "m", Storage.HASH, t.INT64, kind)}) == ["size", "file"]
    assert members("@s", maps={"@s": UserMap("@s", "s", Storage.HASH, None, t.Stats(True))}) == [
        "count",
        "average",
        "total",
    ]


@given(st.text())
def test_colours_lose_no_character(text: str) -> None:
    lexer = PytraceLexer(stripnl=False, ensurenl=False)
    assert "".join(piece for _, piece in lexer.get_tokens(text)) == text.replace("\r\n", "\n").replace(
        "\r", "\n"
    ).removeprefix("\ufeff")


def test_colours_of_a_script() -> None:
    text = 'tracepoint:sched:sched_switch /pid > 1/ { @a[comm] = hist(args.x); printf("%d\\n", $v); } // done'
    found = {piece: str(kind) for kind, piece in PytraceLexer().get_tokens(text)}
    assert found["tracepoint"] == "Token.Name.Namespace" and found["@a"] == "Token.Name.Variable.Global"
    assert found["hist"] == "Token.Name.Function" and found["comm"] == "Token.Name.Builtin"
    assert found["x"] == "Token.Name.Attribute" and found["%d"] == "Token.Literal.String.Interpol"
    assert found["// done"] == "Token.Comment.Single"
