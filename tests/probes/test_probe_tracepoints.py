from __future__ import annotations

from dataclasses import replace

import pytest

from pytrace.probes import (
    Arg,
    CtxAddress,
    CtxLoad,
    DataLoc,
    Point,
    ProbeError,
    RegsLoad,
    SyscallGuard,
    expand,
    lowering,
)
from pytrace.program import PerfTracepoint, RawTracepoint
from pytrace.types import BOOL, INT32, INT64, Array, Int, Pointer, String, Struct
from tests.probes.kernels import COLOR, target


def args(text: str, **kernel: str) -> dict[str, Arg]:
    (point,) = expand(text, target(**kernel))  # type: ignore[arg-type]  # all its arguments that tests use are text
    return {a.name: a for a in point.context.args or ()}


def test_fields_become_arguments() -> None:
    found = args("t:sched:sched_switch")
    assert found["prev_comm"] == Arg("prev_comm", String(16, whole=True), CtxAddress(8))
    assert found["prev_pid"] == Arg("prev_pid", INT32, CtxLoad(24))
    assert found["prev_state"] == Arg("prev_state", INT64, CtxLoad(32))
    assert found["hue"] == Arg("hue", COLOR, CtxLoad(40))
    assert found["late"] == Arg("late", BOOL, CtxLoad(44))
    assert found["bytes"] == Arg("bytes", Array(Int(8, False), 6), CtxAddress(45))
    assert found["file"] == Arg("file", Pointer(Struct("struct", "file", 232, None)), CtxLoad(56))


def test_a_type_that_nobody_knows_is_an_integer_of_its_size() -> None:
    assert args("t:sched:sched_switch")["odd"] == Arg("odd", Int(16, True), CtxLoad(64))


def test_located_fields_point_to_their_data() -> None:
    found = args("t:sched:sched_switch")
    assert found["name"] == Arg("name", Pointer(Int(8, True), "kernel"), DataLoc(68))
    assert found["list"] == Arg("list", Pointer(Int(64, False), "kernel"), DataLoc(72, relative=True))


def test_common_fields_are_not_arguments() -> None:
    assert not [name for name in args("t:sched:sched_switch") if name.startswith("common_")]


def test_a_system_call_becomes_a_guarded_raw_tracepoint() -> None:
    (point,) = expand("t:syscalls:sys_enter_openat", target())
    assert point.name == "tracepoint:syscalls:sys_enter_openat"
    assert point.attach == RawTracepoint("sys_enter")
    assert point.context.attach_btf == "btf_trace_sys_enter"
    assert point.context.btf
    # thread_info at 8, status at 16 within it, TS_COMPAT 2
    assert point.guard == SyscallGuard(257, CtxLoad(8), 24, 2)
    loads = {a.name: a.load for a in point.context.args or ()}
    # di 112, si 104, dx 96, r10 56: x86's asm/ptrace.h
    assert loads == {
        "__syscall_nr": CtxLoad(8),
        "dfd": RegsLoad(112, 0),
        "filename": RegsLoad(104, 0),
        "flags": RegsLoad(96, 0),
        "mode": RegsLoad(56, 0),
    }
    types = {a.name: a.type for a in point.context.args or ()}
    assert types["filename"] == Pointer(Int(8, True), "user")
    assert types["mode"] == Int(16, False)
    assert point.context.space == "user"


def test_the_exit_of_a_system_call() -> None:
    (point,) = expand("t:syscalls:sys_exit_read", target())
    assert point.attach == RawTracepoint("sys_exit")
    assert point.guard == SyscallGuard(0, RegsLoad(120, 0), 24, 2)
    loads = {a.name: a.load for a in point.context.args or ()}
    assert loads == {"__syscall_nr": RegsLoad(120, 0), "ret": CtxLoad(8)}


def test_events_are_named_after_functions() -> None:
    (point,) = expand("t:syscalls:sys_enter_newfstat", target())
    assert point.guard is not None
    assert point.guard.number == 5  # fstat


def test_another_machine_has_other_numbers_and_registers() -> None:
    (point,) = expand("t:syscalls:sys_enter_openat", target(machine="aarch64"))
    assert point.guard == SyscallGuard(56, CtxLoad(8), 8, 1 << 22)
    loads = {a.name: a.load for a in point.context.args or ()}
    assert loads["dfd"] == RegsLoad(272, 0)  # orig_x0
    assert loads["filename"] == RegsLoad(8, 0)


def test_without_btf_tracepoints_it_is_a_perf_event() -> None:
    (point,) = expand("t:syscalls:sys_enter_openat", target(without="tp_btf"))
    assert point.attach == PerfTracepoint("syscalls", "sys_enter_openat")
    assert point.guard is None
    loads = {a.name: a.load for a in point.context.args or ()}
    assert loads["filename"] == CtxLoad(24)
    assert point.context.space == "user"


def test_both_forms_have_the_same_argument_types() -> None:
    for event in ("sys_enter_openat", "sys_exit_read"):
        lowered, plain = (args(f"t:syscalls:{event}", without=w) for w in ("", "tp_btf"))
        assert {n: a.type for n, a in lowered.items()} == {n: a.type for n, a in plain.items()}


def test_wildcards() -> None:
    points = expand("t:sys*:*", target())
    assert [p.name.rpartition(":")[2] for p in points] == ["sys_enter_newfstat", "sys_enter_openat", "sys_exit_read"]
    assert lowering.explain(points) == [
        "2 tracepoint probes -> one tp_btf on sys_enter, told apart by system call number",
        "tracepoint:syscalls:sys_exit_read -> one tp_btf on sys_exit, told apart by system call number",
    ]


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("t:sched:sched_swich", "sched:sched_switch"),
        ("t:shed:sched_switch", "sched:sched_switch"),
        ("t:sced:nothing", "sched"),
    ],
)
def test_near_misses(text: str, hint: str) -> None:
    with pytest.raises(ProbeError, match="No matches for tracepoint") as e:
        expand(text, target())
    assert e.value.hint is not None
    assert hint in e.value.hint


def test_raw_tracepoints_have_typed_words() -> None:
    (point,) = expand("rt:sched_switch", target())
    assert point.name == "rawtracepoint:vmlinux:sched_switch"
    assert point.attach == RawTracepoint("sched_switch")
    assert point.context.positional == (CtxLoad(0), CtxLoad(8))
    assert [a.name for a in point.context.args or ()] == ["preempt", "prev"]
    assert (point.context.btf, point.context.attach_btf) == (True, "btf_trace_sched_switch")
    (plain,) = expand("rt:vmlinux:sched_switch", target(without="tp_btf"))
    assert (plain.context.btf, plain.context.attach_btf) == (False, "")


def refined(text: str, *uses: str, without: str = "") -> Point:
    t = target(without=without)
    (point,) = expand(text, t)
    return lowering.refine(point, frozenset(uses), t)


def test_an_event_whose_record_nobody_reads_needs_no_record() -> None:
    assert refined("t:sched:sched_switch", "args").attach == PerfTracepoint("sched", "sched_switch")
    point = refined("t:sched:sched_switch", "kstack")
    assert point.attach == RawTracepoint("sched_switch")
    assert point.name == "tracepoint:sched:sched_switch"
    assert point.context.stack_skip > 0


def test_an_event_without_a_tracepoint_of_its_name_stays() -> None:
    assert refined("t:sched:sched_wakeup").attach == PerfTracepoint("sched", "sched_wakeup")
    assert refined("t:sched:sched_switch", without="raw_tp").attach == PerfTracepoint("sched", "sched_switch")


def test_points_that_share_a_program_are_attached_once() -> None:
    points = expand("t:syscalls:sys_enter_*", target())
    assert lowering.merge(points, range(len(points))) == (RawTracepoint("sys_enter"),)
    assert replace(points[0].context, args=None, struct=None) == replace(points[1].context, args=None, struct=None)
