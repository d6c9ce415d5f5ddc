"""In which order the entries of a map are shown."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pytrace import types as t
from pytrace.output.histogram import Histogram
from pytrace.output.values import (
    AvgValue,
    CgroupPathValue,
    InetValue,
    KSymValue,
    MacValue,
    NamedValue,
    PrefixValue,
    RecordValue,
    StackValue,
    StatsValue,
    TimestampValue,
    UsernameValue,
    USymValue,
)
from pytrace.program import UserMap

_U64 = (1 << 64) - 1

Entry = tuple[Any, Any]
"""A decoded key (None for a scalar map) and value of a map."""


def ordered(user_map: UserMap, entries: Iterable[Entry], top: int = 0) -> list[Entry]:
    """Numbers ascending by value, averages by average, histograms by their number of samples, everything else by key;
    entries with equal values by key. With `top`, only the last `top` of that order.

    bpftrace orders min and max as if they were unsigned, so negative ones come last, and so do we; equal values and
    numbers narrower than 64 bits it leaves in the order of its hash.
    """
    by_key = sorted(entries, key=lambda entry: _comparable(entry[0]))
    if isinstance(user_map.value, t.Min | t.Max):
        by_key.sort(key=lambda entry: entry[1] & _U64)
    elif isinstance(user_map.value, t.Int | t.Count | t.Sum | t.Avg | t.Stats | t.Hist | t.LHist):
        by_key.sort(key=lambda entry: _weight(entry[1]))
    return by_key[-top:] if top > 0 else by_key


def _weight(value: Any) -> int:
    if isinstance(value, AvgValue | StatsValue):
        return value.average
    return value.count if isinstance(value, Histogram) else int(value)


def _comparable(key: Any) -> Any:
    """Something that compares with what other keys of the same type give."""
    match key:
        case None:
            return 0
        case str():
            return key.encode("utf-8", "surrogateescape")
        case tuple():
            return tuple(_comparable(part) for part in key)
        case RecordValue():
            return tuple(_comparable(part) for part in key.values())
        case KSymValue(address):
            return address
        case USymValue(address, pid):
            return pid, address
        case StackValue():
            return key.pid, key.id
        case UsernameValue(uid):
            return uid
        case CgroupPathValue(id):
            return id
        case TimestampValue(ns):
            return ns
        case NamedValue(number):
            return number
        case InetValue(family, address):
            return family, address
        case PrefixValue(family, address, length):
            return family, address, length
        case MacValue(address):
            return address
    return key
