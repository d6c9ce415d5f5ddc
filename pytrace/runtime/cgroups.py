"""Paths of cgroups by id: the number of the directory's inode in its hierarchy."""

from __future__ import annotations

import os
from collections.abc import Iterator

from pytrace.kernel.glob import matches
from pytrace.record import field, record


@record(frozen=False)
class _Hierarchy:
    name: str
    root: str
    paths: dict[int, str] = field(default_factory=dict)

    def path(self, id: int) -> str:
        """Empty if there is no such cgroup. The tree is walked again for an id that was not there."""
        if id not in self.paths:
            self.paths = {}
            for directory, _, _ in os.walk(self.root):
                try:
                    self.paths[os.stat(directory).st_ino] = directory.removeprefix(self.root) or "/"
                except OSError:
                    continue  # removed meanwhile
        return self.paths.get(id, "")


class Cgroups:
    """All hierarchies that are mounted: `unified` (cgroup2) first, then those of version 1 by name."""

    def __init__(self) -> None:
        self._hierarchies = sorted(_mounted(), key=lambda h: (h.name != "unified", h.name))

    def path(self, id: int, filter: str) -> str:
        """`hierarchy:path` of every hierarchy that has such an id and whose name matches the glob, joined by commas."""
        wanted = (h for h in self._hierarchies if not filter or matches(h.name, filter))
        return ",".join(f"{h.name}:{path}" for h in wanted if (path := h.path(id)))


def _mounted() -> Iterator[_Hierarchy]:
    seen: set[str] = set()
    try:
        with open("/proc/self/mounts", encoding="utf-8", errors="surrogateescape") as mounts:
            lines = mounts.readlines()
    except OSError:
        return
    for line in lines:
        _, root, kind = line.split(" ")[:3]
        name = "unified" if kind == "cgroup2" else os.path.basename(root)
        if kind in ("cgroup", "cgroup2") and name not in seen:
            seen.add(name)
            yield _Hierarchy(name, root.replace("\\040", " "))
