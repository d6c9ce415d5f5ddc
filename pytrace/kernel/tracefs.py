"""tracefs: which events there are and how their records are laid out.

Used where it is mounted already; otherwise mounted privately (`fsmount(2)`, Linux 5.2+): an fd that no path leads
to, gone when this process is.
"""

from __future__ import annotations

import os
import re
from functools import cached_property

from pytrace.kernel.errors import KernelError
from pytrace.kernel.glob import select
from pytrace.record import record

PLACES = ("/sys/kernel/tracing", "/sys/kernel/debug/tracing")
_FIELD = re.compile(
    r"^\s*field:(?P<declaration>[^;]*);\s*offset:(?P<offset>\d+);\s*size:(?P<size>\d+);(?:\s*signed:(?P<signed>\d+);)?",
    re.MULTILINE,
)
_DECLARATION = re.compile(
    r"^(?:__(?P<loc>(?:rel_)?data_loc)\s+)?(?P<type>.*?)(?:\[.*\])?\s*\b(?P<name>\w+)(?P<after>\[.*\])?$"
)
_ELEMENT_SIZES = {"char": 1, "short": 2, "int": 4, "long": 8, "u8": 1, "u16": 2, "u32": 4, "u64": 8, "bool": 1}


@record
class TraceField:
    """A member of an event's record.

    `declaration` is the kernel's text (`char comm[16]`), `ctype` the type of the member or of its elements (`char`).
    `count` is the number of elements of an array, 0 for what is no array; `offset` and `size` are in bytes.
    A `data_loc` member is a u32: the data's length << 16 | its offset, from the start of the record, or with
    `relative` from the end of this member.
    """

    name: str
    declaration: str
    ctype: str
    offset: int
    size: int
    signed: bool
    count: int = 0
    data_loc: bool = False
    relative: bool = False


@record
class EventFormat:
    """What tracefs tells about an event. `fields` holds the common ones (`common_type`, …) too."""

    name: str
    id: int
    fields: tuple[TraceField, ...]
    print_fmt: str

    def field(self, name: str) -> TraceField | None:
        return next((f for f in self.fields if f.name == name), None)


def _count(text: str, size: int, ctype: str) -> int:
    """The number of elements that `[16]` or `[2][6]` says; where it is a symbol of the kernel's source, by size."""
    dimensions = re.findall(r"\[([^\]]*)\]", text)
    try:
        total = 1
        for dimension in dimensions:
            total *= int(dimension, 0)
        return total
    except ValueError:
        return size // (_ELEMENT_SIZES.get(ctype.split()[-1], 1) if "*" not in ctype else 8)


def parse_format(text: str) -> EventFormat:
    """Reads a `format` file. Raises `KernelError` if it is not one."""
    name = re.search(r"^name: (.*)$", text, re.MULTILINE)
    id = re.search(r"^ID: (\d+)$", text, re.MULTILINE)
    if name is None or id is None:
        raise KernelError("not an event format")
    fields = []
    for match in _FIELD.finditer(text):
        declaration, size = match["declaration"].strip(), int(match["size"])
        parts = _DECLARATION.match(declaration)
        if parts is None:
            raise KernelError(f"event {name[1]} has a field that cannot be read: {declaration}")
        ctype, dimensions = parts["type"].strip(), parts["after"] or ""
        fields.append(
            TraceField(
                name=parts["name"],
                declaration=declaration,
                ctype=ctype,
                offset=int(match["offset"]),
                size=size,
                signed=match["signed"] == "1",
                count=_count(dimensions, size, ctype) if dimensions else 0,
                data_loc=parts["loc"] is not None,
                relative=parts["loc"] == "rel_data_loc",
            )
        )
    print_fmt = text.partition("\nprint fmt: ")[2].strip()
    return EventFormat(name[1], int(id[1]), tuple(fields), print_fmt)


class Tracefs:
    """A tracefs. `fd` is its root directory; `path` is where it is mounted, or for a private mount the one that works
    within this process only."""

    def __init__(self, fd: int, path: str) -> None:
        self.fd, self.path = fd, path
        self._formats: dict[tuple[str, str], EventFormat | None] = {}

    @staticmethod
    def find() -> Tracefs:
        """The tracefs that is mounted, or a private mount of it. Raises `KernelError` where neither is possible."""
        denied = False
        for place in PLACES:
            try:
                os.stat(f"{place}/events")
                return Tracefs(os.open(place, os.O_PATH | os.O_DIRECTORY | os.O_CLOEXEC), place)
            except PermissionError:
                denied = True
            except OSError:
                continue
        if denied and os.geteuid() != 0:
            raise KernelError("tracefs may not be read", "run as root")
        from pytrace.kernel.mount import mount_privately

        fd = mount_privately("tracefs")
        return Tracefs(fd, f"/proc/self/fd/{fd}")

    def read(self, path: str) -> str:
        """The text of a file by its path below the root. Raises OSError."""
        fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC, dir_fd=self.fd)
        with os.fdopen(fd, encoding="utf-8", errors="replace") as file:
            return file.read()

    @cached_property
    def available(self) -> str:
        """All events that a perf event can be made for, one `category:event` to a line, sorted."""
        try:
            lines = self.read("available_events").split("\n")
        except OSError as error:
            raise KernelError(f"tracefs may not be read: {error.strerror}", "run as root") from error
        return "".join(f"{line}\n" for line in sorted(lines) if line)

    @cached_property
    def _events(self) -> dict[str, list[str]]:
        events: dict[str, list[str]] = {}
        for line in self.available.split("\n")[:-1]:
            category, _, event = line.partition(":")
            events.setdefault(category, []).append(event)
        return events

    def categories(self) -> list[str]:
        """All categories that have events, sorted."""
        return list(self._events)

    def events(self, category: str) -> list[str]:
        """The events of a category, sorted; none if there is no such category."""
        return self._events.get(category, [])

    def match(self, pattern: str) -> list[tuple[str, str]]:
        """All (category, event) whose `category:event` matches a glob, sorted."""
        found = select(self.available, pattern)
        return [(category, event) for category, _, event in (line.partition(":") for line in found)]

    def format(self, category: str, event: str) -> EventFormat | None:
        """The record of an event, or None if there is no such event. Raises `KernelError` if it may not be read."""
        key = category, event
        if key not in self._formats:
            self._formats[key] = self._read_format(category, event)
        return self._formats[key]

    def _read_format(self, category: str, event: str) -> EventFormat | None:
        if "/" in category + event or ".." in (category, event):
            return None
        try:
            return parse_format(self.read(f"events/{category}/{event}/format"))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise KernelError(f"tracefs may not be read: {error.strerror}", "run as root") from error
