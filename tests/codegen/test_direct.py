"""Kernel memory is read by plain loads where the verifier allows it, and by the helper otherwise."""

from __future__ import annotations

import os
import struct

import pytest

from pytrace.codegen.helpers import Helper
from pytrace.compiler import compile_script
from pytrace.kernel import Kernel
from pytrace.options import Options
from pytrace.program import Program
from pytrace.runtime.attach import Place
from pytrace.runtime.loaded import Loaded

pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="asks the kernel what it allows: needs root")

_CALL, _KERNEL_FUNCTION = 0x85, 2


def calls(program: Program, *helpers: Helper) -> int:
    """How many calls of these helpers are in a program's code."""
    return sum(
        1
        for prog in program.progs
        for code, registers, _, imm in struct.iter_unpack("=BBhi", prog.insns)
        if code == _CALL and registers >> 4 == 0 and imm in helpers
    )


def reads(script: str, **options: object) -> int:
    """How many calls of the helper that reads kernel memory a script has. The kernel's verifier accepts it."""
    program = compile_script(script, options=Options(**options))  # type: ignore[arg-type]  # names of its fields
    Loaded(program, Place(Kernel.running())).close()
    return calls(program, Helper.probe_read_kernel)


@pytest.fixture
def needs_cast() -> None:
    features = Kernel.running().features
    if not features.has("rdonly_cast"):
        pytest.skip(f"this kernel has no rdonly_cast: {features.why('rdonly_cast')}")


DIRECT = {
    "argument of a tracepoint": "rawtracepoint:sched_switch { @ = args.prev.mm.pgd; }",
    "the current task": "tracepoint:sched:sched_switch { @ = curtask.mm.exe_file.f_path.dentry.d_inode.i_ino; }",
    "an iterator": "iter:task { @ = ctx.task.real_parent.pid; }",
    "a cast": "tracepoint:syscalls:sys_enter_read { @ = ((struct task_struct *)args.fd).pid; }",
    "a variable": "profile:hz:99 { $task = curtask; @ = $task.pid; }",
    "a map": "begin { @task[1] = curtask; @ = @task[1].real_parent.pid; }",
    "a timer": "interval:s:1 { @ = curtask.se.vruntime; }",
    "a bitfield": "begin { @ = curtask.in_execve; }",
    "the element of an array": "begin { @ = curtask.rt.run_list.next; @b = curtask.comm[3]; }",
    "a union of one kind of member": "begin { @ = curtask.mm.mm_count.counter; }",
}


@pytest.mark.parametrize("script", DIRECT.values(), ids=DIRECT)
@pytest.mark.usefixtures("needs_cast")
def test_members_take_no_helper(script: str) -> None:
    assert reads(script) == 0


HELPED = {
    "failed reads are asked for": ("begin { @ = curtask.pid; }", {"helper_errors": True}),
    "no struct is known": ("begin { $a = (uint64)curtask; @ = *(uint32 *)$a; }", {}),
    "a struct of the script's own": (
        "struct mine { int a; } begin { $a = (uint64)curtask; @ = ((struct mine *)$a).a; }",
        {},
    ),
    "an index known only when it runs": ("begin { $i = pid & 7; @ = curtask.comm[$i]; }", {}),
    "beyond the struct": ("begin { @ = *(uint32 *)((uint64)curtask + (1 << 20)); }", {}),
}


@pytest.mark.parametrize(("script", "options"), HELPED.values(), ids=HELPED)
def test_the_helper_reads_the_rest(script: str, options: dict[str, object]) -> None:
    assert reads(script, **options) > 0


SHAPES = (
    "tracepoint:sched:sched_switch { if (pid & 1) { @ = sum(args.prev_pid); } else { @ = sum(args.next_pid); } }",
    'profile:hz:99 { if (pid & 1) { @ = sum(reg("ip")); } else { @ = sum(reg("sp")); } }',
    "rawtracepoint:sched_switch { @ = pid & 1 ? args.prev.pid : args.next.pid; }",
    "begin { @x = (uint64)0; } rawtracepoint:sched_switch "
    "{ @ = pid & 1 ? (uint64)args.prev.mm.pgd : @x; @x = pid & 2 ? (uint64)args.next : @x; }",
    "rawtracepoint:sched_switch { $t = pid & 1 ? args.prev : args.next; @[$t] = $t.pid; @[curtask] = $t.mm.pgd; }",
    "rawtracepoint:sched_switch { for ($i : 0..8) { @[$i] = args.prev.pid; $t = args.next; @b = $t.prio; } }",
    "fn f($t : struct task_struct *) : int64 { return $t.pid + $t.real_parent.pid; } begin { @ = f(curtask); }",
    "begin { $t = curtask; while ($t.pid > 1) { $t = $t.real_parent; @[$t.pid] = count(); } }",
    "begin { $p = &curtask.se; @ = $p.vruntime; @b = (uint64)$p >> 3; @c = *(&curtask.pid); }",
    'begin { printf("%d %s %x %lx\\n", curtask.pid, curtask.comm, curtask.mm, (uint64)curtask.mm.exe_file << 2); }',
    "begin { @[curtask.mm, curtask.cred.uid.val] = hist(curtask.mm.total_vm); @[curtask.fs, 1] = hist(1); }",
    "begin { if (curtask.mm != 0 && curtask.mm.exe_file != curtask.mm.owner) { @ = curtask.mm.owner.tgid; } }",
)


@pytest.mark.parametrize("script", SHAPES)
@pytest.mark.parametrize("without", [(), ("rdonly_cast",)], ids=["", "without"])
def test_the_verifier_accepts_every_shape(script: str, without: tuple[str, ...]) -> None:
    kernel = Kernel()
    kernel.features.do_without(frozenset(without))
    Loaded(compile_script(script, kernel=kernel), Place(kernel)).close()
