"""A function's entry and its return in one program, with one link."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.compiler import compile_script
from pytrace.kernel import Kernel
from pytrace.probes.uapi import AttachType
from pytrace.program import Uprobe, UprobeMulti
from tests.conftest import Runner

SOURCE = r"""
__attribute__((noinline)) long twice(long x) { __asm__ volatile(""); return 2 * x; }
__attribute__((noinline)) long thrice(long x) { __asm__ volatile(""); return 3 * x; }
int main(void) {
    volatile long sum = 0;
    for (long i = 1; i <= 5; i++) { sum += twice(i); sum += thrice(i); }
    return 0;
}
"""
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="attaches probes: needs root")


@pytest.fixture(scope="module")
def target(compile_c: Callable[..., Path]) -> Path:
    return compile_c(SOURCE, "-O1", "-g")


@pytest.fixture
def session_feature() -> str:
    features = Kernel.running().features
    if not features.has("uprobe_session"):
        pytest.skip(f"this kernel has no uprobe_session: {features.why('uprobe_session')}")
    return "uprobe_session"


SCRIPTS = {
    "predicates and return": (
        "uprobe:$T:twice /arg0 > 1/ { @in[arg0] = count(); @kept = arg0; if (arg0 == 5) { return; } @n = count(); } "
        "uretprobe:$T:twice /retval < 10/ { @out[retval, @kept] = count(); }",
        "@in[2]: 1, @in[3]: 1, @in[4]: 1, @in[5]: 1, @kept: 5, @n: 3, "
        "@out[2, 0]: 1, @out[4, 2]: 1, @out[6, 3]: 1, @out[8, 4]: 1",
    ),
    "names of probes, and loops": (
        "uprobe:$T:*ice { for ($i : 0..2) { @in[probe, func] = count(); } } "
        "uretprobe:$T:*ice { for ($i : 0..2) { @out[probe, func] = sum(retval); } }",
        "@in[uprobe:$T:thrice, thrice]: 10, @in[uprobe:$T:twice, twice]: 10, "
        "@out[uretprobe:$T:twice, twice]: 60, @out[uretprobe:$T:thrice, thrice]: 90",
    ),
    "the return first": (
        "uretprobe:$T:twice { @out = sum(retval); } uprobe:$T:twice { @in = sum(arg0); }",
        "@in: 15, @out: 30",
    ),
}


@pytest.mark.parametrize("name", SCRIPTS)
def test_both_ways_mean_the_same(pytrace: Runner, target: Path, session_feature: str, name: str) -> None:
    script, expected = SCRIPTS[name]
    for options, links in (((), 1), (("--no-feature", session_feature), 2)):
        found = pytrace(*options, "-d", "attach", "-c", str(target), "-e", script.replace("$T", str(target)))
        lines = sorted(line for line in found.stdout.splitlines() if line)
        assert lines == sorted(re.split(", (?=@)", expected.replace("$T", str(target)))), found.stderr
        assert found.stderr.count("UprobeMulti(") == links
        assert ("session=True" in found.stderr) == (links == 1)


@pytest.mark.parametrize(
    "script",
    [
        "uprobe:$T:twice { @ = count(); } uretprobe:$T:thrice { @b = count(); }",
        "uprobe:$T:twice { @ = count(); } uretprobe:$T:*ice { @b = count(); }",
        "uprobe:$T:twice { @ = count(); } uprobe:$T:thrice { @b = count(); }",
        "uretprobe:$T:twice { @ = count(); }",
    ],
)
def test_different_functions_have_links_of_their_own(target: Path, script: str) -> None:
    program = compile_script(script.replace("$T", str(target)))
    for prog in program.progs:
        (attach,) = prog.attach
        assert isinstance(attach, Uprobe) or (isinstance(attach, UprobeMulti) and not attach.session)
        assert prog.expected_attach_type != AttachType.TRACE_UPROBE_SESSION


def test_a_return_has_one_entry(target: Path, session_feature: str) -> None:
    """Two probes on one function are one program, which shares its link with the return."""
    script = "uprobe:$T:twice { @a = count(); } uprobe:$T:twice { @b = count(); } uretprobe:$T:twice { @c = count(); }"
    program = compile_script(script.replace("$T", str(target)))
    sessions = [prog.expected_attach_type == AttachType.TRACE_UPROBE_SESSION for prog in program.progs]
    assert sessions == [True]
