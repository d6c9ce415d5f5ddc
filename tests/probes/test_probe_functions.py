from __future__ import annotations

import os
import struct

import pytest

from pytrace.compiler import compile_script
from pytrace.kernel import Kernel, bpf
from pytrace.probes import CtxLoad, ProbeError, RegsLoad, StackLoad, expand, list_probes, lowering
from pytrace.probes.regs import register
from pytrace.program import Kprobe, KprobeMulti, Tracing
from pytrace.runtime.attach import Place
from pytrace.runtime.loaded import Loaded
from pytrace.types import INT64, UINT64
from tests.probes.kernels import target


def test_one_function_is_a_perf_kprobe() -> None:
    (point,) = expand("k:vfs_read", target())
    assert (point.name, point.function, point.attach) == ("kprobe:vfs_read", "vfs_read", Kprobe("vfs_read"))
    # di si dx cx r8 r9, then above the return address
    assert [load.offset for load in point.context.positional if isinstance(load, RegsLoad)] == [
        112,
        104,
        96,
        88,
        72,
        64,
    ]
    assert point.context.positional[6:] == (StackLoad(8), StackLoad(16), StackLoad(24), StackLoad(32))
    assert point.context.regs


def test_the_return_is_in_the_register_for_results() -> None:
    (point,) = expand("kr:vfs_read", target())
    assert point.attach == Kprobe("vfs_read", returns=True)
    assert point.context.retval == (UINT64, RegsLoad(80))
    assert point.context.positional == ()


def test_arguments_on_arm() -> None:
    (point,) = expand("k:vfs_read", target(machine="aarch64"))
    assert point.context.positional[:8] == tuple(RegsLoad(8 * i) for i in range(8))
    assert point.context.positional[8] == StackLoad(0)


def test_offsets_and_modules() -> None:
    (point,) = expand("k:vfs_read+0x10", target())
    assert point.attach == Kprobe("vfs_read", 16)
    assert point.name == "kprobe:vfs_read+0x10"
    (point,) = expand("k:vmlinux:assembly", target())
    assert point.name == "kprobe:vmlinux:assembly"
    with pytest.raises(ProbeError, match="no offset"):
        expand("kr:vfs_read+4", target())


def test_addresses_need_unsafe() -> None:
    with pytest.raises(ProbeError, match="requires --unsafe"):
        expand("k:0xffffffff81000000", target())
    (point,) = expand("k:0xffffffff81000000", target(unsafe=True))
    assert point.attach == Kprobe("", address=0xFFFFFFFF81000000)


def test_many_functions_are_one_link() -> None:
    points = expand("k:vfs_*", target())
    assert [p.attach for p in points] == [KprobeMulti(("vfs_read",)), KprobeMulti(("vfs_write",))]
    assert lowering.merge(points, [4, 9]) == (KprobeMulti(("vfs_read", "vfs_write"), (4, 9)),)
    old = expand("k:vfs_*", target(without="kprobe_multi"))
    assert [p.attach for p in old] == [Kprobe("vfs_read"), Kprobe("vfs_write")]


def test_wildcards_leave_out_what_is_dangerous() -> None:
    names = {p.function for p in expand("k:*", target())}
    assert "vfs_read" in names
    assert not names & {"_raw_spin_lock", "bpf_get_current_task"}
    assert [p.function for p in expand("k:bpf_get_current_*", target())] == ["bpf_get_current_task"]


def test_returns_that_deadlock_are_refused_by_name() -> None:
    for provider in ("kr", "kretprobe"):
        with pytest.raises(ProbeError, match=r"is refused: .*deadlock"):
            expand(f"{provider}:_raw_spin_lock", target())
    assert expand("k:_raw_spin_lock", target())
    assert expand("kr:_raw_spin_lock", target(unsafe=True))


def test_without_kprobes_a_function_is_entered_by_fentry() -> None:
    only = frozenset(("fentry",))
    (point,) = expand("k:vfs_read", target(only=only))
    assert (point.name, point.attach, point.context.attach_btf) == ("kprobe:vfs_read", Tracing(), "vfs_read")
    assert point.context.positional == (CtxLoad(0), CtxLoad(8))
    (point,) = expand("kr:vfs_read", target(only=only))
    assert point.context.retval == (UINT64, CtxLoad(16))
    # its structs would have to be taken apart, and this one no BTF describes
    for function in ("by_value", "assembly"):
        with pytest.raises(ProbeError, match="cannot be attached on this kernel"):
            expand(f"k:{function}", target(only=only))


def test_without_either_the_error_says_why_and_what_instead() -> None:
    with pytest.raises(ProbeError) as e:
        expand("k:vfs_read", target(without="kprobe kprobe_multi fentry"))
    assert "no kprobe here" in e.value.message
    assert "no fentry here" in e.value.message
    assert e.value.hint == "what this kernel can trace instead: tracepoint:syscalls:sys_exit_read"


def test_a_kprobe_that_reads_no_registers_is_refined_to_fentry() -> None:
    t = target()
    (point,) = expand("k:vfs_read", t)
    assert lowering.refine(point, frozenset(("arg1", "func")), t).attach == Tracing()
    # a third argument that the function does not have is still in a register
    assert lowering.refine(point, frozenset(("arg2",)), t) is point
    for use in ("reg", "ctx", "override", "kstack"):
        assert lowering.refine(point, frozenset((use,)), t) is point
    assert lowering.refine(point, frozenset(), target(without="fentry")) is point


def test_fentry_is_typed() -> None:
    (point,) = expand("f:vfs_read", target())
    assert point.name == "fentry:vmlinux:vfs_read"
    assert [(a.name, a.load) for a in point.context.args or ()] == [("file", CtxLoad(0)), ("count", CtxLoad(8))]
    (point,) = expand("fr:vfs_read", target())
    assert point.context.retval == (INT64, CtxLoad(16))
    assert (point.context.args or ())[-1].name == "retval"


def test_a_struct_by_value_takes_the_words_that_it_fills() -> None:
    (point,) = expand("f:by_value", target())
    assert [a.load.offset for a in point.context.args or () if hasattr(a.load, "offset")] == [0, 16]


@pytest.mark.skipif(os.geteuid() != 0, reason="loads a BPF program: needs root")
def test_programs_as_targets() -> None:
    script = "fn twice($x : int64) : int64 { return $x * 2; } profile:hz:1 { @ = twice(pid); }"
    loaded = Loaded(compile_script(script), Place(Kernel.running()))
    try:
        fd = loaded.programs[0].fd
        id = struct.unpack_from("=I", bpf.object_info(fd), 4)[0]
        listed = list(list_probes(f"fentry:bpf:{id}:*", target()))
        assert f"fentry:bpf:{id}:p0" in listed
        assert set(listed) <= set(list_probes("fentry:bpf:*", target()))
        (point,) = expand(f"f:bpf:{id}:p0", target())
        assert (point.name, point.attach) == (f"fentry:bpf:{id}:p0", Tracing(id))
        assert (point.context.attach_btf, point.context.args) == ("p0", None)
        assert point in expand("f:bpf:p0", target())
        assert [p.name for p in expand(f"fr:bpf:{id}:*", target())] == [n.replace("fentry", "fexit") for n in listed]
    finally:
        loaded.close()
    for rest in (f"{id}:p0", "no_such_program", "*:no_such_*"):
        with pytest.raises(ProbeError, match="no BPF program that is loaded has such a function") as e:
            expand(f"f:bpf:{rest}", target())
        assert e.value.hint


def test_unknown_functions() -> None:
    for provider in ("k", "kr", "f", "fr"):
        with pytest.raises(ProbeError, match="No matches") as e:
            expand(f"{provider}:vfs_raed", target())
        assert e.value.hint is not None
        assert "vfs_read" in e.value.hint


def test_fentry_that_is_missing_points_to_kprobe() -> None:
    with pytest.raises(ProbeError, match="no fentry here") as e:
        expand("f:vfs_read", target(without="fentry"))
    assert e.value.hint == "use kprobe:vfs_read instead"


def test_listing_functions() -> None:
    assert list(list_probes("kprobe:vfs_*", target())) == ["kprobe:vfs_read", "kprobe:vfs_write"]
    assert list(list_probes("fexit:vfs_r*", target())) == ["fexit:vmlinux:vfs_read"]


def test_registers_by_name() -> None:
    assert register("ip", "x86_64") == RegsLoad(128)
    assert register("rdi", "x86_64") == register("di", "x86_64") == RegsLoad(112)
    assert register("x3", "aarch64") == register("r3", "aarch64") == RegsLoad(24)
    assert register("pc", "aarch64") == RegsLoad(256)
    with pytest.raises(ProbeError, match="'foo' is not a valid register"):
        register("foo", "x86_64")
    with pytest.raises(ProbeError, match="not known"):
        register("r1", "sparc")


def test_a_function_of_which_there_are_clones_only_is_probed_in_each() -> None:
    points = expand("kprobe:finish_switch", target())
    assert [p.attach for p in points] == [
        Kprobe("finish_switch.isra.0"),
        Kprobe("finish_switch.isra.0.constprop.1"),
    ]
    assert [p.name for p in points] == [f"kprobe:{p.function}" for p in points]
    assert {p.note for p in points} == {
        "the kernel has no finish_switch, but finish_switch.isra.0 and finish_switch.isra.0.constprop.1: "
        "its arguments may not be those of the source"
    }
    with pytest.raises(ProbeError, match="The kernel has no finish_switch, but "):
        expand("kprobe:finish_switch+4", target())


def test_the_instruction_pointer_has_a_name_on_every_machine() -> None:
    assert register("pc", "x86_64") == register("ip", "x86_64") == register("rip", "x86_64")
    assert register("pc", "aarch64") == register("ip", "aarch64")
    assert [register("sp", machine).offset for machine in ("x86_64", "aarch64")] == [152, 248]
