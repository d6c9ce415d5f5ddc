"""The language's builtins and functions: one registry entry each, by theme. See `base`."""

from pytrace.functions import (
    aggregations,
    mapops,
    output,
    probe,
    process,
    search,
    stacks,
    strings,
    tables,
    time,
)
from pytrace.functions.base import REGISTRY, Function

AGGREGATIONS = aggregations.NAMES

__all__ = ["AGGREGATIONS", "REGISTRY", "Function"]

del aggregations, mapops, output, probe, process, search, stacks, strings, tables, time
