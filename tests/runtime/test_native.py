"""The drain itself: what it takes, in which order, what it leaves, and how it counts."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pytrace.codegen.user import compile_user
from pytrace.format import parse_format
from pytrace.nativestate import MAX_TEXT
from pytrace.program import EventSpec, NativeCode
from pytrace.runtime.native import Drain, HostCode, map_code
from pytrace.types import INT64, String

BUSY, DISCARD = 1 << 31, 1 << 30

NUMBER = EventSpec(0, "printf", (INT64,), parse_format("n=%ld\n"))
EXIT = EventSpec(1, "exit", (INT64,))
TEXT = EventSpec(2, "print", (String(12),))
LONG = EventSpec(3, "printf", (String(20_000),), parse_format("%s"))
EVENTS = (NUMBER, EXIT, TEXT, LONG)


@pytest.fixture(scope="module")
def code() -> Any:
    native = compile_user(EVENTS, timestamps=False)
    assert native
    with HostCode(native) as mapped:
        yield mapped


def number(value: int) -> bytes:
    return struct.pack("<IIq", 0, 0, value)


def text(value: bytes) -> bytes:
    return struct.pack("<II12s4x", 2, 0, value)


class Run:
    """A drain whose text and handed over records are kept in the order in which they came."""

    def __init__(
        self, code: HostCode, ring: Any, stop: Callable[[bytes], bool] = lambda r: False, **options: Any
    ) -> None:
        self.ring, self.seen, self.stop = ring, list[tuple[str, bytes]](), stop
        self.drain = Drain(code, ring, events=len(EVENTS), write=self.write, handle=self.handle, **options)

    def write(self, data: memoryview) -> None:
        self.seen.append(("text", bytes(data)))

    def handle(self, record: memoryview) -> bool:
        self.seen.append(("record", bytes(record)))
        return self.stop(bytes(record))

    @property
    def text(self) -> bytes:
        return b"".join(data for kind, data in self.seen if kind == "text")


def test_empty_ring(code: HostCode, memory_ring: Any) -> None:
    run = Run(code, memory_ring(4096))
    assert run.drain.drain() is False
    assert run.seen == []
    assert run.drain.pending == 0


def test_many_times_round_the_ring(code: HostCode, memory_ring: Any) -> None:
    ring = memory_ring(4096, start=2**63 - 4096 * 3)
    run = Run(code, ring)
    values = list(range(-1000, 1000))
    for value in values:
        while not ring.put(number(value)):
            run.drain.drain()
            assert ring.consumed == ring.produced
    run.drain.drain()
    assert run.text == b"".join(b"n=%d\n" % v for v in values)
    assert run.drain.counts == (len(values), 0, 0, 0)


def test_discarded_records_are_skipped_and_not_counted(code: HostCode, memory_ring: Any) -> None:
    ring = memory_ring(4096)
    for value in range(20):
        ring.put(number(value), DISCARD if value % 3 else 0)
    run = Run(code, ring)
    run.drain.drain()
    assert run.text == b"".join(b"n=%d\n" % v for v in range(0, 20, 3))
    assert run.drain.counts[0] == 7
    assert ring.consumed == ring.produced


def test_a_busy_record_holds_up_what_follows(code: HostCode, memory_ring: Any) -> None:
    ring = memory_ring(4096)
    ring.put(number(1))
    at = ring.produced
    ring.put(number(2), BUSY)
    ring.put(number(3))
    run = Run(code, ring)
    run.drain.drain()
    assert run.text == b"n=1\n"
    assert ring.consumed == at
    assert run.drain.pending == 48
    ring.commit(at, len(number(2)))
    run.drain.drain()
    assert run.text == b"n=1\nn=2\nn=3\n"


def test_records_for_python_come_in_order(code: HostCode, memory_ring: Any) -> None:
    ring = memory_ring(4096)
    leave = struct.pack("<IIq", 1, 7, 42)
    for record in (number(1), leave, leave, text(b"x"), leave):
        ring.put(record)
    run = Run(code, ring)
    assert run.drain.drain() is False
    assert run.seen == [("text", b"n=1\n"), ("record", leave), ("record", leave), ("text", b"x\n"), ("record", leave)]
    assert run.drain.counts == (1, 3, 1, 0)
    assert ring.consumed == ring.produced


def test_stopping_leaves_the_rest(code: HostCode, memory_ring: Any) -> None:
    ring = memory_ring(4096)
    leave = struct.pack("<IIq", 1, 0, 0)
    for record in (number(1), leave, number(2)):
        ring.put(record)
    run = Run(code, ring, stop=lambda record: True)
    assert run.drain.drain() is True
    assert run.text == b"n=1\n"
    assert run.drain.counts == (1, 1, 0, 0)
    assert run.drain.pending == 24
    assert run.drain.drain() is False
    assert run.text == b"n=1\nn=2\n"


def test_a_handed_over_record_is_kept_until_it_was_handled(code: HostCode, memory_ring: Any) -> None:
    ring = memory_ring(64)
    leave = struct.pack("<IIq", 1, 0, 0)
    ring.put(number(1))
    ring.put(leave)
    places = []

    def stop(record: bytes) -> bool:
        places.append((ring.consumed, ring.put(number(2)), ring.put(number(3))))
        return False

    run = Run(code, ring, stop=stop)
    run.drain.drain()
    assert places == [(24, True, False)]  # the room of the first record is free, that of the second is not
    run.drain.drain()
    assert run.text == b"n=1\nn=2\n"


def test_more_text_than_the_output_buffer_holds(code: HostCode, memory_ring: Any) -> None:
    ring = memory_ring(1 << 20)
    record = struct.pack("<II20000s", 3, 0, b"y" * 19_999)
    count = 0
    while ring.put(record):
        count += 1
    ring.put(number(5))
    run = Run(code, ring)
    run.drain.drain()
    assert count > 40
    assert len(run.seen) > 1
    assert run.text == b"y" * 19_999 * count + b"n=5\n"


def test_it_ends_although_events_keep_coming(code: HostCode, memory_ring: Any) -> None:
    ring = memory_ring(4096)
    leave = struct.pack("<IIq", 1, 0, 0)
    ring.put(leave)
    run = Run(code, ring, stop=lambda record: not ring.put(leave))
    assert run.drain.drain() is False
    assert run.drain.counts == (0, 1, 0, 0)
    assert run.drain.pending == 24


@pytest.mark.parametrize(
    "record", [struct.pack("<IIq", 4, 0, 0), struct.pack("<IIq", 2**32 - 1, 0, 0), b"", b"\0\0\0\0"]
)
def test_records_of_no_event(code: HostCode, memory_ring: Any, record: bytes) -> None:
    ring = memory_ring(4096)
    ring.put(record)
    ring.put(number(1))
    run = Run(code, ring)
    run.drain.drain()
    assert run.seen == [("record", record), ("text", b"n=1\n")]
    assert run.drain.counts == (1, 0, 0, 0)
    assert run.drain.strangers == 1


def test_a_record_that_is_too_short(code: HostCode, memory_ring: Any) -> None:
    ring = memory_ring(4096)
    ring.put(number(1)[:-1])
    run = Run(code, ring)
    run.drain.drain()
    assert run.seen == [("record", number(1)[:-1])]


@pytest.mark.parametrize("value", [b"ok\t\n", b"\x1b[31m", b"a\x7f", b"\xc3\xa9", b"\x00"])
def test_a_terminal_gets_only_harmless_bytes_from_native_code(code: HostCode, memory_ring: Any, value: bytes) -> None:
    harmless = all(b in b"\t\n" or 32 <= b < 127 for b in value.rstrip(b"\0"))
    for tty in (False, True):
        ring = memory_ring(4096)
        ring.put(text(value))
        run = Run(code, ring, tty=tty)
        run.drain.drain()
        if tty and not harmless:
            assert run.seen == [("record", text(value))]
        else:
            assert run.seen == [("text", value.rstrip(b"\0") + b"\n")]
        assert run.drain.counts == (0, 0, 1, 0)


def test_timestamps_move_the_arguments(memory_ring: Any) -> None:
    native = compile_user((NUMBER,), timestamps=True)
    assert native
    with HostCode(native) as mapped:
        ring = memory_ring(4096)
        ring.put(struct.pack("<IIQq", 0, 0, 99, -7))
        run = Run(mapped, ring)
        run.drain.drain()
        assert run.text == b"n=-7\n"


def test_text_of_the_greatest_length_stays_in_the_buffer(memory_ring: Any) -> None:
    for width in (MAX_TEXT - 200, MAX_TEXT + 1):
        native = compile_user((EventSpec(0, "printf", (INT64,), parse_format(f"%{width}ld")), TEXT, TEXT), False)
        assert native
        with HostCode(native) as mapped:
            ring = memory_ring(4096)
            while ring.put(number(3)):
                pass
            run = Run(mapped, ring)
            run.drain.drain()
            if width < MAX_TEXT:
                assert run.text == (b" " * (width - 1) + b"3") * run.drain.counts[0]
            else:
                assert {kind for kind, _ in run.seen} == {"record"}


def test_nothing_native_nothing_compiled() -> None:
    assert compile_user((EXIT,), timestamps=False) is None
    assert compile_user((NUMBER,), timestamps=False, machine="vax") is None


def test_code_of_another_machine_is_not_mapped() -> None:
    assert map_code(NativeCode("vax", b"\0" * 16, 0)) is None
    assert map_code(None) is None


@pytest.mark.parametrize("machine", ["x86_64", "aarch64"])
def test_code_for_both_architectures_has_no_relocations(machine: str) -> None:
    # compile_user asserts it; here for something of everything.
    wide = parse_format("%-5d %#lx %08o %c %p %s %20s %hhu %+ld some literal text that is longer than a word\n")
    t = INT64
    event = EventSpec(0, "printf", (t, t, t, t, t, String(16), String(7), t, t), wide)
    native = compile_user((event,), timestamps=True, machine=machine)
    assert native
    assert native.machine == machine
    assert 0 <= native.entry < len(native.code)


def test_the_code_can_be_run_but_not_written(code: HostCode) -> None:
    address = int(re.findall("0x[0-9a-f]+", repr(code.entry))[0], 16)
    for line in Path("/proc/self/maps").read_text().splitlines():
        start, end = (int(part, 16) for part in line.split()[0].split("-"))
        if start <= address < end:
            assert line.split()[1] == "r-xp"
            return
    raise AssertionError("not mapped")


_REFUSED = """
import ctypes, sys
from pytrace.program import NativeCode
from pytrace.runtime.native import map_code
import platform
PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN = 65, 1
if ctypes.CDLL(None).prctl(PR_SET_MDWE, PR_MDWE_REFUSE_EXEC_GAIN, 0, 0, 0):
    sys.exit(77)
assert map_code(NativeCode(platform.machine(), b"\\xc3" * 16, 0)) is None
"""


def test_where_executable_memory_is_refused() -> None:
    done = subprocess.run([sys.executable, "-c", _REFUSED], capture_output=True, text=True, check=False)
    if done.returncode == 77:
        pytest.skip("prctl(PR_SET_MDWE) came with Linux 6.3")
    assert done.returncode == 0, done.stderr


def test_mapping_code_needs_no_compiler() -> None:
    script = "import sys, pytrace.runtime.native; print(*{'llvmlite', 'lark', 'pycparser'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout == "\n"


@pytest.mark.parametrize("trailer", [b"", b"..", b"12345678", b"123456789"])
def test_cut_strings(code: HostCode, memory_ring: Any, trailer: bytes) -> None:
    ring = memory_ring(4096)
    ring.put(text(b"twelve bytes"))
    run = Run(code, ring, trailer=trailer)
    run.drain.drain()
    if len(trailer) <= 8:
        assert run.seen == [("text", b"twelve bytes" + trailer + b"\n")]
    else:
        assert run.seen == [("record", text(b"twelve bytes"))]
