"""`import "x.bpf.c"`: with a clang on PATH the functions of a C program can be called, without one it is refused.

What they give is what the same text gives as a shared library of the host."""

from __future__ import annotations

import ctypes
import os
import subprocess
from pathlib import Path

import pytest

from tests.conftest import Runner

NO_CLANG = {"PATH": "/nonexistent"}

C = """
struct pair { int a; unsigned short b; };
enum color { RED, GREEN };
typedef unsigned long long u64;
static int twice(int x) { return 2 * x; }
int add(int a, int b) { return twice(a) + b; }
u64 mix(u64 x) { x ^= x >> 33; x *= 0xff51afd7ed558ccdULL; return x ^ (x >> 33); }
_Bool even(unsigned char c) { return c % 2 == 0; }
short narrow(long x) { return x; }
unsigned int wrap(unsigned int x) { return x - 1; }
enum color next(enum color c) { return c == RED ? GREEN : RED; }
int loop(int n) { int s = 0; for (int i = 0; i < 100; i++) { if (i >= n) break; s += i * i; } return s; }
int day(int n) { switch (n) { case 0: return 31; case 1: return 28; case 2: return 3; case 3: return 30;
                              case 4: return 99; case 5: return 17; default: return 0; } }
"""
CALLS = [
    ("add", (3, 4), ctypes.c_int),
    ("add", (-3, -4), ctypes.c_int),
    ("mix", (12345,), ctypes.c_ulonglong),
    ("even", (4,), ctypes.c_bool),
    ("even", (7,), ctypes.c_bool),
    ("narrow", (70000,), ctypes.c_short),
    ("wrap", (0,), ctypes.c_uint),
    ("next", (0,), ctypes.c_int),
    ("next", (1,), ctypes.c_int),
    ("loop", (5,), ctypes.c_int),
    ("loop", (500,), ctypes.c_int),
    *(("day", (n,), ctypes.c_int) for n in range(-1, 8)),
]


@pytest.fixture
def files(tmp_path: Path) -> Path:
    tmp_path.chmod(0o755)
    return tmp_path


def write(path: Path, text: str) -> Path:
    path.write_text(text)
    path.chmod(0o644)
    return path


def run(pytrace: Runner, files: Path, body: str, *options: str | Path) -> list[str]:
    script = write(files / "main.pt", body)
    found = pytrace("-q", *options, script)
    assert (found.status, found.stderr) == (0, "")
    return found.stdout.rstrip("\n").split("\n")


def test_functions_compute_what_they_compute_on_the_host(pytrace: Runner, files: Path) -> None:
    source = write(files / "math.bpf.c", C)
    library = files / "math.so"
    subprocess.run(["gcc", "-w", "-shared", "-fPIC", "-x", "c", "-o", library, source], check=True)
    host = ctypes.CDLL(str(library))
    expected = []
    for name, arguments, kind in CALLS:
        function = getattr(host, name)
        function.restype = kind
        function.argtypes = [ctypes.c_long if kind is not ctypes.c_ulonglong else kind for _ in arguments]
        value = function(*arguments)
        expected.append(str(value).lower())
    calls = [f"print({name}({', '.join(map(str, arguments))}));" for name, arguments, _ in CALLS]
    # Arguments that are not known when it is compiled give the same.
    later = [
        f"{''.join(f'@a{i} = (int64){a};' for i, a in enumerate(arguments))}"
        f" print({name}({', '.join(f'@a{i}' for i in range(len(arguments)))}));"
        for name, arguments, _ in CALLS
    ]
    settings = "config = { print_maps_on_exit = false }"
    body = f'{settings} import "math.bpf.c"; begin {{ {" ".join(calls)} {" ".join(later)} exit(); }}'
    assert run(pytrace, files, body) == expected * 2


def test_programs_call_helpers_and_read_what_pointers_point_to(pytrace: Runner, files: Path) -> None:
    write(files / "lib.h", "#define OFFSET 4")
    write(
        files / "read.bpf.c",
        """#include <linux/types.h>
        #include "lib.h"
        char LICENSE[] __attribute__((section("license"), used)) = "GPL";
        static long (*bpf_probe_read_user)(void *to, __u32 size, const void *from) = (void *)112;
        static unsigned long long (*bpf_get_current_pid_tgid)(void) = (void *)14;
        int id(void) { return bpf_get_current_pid_tgid() >> 32; }
        __attribute__((noinline)) char letter(const char *text) {
            char c = 0;
            bpf_probe_read_user(&c, 1, text + OFFSET);
            return c;
        }
        struct task_struct *same(struct task_struct *t) { return t; }
        """,
    )
    body = """import "read.bpf.c";
    tracepoint:syscalls:sys_enter_openat /id() == cpid && letter(args.filename) == 104/ {
        printf("%s %d %d\\n", str(args.filename), id() == pid, kptr(same(curtask)).tgid == pid);
    }"""
    script = write(files / "main.pt", body)
    found = pytrace("-q", "-c", "/bin/cat /nosuch /xyzh /h /xyzhabc", script)
    assert found.stdout.rstrip("\n").split("\n") == ["/xyzh 1 1", "/xyzhabc 1 1"]


def test_every_program_and_loop_can_call_them(pytrace: Runner, files: Path) -> None:
    write(files / "one.bpf.c", "static int power(int x) { return x * x; } int square(int x) { return power(x); }")
    write(files / "two.bpf.c", "static int power(int x) { return x * x * x; } int cube(int x) { return power(x); }")
    body = """import "one.bpf.c"; import "two.bpf.c"; import "one.bpf.c";
    fn both($x : int64) : int64 { return square($x) + cube($x); }
    begin { for ($i : 1..4) { print(both($i)); } }
    interval:ms:1 { print(square(7)); exit(); }"""
    assert run(pytrace, files, body) == ["2", "12", "36", "49"]


@pytest.mark.parametrize(
    ("text", "call", "message"),
    [
        ("int total; int k(int x) { return total += x; }", "k(1)", "it has a variable, 'total'"),
        ("int k(int x) { return y; }", "k(1)", "use of undeclared identifier 'y'"),
        ("int other(int); int k(int x) { return other(x); }", "k(1)", "it calls other(), which it does not define"),
        (
            "int r2(int); int r1(int n) { return n < 2 ? 1 : r2(n - 1) + n; }"
            "int r2(int n) { return n < 2 ? 2 : r1(n - 1) * 3; }",
            "r1(1)",
            "() comes to call itself",
        ),
        ("float k(float x) { return x; }", "k(1)", "Unknown function: 'k'"),
        ("int k(int x) { return x; }", 'k("a")', "k() wants 'int32' for $x, found 'string[2]'"),
        ("struct file; int k(struct file *f) { return !f; }", "k(curtask)", "k() wants 'struct file *' for $f"),
        ("int k(int x) { return x; }", "k()", "k() takes 1 argument"),
        ("int k(int x) { return x; }", "k(1)); } fn k($y : int32) : int32 { return (1", "Redefinition of function: k"),
    ],
)
def test_what_cannot_be_is_said(pytrace: Runner, files: Path, text: str, call: str, message: str) -> None:
    write(files / "x.bpf.c", text)
    found = pytrace(write(files / "main.pt", f'import "x.bpf.c"; begin {{ print({call}); }}'))
    assert found.status == 1
    assert message in found.stderr
    assert "pytrace itself" not in found.stderr


def test_without_clang_it_is_refused(pytrace: Runner, files: Path) -> None:
    write(files / "x.bpf.c", "int k(int x) { return x + 1; }")
    script = write(files / "main.pt", 'import "x.bpf.c"; begin { print(k(1)); exit(); }')
    assert pytrace("-q", script).stdout.startswith("2\n")
    refused = pytrace(script, env=NO_CLANG)  # also now that it has run before
    assert refused.status == 1
    assert (
        "cannot import 'x.bpf.c': C programs need a C compiler for BPF, and there is no clang on PATH" in refused.stderr
    )
    assert refused.stderr.count("ERROR") == 1


def test_a_changed_file_is_compiled_anew(pytrace: Runner, files: Path) -> None:
    script = write(files / "main.pt", 'import "x.bpf.c"; begin { print(k(1)); exit(); }')
    for number in ("10", "20"):
        write(files / "x.bpf.c", f"int k(int x) {{ return x * {number}; }}")
        assert pytrace("-q", script).stdout.startswith(f"{number}\n")


def test_files_that_anybody_may_write_to_are_refused(pytrace: Runner, files: Path) -> None:
    source = write(files / "x.bpf.c", "int k(int x) { return x; }")
    script = write(files / "main.pt", 'import "x.bpf.c"; begin { print(k(1)); exit(); }')
    os.chmod(source, 0o666)
    assert "anybody may write to" in pytrace(script).stderr
