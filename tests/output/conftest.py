"""Sinks to render into, and maps and events to render."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, ClassVar

import pytest

from pytrace import types as t
from pytrace.output import Json, Resolver, StackValue, Symbol, Text
from pytrace.program import Storage, UserMap


class Capture:
    def __init__(self, tty: bool = False) -> None:
        self.data = b""
        self._tty = tty

    def write(self, data: bytes) -> None:
        self.data += data

    def isatty(self) -> bool:
        return self._tty


class Machine:
    """A resolver that knows a few things, so that what is printed of them can be written down."""

    symbols: ClassVar = {0x1000: ("vfs_read", ""), 0x2000: ("main", "/bin/prog")}

    def ksym(self, address: int) -> Symbol:
        return self.usym(address, 0)

    def usym(self, address: int, pid: int) -> Symbol:
        base = address & ~0xFFF
        if base not in self.symbols:
            return Symbol(address)
        name, module = self.symbols[base]
        return Symbol(address, name, address - base, module, build_id="ab12", file_offset=address - base)

    def stack(self, stack: StackValue) -> Sequence[Symbol]:
        frames = {1: (0x1005, 0x2007), 2: (0x9000, 0)}.get(stack.id, ())
        return [self.usym(address, stack.pid) for address in frames]

    def username(self, uid: int) -> str:
        return {0: "root"}.get(uid, "")

    def cgroup_path(self, cgroup: int, filter: str) -> str:
        return "unified:/" if cgroup == 1 else ""

    def wall_offset(self, clock: str) -> int:
        return 0


class Screen:
    """A text and a JSON renderer with what they wrote."""

    def __init__(self, tty: bool = False, **options: Any) -> None:
        self.out, self.err, self.json_out = Capture(tty), Capture(tty), Capture(tty)
        machine: Resolver = Machine()
        self.text = Text(self.out, self.err, machine, **options)
        self.json = Json(self.json_out, Capture(tty), machine)

    def map(self, name: str, key: t.Type | None, value: t.Type, entries: Iterable[Any], *args: int) -> None:
        user_map = UserMap(name, name, Storage.HASH, key, value)
        pairs = list(entries)
        self.text.map(user_map, pairs, *args)
        self.json.map(user_map, pairs, *args)

    @property
    def shown(self) -> str:
        return self.out.data.decode()

    @property
    def lines(self) -> str:
        return self.json_out.data.decode()


@pytest.fixture
def screen() -> Screen:
    return Screen()


@pytest.fixture
def make_screen() -> type[Screen]:
    return Screen


@pytest.fixture(autouse=True)
def utc(monkeypatch: pytest.MonkeyPatch) -> Iterable[None]:
    import time

    monkeypatch.setenv("TZ", "UTC")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()
