"""Where text goes when nobody says otherwise."""

from __future__ import annotations

import os


class FdSink:
    """Writes straight to a file descriptor, everything or an OSError (BrokenPipeError when nobody reads any more)."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        while view:
            view = view[os.write(self.fd, view) :]

    def isatty(self) -> bool:
        return os.isatty(self.fd)
