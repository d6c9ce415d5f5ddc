from __future__ import annotations

import pytest

from pytrace import program
from pytrace.probes import ProbeError, expand
from pytrace.program import PerfEvent, Signal, Watchpoint
from tests.probes.kernels import target


def attach(text: str) -> tuple[str, PerfEvent]:
    (point,) = expand(text, target())
    assert isinstance(point.attach, PerfEvent)
    return point.name, point.attach


@pytest.mark.parametrize(
    ("text", "name", "period", "freq"),
    [
        ("hz:99", "hz:99", 0, 99),
        ("s:1", "s:1", 1_000_000_000, 0),
        ("ms:0x10", "ms:16", 16_000_000, 0),
        ("us:1e3", "us:1000", 1_000_000, 0),
        ("1s", "us:1000000", 1_000_000_000, 0),
        ("100ms", "us:100000", 100_000_000, 0),
        ("50us", "us:50", 50_000, 0),
        ("5000ns", "us:5", 5_000, 0),
        ("2m", "us:120000000", 120_000_000_000, 0),
        ("2_000_000", "us:2000", 2_000_000, 0),
    ],
)
def test_time_forms(text: str, name: str, period: int, freq: int) -> None:
    found, event = attach(f"interval:{text}")
    assert found == f"interval:{name}"
    assert (event.period, event.freq, event.one_cpu) == (period, freq, True)


def test_profile_is_on_every_cpu() -> None:
    assert not attach("p:hz:99")[1].one_cpu


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("interval:s:0", "should be a positive integer"),
        ("interval:s", "Invalid rate"),
        ("interval:foo:1", "foo is not an accepted unit of time"),
        ("interval:s:1:2", "requires 1 or 2 arguments, found 3"),
        ("profile:99", "Minimum is 1000 or 1us. Found: 99 nanoseconds"),
        ("profile:99hz", "Invalid rate"),
        ("profile:s:99999999999", "longer than"),
        ("interval:", "requires 1 or 2 arguments, found 0"),
    ],
)
def test_wrong_times(text: str, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        expand(text, target())


@pytest.mark.parametrize(
    ("text", "type", "config", "period"),
    [
        ("software:page-faults", 1, 2, 100),
        ("s:faults:1", 1, 2, 1),
        ("s:cs", 1, 3, 1000),
        ("software:cpu:1e6", 1, 0, 1_000_000),
        ("hardware:cycles", 0, 0, 1_000_000),
        ("h:branch-misses:7", 0, 5, 7),
        ("h:frontend-stalls:", 0, 7, 1_000_000),
    ],
)
def test_counting_events(text: str, type: int, config: int, period: int) -> None:
    name, event = attach(text)
    assert (event.type, event.config, event.period, event.freq) == (type, config, period, 0)
    assert name.split(":")[1] == text.split(":")[1]


def test_unknown_events_and_counts() -> None:
    with pytest.raises(ProbeError, match="fauls is not a software probe") as e:
        expand("s:fauls", target())
    assert e.value.hint == "did you mean faults or page-faults?"
    with pytest.raises(ProbeError, match="Invalid count"):
        expand("s:faults:0", target())


def test_runs() -> None:
    (test,) = expand("test:sums", target())
    assert (test.name, test.attach) == ("test:sums", program.TestRun("test", "sums"))
    with pytest.raises(ProbeError, match="begin probe type requires 0 arguments"):
        expand("begin:x", target())
    with pytest.raises(ProbeError, match="bench probe type requires 1 arguments"):
        expand("bench", target())


def test_signals() -> None:
    import signal

    (point,) = expand("self:signal:USR1", target())
    assert (point.name, point.attach) == ("self:signal:SIGUSR1", Signal(signal.SIGUSR1))
    for bad in ("self:signal:FOO", "self:signal:KILL", "self:alarm:USR1"):
        with pytest.raises(ProbeError, match="not a supported"):
            expand(bad, target())


def test_watchpoints() -> None:
    (point,) = expand("w:0x1000:8:wr", target())
    assert point.attach == Watchpoint(0x1000, 8, "rw")
    assert point.context.space == "user"
    (point,) = expand("w:0xffffffff81000000:8:x", target())
    assert point.context.space == "kernel"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("w:0x1000:3:w", "length must be one of"),
        ("w:0x1000:8:z", "combination of"),
        ("w:0x1000:8:ww", "combination of"),
        ("w:0x1000:8:r", "invalid watchpoint mode"),
        ("w:0x1001:8:w", "multiple"),
        ("w:main:8:w", "not a number"),
        ("w:0x1000:8", "requires 3 arguments"),
    ],
)
def test_wrong_watchpoints(text: str, message: str) -> None:
    with pytest.raises(ProbeError, match=message):
        expand(text, target())


def test_an_arm_can_watch_reads() -> None:
    (point,) = expand("w:0x1000:8:r", target(machine="aarch64"))
    assert point.attach == Watchpoint(0x1000, 8, "r")


@pytest.mark.parametrize("length", [1, 2, 4, 8])
def test_an_instruction_is_watched_whatever_length_is_written(length: int) -> None:
    for machine, kernel_wants in (("x86_64", 8), ("aarch64", 4)):
        (point,) = expand(f"watchpoint:0x1001:{length}:x", target(machine=machine))
        assert point.attach == Watchpoint(0x1001, kernel_wants, "x")
        assert point.name == f"watchpoint:0x1001:{length}:x"
