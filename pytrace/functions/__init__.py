"""The language's builtins and functions: one registry entry each, by theme. See `base`."""

from importlib import import_module

from pytrace.functions.base import REGISTRY, Function

# Each fills the registry when it is imported; the order is that of the reference.
for _theme in (
    "addresses",
    "aggregations",
    "bytes",
    "cgroups",
    "control",
    "debug",
    "mapops",
    "meta",
    "output",
    "packets",
    "probe",
    "process",
    "queues",
    "search",
    "stacks",
    "strings",
    "tables",
    "tasks",
    "time",
    "words",
):
    import_module(f"{__name__}.{_theme}")

from pytrace.functions.aggregations import NAMES as AGGREGATIONS  # noqa: E402  # after the order above

__all__ = ["AGGREGATIONS", "REGISTRY", "Function"]
