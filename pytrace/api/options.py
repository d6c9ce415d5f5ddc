"""The options of a compilation as a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from pytrace.options import Mode


class CompileOptions(TypedDict, total=False):
    """See `pytrace.options.Options`; a key that is not given has its default.

    `timestamps` and `live` are True here by default: events carry their time, and the program may share its maps
    with others of its session.
    """

    pid: int
    unsafe: bool
    mode: Mode
    probe_filter: str
    helper_errors: bool
    timestamps: bool
    live: bool
    include_dirs: Iterable[str]
    includes: Iterable[str]
    debug_dirs: Iterable[str]
    traceable_functions: str
    no_features: Iterable[str]
    config: Mapping[str, str | int | bool]
