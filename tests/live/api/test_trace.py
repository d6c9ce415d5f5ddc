"""`pytrace.trace`: what is counted, where output goes, how it ends."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest

import pytrace
from tests.live.api.conftest import call, on, own_comm

Check = Callable[[], None]
pytestmark = pytest.mark.usefixtures("nothing_left")


def test_counts_are_exact_inside_and_afterwards() -> None:
    with pytrace.trace(on("getppid", "@[comm] = count(); @n = count(); @h = hist(5); @l = lhist(7, 0, 10, 1);")) as t:
        comm = own_comm()
        call(321)
        assert t.maps["@"] == {comm: 321}
        assert t.maps["@"][comm] == 321
        assert t.maps["@n"].value == 321
        call(100)
        assert t.maps["@"].to_dict() == {comm: 421}
    call(50)
    assert t.maps["@"] == {comm: 421}
    assert dict(t.maps["@"]) == {comm: 421}
    histogram = t.maps["@h"].value
    assert isinstance(histogram, pytrace.Histogram)
    assert histogram.count == 421
    assert [(b.low, b.high, b.count) for b in histogram.buckets] == [(4, 8, 421)]
    assert 4 <= histogram.quantile(0.99) <= 8
    assert t.maps["@l"].value.quantile(0.5) == 7
    assert sorted(t.maps) == ["@", "@h", "@l", "@n"]
    assert t.lost == 0


def test_keys_and_values_of_every_kind() -> None:
    body = (
        '@t[pid, comm, "x"] = 1; @r = (pid=pid, n=-1); @a = avg(7); @s = stats(7); @m = min(-3); @b = (uint8)5 == 5; '
        '@k[ksym(kaddr("schedule"))] = 1; @u[username] = 1; @i = ntop(0x0100007f); @w["long key"] = (1, "two");'
    )
    with pytrace.trace("begin { " + body + " }") as t:
        pass
    comm = own_comm()
    assert t.maps["@t"] == {(os.getpid(), comm, "x"): 1}
    assert t.maps["@r"].value.pid == os.getpid()
    assert t.maps["@r"].value["n"] == -1
    assert (t.maps["@a"].value.average, t.maps["@a"].value.count) == (7, 1)
    assert (t.maps["@s"].value.total, t.maps["@s"].value.count) == (7, 1)
    assert t.maps["@m"].value == -3
    assert t.maps["@b"].value in (True, 1)
    (symbol,) = t.maps["@k"]
    assert isinstance(symbol, pytrace.Symbol)
    assert str(symbol) == "schedule"
    assert t.maps["@u"] == {"root": 1}
    assert t.maps["@i"].value == "127.0.0.1"
    assert t.maps["@w"]["long key"] == (1, "two")


def test_looking_up_what_is_not_there() -> None:
    with pytrace.trace("begin { @[1] = 2; @s = 3; }") as t:
        with pytest.raises(KeyError):
            t.maps["@"][3]
        with pytest.raises(KeyError):
            t.maps["@"]["no number"]
        with pytest.raises(KeyError):
            t.maps["@missing"]
        with pytest.raises(TypeError, match="keys"):
            _ = t.maps["@"].value
    assert 3 not in t.maps["@"]
    assert t.maps["@"].get(1) == 2


def test_stacks_have_frames_during_and_after() -> None:
    with pytrace.trace(on("getppid", "@[kstack] = count(); @u[ustack] = count();")) as t:
        call(3)
        (live,) = t.maps["@"]
    (stack,) = t.maps["@"]
    assert stack == live
    assert isinstance(stack, pytrace.StackTrace)
    assert any("syscall" in frame.name for frame in stack)
    assert "syscall" in str(stack)
    assert t.maps["@"][stack] == 3


def test_clear_and_zero() -> None:
    with pytrace.trace(on("getppid", "@[1] = count(); @n = count();")) as t:
        call(5)
        t.maps["@"].zero()
        assert t.maps["@"] == {1: 0}
        t.maps["@"].clear()
        assert t.maps["@"] == {}
        call(2)
        assert t.maps["@"] == {1: 2}
    with pytest.raises(pytrace.SessionOver):
        t.maps["@"].clear()


def test_text_goes_to_stdout_or_where_it_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    with pytrace.trace('begin { printf("one %d\\n", 1); print((1, 2)); }'):
        pass
    page = io.StringIO()
    with pytrace.trace('begin { printf("two %d\\n", 2); } end { printf("ä\\n"); }', output=page):
        pass
    with pytrace.trace('begin { printf("three\\n"); }', output=None):
        pass
    assert capsys.readouterr().out == "one 1\n(1, 2)\n"
    assert page.getvalue() == "two 2\nä\n"


def test_exit_gives_its_code() -> None:
    with pytrace.trace(on("getppid", "@ = count(); exit(7);")) as t:
        assert t.exit_code is None
        call(1)
        assert t.wait(30)
        assert not t.running
        assert t.exit_code == 7
    assert t.maps["@"].value == 1


def test_wait_returns_when_nothing_can_fire_any_more() -> None:
    with pytrace.trace("begin { @ = 1 }") as t:
        assert t.wait(30)
        assert t.running
        assert t.maps["@"].value == 1


def test_wait_gives_up() -> None:
    with pytrace.trace(on("getppid", "@ = 1;")) as t:
        assert not t.wait(0.01)


def test_a_command(compile_c: Callable[..., object]) -> None:
    source = "#include <unistd.h>\nint main(void) { for (int i = 0; i < 1234; i++) getpgid(0); return 3; }"
    program = compile_c(source)
    with pytrace.trace(
        "tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { @ = count(); }", command=[str(program)]
    ) as t:
        assert t.wait(30)
    assert t.maps["@"].value == 1234


def test_a_command_that_is_never_started_is_gone() -> None:
    t = pytrace.trace("begin { }", command="sleep 1000")
    pid = t._core.child.pid  # type: ignore[union-attr]
    del t
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_the_end_of_the_process_is_the_end() -> None:
    process = subprocess.Popen(["sleep", "1000"])
    with pytrace.trace("tracepoint:syscalls:sys_enter_getppid { @ = count(); }", pid=process.pid) as t:
        process.kill()
        assert t.wait(30)
    process.wait()


def test_parameters() -> None:
    script = 'begin { @a = $1; @b = str($2); @c = getopt("limit", 5); }'
    with pytrace.trace(script, params=["42", "hello"], named={"limit": "9"}) as t:
        pass
    assert (t.maps["@a"].value, t.maps["@b"].value, t.maps["@c"].value) == (42, "hello", 9)


def test_options() -> None:
    with pytest.raises(pytrace.ScriptError, match="unsafe"):
        pytrace.trace('begin { system("true"); }')
    page = io.StringIO()
    with pytrace.trace('begin { system("echo x"); }', options={"unsafe": True}, output=page):
        pass
    assert page.getvalue() == "x\n"
    with pytest.raises(TypeError, match="no option fast"):
        pytrace.trace("begin { }", options={"fast": True})  # type: ignore[typeddict-unknown-key]


def test_mistakes_are_exceptions_with_places() -> None:
    with pytest.raises(pytrace.ScriptError) as caught:
        pytrace.trace("begin { @x = nosuch; }", name="mine.pt")
    (diagnostic,) = caught.value.diagnostics
    assert diagnostic.span.text == "nosuch"
    command_line = subprocess.run(
        [sys.executable, "-m", "pytrace", "-e", "begin { @x = nosuch; }"], capture_output=True, text=True, check=False
    )
    assert str(caught.value).replace("mine.pt:", "-e:") + "\n" == command_line.stderr


def test_without_privileges_it_says_so() -> None:
    code = "import pytrace\ntry: pytrace.trace('begin { }')\nexcept pytrace.PrivilegeError as e: print(e)"
    drop = ["setpriv", "--bounding-set=-sys_admin,-bpf,-perfmon", "--inh-caps=-sys_admin,-bpf,-perfmon"]
    done = subprocess.run([*drop, sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "CAP_BPF" in done.stdout


def test_a_session_starts_once() -> None:
    with pytrace.trace("begin { @ = 1 }") as t, pytest.raises(RuntimeError, match="twice"):
        t.start()
    with pytest.raises(RuntimeError, match="twice"):
        t.start()


def test_before_the_start_there_is_nothing_to_ask() -> None:
    t = pytrace.trace("begin { @ = 1 }")
    assert not t.running
    with pytest.raises(pytrace.SessionOver, match="not begun"):
        t.run("@ = 1")
    assert list(t.maps) == []
    t.stop()


def test_no_signal_handler_is_touched() -> None:
    before = {s: signal.getsignal(s) for s in signal.Signals}
    with pytrace.trace("begin { @ = 1 }"):
        assert {s: signal.getsignal(s) for s in signal.Signals} == before


def test_from_many_threads() -> None:
    """Sessions side by side, each in a thread, and one that all of them read."""
    results: dict[int, int] = {}
    with pytrace.trace(on("getppid", "@[tid] = count();")) as shared:

        def work(number: int) -> None:
            with pytrace.trace(on("getppid", f"@[tid] = count(); @n = {number};")) as t:
                call(number)
                tid = threading.get_native_id()
                assert t.maps["@n"].value == number
                assert shared.maps["@"][tid] == number
                results[number] = t.maps["@"][tid]

        threads = [threading.Thread(target=work, args=(n,)) for n in (10, 20, 30)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert results == {10: 10, 20: 20, 30: 30}
    assert sum(shared.maps["@"].values()) == 60


def test_parameters_may_be_numbers() -> None:
    with pytrace.trace("begin { @ = $1 + 1; @s = str($2); }", params=[41, "x"]) as t:
        pass
    assert (t.maps["@"].value, t.maps["@s"].value) == (42, "x")


@pytest.mark.parametrize(
    ("arguments", "kind", "said"),
    [
        ({"format": "xml"}, ValueError, "'text' or 'json'"),
        ({"output": "/tmp/x"}, TypeError, "a stream, a descriptor or None"),
        ({"params": "50"}, TypeError, r"\['50'\]"),
        ({"script": b"begin { }"}, TypeError, "not bytes"),
        ({"options": {"unsave": True}}, TypeError, "no option unsave"),
    ],
)
def test_what_is_no_argument_is_refused_at_once(arguments: dict[str, Any], kind: type[Exception], said: str) -> None:
    with pytest.raises(kind, match=said):
        pytrace.trace(**{"script": "begin { }", "command": "sleep 100", **arguments})


def test_without_privileges_one_line_says_so() -> None:
    """As a user who can read everything, this checkout too, and nothing else."""
    code = """
import pytrace
calls = [
    lambda: pytrace.trace("begin { }"), lambda: pytrace.events("begin { }").start(),
    lambda: pytrace.Session().start(), lambda: pytrace.compile("begin { exit(); }"),
    lambda: pytrace.Session(pytrace.compile("begin { }", options={"timestamps": False})).follow(),
]
for call in calls:
    try:
        call()
    except pytrace.PrivilegeError as error:
        print(error)
"""
    read = "+dac_read_search"
    drop = f"setpriv --reuid=65534 --regid=65534 --clear-groups --inh-caps {read} --ambient-caps {read}"
    done = subprocess.run(
        [*drop.split(), sys.executable, "-c", code],
        env={**os.environ, "HOME": "/nonexistent", "PYTHONDONTWRITEBYTECODE": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stderr == ""
    assert done.stdout == "tracing needs root: run this with sudo\n" * 5
