"""What an attached program hangs on: descriptors that detach it when they are closed."""

from __future__ import annotations

import os
from types import TracebackType
from typing import TYPE_CHECKING, Self

from pytrace.kernel import KernelError
from pytrace.record import field, record

if TYPE_CHECKING:
    from pytrace.kernel import Kernel


ENOTSUPP = 524
"""The kernel's own, which libc has no words for: an instruction that cannot be probed."""


class AttachError(KernelError):
    """A program could not be attached; the message says where to and why."""

    def at(self, place: tuple[str, int, int]) -> AttachError:
        """Returns the same error with the source, line and column of the probe in front."""
        source, line, column = place
        return AttachError(f"{source}:{line}:{column}: {self.message}", self.hint) if source else self


@record
class Place:
    """What attaching depends on besides the spec: the kernel, and the process that user-space probes are limited to (0:
    all)."""

    kernel: Kernel
    pid: int = 0


@record(frozen=False)
class Link:
    """Closing it detaches. `slow` says that closing waits for the kernel to quiesce: such links are worth closing at
    the same time. An iterator's link is `iterator`: its fd is what each walk is made from."""

    fds: list[int] = field(default_factory=list)
    slow: bool = False
    iterator: bool = False

    def close(self) -> None:
        """Detaches; may be called again."""
        while self.fds:
            os.close(self.fds.pop())

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()
