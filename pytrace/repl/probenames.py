"""Names of probes by prefix. There are tens of thousands: each kind is listed once, sorted, and then searched by
halving."""

from __future__ import annotations

import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from functools import cached_property

from pytrace.kernel.errors import KernelError
from pytrace.probes import PROVIDERS, ProbeError, Target, list_probes, provider

MOST = 1000
"""So many names are given at once, plus the last one: the prefix that all have in common stays what it is."""
_HEADS = ("begin", "end", "interval:", "profile:")
_UNITS = ("us:", "ms:", "s:", "hz:")
_PATHS = frozenset(("uprobe", "uretprobe", "usdt"))


class ProbeNames:
    """What a word at the place of a probe can become. `warm` lists the kinds of kernel probes in the background."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._lists: dict[str, Sequence[str]] = {}
        self._shorts: dict[str, Sequence[str]] = {}
        self._lock = threading.Lock()

    def warm(self) -> threading.Thread:
        """The thread in which it happens."""
        thread = threading.Thread(target=self._warm, name="probe names", daemon=True)
        thread.start()
        return thread

    def _warm(self) -> None:
        for name in ("tracepoint", "rawtracepoint", "fentry", "kprobe"):
            self._short(name, self._names(name, "*"))

    def _names(self, kind: str, pattern: str) -> Sequence[str]:
        """Sorted, without `kind:`. Empty where this kernel or program has none."""
        key = f"{kind}:{pattern}"
        with self._lock:
            if key not in self._lists:
                try:
                    found = (name.partition(":")[2] for name in list_probes(key, self._target))
                    self._lists[key] = sorted(set(found))
                except (ProbeError, KernelError, OSError):
                    self._lists[key] = ()
            return self._lists[key]

    @cached_property
    def kinds(self) -> list[str]:
        """What stands before the first colon, with the colon where something must follow."""
        return sorted({*_HEADS, *(f"{name}:" for name, p in PROVIDERS.items() if p.listed or name in _PATHS)})

    def complete(self, word: str) -> Iterator[str]:
        """What `word` can become, whole words, in order. Down to the last colon they come a part at a time; where
        nothing begins so, names are given that contain it."""
        kind, colon, rest = word.partition(":")
        if not colon:
            yield from (name for name in self.kinds if name.startswith(word))
            return
        try:
            canonical = provider(kind).name
        except ProbeError:
            return
        if canonical in ("interval", "profile"):
            yield from (f"{kind}:{unit}" for unit in _UNITS if unit.startswith(rest))
        elif canonical in _PATHS and ":" not in rest:
            yield from (f"{kind}:{path}" for path in _paths(rest))
        elif canonical in _PATHS:
            path = rest.partition(":")[0]
            yield from (f"{kind}:{name}" for name in search(self._names(canonical, f"{path}:*"), rest))
        else:
            names = self._names(canonical, "*")
            if not (rest and "vmlinux:".startswith(rest[:8])):
                names = self._short(canonical, names)
            yield from (f"{kind}:{name}" for name in search(names, rest))

    def _short(self, kind: str, names: Sequence[str]) -> Sequence[str]:
        """Without the `vmlinux:` that need not be written."""
        if kind not in self._shorts:
            short = [name.removeprefix("vmlinux:") for name in names]
            self._shorts[kind] = sorted(short) if short != list(names) else names
        return self._shorts[kind]


def search(names: Sequence[str], prefix: str) -> Iterator[str]:
    """Of sorted names those with a prefix, up to the next colon if that is not the same for all; or if there are none,
    those in which the last part of `prefix` occurs."""
    start = bisect_left(names, prefix)
    end = bisect_left(names, prefix + "\U0010ffff", start)
    if start == end:
        inside = prefix.rpartition(":")[2]
        if len(inside) >= 3:
            yield from limited([name for name in names if inside in name])
        return
    parts: dict[str, None] = {}
    at = start
    while at < end:
        colon = names[at].find(":", len(prefix))
        if colon < 0:
            parts[names[at]] = None
            at += 1
            continue
        part = names[at][: colon + 1]
        parts[part] = None
        at = bisect_left(names, part + "\U0010ffff", at)
    only = next(iter(parts))
    if len(parts) == 1 and only.endswith(":"):
        yield from search(names[start:end], only)  # nothing to choose: one part further
    else:
        yield from limited(list(parts))


def limited(names: list[str]) -> list[str]:
    return names if len(names) <= MOST else [*names[:MOST], names[-1]]


def _paths(start: str) -> Iterator[str]:
    import glob
    import os

    for path in sorted(glob.glob(glob.escape(os.path.expanduser(start)) + "*")):
        yield path + "/" if os.path.isdir(path) else path + ":"
