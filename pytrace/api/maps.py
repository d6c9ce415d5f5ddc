"""The maps of a session as mappings: live while it runs, and what was in them at the end afterwards."""

from __future__ import annotations

from collections.abc import ItemsView, Iterator, KeysView, Mapping, ValuesView
from typing import TYPE_CHECKING, Any, TypeVar

from pytrace.api.engine import Engine, SessionOver
from pytrace.api.values import named, named_entries, naming
from pytrace.output import Entry, Text, Words, ordered
from pytrace.record import record
from pytrace.types import Prefix

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from pytrace.program import UserMap
    from pytrace.runtime import ScriptMap, Session

T = TypeVar("T")


@record
class Snapshot:
    """What was in a map at one moment: named entries in the order in which `print()` shows them, and its text."""

    user_map: UserMap
    values: dict[Any, Any]
    text: str


def snapshot(session: Session, name: str) -> Snapshot:
    """Raises `KeyError` if the session has no such map."""
    target = session.maps[name]
    user_map, entries = target.user_map, target.entries()
    values = named_entries(user_map.key, user_map.value, ordered(user_map, entries), Words(session.symbols))
    return Snapshot(user_map, values, _text(session, user_map, entries))


def _text(session: Session, user_map: UserMap, entries: list[Entry]) -> str:
    from pytrace.api.event import Page

    page = Page()
    Text(page, page, session.symbols).map(user_map, entries)
    return page.take()


class Kept:
    """The maps of a session that may be over: what is asked of the kernel while it can be asked, and what was kept
    then."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.at_end: dict[str, Snapshot] = {}

    def keep(self, session: Session) -> None:
        self.at_end = {name: snapshot(session, name) for name in session.maps}

    def names(self) -> list[str]:
        try:
            return self._engine.call(lambda session: sorted(session.maps))
        except SessionOver:
            self._engine.wait_over()
        return sorted(self.at_end)

    def snapshot(self, name: str) -> Snapshot:
        try:
            return self._engine.call(lambda session: snapshot(session, name))
        except SessionOver:
            self._engine.wait_over()
        return self.at_end[name]

    def lookup(self, name: str, key: Any) -> Any:
        """The value of one key, read alone where the key can be looked up."""
        try:
            return self._engine.call(lambda session: _lookup(session, name, key))
        except SessionOver:
            self._engine.wait_over()
        return self.at_end[name].values[key]

    def act(self, name: str, action: str) -> None:
        """Clears or zeroes a map of a running session."""
        self._engine.call(lambda session: getattr(session.maps[name], action)())


def _lookup(session: Session, name: str, key: Any) -> Any:
    target: ScriptMap = session.maps[name]
    key_type, value_type = target.user_map.key, target.user_map.value
    if key_type is not None and naming(key_type) is not None and not isinstance(key_type, Prefix):
        return snapshot(session, name).values[key]
    return named(value_type, target.lookup(key), Words(session.symbols))


class Maps(Mapping[str, "Map"]):
    """The maps of a session by name, with the `@`. More may come with every `attach`."""

    def __init__(self, kept: Kept) -> None:
        self._kept = kept

    def __getitem__(self, name: str) -> Map:
        if name not in self._kept.names():
            raise KeyError(name)
        return Map(self._kept, name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._kept.names())

    def __len__(self) -> int:
        return len(self._kept.names())

    def __repr__(self) -> str:
        return f"<Maps {', '.join(self)}>"

    def _repr_html_(self) -> str:
        from pytrace.api.display import map_html

        return "".join(map_html(self._kept.snapshot(name)) for name in self)


class Map(Mapping[Any, Any]):
    """A map of a script: {key: value}, read from the kernel whenever it is asked, and kept when the session ends.

    Keys: numbers, strings, bytes; a tuple for `@[a, b]`; None is the one key of a map without keys. Values: numbers for
    `count()`, `sum()`, `min()` and `max()`; `AvgValue`, `StatsValue`, `Histogram` and `TSeriesValue` for the
    others; else what was assigned. Merged over CPUs. The order is that of `print()`: by value, ascending.

    Each of `items()`, `values()`, `keys()` and `to_dict()` reads the whole map once; `map[key]` reads one entry.
    """

    def __init__(self, kept: Kept, name: str) -> None:
        self._kept, self.name = kept, name

    def to_dict(self) -> dict[Any, Any]:
        """What is in it now."""
        return dict(self._kept.snapshot(self.name).values)

    @property
    def value(self) -> Any:
        """The value of a map without keys; None if it was never assigned. Raises `TypeError` for a map with keys."""
        now = self._kept.snapshot(self.name)
        if now.user_map.key is not None:
            raise TypeError(f"{self.name} has keys; ask for the value of one of them")
        return now.values.get(None)

    def __getitem__(self, key: Any) -> Any:
        return self._kept.lookup(self.name, key)

    def __iter__(self) -> Iterator[Any]:
        return iter(self.to_dict())

    def __len__(self) -> int:
        return len(self.to_dict())

    def __bool__(self) -> bool:
        return len(self) > 0

    def keys(self) -> KeysView[Any]:
        return self.to_dict().keys()

    def values(self) -> ValuesView[Any]:
        return self.to_dict().values()

    def items(self) -> ItemsView[Any, Any]:
        return self.to_dict().items()

    def clear(self) -> None:
        """Removes every entry. Raises `SessionOver` if the session does not run."""
        self._kept.act(self.name, "clear")

    def zero(self) -> None:
        """Sets every value to zero. Raises `SessionOver` if the session does not run."""
        self._kept.act(self.name, "zero")

    # --- as something else ---------------------------------------------------------------------------

    def to_rows(self) -> list[dict[str, Any]]:
        """A row for each entry: `key` (or `key0`, `key1`, …, or a record's fields) and `value`.

        An average has the columns `average`, `count` and `total`; a histogram has a row for each bucket with `low`,
        `high` (None: open) and `count`; a time series one for each interval with `time` (ns since boot) and `value`.
        """
        from pytrace.api.tables import rows

        now = self._kept.snapshot(self.name)
        return rows(now.user_map, now.values)

    def to_pandas(self) -> pandas.DataFrame:
        """Returns the rows as a DataFrame. Raises `MissingExtra`, with the pip command, without pandas."""
        from pytrace.api.tables import frame

        now = self._kept.snapshot(self.name)
        return frame(now.user_map, now.values)

    def to_arrow(self) -> pyarrow.Table:
        """Returns the rows as a table. Raises `MissingExtra`, with the pip command, without pyarrow."""
        from pytrace.api.tables import table

        now = self._kept.snapshot(self.name)
        return table(now.user_map, now.values)

    def __str__(self) -> str:
        """What `print()` shows."""
        return self._kept.snapshot(self.name).text

    def __repr__(self) -> str:
        return f"<Map {self.name}: {self.to_dict()!r}>"

    def _repr_html_(self) -> str:
        from pytrace.api.display import map_html

        return map_html(self._kept.snapshot(self.name))
