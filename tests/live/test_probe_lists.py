"""What `-l` and `-lv` show, against the kernel's own files."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytrace.kernel import Kernel
from pytrace.probes import Target, describe, expand, list_probes
from pytrace.program import PerfTracepoint, RawTracepoint

EVENTS = Path("/sys/kernel/tracing/events")


@pytest.fixture(scope="module")
def target() -> Target:
    return Target(Kernel.running())


def directories() -> set[str]:
    """Events by the directories of a mounted tracefs; `ftrace` ones are no perf events."""
    found = set()
    for category in os.listdir(EVENTS):
        if (EVENTS / category).is_dir() and category != "ftrace":
            for event in os.listdir(EVENTS / category):
                if (EVENTS / category / event / "id").exists():
                    found.add(f"tracepoint:{category}:{event}")
    return found


@pytest.mark.skipif(not EVENTS.exists(), reason="tracefs is not mounted where it usually is")
def test_every_event_is_listed(target: Target) -> None:
    assert set(list_probes("tracepoint:*", target)) == directories()


@pytest.mark.skipif(not EVENTS.exists(), reason="tracefs is not mounted where it usually is")
def test_every_field_is_described_and_typed(target: Target) -> None:
    for point in expand("tracepoint:*:*", target):
        _, category, event = point.name.split(":")
        text = (EVENTS / category / event / "format").read_text()
        fields = re.findall(r"field:(.*?);\s*offset:(\d+);\s*size:(\d+);", text)
        fields = [(d, int(o), int(s)) for d, o, s in fields if not re.search(r"\bcommon_\w+$", d)]
        assert describe(point.name, target) == [d for d, _, _ in fields]
        args = point.context.args or ()
        assert len(args) == len(fields), point.name
        for arg, (declaration, _, size) in zip(args, fields, strict=True):
            assert re.search(rf"\b{arg.name}\b", declaration)
            if category != "syscalls" and "_loc" not in declaration:
                assert arg.type.size == size, (point.name, declaration, arg.type)


def test_every_system_call_event_has_a_number_of_its_own(target: Target) -> None:
    for side in ("enter", "exit"):
        points = expand(f"tracepoint:syscalls:sys_{side}_*", target)
        assert all(isinstance(p.attach, RawTracepoint | PerfTracepoint) for p in points)
        numbers = [p.guard.number for p in points if p.guard]
        assert len(numbers) == len(set(numbers))
        if target.kernel.features.has("tp_btf"):
            assert len(numbers) == len(points)


def test_functions_are_those_of_kallsyms(target: Target) -> None:
    symbols = {line.split()[2] for line in Path("/proc/kallsyms").read_text().split("\n") if line}
    for provider in ("kprobe", "fentry"):
        names = {n.rpartition(":")[2] for n in list_probes(f"{provider}:vfs_*", target)}
        assert "vfs_read" in names
        assert names <= symbols


def test_parameters_of_a_function_that_never_changes(target: Target) -> None:
    assert describe("fentry:vmlinux:vfs_read", target) == [
        "struct file * file",
        "char * buf",
        "size_t count",
        "loff_t * pos",
    ]
    assert describe("fexit:vmlinux:vfs_read", target)[-1] == "ssize_t retval"
    assert describe("kprobe:vfs_read", target)[1] == "char * arg1"
    assert describe("rawtracepoint:vmlinux:sys_enter", target) == ["struct pt_regs * regs", "long int id"]
    assert describe("iter:task", target) == ["struct task_struct * task"]


def test_iterators_have_the_members_of_their_context(target: Target) -> None:
    (point,) = expand("iter:task_file", target)
    assert [a.name for a in point.context.args or ()] == ["task", "fd", "file"]
    assert point.context.attach_btf == "bpf_iter_task_file"
