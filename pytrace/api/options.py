"""The options of a compilation as a dictionary."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TypedDict

from pytrace.options import Options


class CompileOptions(TypedDict, total=False):
    """See `pytrace.options.Options`; a key that is not given has its default.

    `timestamps` and `live` are True here by default: events carry their time, and the program may share its maps
    with others of its session.
    """

    pid: int
    unsafe: bool
    probe_filter: str
    helper_errors: bool
    timestamps: bool
    live: bool
    include_dirs: Iterable[str]
    includes: Iterable[str]
    debug_dirs: Iterable[str]
    config: Mapping[str, str | int | bool]


def options_of(given: CompileOptions | None, **more: int) -> Options:
    """Raises `TypeError` for an option that there is not."""
    values: dict[str, object] = {"timestamps": True, "live": True, **(given or {}), **more}
    unknown = values.keys() - CompileOptions.__annotations__.keys() - {"cpid"}
    if unknown:
        known = ", ".join(sorted(CompileOptions.__annotations__))
        raise TypeError(f"there is no option {', '.join(sorted(unknown))}; there are {known}")
    for name in ("include_dirs", "includes", "debug_dirs"):
        if name in values:
            values[name] = tuple(values[name])  # type: ignore[arg-type]  # a list of strings, as declared above
    if "config" in values:
        values["config"] = tuple(dict(values["config"]).items())  # type: ignore[call-overload]  # likewise
    return Options(**values)  # type: ignore[arg-type]  # likewise
