"""What /proc tells about a process: its memory map, its name, its files as it sees them.

A process may end at any moment: questions about one that is gone are answered with nothing, never with an error.
"""

from __future__ import annotations

import os

from pytrace.record import record, replace


@record
class Mapping:
    """A range of a process's addresses. `path` is as the process sees it, "" for anonymous memory; `inode` and
    `device` say which file it is where the path has been replaced or deleted since."""

    start: int
    end: int
    permissions: str
    offset: int
    device: str
    inode: int
    path: str

    @property
    def executable(self) -> bool:
        return "x" in self.permissions

    @property
    def is_file(self) -> bool:
        return self.inode != 0 and self.path.startswith("/")


def parse_maps(text: str) -> list[Mapping]:
    """The lines of a /proc/PID/maps, ascending by address."""
    found = []
    for line in text.split("\n"):
        parts = line.split(None, 5)
        if len(parts) < 5:
            continue
        start, _, end = parts[0].partition("-")
        path = parts[5] if len(parts) > 5 else ""
        path = path.removesuffix(" (deleted)").replace("\\012", "\n")
        place = int(start, 16), int(end, 16), parts[1], int(parts[2], 16)
        found.append(Mapping(*place, parts[3], int(parts[4]), path))
    return found


def _read(path: str) -> str:
    try:
        with open(path, encoding="utf-8", errors="surrogateescape") as file:
            return file.read()
    except OSError:
        return ""


class Process:
    """A process (thread group) by its id in our own pid namespace."""

    def __init__(self, pid: int) -> None:
        self.pid = pid

    @property
    def alive(self) -> bool:
        """Whether it exists and has not ended (a zombie has)."""
        state = _read(f"/proc/{self.pid}/stat").rpartition(")")[2].split()
        return bool(state) and state[0] not in "ZX"

    @property
    def comm(self) -> str:
        """Its name, at most 15 bytes; "" if it is gone."""
        return _read(f"/proc/{self.pid}/comm").removesuffix("\n")

    @property
    def executable(self) -> str:
        """The path of its program as it sees it; "" for a kernel thread or if it is gone."""
        try:
            return os.readlink(f"/proc/{self.pid}/exe").removesuffix(" (deleted)")
        except OSError:
            return ""

    @property
    def root(self) -> str:
        """What to put in front of a path that it sees: /proc/PID/root, or "" where it shares our root."""
        try:
            theirs, ours = os.stat(f"/proc/{self.pid}/root"), os.stat("/proc/self/root")
        except OSError:
            return ""
        same_place = (theirs.st_dev, theirs.st_ino) == (ours.st_dev, ours.st_ino)
        return "" if same_place and self._mount_namespace() == _OURS._mount_namespace() else f"/proc/{self.pid}/root"

    def _mount_namespace(self) -> str:
        try:
            return os.readlink(f"/proc/{self.pid if self.pid else 'self'}/ns/mnt")
        except OSError:
            return ""

    @property
    def namespace_pid(self) -> int:
        """Its id in its own pid namespace; 0 if it is gone."""
        for line in _read(f"/proc/{self.pid}/status").split("\n"):
            if line.startswith("NSpid:"):
                return int(line.split()[-1])
        return 0

    def children(self) -> list[int]:
        """The ids of the processes that it started and that are alive, ascending."""
        found: set[int] = set()
        for thread in self.threads():
            found.update(map(int, _read(f"/proc/{self.pid}/task/{thread}/children").split()))
        return sorted(found)

    def threads(self) -> list[int]:
        """The ids of its threads, ascending."""
        try:
            return sorted(map(int, os.listdir(f"/proc/{self.pid}/task")))
        except OSError:
            return []

    def maps(self) -> list[Mapping]:
        """Its memory map now, ascending by address; empty if it is gone, has none, or may not be looked at."""
        found = parse_maps(_read(f"/proc/{self.pid}/maps"))
        try:
            # The kernel writes paths for the reader: after a chroot they begin with where the process's root is.
            top = os.readlink(f"/proc/{self.pid}/root")
        except OSError:
            return found
        if top == "/":
            return found
        return [replace(m, path=m.path.removeprefix(top)) if m.path.startswith(f"{top}/") else m for m in found]

    def path(self, mapping: Mapping) -> str:
        """Where to open the file of a mapping from here. /proc/PID/map_files would lead to deleted files too, but needs
        more privileges; `exe` does so for the program itself."""
        path = f"{self.root}{mapping.path}"
        try:
            same = os.stat(path).st_ino == mapping.inode
        except OSError:
            same = False
        if not same:
            exact = f"/proc/{self.pid}/map_files/{mapping.start:x}-{mapping.end:x}"
            if os.path.exists(exact):
                return exact
        return path

    def locate(self, address: int, maps: list[Mapping] | None = None) -> tuple[Mapping, int] | None:
        """The mapping of a file that an address is in, and the offset in the file."""
        for m in self.maps() if maps is None else maps:
            if m.start <= address < m.end:
                return (m, address - m.start + m.offset) if m.is_file else None
        return None


_OURS = Process(0)


def processes() -> list[int]:
    """The ids of all processes, ascending."""
    return sorted(int(name) for name in os.listdir("/proc") if name.isdigit())
