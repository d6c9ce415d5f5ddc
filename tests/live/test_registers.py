"""What registers hold has no type: what scripts make of an int, an error number or an address in one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Runner

SOURCE = r"""
struct pair { int a, b; };
__attribute__((noinline, noclone)) int refuse(int k) { __asm__ volatile("" : : : "memory"); return -k; }
__attribute__((noinline, noclone)) long far(long k) { __asm__ volatile("" : : : "memory"); return -k; }
__attribute__((noinline, noclone)) long say(const char *text, struct pair *p)
{
    __asm__ volatile("" : : "r"(text), "r"(p) : "memory");
    return 5000000000;
}
int main(void)
{
    struct pair pair = {3, 4};
    char text[] = "hello";
    refuse(5);
    far(11);
    say(text, &pair);
    return 0;
}
"""


@pytest.fixture(scope="module")
def program(compile_c: Callable[..., Path]) -> Path:
    return compile_c(SOURCE, "-O1", "-g")


def printed(pytrace: Runner, program: Path, script: str) -> str:
    result = pytrace("-q", "-c", str(program), "-e", script.replace("PROGRAM", str(program)))
    assert result.status == 0, result.stderr
    return result.stdout.strip("\n")


def test_an_int_in_a_register_is_one_in_printf(pytrace: Runner, program: Path) -> None:
    script = 'uretprobe:PROGRAM:refuse { printf("%d %i %ld %s\\n", retval, retval, retval, retval); }'
    assert printed(pytrace, program, script) == "-5 -5 4294967291 4294967291"
    assert printed(pytrace, program, 'uretprobe:PROGRAM:say { printf("%ld %u\\n", retval, retval); }') == (
        "5000000000 5000000000"
    )


def test_error_numbers_are_below_zero_in_histograms(pytrace: Runner, program: Path) -> None:
    histogram = printed(pytrace, program, "uretprobe:PROGRAM:far { @ = hist(retval); }")
    assert [line.split()[:3] for line in histogram.splitlines()] == [["@:"], ["(...,", "0)", "1"]]


def test_uptr_says_where_a_register_points(pytrace: Runner, program: Path) -> None:
    body = "$t = uptr(arg0); @t = uptr(arg0); print((str($t), str(@t), str(uptr(arg0) + 1))); clear(@t);"
    assert printed(pytrace, program, f"uprobe:PROGRAM:say {{ {body} }}") == "(hello, hello, ello)"


def test_pointers_can_be_declared(pytrace: Runner, program: Path) -> None:
    types = "struct pair { int a, b; };"
    body = "let $p : struct pair * = (struct pair *)arg1; let $v : void * = $p; $q = (struct pair *)$v;"
    script = f"{types} uprobe:PROGRAM:say {{ {body} print(($p->a, $q->b)); }}"
    assert printed(pytrace, program, script) == "(3, 4)"
