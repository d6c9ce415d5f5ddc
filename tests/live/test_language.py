"""What scripts written for bpftrace rely on, besides what the corpus of `tests/differential` has."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from tests.conftest import Runner

# --- maps that are defined by themselves -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("@a = @a + @b; @b = @b + 2; @a = @a + @b;", "@a: 2\n@b: 2"),
        ("$x = 4; @least = @least == 0 || $x < @least ? $x : @least;", "@least: 4"),
        ("@k[1] = (@k[1] + 3) * 2; @k[1] = (@k[1] + 3) * 2;", "@k[1]: 18"),
        ("@p = @p == 0 ? (uint8 *)16 : @p;", "@p: 0x10"),
        ('@s["a"] = @s["a"] == "" ? "new" : "old"; @s["a"] = @s["a"] == "" ? "new" : "old";', "@s[a]: old"),
        ("@n = -@n; @m = !@m;", "@m: true\n@n: 0"),
    ],
)
def test_a_map_may_be_made_of_itself(pytrace: Runner, body: str, wanted: str) -> None:
    done = pytrace("-q", "-e", f"begin {{ {body} exit(); }}")
    assert (done.stdout.strip(), done.status) == (wanted, 0), done.stderr


def test_a_map_that_is_only_read_is_still_a_mistake(pytrace: Runner) -> None:
    done = pytrace("-e", "begin { @total = @total + @tota1; exit(); }")
    assert done.status != 0
    assert "Undefined map: @tota1" in done.stderr


def test_chains_of_maps_are_followed_to_their_end(pytrace: Runner) -> None:
    links = " ".join(f"@m{i:02} = @m{i + 1:02};" for i in range(60))
    done = pytrace("-q", "-e", f"begin {{ {links} @m60 = (uint16)5; print(sizeof(@m00)); exit(); }}")
    assert done.stdout.startswith("2\n"), done.stderr


# --- evaluated once -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "wanted"),
    [
        ("exit(@x++);", "@x: 1"),
        ("$e = strerror(@x++); print($e);", "Success\n\n\n@x: 1"),
        ("print(@x++ ?: 7); print(@x++ ?: 7);", "7\n1\n\n\n@x: 2"),
        ("print((@x++, 5).1); print((a=@x++, b=7).b);", "5\n7\n\n\n@x: 2"),
        ("$r = (a=1, b=2); $r = (b=@x++, a=@x++); print($r);", "{ .a = 1, .b = 0 }\n\n\n@x: 2"),
        ("for ($i : @x++..@x++ + 2) { print($i); }", "0\n1\n2\n\n\n@x: 2"),
        ("@z[@x++] += @x++; @z[@x++]++;", "@x: 3\n@z[1]: 0\n@z[2]: 1"),
        ('$s = "abc"; print($s[@x++]); print(syscall_name(@x++)); print(buf("abc", @x++));', None),
    ],
)
def test_what_stands_once_is_evaluated_once(pytrace: Runner, body: str, wanted: str | None) -> None:
    done = pytrace("-q", "-e", f"begin {{ {body} exit(); }}")
    shown = done.stdout.strip("\n")
    assert shown == wanted if wanted else shown.endswith("@x: 3"), done.stderr


def test_the_exit_code_is_the_value_that_was_seen(pytrace: Runner) -> None:
    done = pytrace("-q", "-e", "begin { @x = 3; exit(@x++); }")
    assert (done.status, done.stdout.strip()) == (3, "@x: 4")


def test_a_packet_is_written_with_each_argument_seen_once(pytrace: Runner, tmp_path: Path) -> None:
    script = (
        f'rawtracepoint:net_dev_queue {{ skboutput("{tmp_path}/out.pcap", args.skb, @n++ + 100, @o++ + 14); exit(); }}'
    )
    command = "bash -c 'for i in 1 2 3 4 5; do echo > /dev/udp/127.0.0.1/9; sleep 0.1; done'"
    done = pytrace("-q", "-e", script, "-c", command)
    assert done.stdout.strip() == "@n: 1\n@o: 1", done.stderr
    assert os.path.getsize(tmp_path / "out.pcap") > 24


# --- names that other scripts use --------------------------------------------------------------------------------


def test_builtins_have_a_long_name_that_no_macro_can_take(pytrace: Runner) -> None:
    script = (
        "macro pid() { 5 } macro twice(x) { __builtin_cpu * 0 + x * 2 } "
        'begin { print((__builtin_pid == 5, pid, __builtin_probe, __builtin_strlen("abc"), twice(4))); exit(); }'
    )
    done = pytrace("-q", "-e", script)
    assert done.stdout.strip() == "(false, 5, begin, 3, 8)", done.stderr


def test_arguments_have_one_too(pytrace: Runner) -> None:
    script = "tracepoint:syscalls:sys_enter_getpgid { print(__builtin_args.pid); exit(); }"
    done = pytrace("-q", "-e", script, "-c", "python3 -c 'import os; os.getpgid(0)'")
    assert done.stdout.strip() == "0", done.stderr


def test_parts_of_the_library_are_built_in(pytrace: Runner, tmp_path: Path) -> None:
    script = tmp_path / "script.bt"
    script.write_text('import "stdlib/strings.bt"; import "stdlib/task/vma.bpf.c"; begin { print(1); exit(); }')
    assert pytrace("-q", script).stdout.strip() == "1"
    script.write_text('import "stdlib/strinks.bt"; begin { exit(); }')
    assert "cannot find 'stdlib/strinks.bt' to import" in pytrace("-q", script).stderr


def test_debugf_writes_to_the_trace_buffer(pytrace: Runner) -> None:
    tracefs = Path("/sys/kernel/tracing/trace")
    if not tracefs.exists():
        pytest.skip("tracefs is not mounted here")
    name = f"mark-{os.getpid()}"
    done = pytrace("-q", "-e", f'begin {{ debugf("{name} %d %x %s 100%%", -5, (uint64)0xffffffffff, comm); exit(); }}')
    assert "trace buffer" in done.stderr
    line = next(text for text in tracefs.read_text().splitlines() if name in text)
    assert line.split(name)[1].split()[:2] == ["-5", "ffffffffff"]
    assert line.endswith("100%")
