"""What probes print on its way to the terminal: all of it is counted, as much of it is shown as a person can follow.

The session's thread writes; whoever owns the terminal takes what is to be shown when it suits him. Neither waits for
the other, so a flood costs the kernel's ring nothing and the prompt little.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from pytrace.output import Resolver, Text

BURST = 500
"""Lines that are shown at once."""
RATE = 50
"""Lines a second after that, all at once."""
_WIDEST = 4096
_UNFINISHED = 0.25


class Screen:
    """A sink of a session. Lines are counted in `written`, and in `hidden` if they are not shown.

    Text without a newline is a line when nothing follows it for a while, or when it becomes too long.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.written = self.hidden = 0
        self._clock = clock
        self._lock = threading.Lock()
        self._parts: list[str] = []
        self._rest = b""
        self._rest_since = 0.0
        self._tokens, self._refilled = float(BURST), clock()
        self._untold = 0
        self._dry = self._wrote = False

    def write(self, data: bytes) -> None:
        with self._lock:
            self._wrote = True
            data = self._rest + data
            end = data.rfind(b"\n") + 1
            self._rest, data = data[end:], data[:end]
            self._rest_since = self._clock()
            if len(self._rest) > _WIDEST:
                data, self._rest = data + self._rest + b"\n", b""
            if data:
                self._lines(data)

    def _lines(self, data: bytes) -> None:
        now = self._clock()
        self._tokens = min(BURST, self._tokens + RATE * (now - self._refilled))
        self._refilled = now
        count = data.count(b"\n")
        self.written += count
        # Once dry, it waits until there is room for lines that follow each other: single ones from here and there say
        # little.
        allowed = 0 if self._dry and self._tokens < RATE else min(count, int(self._tokens))
        self._dry = allowed < count
        if allowed:
            self._tell()
            self._tokens -= allowed
            end = len(data) if allowed == count else _after(data, allowed)
            self._parts.append(safe(data[:end].decode("utf-8", "replace")))
        self.hidden += count - allowed
        self._untold += count - allowed

    def _tell(self) -> None:
        """Notes what is missing, where it is missing."""
        if self._untold:
            lines = "line was" if self._untold == 1 else "lines were"
            self._parts.append(f"… {self._untold:,} {lines} not shown\n")
            self._untold = 0

    def say(self, text: str) -> None:
        """A line that is shown in any case, in its place among the others."""
        with self._lock:
            self._parts.append(safe(text) + "\n")

    def isatty(self) -> bool:
        return False  # finished text of native code is welcome; `safe` makes it safe

    def take(self, last: bool = False) -> str:
        """What has become due since the last time, with a note of how many lines were not shown; all there is if it is
        the `last` time."""
        with self._lock:
            now = self._clock()
            quiet, self._wrote = not self._wrote, False
            if self._rest and (last or now - self._rest_since > _UNFINISHED):
                rest, self._rest = self._rest, b""
                self._lines(rest + b"\n")
            if last or quiet:
                self._tell()
            text = "".join(self._parts)
            self._parts.clear()
            return text


def _after(data: bytes, lines: int) -> int:
    at = 0
    for _ in range(lines):
        at = data.index(b"\n", at) + 1
    return at


def safe(text: str) -> str:
    """Without anything that a terminal would obey but newlines and tabs."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c in "\n\t" else _escaped(c) for c in text)


def _escaped(character: str) -> str:
    code = ord(character)
    return f"\\x{code:02x}" if code < 128 else character.encode("ascii", "backslashreplace").decode()


class Shown(Text):
    """The renderer of a session at a prompt: everything goes to its screen."""

    def __init__(self, screen: Screen, resolver: Resolver) -> None:
        super().__init__(screen, screen, resolver)
        self._screen = screen

    def attached(self, count: int) -> None:
        pass

    def lost(self, count: int) -> None:
        self._screen.say(f"Lost {count} events")

    def lost_total(self, count: int) -> None:
        self._screen.say(f"Lost {count} events in all")

    def message(self, text: str) -> None:
        self._screen.say(text)
