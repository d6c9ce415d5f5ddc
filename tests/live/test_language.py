"""What scripts written for bpftrace rely on, besides what the corpus of `tests/differential` has."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.compiler import analyse
from pytrace.runtime.perfmaps import PerfMaps
from tests.conftest import Runner

# --- maps that are defined by themselves -----------------------------------------------------------------


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


# --- evaluated once --------------------------------------------------------------------------------------


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


# --- names that other scripts use ------------------------------------------------------------------------


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


# --- arrays, strings and bitfields of C ------------------------------------------------------------------


def test_an_index_that_is_out_of_bounds_is_counted(pytrace: Runner) -> None:
    script = """struct A { int a[4]; char n[5]; struct { int x; int y; } q[2]; int m[2][3]; };
begin {
  $p = (struct A *)curtask;
  $i = 5; $less = -1; $k = 3; $one = 1;
  print(($p->a[$i], $p->a[$less], $p->n[$i], $p->q[$i].x, $p->m[$one][$i]));
  print(($p->a[$k] == $p->a[3], $p->q[$one].y == $p->q[1].y, $p->m[$one][$one] == $p->m[1][1]));
  print(&$p->a[$k] == &$p->a[3]);
  $held = (uint8[4])(uint32)0x01020304;
  print(($held[$k], $held[$i], $p->a[@x++] == $p->a[0]));
  for ($n : 0..10) { $sum = $p->a[$n]; }
  exit();
}"""
    done = pytrace("-q", "-e", script)
    assert done.stdout.strip() == "(0, 0, 0, 0, 0)\n(true, true, true)\ntrue\n(1, 0, true)\n\n\n@x: 1"
    complaints = [line for line in done.stderr.splitlines() if "out of bounds" in line]
    assert len(complaints) == 7, done.stderr
    assert any(line.startswith("-e:10:") and " 6 times" in line for line in complaints)


def test_an_array_of_characters_that_is_full_is_whole(pytrace: Runner) -> None:
    script = (
        "struct A { char n[5]; }; begin { $x = (uint64)0x6f6c6c6568; $p = (struct A *)&$x; print($p->n); "
        'printf("%s|%7s\n", $p->n, $p->n); print(*$p); $v = $p->n; print(($v, 1)); $w = "longer than it"; $w = $p->n; '
        "print($w); print(str($p->n)); @n[$p->n] = $p->n; @s = *$p; exit(); }"
    )
    done = pytrace("-q", "-e", script.replace("\n", "\\n"))
    told = "hello\nhello|  hello\n{ .n = hello }\n(hello, 1)\nhello\nhello\n\n\n@n[hello]: hello\n@s: { .n = hello }"
    assert done.stdout.strip() == told, done.stderr


def test_text_that_was_cut_still_says_so(pytrace: Runner) -> None:
    script = "config = { max_strlen = 4 } begin { $x = (uint64)0x6f6c6c6568; print(str((uint8 *)&$x)); exit(); }"
    assert pytrace("-q", "-e", script).stdout.strip() == "hell.."


def test_a_struct_and_its_bitfields_agree(pytrace: Runner) -> None:
    """Every member as C reads it: printed alone, with the whole struct, in a map, and as JSON."""
    script = """enum colour { RED = 1, GREEN, BLUE };
enum sign { NEGATIVE = -2, POSITIVE = 1 };
struct bits { int a : 3; int b : 3; unsigned c : 3; enum colour d : 4; enum sign e : 3; _Bool f : 1; int g : 15;
  long long h : 40; };
begin {
  $low = (uint64)0x3fff82fd; $x = $low;
  $p = (struct bits *)&$x;
  print(($p->a, $p->b, $p->c, $p->d, $p->e, $p->f, $p->g));
  print(*$p);
  @m = *$p;
  exit();
}"""
    done = pytrace("-q", "-e", script)
    low = 0x3FFF82FD

    def bits(first: int, width: int, signed: bool) -> int:
        value = low >> first & ((1 << width) - 1)
        return value - (1 << width) if signed and value >> (width - 1) else value

    colour = {1: "RED", 2: "GREEN", 3: "BLUE"}.get(bits(9, 4, False), str(bits(9, 4, False)))
    sign = {-2: "NEGATIVE", 1: "POSITIVE"}.get(bits(13, 3, True), str(bits(13, 3, True)))
    values = [bits(0, 3, True), bits(3, 3, True), bits(6, 3, False), colour, sign]
    values += ["true" if bits(16, 1, False) else "false", bits(17, 15, True)]
    shown = [str(value) for value in values]
    lines = done.stdout.splitlines()
    assert lines[0] == f"({', '.join(shown)})", done.stderr
    whole = "{ " + ", ".join(f".{name} = {value}" for name, value in zip("abcdefg", shown, strict=True))
    assert lines[1].startswith(whole)
    assert lines[-1].startswith(f"@m: {whole}") or lines[-2].startswith(f"@m: {whole}")


def test_structs_of_the_kernel_with_enums_as_bitfields_are_shown(pytrace: Runner) -> None:
    script = (
        'begin { print("before"); $p = (struct nf_hook_ops *)curtask; print($p->hook_ops_type); print(*$p); exit(); }'
    )
    done = pytrace("-q", "-e", script)
    before, alone, whole = done.stdout.splitlines()[:3]
    assert before == "before"
    assert f".hook_ops_type = {alone}," in whole


# --- several probes on one place -------------------------------------------------------------------------

CALLS = """
#include <sys/sdt.h>
__attribute__((noinline)) int f(int x) { __asm__ volatile(""); return x + 1; }
__attribute__((noinline)) int g(int x) { __asm__ volatile(""); return x + 2; }
int main(void) { f(1); g(1); DTRACE_PROBE1(prov, first, 1); DTRACE_PROBE1(prov, second, 2); return 0; }
"""


@pytest.mark.parametrize(
    ("script", "wanted"),
    [
        ("uprobe:P:f { print(1); } uprobe:P:f { print(2); } uprobe:P:f { print(3); }", "1 2 3"),
        ("uprobe:P:f { print(1); } uprobe:P:f,uprobe:P:g { print(2); } uprobe:P:f { print(3); }", "1 2 3 2"),
        ("uretprobe:P:f { print(1); } uretprobe:P:f { print(2); } uprobe:P:f { print(0); }", "0 1 2"),
        (
            "uprobe:P:f { print(1); } uretprobe:P:f { print(3); } uprobe:P:f { print(2); } ur:P:f { print(4); }",
            "1 2 3 4",
        ),
        ("uretprobe:P:f { print(2); } uretprobe:P:f,uretprobe:P:g { print(3); } uprobe:P:f { print(1); }", "1 2 3 3"),
        ("usdt:P:first { print(1); } usdt:P:* { print(2); } usdt:P:first { print(arg0 + 2); }", "1 2 3 2"),
        ("uprobe:P:f { print(1); exit(); } uprobe:P:f { print(2); }", "1"),
        (
            "uprobe:P:f /arg0 == 5/ { print(1); } uprobe:P:f { if (arg0) { return; } print(2); } u:P:f { print(3); }",
            "3",
        ),
        ("uprobe:P:f { for ($i : 1..3) { print($i); } } uprobe:P:f { $i = func; print($i); }", "1 2 f"),
        ("uprobe:P:f,uprobe:P:f { print(1); } begin,begin { print(0); }", "0 0 1 1"),
        ("uprobe:P:f { @++; } uprobe:P:f { @++; } uprobe:P:f { print((@, 1)); clear(@); }", "(2, 1)"),
    ],
)
def test_probes_on_one_place_run_in_the_script_s_order(
    pytrace: Runner, compile_c: Callable[..., Path], script: str, wanted: str
) -> None:
    program = compile_c(CALLS)
    done = pytrace("-q", "-e", script.replace("P:", f"{program}:"), "-c", program)
    assert done.stdout.split() == wanted.split(" "), done.stderr


def test_a_place_that_is_named_twice_counts_twice(pytrace: Runner) -> None:
    point = "tracepoint:syscalls:sys_enter_getpgid"
    script = f"{point}, tracepoint:syscalls:sys_enter_getsid, {point} {{ @[probe] = count(); }}"
    done = pytrace("-e", script, "-c", "python3 -c 'import os; os.getpgid(0)'")
    assert done.stdout.strip() == f"@[{point}]: 2", done.stderr
    assert "Attached 3 probes" in done.stderr


def test_probes_on_one_place_that_need_too_much_stack_together(pytrace: Runner, compile_c: Callable[..., Path]) -> None:
    program = compile_c(CALLS)
    numbers = " ".join(f"$v{i} = arg0 + {i}; @s[$v{i}] = sum($v{i});" for i in range(20))
    script = "".join(f"uprobe:{program}:f {{ {numbers} print({i}); }}" for i in range(4))
    done = pytrace("-q", "-e", script, "-c", program)
    assert done.stdout.split()[:4] == ["0", "1", "2", "3"], done.stderr


def test_system_calls_probes_may_use_more_maps_than_one_program_can(pytrace: Runner) -> None:
    parts = []
    for call, name in (("getpgid", "a"), ("getsid", "b"), ("getpgid", "c")):
        counts = " ".join(f"@{name}{i}[1] = count();" for i in range(40))
        parts.append(f"tracepoint:syscalls:sys_enter_{call} {{ {counts} }}")
    done = pytrace("-q", "-e", " ".join(parts), "-c", "python3 -c 'import os; os.getsid(0); os.getpgid(0)'")
    assert done.stdout.count("[1]: 1") == 120, done.stderr


# --- how probes are written ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("point", "wanted"),
    [
        ("usdt:P::first", "usdt:P:prov:first"),
        ("usdt:P::*irs*", "usdt:P:prov:first"),
        ("usdt:P:*:*irs*", "usdt:P:prov:first"),
        ('usdt:"P":"":"first"', "usdt:P:prov:first"),
        ('uprobe:"P":"f"', "uprobe:P:f"),
        ("uprobe:P:nothing_*,uprobe:P:f", "uprobe:P:f"),
        ("usdt:P:nothing_*,tracepoint:sched:nothing_*,usdt:P:first", "usdt:P:prov:first"),
    ],
)
def test_forms_of_attach_points(pytrace: Runner, compile_c: Callable[..., Path], point: str, wanted: str) -> None:
    program = str(compile_c(CALLS))
    done = pytrace("-q", "-e", f"{point.replace('P', program)} {{ print(probe); }}", "-c", program)
    assert done.stdout.strip() == wanted.replace("P", program), done.stderr
    assert ("WARNING: No matches" in done.stderr) == ("nothing" in point)


def test_a_pattern_that_matches_nothing_by_itself_is_a_mistake(pytrace: Runner) -> None:
    done = pytrace("-e", "tracepoint:sched:nothing_* { print(1); } begin { exit(); }")
    assert done.status != 0
    assert "ERROR: No matches for tracepoint sched:nothing_*" in done.stderr
    exact = pytrace("-e", "tracepoint:sched:nothing, begin { exit(); }")
    assert "ERROR: No matches for tracepoint sched:nothing." in exact.stderr


def test_static_probes_of_a_process(pytrace: Runner, compile_c: Callable[..., Path]) -> None:
    program = compile_c(CALLS.replace("int main(void) {", "#include <unistd.h>\nint main(void) { sleep(20);"))
    process = subprocess.Popen([program])
    try:
        listed = pytrace("-p", str(process.pid), "-l", "usdt:*::*irst").stdout.split()
        assert listed == [f"usdt:{program}:prov:first"]
        assert pytrace("-p", str(process.pid), "-l", "*:*:f").stdout.split() == [f"uprobe:{program}:f"]
        everything = pytrace("-p", str(process.pid), "-l").stdout
        assert f"usdt:{program}:prov:second\n" in everything
        assert "tracepoint:sched:sched_switch\n" in everything
        done = pytrace(
            "-q", "-p", str(process.pid), "-e", "usdt:*:first { } usdt:*:prov:second { } interval:ms:1 { exit(); }"
        )
        assert done.status == 0, done.stderr
    finally:
        process.kill()
        process.wait()


def test_lists(pytrace: Runner, compile_c: Callable[..., Path]) -> None:
    program = compile_c(CALLS)
    two = ["uprobe:P:f", "usdt:P:prov:first", "usdt:P:prov:second"]

    def listed(*patterns: str) -> list[str]:
        done = pytrace("-l", *(p.replace("P", str(program)) for p in patterns))
        assert done.status == 0, done.stderr
        return [line.replace(str(program), "P") for line in done.stdout.splitlines()]

    assert listed("uprobe:P:f", "usdt:P:*") == two
    assert listed("uprobe:P:f,usdt:P:*") == two
    assert listed("*:P:f") == ["uprobe:P:f"]
    assert listed("usdt:P::fir*") == ["usdt:P:prov:first"]
    assert {*two, "uprobe:P:g", "uprobe:P:main"} <= set(listed("P"))
    assert {*two} <= set(listed("*:P:*"))
    assert listed("*:sched:sched_switch") == ["tracepoint:sched:sched_switch"]
    assert listed("struct list_head", "union bpf_attr") == ["struct list_head", "union bpf_attr"]
    assert "struct task_struct" in listed("struct")


def test_a_place_in_a_file_that_is_no_elf_file(pytrace: Runner, tmp_path: Path) -> None:
    file = tmp_path / "flat.bin"
    file.write_bytes(b"\xc3" * 4096)
    file.chmod(0o755)
    script = f"uprobe:{file}:0x0 {{ print(1); }} begin {{ exit(); }}"
    assert "is not an ELF file" in pytrace("-e", script).stderr
    done = pytrace("--unsafe", "-e", script)
    assert (done.status, "Attached 2 probes" in done.stderr) == (0, True), done.stderr
    named = pytrace("--unsafe", "-e", f"uprobe:{file}:main {{ print(1); }}")
    assert "is not an ELF file" in named.stderr


def test_code_in_a_file_that_is_no_elf_file_is_traced(pytrace: Runner, tmp_path: Path) -> None:
    file = tmp_path / "flat.bin"
    file.write_bytes(b"\xb8\x07\x00\x00\x00\xc3" + b"\x90" * 4090)  # mov $7, %eax; ret
    program = (
        "import ctypes; libc = ctypes.CDLL(None); libc.mmap.restype = ctypes.c_void_p; "
        f"file = open({str(file)!r}, 'rb'); a = libc.mmap(None, 4096, 5, 2, file.fileno(), 0); "
        "assert ctypes.CFUNCTYPE(ctypes.c_int)(a)() == 7"
    )
    script = tmp_path / "run.py"
    script.write_text(program)
    done = pytrace("-q", "--unsafe", "-e", f"uprobe:{file}:0x0 {{ print(probe); }}", "-c", f"python3 {script}")
    assert done.stdout.strip() == f"uprobe:{file}:0x0", done.stderr


def test_functions_of_libraries_that_libc_has_swallowed(pytrace: Runner) -> None:
    libraries = sorted(Path("/lib/x86_64-linux-gnu").glob("libpthread.so.0"))
    if not libraries or os.confstr("CS_GNU_LIBC_VERSION") < "glibc 2.34":
        pytest.skip("libpthread has its own functions here")
    script = "uprobe:libpthread:pthread_create { @[probe] = count(); }"
    command = "python3 -c 'import threading; t = threading.Thread(target=print); t.start(); t.join()'"
    done = pytrace("-e", script, "-c", command)
    assert "@[uprobe:/lib/x86_64-linux-gnu/libc.so.6:pthread_create]: 1" in done.stdout, done.stderr
    assert "libpthread.so.0 has no such function any more: it is in" in done.stderr


# --- long chains of operators ----------------------------------------------------------------------------


def test_a_chain_of_operators_may_be_long(pytrace: Runner) -> None:
    names = " || ".join(f'comm == "c{i}"' for i in range(300))
    more = "".join(f"$x {'+-*'[i % 3]} " for i in range(1500))
    both = " && ".join("$x" for _ in range(1000))
    script = (
        f"begin {{ $x = 1; if ({names}) {{ print(1); }} else {{ print(0); }} print({more} 1); print({both}); exit(); }}"
    )
    done = pytrace("-q", "-e", script)
    expected = eval(f"{more} 1".replace("$x", "1"))  # made of 1, +, - and *
    assert done.stdout.split() == ["0", str(expected), "true"], done.stderr[:500]
    written = pytrace("--fmt", "-e", script)
    assert written.stdout.count("comm ==") == 300, written.stderr[:500]


def test_chains_of_conditions_are_evaluated_as_far_as_they_matter(pytrace: Runner) -> None:
    script = (
        "begin { print(@a++ || @a++ || @a++ || @a++); print(@b++ && @b++ && @b++); print(0 || @c++ && @c++ || 0 || 1); "
        "print((1 || @d++) && (0 || @d++ || @d++) && 1); exit(); }"
    )
    done = pytrace("-q", "-e", script)
    assert done.stdout.split() == ["true", "false", "true", "true", "@a:", "2", "@b:", "1", "@c:", "1", "@d:", "2"]


# --- code that programs make -----------------------------------------------------------------------------

JIT = """
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
__attribute__((noinline)) int leaf(int x) { __asm__ volatile(""); return x; }
int main(int argc, char **argv) {
    unsigned char *m = mmap(0, 4096, 7, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    unsigned char code[] = {0x55, 0x48, 0x89, 0xe5, 0x48, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xd0, 0x5d, 0xc3};
    void *l = (void *)leaf;
    memcpy(code + 6, &l, 8);
    memcpy(m + 0x100, code, sizeof code);
    memcpy(m + 0x200, code, sizeof code);
    char n[64];
    sprintf(n, "/tmp/perf-%d.map", getpid());
    FILE *f = fopen(n, "w");
    fprintf(f, "nonsense\\n%lx 40 jitted function with spaces\\n", (long)m + 0x100);
    fflush(f);
    ((int (*)(void))(m + 0x100))();
    usleep(300000);
    fprintf(f, "%lx 40 a later one\\n%lx 4", (long)m + 0x200, (long)m + 0x300);
    fclose(f);
    ((int (*)(void))(m + 0x200))();
    sleep(1);
    if (argc > 1) unlink(n);
    return 0;
}
"""


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the code that is made is x86-64's")
def test_code_that_a_program_has_made_has_its_names(pytrace: Runner, compile_c: Callable[..., Path]) -> None:
    program = compile_c(JIT, "-O0", "-fno-omit-frame-pointer")
    script = f'uprobe:{program}:leaf {{ print(ustack(3)); print(usym(*(uint64 *)reg("sp"))); print(ustack(perf, 2)); }}'
    done = pytrace("-q", "-e", script, "-c", f"{program} unlink")
    lines = [line.strip() for line in done.stdout.splitlines() if line.strip()]
    assert lines[:4] == ["leaf+0", "jitted function with spaces+16", lines[2], "jitted function with spaces"], (
        done.stderr
    )
    assert lines[5].partition(" ")[2].startswith("jitted function with spaces+16 (/tmp/perf-")
    assert "a later one+16" in lines


@pytest.mark.skipif(os.uname().machine != "x86_64", reason="the code that is made is x86-64's")
def test_and_keeps_them_when_it_has_ended(pytrace: Runner, compile_c: Callable[..., Path]) -> None:
    program = compile_c(JIT, "-O0", "-fno-omit-frame-pointer")
    done = pytrace("-q", "-e", f"uprobe:{program}:leaf {{ @[ustack(2), pid] = count(); }}", "-c", program)
    for name in Path("/tmp").glob("perf-*.map"):
        if f", {name.stem[5:]}]" in done.stdout:
            name.unlink()
    assert "jitted function with spaces+16" in done.stdout
    assert "a later one+16" in done.stdout


def test_a_list_of_somebody_else_is_not_believed(tmp_path: Path) -> None:
    maps = PerfMaps()
    file = Path(f"/tmp/perf-{os.getpid()}.map")
    file.write_text("1000 20 mine\n1010 8 inner\n")
    try:
        found = maps.symbol(0x1004, os.getpid())
        assert found is not None
        assert (found.name, found.offset, found.module) == ("mine", 4, str(file))
        inner, after = maps.symbol(0x1012, os.getpid()), maps.symbol(0x101A, os.getpid())
        assert inner is not None
        assert after is not None
        assert (inner.name, after.name, maps.symbol(0x1020, os.getpid())) == ("inner", "mine", None)
        file.unlink()
        file.write_text("2000 20 theirs\n")
        os.chown(file, 12345, 12345)
        assert PerfMaps().symbol(0x2000, os.getpid()) is None
        file.unlink()
        file.symlink_to(tmp_path / "elsewhere")
        (tmp_path / "elsewhere").write_text("2000 20 led astray\n")
        assert PerfMaps().symbol(0x2000, os.getpid()) is None
        file.unlink()
        os.mkfifo(file)
        assert PerfMaps().symbol(0x2000, os.getpid()) is None
    finally:
        file.unlink()


# --- macros -------------------------------------------------------------------------------------------------------


def test_the_macro_is_taken_that_says_most_of_what_it_takes(pytrace: Runner) -> None:
    script = (
        'macro m(x) { "any" } macro m($x) { "variable" } macro m(@x) { "map" } macro m(x, y) { "two" } '
        'macro m($x, @y) { "both" } macro m($x, y) { "first" } '
        "begin { $a = 1; @a = 1; print((m(1), m($a), m(@a), m($a + 1), m(1, 2), m($a, @a), m($a, 2), m(2, @a))); }"
    )
    done = pytrace("-q", "-e", script)
    assert done.stdout.splitlines()[0] == "(any, variable, map, any, two, both, first, two)", done.stderr


def test_macros_cast_to_the_type_of_what_they_are_given(pytrace: Runner) -> None:
    script = (
        "macro step(x) { (uint64)((typeof(x) *)0 + 1) } macro at(p, x) { *(typeof(x) *)p } "
        "begin { $n = (uint64)0x1122334455667788; $s = (uint16)0; "
        'printf("%d %d %d %x\n", step($s), step($n), step((uint8)1), at(&$n, $s)); exit(); }'
    )
    done = pytrace("-q", "-e", script.replace("\n", "\\n"))
    assert done.stdout.strip() == "2 8 1 7788", done.stderr


# --- warnings ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("body", "column"),
    [
        ("exit(); print(1); print(2);", 17),
        ("return; print(1);", 17),
        ("if (pid) { return; } else { exit(); } print(1);", 47),
        ("{ return; } print(1);", 21),
        ("for ($i : 0..3) { continue; print($i); }", 37),
        ("while (1) { if (pid) { break; print(1); } }", 39),
        ("if (pid) { return; } print(1);", None),
        ("if (pid) { return; } else { } print(1);", None),
        ("for ($i : 0..3) { break; } print(1);", None),
        ("while (pid) { return; } print(1);", None),
        ("if (pid) { print(1); return; }", None),
    ],
)
def test_what_is_never_reached_is_told(body: str, column: int | None) -> None:
    warnings = analyse(f"begin {{ {body} }}").warnings
    told = [w for w in warnings if "Unreachable statement." in w]
    assert len(told) == (column is not None)
    assert column is None or told[0].startswith(f"-e:1:{column}-")


def test_a_map_that_is_declared_and_not_used_is_told() -> None:
    (warning,) = analyse("let @a = hash(10); let @b = hash(10); begin { @b[1] = 1; }").warnings
    assert warning.startswith("-e:1:1-18: WARNING: Unused map: @a")
