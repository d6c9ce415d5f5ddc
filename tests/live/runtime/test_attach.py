"""Every kind of link, attached and fired as often as something independent says."""

from __future__ import annotations

import ctypes
import os
import signal
import struct
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.kernel.elf import Elf
from pytrace.program import (
    Iter,
    Kprobe,
    KprobeMulti,
    PerfEvent,
    PerfTracepoint,
    RawTracepoint,
    Signal,
    Tracing,
    Uprobe,
    UprobeMulti,
    Watchpoint,
)
from pytrace.program import (
    TestRun as Run,
)
from pytrace.runtime import AttachError
from tests.asm import GET_ATTACH_COOKIE, Asm, AttachType, ProgType, printf, prog, program, sends
from tests.live.runtime.conftest import Bench

N = 50
SHOW = (printf(0, "%d\n"),)


def offset(path: Path, function: str) -> int:
    """Where a function is in its file, by nm: these programs' segments are mapped so that both agree."""
    for line in subprocess.run(["nm", path], capture_output=True, text=True, check=True).stdout.splitlines():
        address, _, name = line.rpartition(" ")
        if name == function:
            found = Elf.open(str(path)).offset_of(int(address.split()[0], 16))
            assert found is not None
            return found
    raise AssertionError(f"{path} has no {function}")


def cookie(asm: Asm) -> Asm:
    return asm.copy(1, 6).call(GET_ATTACH_COOKIE).copy(7, 0)


def in_child(bench: Bench, make: Callable[[int], object], caller: Path) -> list[str]:
    """Lines of a session around N calls; `make` gets the pid of the command."""
    from pytrace.runtime import Child

    child = Child([str(caller), str(N)])
    with bench.session(make(child.pid), child=child, show_maps=False) as session:  # type: ignore[arg-type]
        session.run()
    return bench.out.lines


def test_raw_tracepoint(bench: Bench, caller: Path) -> None:
    lines = in_child(
        bench,
        lambda pid: program(prog(sends(pid, value=syscall_number), RawTracepoint("sys_enter")), events=SHOW),
        caller,
    )
    assert lines.count(str(getppid())) == N


def syscall_number(asm: Asm) -> Asm:
    return asm.load(7, 6, 8)  # struct bpf_raw_tracepoint_args: pt_regs, number


def getppid() -> int:
    return {"x86_64": 110}.get(os.uname().machine, 173)


def test_typed_raw_tracepoint(bench: Bench, caller: Path, needs: Callable[[str], None]) -> None:
    needs("tp_btf")

    def make(pid: int) -> object:
        asm = sends(pid, value=syscall_number)
        spec = prog(
            asm,
            RawTracepoint("sys_enter"),
            type=ProgType.TRACING,
            expected=AttachType.TRACE_RAW_TP,
            attach_btf="btf_trace_sys_enter",
        )
        return program(spec, events=SHOW)

    assert in_child(bench, make, caller).count(str(getppid())) == N


def test_perf_tracepoint(bench: Bench, caller: Path) -> None:
    spec = PerfTracepoint("syscalls", "sys_enter_getppid")
    lines = in_child(bench, lambda pid: program(prog(sends(pid), spec, type=ProgType.TRACEPOINT), events=SHOW), caller)
    assert lines == ["7"] * N


def test_a_tracepoint_that_is_not_there(bench: Bench) -> None:
    spec = prog(sends(0), PerfTracepoint("syscalls", "sys_enter_nothing"), type=ProgType.TRACEPOINT)
    with pytest.raises(AttachError, match="tracepoint:syscalls:sys_enter_nothing: there is no such tracepoint"):
        bench.session(program(spec)).__enter__()


@pytest.mark.parametrize("one_cpu", [False, True])
def test_perf_event(bench: Bench, one_cpu: bool) -> None:
    timer = PerfEvent(1, 0, freq=500, one_cpu=one_cpu)
    cpu = sends(0, value=lambda asm: asm.call(8).copy(7, 0))
    with bench.session(program(prog(cpu, timer, type=ProgType.PERF_EVENT), events=SHOW)) as session:
        expected = {str(c) for c in (bench.kernel.online_cpus[:1] if one_cpu else bench.kernel.online_cpus)}
        # A timer of the CPU's clock fires on idle CPUs, too; give it as long as it takes.
        for _ in range(600):
            session.poll()
            if set(bench.out.lines) == expected:
                break
    assert set(filter(None, bench.out.lines)) == expected


@pytest.mark.parametrize("returns", [False, True])
def test_uprobe(bench: Bench, caller: Path, returns: bool) -> None:
    spec = Uprobe(str(caller), offset(caller, "twice"), returns=returns)
    lines = in_child(bench, lambda pid: program(prog(sends(pid), spec, type=ProgType.KPROBE), events=SHOW), caller)
    assert lines == ["7"] * N


def test_uprobe_cookie(bench: Bench, caller: Path, needs: Callable[[str], None]) -> None:
    needs("perf_link")
    spec = Uprobe(str(caller), offset(caller, "twice"), cookie=0x1234)
    asm = lambda pid: sends(pid, value=cookie)  # noqa: E731  # one line says it all
    lines = in_child(bench, lambda pid: program(prog(asm(pid), spec, type=ProgType.KPROBE), events=SHOW), caller)
    assert lines == [str(0x1234)] * N


def test_uprobe_of_one_process_only(bench: Bench, caller: Path) -> None:
    """The probe is limited to the command by its link, not by the program."""
    spec = Uprobe(str(caller), offset(caller, "twice"))
    with bench.session(program(prog(sends(0), spec, type=ProgType.KPROBE), events=SHOW), pid=os.getpid()):
        subprocess.run([caller, str(N)], check=True)
    assert bench.out.text.strip() == ""


def test_a_file_that_is_not_there(bench: Bench) -> None:
    spec = prog(sends(0), Uprobe("/no/such/file", 0), type=ProgType.KPROBE)
    with pytest.raises(AttachError, match="uprobe:/no/such/file:0x0: there is no such file"):
        bench.session(program(spec)).__enter__()


@pytest.mark.parametrize("returns", [False, True])
def test_uprobe_multi(bench: Bench, caller: Path, needs: Callable[[str], None], returns: bool) -> None:
    needs("uprobe_multi")
    offsets = offset(caller, "twice"), offset(caller, "thrice")
    spec = UprobeMulti(str(caller), offsets, cookies=(1, 2), returns=returns)

    def make(pid: int) -> object:
        asm = sends(pid, value=cookie)
        return program(prog(asm, spec, type=ProgType.KPROBE, expected=AttachType.TRACE_UPROBE_MULTI), events=SHOW)

    assert in_child(bench, make, caller) == ["1", "2"] * N


def test_uprobe_session(bench: Bench, caller: Path, needs: Callable[[str], None]) -> None:
    needs("uprobe_session")
    spec = UprobeMulti(str(caller), (offset(caller, "twice"),), session=True)

    def make(pid: int) -> object:
        asm = sends(pid)
        return program(prog(asm, spec, type=ProgType.KPROBE, expected=AttachType.TRACE_UPROBE_SESSION), events=SHOW)

    assert in_child(bench, make, caller) == ["7"] * (2 * N)


@pytest.mark.parametrize("returns", [False, True])
def test_kprobe(bench: Bench, caller: Path, needs: Callable[[str], None], returns: bool) -> None:
    needs("kprobe")
    name = "__x64_sys_getppid" if os.uname().machine == "x86_64" else "__arm64_sys_getppid"
    spec = Kprobe(name, returns=returns)
    lines = in_child(bench, lambda pid: program(prog(sends(pid), spec, type=ProgType.KPROBE), events=SHOW), caller)
    assert lines == ["7"] * N


def test_kprobe_multi(bench: Bench, caller: Path, needs: Callable[[str], None]) -> None:
    needs("kprobe_multi")
    prefix = "__x64_sys_" if os.uname().machine == "x86_64" else "__arm64_sys_"
    spec = KprobeMulti((f"{prefix}getppid", f"{prefix}getpgid"), (5, 6))

    def make(pid: int) -> object:
        asm = sends(pid, value=cookie)
        return program(prog(asm, spec, type=ProgType.KPROBE, expected=AttachType.TRACE_KPROBE_MULTI), events=SHOW)

    assert in_child(bench, make, caller) == ["5", "6"] * N


@pytest.mark.parametrize("expected", [AttachType.TRACE_FENTRY, AttachType.TRACE_FEXIT])
def test_fentry(bench: Bench, caller: Path, needs: Callable[[str], None], expected: int) -> None:
    needs("fentry")
    name = "__x64_sys_getpgid" if os.uname().machine == "x86_64" else "__arm64_sys_getpgid"

    def make(pid: int) -> object:
        return program(
            prog(sends(pid), Tracing(), type=ProgType.TRACING, expected=expected, attach_btf=name), events=SHOW
        )

    assert in_child(bench, make, caller) == ["7"] * N


def test_no_kprobes_is_said(bench: Bench) -> None:
    if bench.kernel.features.has("kprobe"):
        pytest.skip("this kernel has kprobes")
    with pytest.raises(AttachError, match="kprobe:do_exit: this kernel is built without kprobes"):
        bench.session(program(prog(sends(0), Kprobe("do_exit"), type=ProgType.KPROBE))).__enter__()


def test_iterator(bench: Bench) -> None:
    """Of all tasks; the last call has no task. `struct bpf_iter__task`: meta, task."""
    asm = Asm().load(7, 1, 8).jump_eq(7, 0, "out").mov(7, 1).store(10, -8, 7).send(0).label("out").exit()
    spec = prog(asm, Iter(), type=ProgType.TRACING, expected=AttachType.TRACE_ITER, attach_btf="bpf_iter_task")
    tasks = len([t for p in os.listdir("/proc") if p.isdigit() for t in os.listdir(f"/proc/{p}/task")])
    with bench.session(program(spec, events=SHOW), show_maps=False) as session:
        assert session.run() == 0
    # Tasks come and go meanwhile.
    assert abs(len(bench.out.lines) - tasks) < 50
    assert len(bench.out.lines) > 5


def test_watchpoint(bench: Bench, needs: Callable[[str], None]) -> None:
    needs("watchpoint")
    word = ctypes.c_uint32(0)
    at = ctypes.addressof(word)
    spec = prog(sends(os.getpid()), Watchpoint(at, 4, "w"), type=ProgType.PERF_EVENT)
    with bench.session(program(spec, events=SHOW), pid=os.getpid(), show_maps=False):
        for i in range(N):
            word.value = i
    assert bench.out.lines == ["7"] * N


def test_begin_and_end(bench: Bench) -> None:
    """Also the order: begin, what happens between, end."""
    ends = prog(sends(0, 2), Run("end"))
    begins = prog(sends(0, 0), Run("begin"))
    between = prog(sends(os.getpid(), 1), PerfTracepoint("syscalls", "sys_enter_getppid"), type=ProgType.TRACEPOINT)
    events = printf(0, "begin\n"), printf(1, "between\n"), printf(2, "end\n")
    with bench.session(program(ends, between, begins, events=events), show_maps=False):
        os.getppid()
    assert bench.out.lines == ["begin", "between", "end"]


def test_signal(bench: Bench) -> None:
    spec = prog(sends(0), Signal(signal.SIGUSR1))
    with bench.session(program(spec, events=SHOW), show_maps=False) as session:
        assert not bench.out.lines
        os.kill(os.getpid(), signal.SIGUSR1)
        session.poll()
        assert bench.out.lines == ["7"]
        os.kill(os.getpid(), signal.SIGUSR1)
        session.poll()
        assert bench.out.lines == ["7", "7"]
    assert signal.getsignal(signal.SIGUSR1) == signal.SIG_DFL


def test_the_context_of_a_test_run_is_zero(bench: Bench) -> None:
    spec = prog(sends(0, value=lambda asm: asm.load(7, 6, 88)), Run("begin"))
    with bench.session(program(spec, events=SHOW), show_maps=False):
        pass
    assert bench.out.lines == ["0"]
    assert struct.calcsize("=12Q") == 96
