"""Arguments that are more than a word or that stand behind such: where the calling convention puts them. The callers
pass what is expected here, so the C compiler is what this is compared with."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Runner

SOURCE = r"""
#define APART __attribute__((noinline, noclone))
struct one { int a; };
struct pair { int a, b; };
struct wide { long a; char b; };
struct big { long x, y, z; };
struct mixed { double d; long n; };
struct floats { float a, b; };
struct packed { char a; long b; } __attribute__((packed));
struct text { char s[12]; };
struct nested { struct pair p; union { short u; unsigned char c[2]; }; unsigned low : 3, high : 5; };
struct lined { long a; } __attribute__((aligned(32)));
struct none { };
#define END __asm__ volatile("" : : : "memory"); return k
APART long registers(struct one a, struct pair b, struct wide c, int k) { END; }
APART long memory(struct big a, int k, struct big b, long l) { END; }
APART long crowded(long a, long b, long c, long d, long e, struct wide f, long g, struct one h, long i, int k) { END; }
APART long floating(double d, struct mixed m, int j, struct floats f, int k) { END; }
APART long unaligned(struct packed p, int k, struct text t) { END; }
APART long parts(struct nested n, int k) { END; }
APART long huge(__int128 a, int k, long double d, __int128 b, long c, long e, __int128 f, long g) { END; }
APART long many(double a, double b, double c, double d, double e, double f, double g, double h, double i, int j,
    long k) { END; }
APART long empty(struct none n, int k) { END; }
APART long signs(signed char a, unsigned char b, short c, _Bool d, int k) { END; }
int main(void)
{
    struct big big = {1, -2, 3}, more = {4, 5, 6};
    registers((struct one){-1}, (struct pair){2, -3}, (struct wide){4, 'x'}, 99);
    memory(big, 99, more, 7);
    crowded(1, 2, 3, 4, 5, (struct wide){6, 'y'}, 7, (struct one){8}, 9, 99);
    floating(1.5, (struct mixed){2.5, 10}, 11, (struct floats){1, 2}, 99);
    unaligned((struct packed){1, 0x123456789}, 99, (struct text){"eleven char"});
    parts((struct nested){{1, -2}, {-3}, 5, 17}, 99);
    huge(1, 99, 2.0L, ((__int128)3 << 64) + 4, 5, 6, ((__int128)7 << 64) + 8, 9);
    many(1, 2, 3, 4, 5, 6, 7, 8, -2.0, 9, 99);
    empty((struct none){}, 99);
    signs(-1, 255, -2, 1, 99);
    return 0;
}
"""


@pytest.fixture(scope="module", params=["-O0", "-O2"])
def program(request: pytest.FixtureRequest, compile_c: Callable[..., Path]) -> Path:
    return compile_c(SOURCE, request.param, "-g")


def lines(pytrace: Runner, program: Path, function: str, format: str, *arguments: str) -> list[str]:
    """What is printed of some arguments of a function, one line for each call."""
    call = ", ".join([f'"{format}\\n"', *(f"args.{a}" for a in arguments)])
    result = pytrace("-q", "-e", f"uprobe:{program}:{function} {{ printf({call}); }}", "-c", str(program))
    assert result.status == 0, result.stderr
    return [line for line in result.stdout.split("\n") if line]


@pytest.mark.parametrize(
    ("function", "format", "arguments", "expected"),
    [
        ("registers", "%d %d %d %d %c %d", "a.a b.a b.b c.a c.b k", "-1 2 -3 4 x 99"),
        ("memory", "%d %d %d %d %d %d %d", "a.x a.y a.z k b.x b.z l", "1 -2 3 99 4 6 7"),
        ("crowded", "%d %d %c %d %d %d %d", "e f.a f.b g h.a i k", "5 6 y 7 8 9 99"),
        ("floating", "%d %d", "j k", "11 99"),
        ("unaligned", "%d %x %d %s", "p.a p.b k t.s", "1 123456789 99 eleven char"),
        ("parts", "%d %d %d %d %d %d %d", "n.p.a n.p.b n.u n.c[1] n.low n.high k", "1 -2 -3 255 5 17 99"),
        ("huge", "%d %d %d %d", "k c e g", "99 5 6 9"),
        ("huge", "%x %d %d", "d[7] d[8] b[8]", "80 0 3"),  # 2.0 has one bit in its fraction, and 4000 in front of that
        ("many", "%x %d %d", "i[7] j k", "c0 9 99"),  # the ninth is in memory
        ("empty", "%d", "k", "99"),
        ("signs", "%d %d %d %d %d", "a b c d k", "-1 255 -2 1 99"),
    ],
)
def test_arguments(pytrace: Runner, program: Path, function: str, format: str, arguments: str, expected: str) -> None:
    assert lines(pytrace, program, function, format, *arguments.split()) == [expected]


def test_a_struct_as_a_whole(pytrace: Runner, program: Path) -> None:
    script = f"uprobe:{program}:memory {{ $b = args.b; print($b); @[args.a.y] = count(); print(args); }}"
    result = pytrace("-q", "-e", script, "-c", str(program))
    assert [line for line in result.stdout.split("\n") if line] == [
        "{ .x = 4, .y = 5, .z = 6 }",
        "{ .a = { .x = 1, .y = -2, .z = 3 }, .k = 99, .b = { .x = 4, .y = 5, .z = 6 }, .l = 7 }",
        "@[-2]: 1",
    ]


@pytest.mark.parametrize("argument", ["d", "m", "f"])
def test_what_is_in_floating_point_registers(pytrace: Runner, program: Path, argument: str) -> None:
    result = pytrace("-e", f"uprobe:{program}:floating {{ print(args.{argument}); }}")
    assert result.status == 1
    assert f"The argument '{argument}' cannot be read" in result.stderr
    assert "it is in floating-point registers" in result.stderr


CPP = r"""
#include <string>
#define APART __attribute__((noinline))
struct plain { int a, b; };
struct owner {
    int *p; long n;
    owner(int *p) : p(p), n(7) {}
    owner(const owner &o) : p(o.p), n(o.n + 1) {}
};
struct holder { owner o; };
struct maker {
    long base;
    APART owner make(plain x, holder h, int k) { asm("" : : "r"(this), "r"(&x)); return owner(h.o); }
};
int main() { int v = 5; maker m{3}; return m.make(plain{1, 2}, holder{owner(&v)}, 99).n == 0; }
"""


def test_arguments_of_a_cpp_function(pytrace: Runner, tmp_path: Path) -> None:
    """What cannot just be copied is passed by its address; such a result goes where a hidden argument says."""
    program = tmp_path / "maker"
    subprocess.run(["g++", "-x", "c++", "-O1", "-g", "-o", program, "-"], check=True, input=CPP, text=True)
    found = lines(pytrace, program, 'cpp:"maker::make"', "%d %d %d %d %d", "this.base", "x.a", "x.b", "h.o.n", "k")
    assert found == ["3 1 2 7 99"]
