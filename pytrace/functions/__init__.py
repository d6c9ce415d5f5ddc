"""The language's builtins and functions: one registry entry each, by theme. See `base`."""

from pytrace.functions import (
    addresses,
    aggregations,
    bytes,
    cgroups,
    control,
    mapops,
    meta,
    output,
    packets,
    probe,
    process,
    queues,
    search,
    stacks,
    strings,
    tables,
    tasks,
    time,
    words,
)
from pytrace.functions.base import REGISTRY, Function

AGGREGATIONS = aggregations.NAMES

__all__ = ["AGGREGATIONS", "REGISTRY", "Function"]

del (
    addresses,
    aggregations,
    bytes,
    cgroups,
    control,
    mapops,
    meta,
    output,
    packets,
    probe,
    process,
    queues,
    search,
    stacks,
)
del strings, tables, tasks, time, words
