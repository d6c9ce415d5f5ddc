"""Events as values: by iteration, asynchronously and by callback; none is lost in silence."""

from __future__ import annotations

import asyncio
import gc
import os
import subprocess
import sys
import threading
import time
import warnings
from itertools import pairwise

import pytest

import pytrace
from tests.live.api.conftest import call, on, own_comm, programs_held

pytestmark = pytest.mark.usefixtures("nothing_left")


def test_records_have_fields() -> None:
    before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    with pytrace.events(on("getppid", "print((pid=pid, name=comm, at=nsecs));")) as events:
        call(3)
        found = [next(events) for _ in range(3)]
    after = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    assert [e.value.pid for e in found] == [os.getpid()] * 3
    assert {e.value.name for e in found} == {own_comm()}
    assert {e.probe for e in found} == {"tracepoint:syscalls:sys_enter_getppid"}
    stamps = [e.timestamp for e in found]
    assert stamps == sorted(stamps)
    assert all(before <= stamp <= after for stamp in stamps)
    assert all(abs(e.timestamp - e.value.at) < 1_000_000_000 for e in found)
    assert abs(found[0].time.timestamp() - time.time()) < 60


def test_every_kind_of_event() -> None:
    script = (
        'begin { print(1); print("text"); print((1, "two")); printf("%d-%s\\n", 3, "x"); @[5] = 6; @s = stats(2); '
        'print(@); print(@s); @q["k"] = stats(7); print(@q["k"]); time("%Y\\n"); warnf("hm %d", 1); exit(); }'
    )
    found = list(pytrace.events(script))
    assert [(e.kind, e.value) for e in found[:5]] == [
        ("print", 1),
        ("print", "text"),
        ("print", (1, "two")),
        ("printf", (3, "x")),
        ("map", {5: 6}),
    ]
    assert (found[5].kind, found[5].value.count, found[5].value.total) == ("map", 1, 2)
    assert (found[6].kind, found[6].value.average) == ("print", 7)
    assert (found[7].kind, found[7].value) == ("time", time.strftime("%Y\n"))
    assert (found[8].kind, found[8].value) == ("warnf", (1,))
    assert len(found) == 9
    assert [e.text for e in found[:5]] == ["1\n", "text\n", "(1, two)\n", "3-x\n", "@[5]: 6\n"]


def test_a_script_that_ends_ends_the_loop() -> None:
    assert [e.value for e in pytrace.events("begin { print(1); } end { print(2); }")] == [1, 2]
    events = pytrace.events(on("getppid", "print(@n++); if (@n == 3) { exit(); }")).start()
    call(3)
    assert [e.value for e in events] == [0, 1, 2]
    assert list(events) == []


def test_leaving_the_loop_leaves_nothing() -> None:
    for event in pytrace.events(on("getpid", "print(1);") + " interval:ms:1 { print(2); }"):
        assert event.value in (1, 2)
        break
    gc.collect()
    assert programs_held() == set()


def test_an_exception_in_the_loop_leaves_nothing() -> None:
    with pytest.raises(ZeroDivisionError):
        for _ in pytrace.events("interval:ms:1 { print(2); }"):
            _ = 1 / 0
    gc.collect()
    assert programs_held() == set()


def test_async() -> None:
    async def main() -> tuple[list[int], int]:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                await asyncio.sleep(0.001)
                ticks += 1

        other = asyncio.create_task(tick())
        found: list[int] = []
        async with pytrace.events(on("getppid", "print(@n++); if (@n == 500) { exit(); }")) as events:
            await asyncio.to_thread(call, 500)
            async for event in events:
                found.append(event.value)
        other.cancel()
        return found, ticks

    found, ticks = asyncio.run(main())
    assert found == list(range(500))
    assert ticks > 0


def test_async_cancelled() -> None:
    async def main() -> None:
        events = pytrace.events(on("getsid", "print(1);"))
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.3):
                async for _ in events:
                    pass
        assert not events.session.running

    asyncio.run(main())


def test_a_slow_reader_loses_nothing_that_has_room(monkeypatch: pytest.MonkeyPatch) -> None:
    """The queue is full again and again: taking is put off, and goes on; the session still answers."""
    monkeypatch.setattr("pytrace.api.events._MOST", 16)
    with pytrace.events(on("getppid", "print(@n++); if (@n == 5000) { exit(); }")) as events:
        call(100)
        first = [next(events).value for _ in range(10)]
        assert events.session.maps["@n"].value == 100
        with events.session.attach(on("getpgid", "@x = 1;")):
            pass
        call(4900)
        rest = [e.value for e in events]
        assert first + rest == list(range(5000))
        assert events.lost == 0


def test_what_is_lost_is_counted_and_said() -> None:
    script = "config = { perf_rb_pages=1 } " + on("getppid", 'printf("%s %d\\n", "a fairly long text", @n++);')
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found: list[pytrace.Event] = []
        gate = threading.Event()

        def slow(event: pytrace.Event) -> None:
            found.append(event)
            gate.wait(30)

        with pytrace.trace(script, on_event=slow) as t:
            call(2000)
            gate.set()
    assert t.maps["@n"].value == 2000
    assert t.lost > 0
    assert len(found) + t.lost == 2000
    said = [w.message for w in caught if isinstance(w.message, pytrace.LostEventsWarning)]
    assert sum(m.count for m in said) == t.lost
    assert {w.filename for w in caught} == {__file__}


def test_other_losses_are_warnings_too() -> None:
    script = "config = { max_map_keys=2 } " + on("getppid", "@[nsecs] = 1;")
    with pytest.warns(pytrace.TraceWarning, match="Map full"), pytrace.trace(script):
        call(10)


def test_what_the_compiler_finds_odd_is_a_warning() -> None:
    with pytest.warns(pytrace.ScriptWarning, match="<script>:1:") as caught:
        pytrace.compile("begin { 5; }")
    assert caught[0].filename == __file__


def test_callbacks_see_every_event_in_order() -> None:
    found: list[int] = []
    threads = set()

    def see(event: pytrace.Event) -> None:
        found.append(event.value)
        threads.add(threading.current_thread())

    with pytrace.trace(on("getppid", "print(@n++);"), on_event=see):
        call(3000)
    assert found == list(range(3000))
    assert len(threads) == 1
    assert threading.current_thread() not in threads


def test_an_exception_in_a_callback_ends_the_session_and_comes_out() -> None:
    def see(event: pytrace.Event) -> None:
        raise LookupError("enough")

    with (
        pytest.raises(LookupError, match="enough"),
        pytrace.trace(on("getppid", "@ = count(); print(1);"), on_event=see) as t,
    ):
        call(5)
        t.wait(30)
    assert t.maps["@"].value == 5
    t.stop()


def test_callbacks_may_use_the_session() -> None:
    seen = []

    def see(event: pytrace.Event) -> None:
        if event.value == 0:
            seen.append(t.maps["@n"].value)
            added.append(t.attach(on("getpgid", "@m = count();")))
        if event.value == 1:
            added[0].detach()
        if event.value == 2:
            t.stop()

    added: list[pytrace.Attachment] = []
    t = pytrace.trace(on("getppid", "print(@n++);"), on_event=see)
    with t:
        call(1)
        while not added:
            time.sleep(0.001)
        os.getpgid(0)
        call(1)
        while added[0].attached:
            time.sleep(0.001)
        call(1)
        assert t.wait(30)
    assert t.maps["@m"].value == 1
    assert seen == [1]


def test_watching_a_map() -> None:
    seen: list[dict[object, int]] = []
    first, second = threading.Event(), threading.Event()

    def look(entries: dict[object, int]) -> None:
        seen.append(entries)
        (first if entries[1] == 5 else second).set()

    with pytrace.trace(on("getppid", "@[1] = count();")) as t:
        call(5)
        timer = t.watch("@", look, interval=0.01)
        assert first.wait(30)
        call(2)
        assert second.wait(30)
        timer.cancel()
        with pytest.raises(KeyError):
            t.watch("@none", look)
    assert seen[0] == {1: 5}
    assert seen[-1] == {1: 7}
    assert all(a != b for a, b in pairwise(seen))  # only changes are told


def test_without_timestamps_there_is_none() -> None:
    (event,) = pytrace.events("begin { print(1); }", options={"timestamps": False})
    with pytest.raises(ValueError, match="timestamps"):
        _ = event.timestamp


def test_sessions_that_nobody_holds_are_stopped() -> None:
    t = pytrace.trace(on("getppid", "@ = count();")).start()
    kept = t.maps["@"]
    call(3)
    assert programs_held()
    del t
    gc.collect()
    assert programs_held() == set()
    assert kept.value == 3


def test_a_cell_that_runs_again_does_not_leak() -> None:
    """What a notebook does: the same code again and again in one namespace, an exception in between."""
    cell = f"t = pytrace.trace({on('getppid', '@ = count();')!r}).start(); held.append(len(programs_held()))"
    space: dict[str, object] = {"pytrace": pytrace, "held": [], "programs_held": programs_held}
    for _ in range(5):
        exec(cell, space)
    held = space["held"]
    assert isinstance(held, list)
    assert max(held) <= 2 * held[0]
    del space["t"]
    gc.collect()
    assert programs_held() == set()


@pytest.mark.parametrize("end", ["pass", "raise SystemExit(3)", "os.fork() or os._exit(0); os.wait()"])
def test_the_end_of_python_is_the_end(end: str) -> None:
    code = (
        "import os, sys, pytrace\n"
        'script = \'begin { printf("begin\\\\n"); } end { printf("end\\\\n"); } interval:s:100 { }\'\n'
        "t = pytrace.trace(script).start()\n"
        f"{end}\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "begin\nend\n"
    assert done.stderr == ""
    assert done.returncode == (3 if "3" in end else 0)
