"""What a kernel feature is: the records of the table in `pytrace.kernel.trials`."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from pytrace.record import record

if TYPE_CHECKING:
    from pytrace.kernel.kernel import Kernel


class Missing(Exception):
    """Raised by a trial if the kernel lacks the feature. The text is the reason, as the kernel gave it."""


Trial = Callable[["Kernel"], None]


@record
class Feature:
    """`since` is the kernel version that introduced it. `trial` returns if the kernel has it, and raises `Missing` or
    OSError if it does not."""

    name: str
    doc: str
    since: str
    trial: Trial
