"""Variables of the environment: `PYTRACE_X`, else `BPFTRACE_X`, which scripts for bpftrace come with."""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping


def variable(name: str, environ: Mapping[str, str] | None = None) -> str | None:
    """The value of `PYTRACE_NAME`, else of `BPFTRACE_NAME`, else None. `name` is in lower case; `environ` is the
    process's unless given."""
    environ = os.environ if environ is None else environ
    return environ.get(f"PYTRACE_{name.upper()}", environ.get(f"BPFTRACE_{name.upper()}"))
