"""Probes on functions that the compiler put into others: each copy counts, as often as the source calls it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Runner

N = 6
SOURCE = rf"""
volatile long sink;
#define INLINE static inline __attribute__((always_inline))
#define APART __attribute__((noinline, noclone))
INLINE long square(long x) {{ sink += x; return x * x; }}
INLINE long nested(long x) {{ sink += 1; return square(x) + 1; }}
INLINE long looping(int n) {{ for (int i = 0; i < n; i++) sink += i; return sink; }}
APART long cube(long x) {{ sink += 2; return x * square(x); }}
APART long twice(long x) {{ sink += 3; return square(x) + square(x + 1); }}
int main(void)
{{
    long total = 0;
    for (long i = 0; i < {N}; i++)
        total += square(i) + cube(i) + twice(i) + nested(i) + looping(5);
    return total == 12345;
}}
"""
CALLS = {"square": 5 * N, "nested": N, "looping": N, "cube": N, "twice": N}


@pytest.fixture(scope="module", params=["-gdwarf-5", "-gdwarf-4"])
def program(request: pytest.FixtureRequest, compile_c: Callable[..., Path]) -> Path:
    return compile_c(SOURCE, "-O2", request.param)


@pytest.mark.parametrize("options", [(), ("--no-feature", "uprobe_multi")], ids=["multi", "perf"])
def test_every_copy_fires(pytrace: Runner, program: Path, options: tuple[str, ...]) -> None:
    script = " ".join(f"uprobe:{program}:{name} {{ @[func, probe] = count(); }}" for name in CALLS)
    result = pytrace("-q", *options, "-e", script, "-c", str(program))
    assert result.status == 0, result.stderr
    assert sorted(line for line in result.stdout.split("\n") if line) == sorted(
        f"@[{name}, uprobe:{program}:{name}]: {count}" for name, count in CALLS.items()
    )


@pytest.mark.parametrize(
    ("script", "message"),
    [
        ("uretprobe:{}:square {{ exit(); }}", "it does not return of its own"),
        ("uprobe:{}:square+4 {{ exit(); }}", "it has no instructions of its own"),
        ("uprobe:{}:square {{ print(arg0); }}", "arg0"),
        ("uprobe:{}:square {{ print(args.x); }}", "have no args"),
        ("uprobe:{}:squared {{ exit(); }}", "No matches for uprobe"),
    ],
)
def test_what_a_copy_does_not_have(pytrace: Runner, program: Path, script: str, message: str) -> None:
    result = pytrace("-e", script.format(program))
    assert result.status == 1
    assert message in result.stderr
