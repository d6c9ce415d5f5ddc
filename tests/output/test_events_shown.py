"""Single events in text and in JSON; scripts that made bpftrace 0.27 print the expected lines are in the docstrings."""

from __future__ import annotations

import re
from typing import Any

import pytest

from pytrace import types as t
from pytrace.format import parse_format
from pytrace.output import (
    CgroupPathValue,
    EnumValue,
    InetValue,
    KSymValue,
    NamedValue,
    RecordValue,
    Renderer,
    StackValue,
    TimestampValue,
    UsernameValue,
    USymValue,
)
from pytrace.program import EventSpec

I8, S = t.Int(8, True), t.String(16)


def show(screen: Any, action: str, *args: tuple[t.Type, Any], format: str = "", **rest: Any) -> None:
    spec = EventSpec(0, action, tuple(a for a, _ in args), parse_format(format) if format else None, **rest)
    values = tuple(v for _, v in args)
    screen.text.event(spec, values)
    screen.json.event(spec, values)


def test_both_are_renderers(screen: Any) -> None:
    """A type checker's question, asked of the running objects: nothing that the runtime calls is missing."""
    wanted = [name for name in vars(Renderer) if not name.startswith("_")]
    assert len(wanted) > 10
    for renderer in (screen.text, screen.json):
        assert all(callable(getattr(renderer, name)) for name in wanted)
        assert isinstance(renderer.needs_values, bool)


def test_print(screen: Any) -> None:
    """begin { print((1,"a",(true,-2))); print((a=1,b="x",c=(1,2))); print((uint64)-1); print(-9007199254740993);
    print(9007199254740992); print((uint8[4])0x01020304); print(buf("a\\x01\\xffz\\n",5)); print(ntop(0x0100007f)); }"""
    pair = t.Tuple((I8, I8))
    show(screen, "print", (t.Tuple((I8, S, t.Tuple((t.BOOL, I8)))), (1, "a", (True, -2))))
    record = RecordValue(("a", "b", "c"), (1, "x", (1, 2)))
    show(screen, "print", (t.Record((("a", I8), ("b", S), ("c", pair))), record))
    show(screen, "print", (t.UINT64, (1 << 64) - 1))
    show(screen, "print", (t.INT64, -9007199254740993))
    show(screen, "print", (t.INT64, 9007199254740992))
    show(screen, "print", (t.Array(t.Int(8, False), 4), (4, 3, 2, 1)))
    show(screen, "print", (t.Buffer(5), b"a\x01\xffz\n"))
    show(screen, "print", (t.Inet(), InetValue(2, bytes((127, 0, 0, 1)))))
    assert screen.shown == (
        "(1, a, (true, -2))\n{ .a = 1, .b = x, .c = (1, 2) }\n18446744073709551615\n-9007199254740993\n"
        "9007199254740992\n[4,3,2,1]\na\\x01\\xffz\\x0a\n127.0.0.1\n"
    )
    assert screen.lines == (
        '{"type": "value", "data": [1,"a",[true,-2]]}\n'
        '{"type": "value", "data": {"a": 1, "b": "x", "c": [1,2]}}\n'
        '{"type": "value", "data": "18446744073709551615"}\n'
        '{"type": "value", "data": "-9007199254740993"}\n'
        '{"type": "value", "data": 9007199254740992}\n'
        '{"type": "value", "data": [4,3,2,1]}\n'
        '{"type": "value", "data": [97,1,-1,122,10]}\n'
        '{"type": "value", "data": "127.0.0.1"}\n'
    )


def test_print_entry_shows_the_value_alone(screen: Any) -> None:
    """begin { @i[1]=5; print(@i[1]); }"""
    show(screen, "print_entry", (I8, 1), (I8, 5), map="@i")
    assert (screen.shown, screen.lines) == ("5\n", '{"type": "value", "data": 5}\n')


def test_an_enum_is_a_name_in_text_and_a_number_in_json(screen: Any) -> None:
    """enum E { A, B = 5 }; begin { print((enum E)5); @e[(enum E)0]=(enum E)5; }"""
    kind = t.Enum("E", 64, False, (("A", 0), ("B", 5)))
    show(screen, "print", (kind, EnumValue(5, "B")))
    screen.map("@e", kind, kind, [(EnumValue(0, "A"), EnumValue(5, "B"))])
    assert screen.shown == "B\n@e[A]: B\n"
    assert screen.lines == '{"type": "value", "data": 5}\n{"type": "map", "data": {"@e": {"A": 5}}}\n'


def test_names(screen: Any) -> None:
    """begin { print(ksym(ADDR_OF_vfs_read + 5)); print(ksym(0)); print(ksym(1)); print(username); print(strerror(2));
    print(signal_name(9)); print(syscall_name(1)); print(syscall_name(99999)); print(cgroup_path(99999999)); }"""
    for kind, value in (
        (t.KSym(), KSymValue(0x1005)),
        (t.KSym(), KSymValue(0)),
        (t.USym(), USymValue(1, 7)),
        (t.Username(), UsernameValue(0)),
        (t.Named("strerror"), NamedValue(2, "strerror")),
        (t.Named("signal"), NamedValue(9, "signal")),
        (t.Named("syscall"), NamedValue(99999, "syscall")),
        (t.CgroupPath(), CgroupPathValue(99999999, "")),
    ):
        show(screen, "print", (kind, value))
    assert screen.shown == "vfs_read\n0\n0x1\nroot\nNo such file or directory\nKilled\nUnknown syscall\n\n"
    assert '{"type": "value", "data": "vfs_read"}\n' in screen.lines


def stack(mode: Any, id: int = 1) -> tuple[t.Type, StackValue]:
    return t.Stack("user", mode, 3), StackValue("user", mode, 3, id, 7, 2)


def test_stacks(screen: Any) -> None:
    """uprobe:PROGRAM:foo { print(ustack); print(ustack(perf)); print(ustack(raw,2)); print(ustack(build_id,1)); }
    (with the addresses and names of a resolver that knows two functions)."""
    for mode in ("bpftrace", "perf", "raw", "build_id"):
        show(screen, "print", stack(mode))
    assert screen.shown == (
        "\n        vfs_read+5\n        main+7\n\n"
        "\n\t1005 vfs_read+5\n\t2007 main+7 (/bin/prog)\n\n"
        "\n1005\n2007\n\n"
        "\nab12 0x5\nab12 0x7\n\n"
    )
    assert screen.lines.startswith('{"type": "value", "data": "\\n        vfs_read+5\\n        main+7\\n"}\n')


def test_stacks_without_names_and_no_stack(screen: Any) -> None:
    """tracepoint:syscalls:sys_enter_openat { print(ustack(2)); print(ustack(perf,2)); } of a process that has ended."""
    show(screen, "print", stack("bpftrace", 2))
    show(screen, "print", stack("perf", 2))
    show(screen, "print", stack("bpftrace", 0))
    assert screen.shown == ("\n        0x9000\n        0\n\n\n\t9000 0x9000 ([unknown])\n\t0 0 ([unknown])\n\n\n\n")


def test_stacks_in_keys_and_tuples(screen: Any) -> None:
    """… { @[kstack(2), 3]=count(); print((1,kstack(2))); }"""
    kind, value = stack("bpftrace")
    screen.map("@", t.Tuple((kind, I8)), t.Count(), [((value, 3), 1)])
    show(screen, "print", (t.Tuple((I8, kind)), (1, value)))
    assert screen.shown == (
        "@[\n        vfs_read+5\n        main+7\n, 3]: 1\n(1, \n        vfs_read+5\n        main+7\n)\n"
    )
    assert screen.lines.startswith('{"type": "map", "data": {"@": {"\\nvfs_read+5\\nmain+7\\n,3": 1}}}\n')


def test_strftime(screen: Any) -> None:
    value = TimestampValue(1_795_000_000_123_456_789, "%Y-%m-%d %H:%M:%S.%f %%f", "boot")
    show(screen, "print", (t.Timestamp(value.format), value))
    assert screen.shown == "2026-11-18 11:06:40.123456 %f\n"


def test_time(screen: Any) -> None:
    """begin { time("%H:%M\\n"); time(); }"""
    show(screen, "time", text="%H:%M\n")
    show(screen, "time")
    assert re.fullmatch(r"\d\d:\d\d\n\d\d:\d\d:\d\d\n", screen.shown)
    assert re.search(r'^{"type": "time", "data": "\d\d:\d\d\\n"}$', screen.lines, re.M)


def test_join(screen: Any) -> None:
    """uprobe:… { join(arg3, ","); } of {"one", "two", NULL}"""
    show(screen, "join", (t.UINT64, 2), (S, "one"), (S, "two"), (S, ""), text=",")
    assert (screen.shown, screen.lines) == ("one,two\n", '{"type": "join", "data": "one,two"}\n')


def test_errorf_and_warnf(screen: Any, make_screen: Any) -> None:
    """begin {
      errorf("a %d\\n", 3);
      warnf("b %s", "x");
    }"""
    for target in (screen, make_screen(warnings=False)):
        show(target, "errorf", (I8, 3), format="a %d\n", location=("ew.bt", 2, 3), text="ew.bt:2:3-22")
        show(target, "warnf", (S, "x"), format="b %s", location=("ew.bt", 3, 3), text="ew.bt:3:3-21")
        assert target.shown == ""
        if target is screen:
            assert target.err.data == b"ew.bt:2:3-22: ERROR: a 3\new.bt:3:3-21: WARNING: b x\n"
            assert target.lines == (
                '{"type": "errorf", "msg": "a 3\\n", "filename": "ew.bt", "line": 2, "col": 3}\n'
                '{"type": "warnf", "msg": "b x", "filename": "ew.bt", "line": 3, "col": 3}\n'
            )
        else:
            assert target.err.data == b"ew.bt:2:3-22: ERROR: a 3\n"


def test_notices(screen: Any) -> None:
    """A flood into a small ring, a failed read with -k, cat() and system(). In text, bpftrace gives the column of a
    failed read as a range and quotes the line; a counter knows only where it starts."""
    for renderer in (screen.text, screen.json):
        renderer.attached(1)
        renderer.attached(2)
        renderer.lost(19745)
        renderer.helper_error("probe_read_kernel", -34, "Numerical result out of range", ("stdin", 1, 24))
        renderer.cat(b"Linux\n")
        renderer.system(b"hi\n")
    screen.text.lost_total(78980)
    assert screen.err.data.decode() == (
        "Attached 1 probe\nAttached 2 probes\nLost 19745 events\n"
        "stdin:1:24: WARNING: Numerical result out of range\n"
        "Additional Info - helper: probe_read_kernel, retcode: -34\n"
        "WARNING: Total lost event count: 78980\n"
    )
    assert screen.shown == "Linux\nhi\n"
    assert screen.lines == (
        '{"type": "attached_probes", "count": 1, "data": {"probes": 1}}\n'
        '{"type": "attached_probes", "count": 2, "data": {"probes": 2}}\n'
        '{"type": "lost_events", "count": 19745, "data": {"events": 19745}}\n'
        '{"type": "helper_error", "msg": "Numerical result out of range", "helper": "probe_read_kernel", '
        '"retcode": -34, "filename": "stdin", "line": 1, "col": 24}\n'
        '{"type": "cat", "data": "Linux\\n"}\n'
        '{"type": "syscall", "data": "hi\\n"}\n'
    )


def test_test_and_bench_results(screen: Any) -> None:
    """--test and --bench with -f json, and the table of --bench."""
    for renderer in (screen.text, screen.json):
        renderer.benchmarks([("a", 55, 20000), ("bb", 123, 16000)])
    screen.json.test_result("a", True, 19009, b"1\n")
    assert screen.shown == (
        "Benchmark                                Time(ns)       Iterations\n"
        "------------------------------------------------------------------\n"
        "a                                        55             20000\n"
        "bb                                       123            16000\n"
    )
    assert screen.lines == (
        '{"type": "benchmark_result", "data": {"a": {"average": 55, "iters": 20000}}}\n'
        '{"type": "benchmark_result", "data": {"bb": {"average": 123, "iters": 16000}}}\n'
        '{"type": "test_result", "data": {"a": {"duration": 19009, "passed": true, "output": "1\\n"}}}\n'
    )


def test_what_the_runtime_has_to_do_is_refused(screen: Any) -> None:
    with pytest.raises(ValueError, match="clear"):
        screen.text.event(EventSpec(0, "clear", (), map="@"), ())
    spec = EventSpec(0, "cat", (S,), parse_format("/proc/%s"))
    assert screen.text.format(spec, ("a\x1bb",)) == screen.json.format(spec, ("a\x1bb",)) == b"/proc/a\x1bb"
