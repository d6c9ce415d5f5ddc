"""What one record costs in user space: the native user half beside the Python decoder, over a ring in ordinary memory.

    python benchmarks/user_half.py

Prints ns per record, the time to compile the user half, and its size. Best of several runs, so that other load on the
machine matters little.
"""

from __future__ import annotations

import ctypes
import platform
import struct
import time
from collections.abc import Callable

from pytrace import types as t
from pytrace.codegen.user import compile_user
from pytrace.format import parse_format
from pytrace.output.decode import decoder
from pytrace.output.text import Text
from pytrace.program import EventSpec
from pytrace.runtime.native import Drain, map_code

SIZE = 1 << 20
CASES = [
    ("%d %s %lld", (t.UINT32, t.String(16), t.UINT64), struct.pack("<I16s4xQ", 4242, b"getppid", 123_456_789_012_345)),
    ("%d", (t.INT64,), struct.pack("<q", -17)),
    (
        "%-16s %-8d %s",
        (t.String(16), t.INT32, t.String(64)),
        struct.pack("<16si64s", b"bash", 7, b"/usr/share/zoneinfo/UTC"),
    ),
    ("%lx %p", (t.UINT64, t.UINT64), struct.pack("<QQ", 0xFFFF_8880_1234_5678, 0x7FFF_0000_1000)),
]


class Nowhere:
    def write(self, data: object, /) -> None:
        pass

    def isatty(self) -> bool:
        return False


class Ring:
    """The kernel's layout, filled once with as many copies of a record as it holds."""

    def __init__(self, record: bytes) -> None:
        framed = struct.pack("<II", len(record), 0) + record
        framed += bytes(-len(framed) % 8)
        self.count = SIZE // len(framed)
        self.step = len(framed)
        self._memory = ctypes.create_string_buffer(framed * self.count, 2 * SIZE)
        self._positions = (ctypes.c_uint64 * 2)()
        self.data, self.mask = ctypes.addressof(self._memory), SIZE - 1
        self.consumer = ctypes.addressof(self._positions)
        self.producer = self.consumer + 8

    def refill(self) -> None:
        self._positions[0], self._positions[1] = 0, self.count * self.step


def best(run: Callable[[], float], times: int) -> float:
    return min(run() for _ in range(times))


def native_ns(spec: EventSpec, record: bytes) -> tuple[float, float, int]:
    """ns per record, ms to compile, bytes of code."""
    compile_user((spec,), False)
    start = time.perf_counter()
    native = compile_user((spec,), False)
    compiling = (time.perf_counter() - start) * 1e3
    code = map_code(native)
    if native is None or code is None:
        raise SystemExit(f"no native user half for {platform.machine()} here")
    ring = Ring(record)

    def run() -> float:
        ring.refill()
        drain = Drain(code, ring, events=1, write=Nowhere().write, handle=lambda record: None)
        start = time.perf_counter_ns()
        drain.drain()
        took = time.perf_counter_ns() - start
        assert drain.counts == (ring.count,)
        return took / ring.count

    with code:
        return best(run, 20), compiling, len(native.code)


def python_ns(spec: EventSpec, record: bytes) -> float:
    """ns per record."""
    decode, text = decoder(t.Tuple(spec.args)), Text(Nowhere(), Nowhere())

    def run() -> float:
        start = time.perf_counter_ns()
        for _ in range(2000):
            text.event(spec, decode(record, 8))
        return (time.perf_counter_ns() - start) / 2000

    return best(run, 10)


def main() -> None:
    print(f"{'printf':<16}{'native ns':>10}{'Python ns':>11}{'ratio':>7}{'compile ms':>12}{'code bytes':>12}")
    for format, args, data in CASES:
        spec = EventSpec(0, "printf", args, parse_format(format + "\n"))
        record = bytes(8) + data.ljust(t.Tuple(args).size, b"\0")
        native, compiling, size = native_ns(spec, record)
        python = python_ns(spec, record)
        print(f"{format:<16}{native:>10.1f}{python:>11.0f}{python / native:>6.0f}x{compiling:>12.2f}{size:>12}")


if __name__ == "__main__":
    main()
