"""`Session.follow`: a session in the foreground, as the command line has it."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

import pytrace
from tests.live.api.conftest import call, on

pytestmark = pytest.mark.usefixtures("nothing_left")

SCRIPT = """
begin { printf("%d\\n", 42); @n = count(); @h = hist(5); @t[1, "a"] = 7; print((1, "x")); }
interval:ms:1 { exit(3); }
end { printf("bye\\n"); }
"""


def handlers() -> dict[int, object]:
    return {s: signal.getsignal(s) for s in signal.Signals}


@pytest.mark.parametrize("format", ["text", "json"])
def test_it_shows_what_the_command_line_shows(format: str) -> None:
    code = f"import pytrace, sys; sys.exit(pytrace.trace({SCRIPT!r}, format={format!r}, name='-e').follow())"
    ours = subprocess.run([sys.executable, "-c", code], capture_output=True, timeout=60, check=False)
    theirs = subprocess.run(
        [sys.executable, "-m", "pytrace", "-f", format, "-e", SCRIPT], capture_output=True, timeout=60, check=False
    )
    assert ours.stdout
    assert (ours.stdout, ours.stderr, ours.returncode) == (theirs.stdout, theirs.stderr, theirs.returncode)


def test_maps_are_shown_and_kept(capfd: pytest.CaptureFixture[str]) -> None:
    before = handlers()
    t = pytrace.trace(SCRIPT)
    print("first")
    assert t.follow() == 3
    assert handlers() == before
    assert (t.exit_code, t.running, t.maps["@n"].value, t.maps["@t"][1, "a"]) == (3, False, 1, 7)
    out, err = capfd.readouterr()
    assert out.startswith("first\n42\n(1, x)\nbye\n\n\n@h:\n")
    assert out.endswith("\n@n: 1\n@t[1, a]: 7\n")
    assert err == "Attached 3 probes\n"
    with pytest.raises(RuntimeError, match="twice"):
        t.follow()


def test_text_to_a_stream_and_a_descriptor(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    page, path = io.StringIO(), tmp_path / "out"
    assert pytrace.trace(SCRIPT, output=page).follow(quiet=True) == 3
    with path.open("w") as file:
        file.write("above\n")
        pytrace.trace(SCRIPT, output=file).follow(quiet=True, buffering="full")
    assert path.read_text() == "above\n" + page.getvalue()
    fd = os.open(path, os.O_WRONLY | os.O_TRUNC)
    try:
        pytrace.trace(SCRIPT, output=fd).follow(quiet=True, buffering="none")
    finally:
        os.close(fd)
    assert path.read_text() == page.getvalue()
    pytrace.trace(SCRIPT, output=None).follow(quiet=True)
    assert capfd.readouterr() == ("", "")


def test_it_ends_when_nothing_can_happen_any_more() -> None:
    page = io.StringIO()
    assert pytrace.trace('begin { printf("x\\n"); }', output=page).follow(quiet=True) == 0
    assert page.getvalue() == "x\n\n\n"


def test_a_command() -> None:
    page = io.StringIO()
    script = 'tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { @ = count(); } end { printf("end\\n"); }'
    code = "import os\nfor i in range(123): os.getpgid(0)"
    t = pytrace.trace(script, command=[sys.executable, "-c", code], output=page)
    assert t.follow() == 0
    assert t.maps["@"].value == 123
    assert page.getvalue() == "end\n\n\n@: 123\n"


def test_nobody_reads_any_more() -> None:
    read, write = os.pipe()
    os.close(read)
    try:
        with pytest.raises(BrokenPipeError):
            pytrace.trace('interval:ms:1 { printf("x\\n"); }', output=write).follow()
    finally:
        os.close(write)


PROGRAM = """
import signal, pytrace
def seen(event):
    {body}
t = pytrace.trace("interval:ms:1 {{ @ = 7; print(1); }} end {{ @e = 8; }}", on_event=seen)
try:
    t.follow()
except KeyboardInterrupt:
    print("at once", flush=True)
print(t.maps["@e"].value if "@e" in t.maps else None, flush=True)
"""


def lines_of(body: str, interrupt: bool) -> list[str]:
    """What a program with this callback prints; with `interrupt` it gets Ctrl-C when it has printed a line."""
    command = [sys.executable, "-c", PROGRAM.format(body=body)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        first = process.stdout.readline().rstrip()
        if interrupt:
            process.send_signal(signal.SIGINT)
        rest = process.stdout.read()
    assert process.returncode == 0
    return [line for line in (first, *rest.splitlines()) if line != "event"]


def test_the_first_interrupt_ends_it_in_good_order() -> None:
    assert lines_of("print('event', flush=True)", True) == ["", "", "@: 7", "@e: 8", "8"]


def test_the_second_interrupt_ends_it_at_once() -> None:
    interrupt = "signal.raise_signal(signal.SIGINT)"
    body = f"{interrupt}; print('still here'); {interrupt}; print('not here')"
    assert lines_of(body, False) == ["still here", "at once", "None"]


def test_others_use_it_meanwhile() -> None:
    t = pytrace.trace("interval:ms:10 { @ = count(); }", output=io.StringIO())
    seen: list[int] = []

    def look() -> None:
        deadline = time.monotonic() + 60
        while not t.running and time.monotonic() < deadline:
            time.sleep(0.001)
        while not seen or (seen[-1] < 3 and time.monotonic() < deadline):
            seen.append(t.maps["@"].value or 0)
        t.attach("begin { @more = 1; }")
        t.run("@done = 1;")
        t.stop()

    thread = threading.Thread(target=look)
    thread.start()
    assert t.follow(quiet=True) == 0
    thread.join(60)
    assert seen[-1] >= 3
    assert (t.maps["@more"].value, t.maps["@done"].value) == (1, 1)


def test_callbacks_see_events_and_may_use_it() -> None:
    seen: list[int] = []

    def see(event: pytrace.Event) -> None:
        seen.append(event.value)
        if event.value == 2:
            assert t.probes == ("interval:ms:1",)
            t.run("exit(5);")

    t = pytrace.trace("interval:ms:1 { print(@n++); }", on_event=see, output=io.StringIO())
    assert t.follow(quiet=True) == 5
    assert seen[:3] == [0, 1, 2]


def test_an_exception_in_a_callback_ends_it() -> None:
    def see(event: pytrace.Event) -> None:
        raise LookupError(event.value)

    t = pytrace.trace("interval:ms:1 { print(7); } end { @e = 1; }", on_event=see, output=None)
    with pytest.raises(LookupError, match="7"):
        t.follow(quiet=True)
    assert t.maps["@e"].value == 1
    t.stop()  # it has been raised once


@pytest.mark.parametrize(("returned", "status", "said"), [(0, 0, "[       OK ] mine"), (1, 1, "[  FAILED  ] mine")])
def test_tests_are_run(returned: int, status: int, said: str) -> None:
    page = io.StringIO()
    t = pytrace.trace(f"test:mine {{ return {returned}; }}", options={"mode": "test"}, output=page)
    assert t.follow() == status
    assert said in page.getvalue()


def test_benchmarks_are_run() -> None:
    page = io.StringIO()
    assert pytrace.trace("bench:mine { @ = 1; }", options={"mode": "bench"}, output=page).follow() == 0
    assert "mine" in page.getvalue()


def test_another_buffering_is_refused() -> None:
    t = pytrace.trace("begin { }", output=None)
    with pytest.raises(ValueError, match="'line', 'full' or 'none'"):
        t.follow(buffering="some")  # type: ignore[arg-type]
    assert t.follow(quiet=True) == 0


def test_a_dry_run_runs_nothing() -> None:
    page = io.StringIO()
    t = pytrace.trace('begin { printf("never\\n"); } interval:ms:1 { printf("never\\n"); }', output=page)
    assert t.follow(dry_run=True) == 0
    assert page.getvalue() == ""


def test_json_of_a_session_in_the_background() -> None:
    page = io.StringIO()
    with pytrace.trace('begin { printf("x\\n"); print((1, 2)); }', output=page, format="json"):
        pass
    assert [json.loads(line)["data"] for line in page.getvalue().splitlines()] == ["x\n", [1, 2]]


def test_warnings_go_to_whoever_wants_them(recwarn: pytest.WarningsRecorder) -> None:
    heard: list[pytrace.TraceWarning] = []
    script = "begin { $x = $1; @m[1] = 1; @m[2] = 2; }"
    with pytrace.trace(script, options={"config": {"max_map_keys": 1}}, on_warning=heard.append):
        pass
    assert [type(w) for w in heard] == [pytrace.ScriptWarning, pytrace.TraceWarning]
    assert "$1" in str(heard[0])
    assert "Map full" in str(heard[1])
    assert not recwarn.list


def test_calls_are_counted_exactly_in_the_foreground() -> None:
    def see(event: pytrace.Event) -> None:
        call(100)
        t.run("exit();")

    t = pytrace.trace("begin { print(1); } " + on("getppid", "@ = count();"), on_event=see, output=None)
    # What `begin` sent is delivered when all is attached.
    assert t.follow(quiet=True) == 0
    assert t.maps["@"].value == 100
