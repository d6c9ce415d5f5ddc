"""perf_event_open(2). Names are those of `include/uapi/linux/perf_event.h`."""

from __future__ import annotations

import enum

from pytrace.kernel.bpf.abi import Layout
from pytrace.kernel.bpf.syscall import perf_event

PERF_EVENT_IOC_ENABLE = 0x2400
PERF_EVENT_IOC_SET_BPF = 0x40042408
PERF_FLAG_FD_CLOEXEC = 8

_DISABLED, _INHERIT, _FREQ, _WATERMARK = 1 << 0, 1 << 1, 1 << 10, 1 << 14
_ATTR_SIZE = 112  # PERF_ATTR_SIZE_VER5
# `struct perf_event_attr` up to the last field that is used.
_ATTR = Layout(
    "type size config:u64 sample:u64 sample_type:u64 read_format:u64 flags:u64 wakeup bp_type config1:u64 config2:u64"
)


class PerfType(enum.IntEnum):
    """`enum perf_type_id`."""

    HARDWARE = 0
    SOFTWARE = 1
    TRACEPOINT = 2
    HW_CACHE = 3
    RAW = 4
    BREAKPOINT = 5


def perf_event_open(
    type: int,
    config: int,
    *,
    pid: int = -1,
    cpu: int = -1,
    period: int = 0,
    freq: int = 0,
    inherit: bool = False,
    disabled: bool = False,
    config1: int = 0,
    config2: int = 0,
    bp_type: int = 0,
    sample_type: int = 0,
    flags: int = 0,
    watermark: int = 0,
) -> int:
    """Returns the descriptor of a perf event. One of `period` and `freq` (Hz) may be given; `pid` -1 means every
    process, `cpu` -1 every CPU (not both). `flags` are more bits of the attribute's bit field. With a `watermark`, the
    descriptor is readable once that many bytes are in its buffer."""
    flags |= _DISABLED if disabled else 0
    flags |= _INHERIT if inherit else 0
    flags |= _FREQ if freq else 0
    flags |= _WATERMARK if watermark else 0
    attr = _ATTR.pack(
        type=type,
        size=_ATTR_SIZE,
        config=config,
        sample=freq or period,
        sample_type=sample_type,
        flags=flags,
        wakeup=watermark or (1 if period == 1 else 0),
        bp_type=bp_type,
        config1=config1,
        config2=config2,
    )
    return perf_event(attr.ljust(_ATTR_SIZE, b"\0"), pid, cpu, PERF_FLAG_FD_CLOEXEC)
