"""Where the script's output goes, and when (`-o`, `-B`)."""

from __future__ import annotations

import os

from pytrace.arguments import UsageError
from pytrace.runtime.sinks import FdSink

LIMIT = 1 << 16


class BufferedSink:
    """Collects up to 64 KiB before it writes; `flush` writes what there is. Raises what write(2) raises."""

    def __init__(self, fd: int) -> None:
        self._sink = FdSink(fd)
        self._pending = bytearray()

    def write(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) >= LIMIT:
            self.flush()

    def flush(self) -> None:
        """Writes what has been collected."""
        pending, self._pending = self._pending, bytearray()
        self._sink.write(bytes(pending))

    def isatty(self) -> bool:
        return self._sink.isatty()


def open_output(name: str | None) -> int:
    """A descriptor of the file, made or emptied; 1 without a name. Raises `UsageError`."""
    if name is None:
        return 1
    try:
        return os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o666)
    except OSError as error:
        raise UsageError(f"cannot write to '{name}': {error.strerror}") from error
