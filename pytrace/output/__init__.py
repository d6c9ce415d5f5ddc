"""Values, and how they are shown: bytes of a Program's layouts become typed Python values, values become text or JSON.

Nothing here needs a kernel or a compiler.
"""

from typing import TYPE_CHECKING

from pytrace.output.decode import decode
from pytrace.output.encode import encode
from pytrace.output.histogram import Bucket, Histogram
from pytrace.output.merge import combine, merge, zero
from pytrace.output.order import Entry, ordered
from pytrace.output.printf import format_text
from pytrace.output.reference import Record, RecordReader, read_record
from pytrace.output.renderer import Renderer, Sink
from pytrace.output.resolver import NoResolver, Resolver, Symbol
from pytrace.output.text import Text
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
from pytrace.output.words import Words

if TYPE_CHECKING:
    from pytrace.output.json import Json as Json


def __getattr__(name: str) -> object:
    """What few need is imported when it is asked for."""
    if name != "Json":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from pytrace.output.json import Json

    return Json


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
    "Json",
    "KSymValue",
    "LHistValue",
    "MacValue",
    "NamedValue",
    "NoResolver",
    "PointerValue",
    "Record",
    "RecordReader",
    "RecordValue",
    "Renderer",
    "Resolver",
    "Sink",
    "StackValue",
    "StatsValue",
    "Symbol",
    "TSeriesValue",
    "Text",
    "TimestampValue",
    "USymValue",
    "UsernameValue",
    "Words",
    "combine",
    "decode",
    "encode",
    "format_text",
    "merge",
    "ordered",
    "read_record",
    "zero",
]
