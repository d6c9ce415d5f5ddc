"""Limits of this process that tracing runs into."""

from __future__ import annotations

import contextlib
import resource

_SPARE = 256


def make_room(descriptors: int) -> None:
    """Raises the soft limit of open files, as far as the hard one allows, if so many more may not fit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = descriptors + _SPARE
    if soft != resource.RLIM_INFINITY and soft < wanted:
        most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
        with contextlib.suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
