"""Where text goes in the end: a file descriptor, straight or in larger pieces."""

from __future__ import annotations

import os

_LIMIT = 1 << 16


class FdSink:
    """Writes straight to a file descriptor, everything or an OSError (BrokenPipeError if the reader is gone). Where the
    descriptor is non-blocking, waits until it takes more."""

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def write(self, data: bytes | memoryview) -> None:
        view = memoryview(data)
        try:
            while view:
                try:
                    view = view[os.write(self.fd, view) :]
                except BlockingIOError:
                    self._wait()
        except OSError as error:
            error.filename = "standard output" if self.fd == 1 else "the output"
            raise

    def _wait(self) -> None:
        import select

        poll = select.poll()
        poll.register(self.fd, select.POLLOUT)
        poll.poll()

    def isatty(self) -> bool:
        return os.isatty(self.fd)


class BufferedSink:
    """Collects up to 64 KiB before it writes; `flush` writes what there is. Raises what write(2) raises."""

    def __init__(self, fd: int) -> None:
        self._sink = FdSink(fd)
        self._pending = bytearray()

    def write(self, data: bytes) -> None:
        self._pending += data
        if len(self._pending) >= _LIMIT:
            self.flush()

    def flush(self) -> None:
        """Writes what has been collected."""
        pending, self._pending = self._pending, bytearray()
        self._sink.write(bytes(pending))

    def isatty(self) -> bool:
        return self._sink.isatty()
