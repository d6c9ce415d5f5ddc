"""More programs in a running session: maps shared by name, statements run on the spot."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import pytrace
from pytrace.program import PerfTracepoint
from pytrace.record import replace
from tests.live.api.conftest import call, descriptors, on, own_comm, programs, programs_held

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_maps_are_shared_by_name() -> None:
    with pytrace.trace(on("getppid", '@["both"] = count(); @a = count();')) as t:
        added = t.attach(on("getpgid", '@["both"] = count(); @b = count();'))
        assert added.attached
        assert len(t.probes) == 2
        for _ in range(30):
            os.getppid()
            os.getpgid(0)
        assert t.maps["@"] == {"both": 60}
        t.detach(added)
        assert not added.attached
        assert len(t.probes) == 1
        for _ in range(30):
            os.getppid()
            os.getpgid(0)
        assert t.maps["@"] == {"both": 90}
    assert (t.maps["@a"].value, t.maps["@b"].value) == (60, 30)


def test_a_session_may_begin_empty() -> None:
    with pytrace.Session() as t:
        assert t.probes == ()
        with t.attach(on("getppid", "@ = count();")) as attached:
            call(3)
            assert attached.probes == t.probes
        call(3)
        assert t.maps["@"].value == 3
        assert t.probes == ()


def test_end_probes_run_when_a_program_leaves() -> None:
    with pytrace.Session() as t:
        attached = t.attach("begin { @ = 1 } end { @ = 2 }")
        assert t.maps["@"].value == 1
        attached.detach()
        assert t.maps["@"].value == 2


def test_a_compiled_program_can_be_attached() -> None:
    program = pytrace.compile(on("getppid", "@ = count();"))
    with pytrace.Session(program) as t:
        t.attach(program)
        call(10)
    assert t.maps["@"].value == 20


def test_types_that_do_not_agree_change_nothing() -> None:
    with pytrace.trace(on("getppid", "@[comm] = count();")) as t:
        before = descriptors()
        with pytest.raises(pytrace.ScriptError, match="in this session") as caught:
            t.attach(on("getppid", "@[comm] = sum(5);"))
        assert caught.value.diagnostics[0].span.text.startswith("@[comm]")
        with pytest.raises(pytrace.ScriptError, match="keys of type 'string"):
            t.attach(on("getppid", "@[pid] = count();"))
        stranger = pytrace.compile(on("getppid", "@[pid] = count();"))
        with pytest.raises(pytrace.KernelError, match="already"):
            t.attach(stranger)
        assert descriptors() == before
        call(4)
    assert list(t.maps["@"].values()) == [4]


def test_what_cannot_be_attached_leaves_no_maps() -> None:
    program = pytrace.compile('config = { missing_probes = "error" } rawtracepoint:sched_switch { @x = comm }')
    program = replace(program, progs=tuple(replace(p, attach=(PerfTracepoint("no", "such"),)) for p in program.progs))
    with pytrace.Session() as t:
        before = descriptors(), programs_held()
        with pytest.raises(pytrace.KernelError):
            t.attach(program)
        assert (descriptors(), programs_held()) == before
        t.run("@x = 5")  # another type than it would have had
        assert t.maps["@x"].value == 5


def test_integers_have_room_for_what_comes_later() -> None:
    with pytrace.trace('begin { @x = 5; @y[1] = 1; @z["a", 1] = 2; }') as t:
        t.run('@x = 1 << 40; @y[-1 - (1 << 35)] = 2; @y[pid] = 3; @z["a", 1 << 33] = nsecs;')
        assert t.maps["@x"].value == 1 << 40
        assert t.maps["@y"] == {1: 1, -1 - (1 << 35): 2, os.getpid(): 3}
        assert set(t.maps["@z"]) == {("a", 1), ("a", 1 << 33)}


def test_strings_have_room_for_what_comes_later() -> None:
    long = "x" * 63
    with pytrace.trace('begin { @x = "abc"; @y["a"] = 1; @z[1, ("a", 2)] = "b"; }') as t:
        t.run(f'@x = "{long}"; @y["{long}"] = 2; @y[comm] = 3; @z[2, ("{long}", 3)] = "{long}";')
        assert t.maps["@x"].value == long
        assert t.maps["@y"] == {"a": 1, long: 2, own_comm(): 3}
        assert t.maps["@z"].to_dict() == {(1, ("a", 2)): "b", (2, (long, 3)): long}
        t.attach(on("getppid", f'delete(@y, "{long}");'))
        call(1)
        assert set(t.maps["@y"]) == {"a", own_comm()}


@pytest.mark.parametrize("statement", ['@x = "{}"', '@y["{}"] = 1'])
def test_a_string_without_room_is_refused_and_the_way_out_said(statement: str) -> None:
    with pytrace.trace('begin { @x = "abc"; @y["a"] = 1; }') as t:
        with pytest.raises(pytrace.ScriptError, match=r"string\[65\].*string\[64\]' in this session") as caught:
            t.run(statement.format("x" * 64))
        assert "another name" in (caught.value.diagnostics[0].hint or "")
        assert (t.maps["@x"].value, t.maps["@y"].to_dict()) == ("abc", {"a": 1})


def test_run_and_evaluate(capsys: pytest.CaptureFixture[str]) -> None:
    with pytrace.trace(on("getppid", "@[1] = count();")) as t:
        call(8)
        events = t.run("print(@); $a = 2; @x = $a * 3; print((x=@x, y=1)); // a comment")
        assert [e.kind for e in events] == ["map", "print"]
        assert events[0].value == {1: 8}
        assert (events[1].value.x, events[1].value.y) == (6, 1)
        assert events[0].probe == "begin"
        assert events[0].timestamp > 0
        assert t.evaluate("@x + 1") == 7
        assert t.evaluate("1 << 20") == 1 << 20
        assert t.evaluate("@") == {1: 8}
        assert t.evaluate("@x") == 6
        assert t.evaluate("@[1]") == 8
        t.run("clear(@)")
        assert t.maps["@"] == {}
    assert capsys.readouterr().out == "@[1]: 8\n{ .x = 6, .y = 1 }\n"


@pytest.mark.parametrize(
    ("statements", "text"),
    [("@x = 1;\n@y = nosuch;", "nosuch"), ("@x = comm", "@x = comm"), ("print(@none)", "@none")],
)
def test_mistakes_in_statements_are_where_they_are(statements: str, text: str) -> None:
    with pytrace.trace("begin { @x = 1 }") as t:
        with pytest.raises(pytrace.ScriptError) as caught:
            t.run(statements)
        assert [d.span.text for d in caught.value.diagnostics] == [text]
        assert caught.value.diagnostics[0].span.source.text == statements
        with pytest.raises(pytrace.ScriptError):
            t.run("} interval:s:1 {")
        assert t.maps["@x"].value == 1


def test_exit_in_a_statement_ends_the_session() -> None:
    with pytrace.trace(on("getppid", "@ = 1")) as t:
        t.run("exit(4)")
        assert t.wait(30)
    assert t.exit_code == 4


def test_attached_from_several_threads_at_once() -> None:
    """All of them want the same new map, one with other types: exactly that one is refused, or all the others are."""
    failed: list[BaseException] = []
    with pytrace.Session() as t:

        def work(body: str) -> None:
            try:
                t.attach(on("getppid", body))
            except pytrace.ScriptError as error:
                failed.append(error)

        bodies = ["@n = count();"] * 3 + ["@n = sum(1);"]
        threads = [threading.Thread(target=work, args=(body,)) for body in bodies]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(failed) + len(t.attachments) == 4
        assert len(failed) in (1, 3)
        call(10)
        assert t.maps["@n"].value == 10 * len(t.attachments)


def test_programs_on_the_same_event_lose_no_update() -> None:
    """Several programs add to one aggregation from several threads."""
    with pytrace.trace(on("getppid", "@[1] = count(); @s = sum(2); @h = hist(3);")) as t:
        for _ in range(2):
            t.attach(on("getppid", "@[1] = count(); @s = sum(2); @h = hist(3);"))
        threads = [threading.Thread(target=call, args=(5000,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert t.maps["@"] == {1: 60000}
    assert t.maps["@s"].value == 120000
    assert t.maps["@h"].value.count == 60000


def test_two_hundred_cycles_leave_nothing(nothing_left: Callable[[], None]) -> None:
    seen: set[int] = set()
    for i in range(200):
        with pytrace.trace("rawtracepoint:sched_switch { @[comm] = count(); }") as t:
            attached = t.attach(on("getppid", "@n = count();"))
            seen |= programs_held()
            call(i)
            t.detach(attached)
            assert t.maps["@n"].value == (i or None)
        if i % 50 == 0:
            nothing_left()
    assert len(seen) == 400
    deadline = time.monotonic() + 30
    while seen & programs() and time.monotonic() < deadline:
        time.sleep(0.01)  # the kernel frees a program after a grace period
    assert seen & programs() == set()


def test_a_program_from_disk_does_the_same(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    program = pytrace.compile(on("getppid", '@[comm] = count(); printf("%d\\n", 7);'))
    program.save(tmp_path / "x.ptc")
    for one in (program, pytrace.Program.load(tmp_path / "x.ptc")):
        with pytrace.Session(one) as t:
            call(5)
        assert list(t.maps["@"].values()) == [5]
        assert capsys.readouterr().out == "7\n" * 5
