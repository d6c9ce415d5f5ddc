"""The life of a session: what ends it, in which order things happen, what programs share, what stays behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.compiler import compile_script
from pytrace.kernel.errors import KernelError
from pytrace.output import Record
from pytrace.program import (
    BPF_F_MMAPABLE,
    Counter,
    EventSpec,
    MapSpec,
    MapType,
    PerfEvent,
    PerfTracepoint,
    Program,
    ProgSpec,
    RawTracepoint,
    Storage,
    UserMap,
)
from pytrace.program import TestRun as Run
from pytrace.runtime import Child, ChildError, MapMismatch, Session, SessionError
from pytrace.types import INT64, UINT64, Count
from tests.asm import CPUS, FORCE_WAKEUP, Asm, ProgType, printf, prog, program, sends
from tests.live.runtime.conftest import Bench, programs_named

ROOT = Path(__file__).parents[3]
GETPPID = PerfTracepoint("syscalls", "sys_enter_getppid")
SLOT = MapSpec("@n", MapType.ARRAY, 4, 16, 1, BPF_F_MMAPABLE)
N = UserMap("@n", "@n", Storage.SLOT, None, UINT64)
EXIT = EventSpec(1, "exit", (INT64,), control=True)


def on_getppid(asm: Asm, name: str = "test") -> ProgSpec:
    return prog(asm, GETPPID, type=ProgType.TRACEPOINT, name=name)


def adds(pid: int) -> Asm:
    """Adds 1 to the slot @n in process `pid`."""
    return Asm().only_pid(pid).value(1, "@n").mov(2, 1).atomic_add(1, 0, 2).store_imm(1, 8, 1).label("out").exit()


def counting(pid: int, **options: object) -> Program:
    return program(on_getppid(adds(pid)), maps=(SLOT,), user_maps=(N,), **options)  # type: ignore[arg-type]


# --- what ends it -----------------------------------------------------------------------------------


def test_exit_gives_its_code(bench: Bench) -> None:
    asm = Asm().only_pid(os.getpid()).mov(7, 3).store(10, -8, 7).send(1, 1, FORCE_WAKEUP).label("out").exit()
    with bench.session(program(on_getppid(asm), events=(printf(0, "%d\n"), EXIT))) as session:
        os.getppid()
        assert session.run() == 3


def test_the_exit_flag_is_enough(bench: Bench) -> None:
    """The event of an exit may find no room in the ring: the flag that goes with it is seen all the same."""
    asm = Asm().only_pid(os.getpid()).value(1, "counters").store_u32(1, 0, 1).store_u32(1, 4, 9).label("out").exit()
    with bench.session(program(on_getppid(asm))) as session:
        os.getppid()
        assert session.run() == 9


def test_after_exit_in_begin_nothing_is_attached(bench: Bench) -> None:
    begin = Asm().value(1, "counters").store_u32(1, 0, 1).exit()
    spec = program(
        prog(begin, Run("begin")), on_getppid(sends(0)), prog(sends(0), Run("end")), events=(printf(0, "x\n"),)
    )
    with bench.session(spec, show_maps=False) as session:
        assert not session.loaded[0].links
        assert session.run() == 0
    assert bench.out.lines == ["x"]


def test_without_anything_to_wait_for_it_ends(bench: Bench) -> None:
    with bench.session(program(prog(sends(0), Run("begin")), events=(printf(0, "%d\n"),))) as session:
        assert session.run() == 0


def test_the_end_of_the_command_ends_it(bench: Bench, caller: Path) -> None:
    child = Child([str(caller), "2", "5"])
    with bench.session(counting(child.pid), child=child) as session:
        assert session.run() == 0
        assert child.status == 5
    assert bench.out.text == "\n\n@n: 2\n"


def test_a_command_does_nothing_before_all_is_attached(bench: Bench, tmp_path: Path) -> None:
    mark = tmp_path / "mark"
    with Child(["touch", str(mark)]) as child:
        time.sleep(0.1)
        assert not mark.exists()
        child.release()
        assert child.reap() == 0
    assert mark.exists()


@pytest.mark.parametrize("command", ["", "/no/such/program x", "no-such-program-anywhere", "a 'b"])
def test_commands_that_cannot_be(command: str) -> None:
    with pytest.raises(ChildError):
        Child(command)


def test_a_program_that_cannot_be_executed(tmp_path: Path) -> None:
    bad = tmp_path / "bad"
    bad.write_bytes(b"\0not a program")
    bad.chmod(0o755)
    with Child([str(bad)]) as child, pytest.raises(ChildError, match="Exec format error"):
        child.release()


def test_a_command_is_ended_with_the_session(bench: Bench) -> None:
    child = Child(["sleep", "1000"])
    with bench.session(counting(1), child=child):
        assert Path(f"/proc/{child.pid}").exists()
    assert child.status == 128 + signal.SIGTERM
    assert not Path(f"/proc/{child.pid}").exists()


def test_the_end_of_the_process_ends_it(bench: Bench) -> None:
    process = subprocess.Popen(["cat"], stdin=subprocess.PIPE)
    with bench.session(counting(1), pid=process.pid) as session:
        assert session.poll(0)
        process.communicate(b"")
        assert session.run() == 0


def test_a_process_that_is_not_there(bench: Bench) -> None:
    process = subprocess.Popen(["true"])
    process.wait()
    with pytest.raises(SessionError, match=f"no process {process.pid}"):
        bench.session(counting(1), pid=process.pid).__enter__()


def test_stop_from_another_thread(bench: Bench) -> None:
    import threading

    with bench.session(counting(1)) as session:
        thread = threading.Thread(target=session.stop, args=(4,))
        thread.start()
        assert session.run() == 4
        thread.join()


def in_process(body: str, **options: object) -> subprocess.Popen[bytes]:
    """A Python of its own that runs `body` with the names of this module."""
    code = f"from tests.live.runtime.test_session import *\n{body}"
    return subprocess.Popen(
        [sys.executable, "-c", code], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
    )  # type: ignore[call-overload,no-any-return]


TICKING = """
timer = prog(sends(0), PerfEvent(1, 0, freq=100, one_cpu=True), type=ProgType.PERF_EVENT, name=NAME)
last = prog(sends(0, 1), Run("end"))
"""


def ticking(name: str) -> str:
    return TICKING.replace("NAME", repr(name)) + (
        "with Session(program(timer, last, events=(printf(0, 'tick\\n'), printf(1, 'end\\n')))) as session:\n"
        "    sys.exit(session.run())\n"
    )


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_end_it_politely(number: signal.Signals) -> None:
    process = in_process(ticking(f"sig{number}"))
    assert process.stdout is not None
    assert process.stdout.readline() == b"tick\n"
    process.send_signal(number)
    out, err = process.communicate(timeout=30)
    assert process.returncode == 0
    assert out.endswith(b"tick\nend\n\n\n") or out == b"end\n\n\n"
    assert b"Traceback" not in err
    assert programs_named(f"sig{number}") == 0


def test_a_closed_output_ends_it() -> None:
    process = in_process(ticking("closed"))
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.readline() == b"tick\n"
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    assert b"Traceback" not in process.stderr.read()
    process.stderr.close()


def test_a_silent_session_notices_a_closed_output() -> None:
    process = in_process(
        "with Session(counting(1), announce=False) as session:\n    os.write(1, b'!')\n    sys.exit(session.run())\n"
    )
    assert process.stdout is not None and process.stderr is not None
    assert process.stdout.read(1) == b"!"
    process.stdout.close()
    assert process.wait(timeout=30) == 0
    process.stderr.close()


def test_nothing_stays_behind_a_killed_session() -> None:
    name = f"killed{os.getpid() % 10000}"
    body = ticking(name).replace("Session(", "Session(child=Child('sleep 1000'), program=")
    process = in_process("CHILDREN = []\n" + body)
    assert process.stdout is not None
    process.stdout.readline()
    children = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    assert programs_named(name) == 1
    process.kill()
    process.communicate()
    assert len(children) == 1
    for _ in range(500):
        if not programs_named(name) and not Path(f"/proc/{children[0]}/exe").exists():
            break
        time.sleep(0.01)
    assert programs_named(name) == 0
    assert not Path(f"/proc/{children[0]}/exe").exists()


def test_ctrl_c_twice_forces_it(bench: Bench) -> None:
    with pytest.raises(KeyboardInterrupt), bench.session(counting(1)):
        signal.raise_signal(signal.SIGINT)
        signal.raise_signal(signal.SIGINT)
    assert signal.getsignal(signal.SIGINT) == signal.default_int_handler


# --- books ----------------------------------------------------------------------------------------


def flood(pid: int, ring: int) -> Program:
    """Each getppid(2) of the process adds to @n and sends a record."""
    body = Asm().mov(7, 7).only_pid(pid).value(1, "@n").mov(2, 1).atomic_add(1, 0, 2).store_imm(1, 8, 1)
    body = body.store(10, -8, 7).send(0).label("out").exit()
    return program(on_getppid(body), events=(printf(0, "%d\n"),), maps=(SLOT,), user_maps=(N,), ring=ring)


@pytest.mark.parametrize("ring", [4096, 1 << 22])
def test_what_was_fired_is_delivered_or_counted(bench: Bench, caller: Path, ring: int) -> None:
    calls = 100_000
    child = Child([str(caller), str(calls)])
    with bench.session(flood(child.pid, ring), child=child, show_maps=False) as session:
        session.run()
        lost, fired = session.lost, session.maps["@n"].entries()
    assert fired == [(None, calls)]
    assert len(bench.out.lines) + lost == calls
    assert bool(lost) == (ring == 4096)
    told = [int(line.split()[1]) for line in bench.err.lines if line.startswith("Lost ")]
    assert sum(told) == lost
    assert (f"WARNING: Total lost event count: {lost}" in bench.err.lines) == bool(lost)


def test_what_was_sent_before_the_end_of_a_command_is_delivered(bench: Bench, caller: Path) -> None:
    """Nobody takes records out while the command runs; all of them are there in the end."""
    child = Child([str(caller), "1000"])
    with bench.session(flood(child.pid, 1 << 16), child=child, show_maps=False):
        child.reap()
    assert bench.out.lines == ["7"] * 1000


def test_other_counters_are_told_with_their_place(bench: Bench) -> None:
    counters = Counter("lost"), Counter("map_full", "@x", ("-e", 1, 7)), Counter("loop_limit", "", ("-e", 2, 3))
    asm = Asm().count(1).count(1).count(2).exit()
    with bench.session(program(prog(asm, Run("begin")), counters=counters), show_maps=False):
        pass
    assert [line.partition(" WARNING")[0] for line in bench.err.lines[1:]] == ["-e:1:7:", "-e:2:3:"]
    assert "@x (2 times)" in bench.err.text


# --- several programs --------------------------------------------------------------------------------


def test_programs_share_maps_and_leave_alone(bench: Bench) -> None:
    with bench.session() as session:
        first = session.add(counting(os.getpid()))
        os.getppid()
        second = session.add(counting(os.getpid()))
        os.getppid()
        assert session.maps["@n"].entries() == [(None, 3)]
        session.remove(first)
        os.getppid()
        assert session.maps["@n"].entries() == [(None, 4)]
        session.remove(second)
        os.getppid()
        assert session.maps["@n"].entries() == [(None, 4)]
        assert session.loaded == ()
    assert bench.out.text == "\n\n@n: 4\n"


def test_a_map_of_another_type_is_refused(bench: Bench) -> None:
    other = UserMap("@n", "@n", Storage.PERCPU_SLOT, None, Count(), 64)
    spec = MapSpec("@n", MapType.ARRAY, 4, 64 * CPUS, 1, BPF_F_MMAPABLE)
    with bench.session(counting(os.getpid())) as session:
        with pytest.raises(MapMismatch, match="@n is a map of nothing to uint64 in this session already"):
            session.add(program(prog(sends(0), Run("begin")), maps=(spec,), user_maps=(other,)))
        os.getppid()
        assert session.maps["@n"].entries() == [(None, 1)]


def test_maps_can_be_kept(bench: Bench) -> None:
    with bench.session(counting(os.getpid()), show_maps=False) as session:
        os.getppid()
        session.keep_maps()
    assert session.maps["@n"].entries() == [(None, 1)]


def test_a_program_that_fails_changes_nothing(bench: Bench, no_leaks: Callable[[str], int]) -> None:
    bad = program(on_getppid(sends(0), "good"), prog(sends(0), RawTracepoint("no_such_tracepoint"), name="bad"))
    with bench.session(counting(os.getpid())) as session:
        before = len(os.listdir("/proc/self/fd"))
        with pytest.raises(KernelError, match="no_such_tracepoint: there is no such tracepoint"):
            session.add(bad)
        assert len(os.listdir("/proc/self/fd")) == before
        assert len(session.loaded) == 1


def test_missing_probes_may_be_tolerated(bench: Bench) -> None:
    specs = prog(sends(0), RawTracepoint("no_such_tracepoint")), on_getppid(sends(os.getpid()))
    spec = program(*specs, events=(printf(0, "%d\n"),), config=(("missing_probes", "warn"),))
    with bench.session(spec, show_maps=False):
        os.getppid()
    assert bench.out.lines == ["7"]
    assert "WARNING: cannot attach rawtracepoint:no_such_tracepoint" in bench.err.text


def test_a_callback_sees_events_first(bench: Bench) -> None:
    seen: list[tuple[int, ...]] = []

    def on_event(record: object) -> bool:
        seen.append(record.values)  # type: ignore[attr-defined]
        return len(seen) > 1

    spec = program(on_getppid(sends(os.getpid())), events=(printf(0, "%d\n"),))
    with bench.session(spec, show_maps=False, on_event=on_event):
        os.getppid()
        os.getppid()
    assert seen == [(7,), (7,)]
    assert bench.out.lines == ["7"]


def test_200_cycles_leave_nothing(bench: Bench, no_leaks: Callable[[str], int]) -> None:
    name = f"cycle{os.getpid() % 10000}"
    spec = program(
        prog(sends(os.getpid()), RawTracepoint("sys_enter"), name=name),
        prog(sends(0), Run("begin"), name=name),
        events=(printf(0, "%d\n"),),
    )
    for _ in range(200):
        with bench.session(spec, show_maps=False):
            assert no_leaks(name) >= 2
    for _ in range(500):  # the kernel frees the last ones when all CPUs have passed by
        if not no_leaks(name):
            break
        time.sleep(0.01)
    assert no_leaks(name) == 0


def test_more_links_than_the_usual_limit_of_open_files() -> None:
    process = in_process(
        "import resource\n"
        "resource.setrlimit(resource.RLIMIT_NOFILE, (64, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))\n"
        "never = PerfEvent(1, 9, period=1 << 60, one_cpu=True)\n"
        "many = prog(sends(0), *[never] * 400, type=ProgType.PERF_EVENT)\n"
        "with Session(program(many), announce=False, show_maps=False) as session:\n"
        "    print(session.loaded[0].attached)\n"
    )
    out, err = process.communicate(timeout=60)
    assert out == b"400\n", err.decode()


__all__ = [
    "Child",
    "PerfEvent",
    "ProgType",
    "Run",
    "Session",
    "counting",
    "os",
    "printf",
    "prog",
    "program",
    "sends",
    "sys",
]


def test_who_wakes_a_session_does_not_wait_for_all_that_is_in_its_rings() -> None:
    text = f"tracepoint:syscalls:sys_enter_getppid /pid == {os.getpid()}/ {{ print(@n++); }}"
    seen: list[int] = []

    def see(record: Record) -> bool:
        seen.append(record.values[0])
        session.wake()
        return True

    with Session(compile_script(text), on_event=see, announce=False, show_maps=False) as session:
        for _ in range(100):
            os.getppid()
        session.poll()
        assert seen == [0]  # behind the event during which somebody woke it
        while len(seen) < 100:
            session.poll()
    assert seen == list(range(100))
