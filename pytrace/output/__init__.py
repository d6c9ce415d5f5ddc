"""Values, and how they are shown: bytes of a Program's layouts become typed Python values, values become text or JSON.

Nothing here needs a kernel or a compiler.
"""

from pytrace.output.histogram import Bucket, Histogram
from pytrace.output.renderer import Entry, Renderer, Sink
from pytrace.output.resolver import NoResolver, Resolver, Symbol
from pytrace.output.values import (
    AvgValue,
    CgroupPathValue,
    CutString,
    EnumValue,
    HistValue,
    InetValue,
    KSymValue,
    LHistValue,
    MacValue,
    NamedValue,
    PointerValue,
    RecordValue,
    StackValue,
    StatsValue,
    TimestampValue,
    TSeriesValue,
    UsernameValue,
    USymValue,
)

__all__ = [
    "AvgValue",
    "Bucket",
    "CgroupPathValue",
    "CutString",
    "Entry",
    "EnumValue",
    "HistValue",
    "Histogram",
    "InetValue",
    "KSymValue",
    "LHistValue",
    "MacValue",
    "NamedValue",
    "NoResolver",
    "PointerValue",
    "RecordValue",
    "Renderer",
    "Resolver",
    "Sink",
    "StackValue",
    "StatsValue",
    "Symbol",
    "TSeriesValue",
    "TimestampValue",
    "USymValue",
    "UsernameValue",
]
