"""What a renderer has to ask the machine: names for addresses, ids and clocks.

Values carry numbers only; a `Resolver` turns them into names when, and only if, somebody reads them. The runtime
implements it (symbols of a live session); `NoResolver` answers everything with "unknown", so that values can be
rendered where nothing is known about the machine they came from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

from pytrace.output.values import StackValue
from pytrace.record import record


@record
class Symbol:
    """What is known of one code address. `name` is empty where no symbol covers it.

    `offset` counts bytes from the start of the symbol; `module` is the kernel module or the mapped file; `source` is
    `file:line` where debug information has it; an `inlined` function has no symbol of its own: its address is in that
    which follows it.
    """

    address: int
    name: str = ""
    offset: int = 0
    module: str = ""
    source: str = ""
    inlined: bool = False
    build_id: str = ""
    file_offset: int = 0

    def __str__(self) -> str:
        return self.name or hex(self.address)


class Resolver(Protocol):
    """Every method answers for any input: an unknown thing gets the empty or number-only answer, never an error."""

    def ksym(self, address: int) -> Symbol:
        """The kernel symbol that covers `address`."""
        ...

    def usym(self, address: int, pid: int) -> Symbol:
        """The symbol that covers `address` in the process (tgid) `pid`."""
        ...

    def stack(self, stack: StackValue) -> Sequence[Symbol]:
        """The frames of a stack, innermost first; empty where the kernel kept none or it is gone."""
        ...

    def username(self, uid: int) -> str:
        """The name of a user; empty if there is none."""
        ...

    def cgroup_path(self, cgroup: int, filter: str) -> str:
        """`hierarchy:path`, several joined by commas, of a cgroup id, for hierarchies whose name matches the glob
        `filter` (empty: all)."""
        ...

    def wall_offset(self, clock: Literal["boot", "monotonic", "tai", "wall"]) -> int:
        """Nanoseconds to add to a reading of `clock` to get nanoseconds since 1970 (UTC)."""
        ...


class NoResolver:
    """Knows nothing: addresses stay numbers, stacks are empty, clocks are taken as wall time."""

    def ksym(self, address: int) -> Symbol:
        return Symbol(address)

    def usym(self, address: int, pid: int) -> Symbol:
        return Symbol(address)

    def stack(self, stack: StackValue) -> Sequence[Symbol]:
        return ()

    def username(self, uid: int) -> str:
        return ""

    def cgroup_path(self, cgroup: int, filter: str) -> str:
        return ""

    def wall_offset(self, clock: Literal["boot", "monotonic", "tai", "wall"]) -> int:
        return 0
