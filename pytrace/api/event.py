"""One event: what a statement of a script sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Literal, cast

from pytrace.api.values import named, named_entries, naming
from pytrace.output import Entry, Record, Text, Words, ordered
from pytrace.program import Program
from pytrace.runtime.usermaps import scalar
from pytrace.types import Aggregation, Type

if TYPE_CHECKING:
    from pytrace.output import Resolver
    from pytrace.runtime import ScriptMap

Kind = Literal["print", "printf", "errorf", "warnf", "map", "join", "time"]


class Event:
    """What one `print`, `printf`, `join`, `time`, `errorf` or `warnf` sent.

    kind    the statement; `map` is the print of a whole map
    probe   the name of the probe that fired, as `probe` gives it in a script
    value   print: the value; a record has its fields as attributes (`event.value.pid`). printf, errorf and warnf: a
            tuple of the arguments. map: a dict, or the value of a map without keys. join: a tuple of strings.
            time: the formatted time
    text    what the command line would show, with its newline
    """

    __slots__ = ("_ns", "_show", "_text", "_wall", "kind", "probe", "value")

    def __init__(
        self, kind: Kind, probe: str, value: Any, ns: int | None, wall: int, show: Callable[[], str], text: str | None
    ) -> None:
        self.kind, self.probe, self.value = kind, probe, value
        self._ns, self._wall, self._show, self._text = ns, wall, show, text

    @property
    def timestamp(self) -> int:
        """When it was raised: nanoseconds since boot, the clock of `nsecs` and of `time.CLOCK_BOOTTIME`. Raises
        `ValueError` for a program that was compiled without timestamps."""
        if self._ns is None:
            raise ValueError("this program was compiled with timestamps=False")
        return self._ns

    @property
    def time(self) -> datetime:
        """`timestamp` as UTC, to the microsecond."""
        return datetime.fromtimestamp((self.timestamp + self._wall) // 1000 / 1e6, UTC)

    @property
    def text(self) -> str:
        if self._text is None:
            self._text = self._show()
        return self._text

    def __repr__(self) -> str:
        return f"<Event {self.kind} {self.value!r} of {self.probe}>"


class EventReader:
    """Makes events of one program's records. `maps` are the session's."""

    def __init__(
        self, program: Program, maps: Callable[[], dict[str, ScriptMap] | Any], resolver: Resolver, trailer: str = ".."
    ) -> None:
        self._probes, self._maps = program.probes, maps
        self._words = Words(resolver, trailer)
        self._wall = resolver.wall_offset("boot")
        self._page = Page()
        self._text = Text(self._page, self._page, resolver, trailer=trailer)
        self._eager: dict[int, bool] = {}

    def __call__(self, record: Record) -> Event:
        spec = record.spec
        probe = self._probes[record.probe] if record.probe < len(self._probes) else ""
        kind, value, text = self._content(record)

        def show() -> str:
            self._text.event(spec, record.values)
            return self._page.take()

        return Event(kind, probe, value, record.timestamp, self._wall, show, text)

    def _content(self, record: Record) -> tuple[Kind, Any, str | None]:
        """Kind, value and, where it cannot wait, the text."""
        spec = record.spec
        match spec.action:
            case "print_map":
                top, div = record.values[:2] if len(record.values) >= 2 else (0, 0)
                return self._map(spec.map, self._maps()[spec.map].entries(), top, div)
            case "print_scalar":
                return self._map(spec.map, [(None, scalar(self._maps()[spec.map].user_map, record.values))], 0, 0)
            case "print_entry":
                return self._entry(spec.map, record.values[0])
            case "time":
                self._text.event(spec, ())
                text = self._page.take()
                return "time", text, text
            case "join":
                count = record.values[0]
                return "join", tuple(record.values[1 : 1 + count]), None
            case "print":
                return "print", named(spec.args[0], record.values[0], self._words), self._now(record)
        values = tuple(named(type, v, self._words) for type, v in zip(spec.args, record.values, strict=True))
        return cast(Kind, spec.action), values, self._now(record)

    def _now(self, record: Record) -> str | None:
        """The text of an event that names things, which may be gone later."""
        spec = record.spec
        eager = self._eager.get(spec.id)
        if eager is None:
            eager = self._eager[spec.id] = any(naming(type) is not None for type in spec.args)
        if not eager:
            return None
        self._text.event(spec, record.values)
        return self._page.take()

    def _map(self, name: str, entries: list[Entry], top: int, div: int) -> tuple[Kind, Any, str]:
        target = self._maps()[name]
        self._text.map(target.user_map, entries, top, div)
        shown = ordered(target.user_map, entries, top)
        value: Any = named_entries(target.user_map.key, target.user_map.value, shown, self._words)
        if target.user_map.key is None:
            value = value.get(None)
        return "map", value, self._page.take()

    def _entry(self, name: str, key: Any) -> tuple[Kind, Any, str]:
        target = self._maps()[name]
        kind: Type = target.user_map.value
        try:
            value = target.lookup(key)
        except KeyError:
            return "print", None, ""
        self._text.map(target.user_map, [(key, value)])
        return "print", value if isinstance(kind, Aggregation) else named(kind, value, self._words), self._page.take()


class Page:
    """A sink that is read after every event."""

    def __init__(self) -> None:
        self._data = b""

    def write(self, data: bytes) -> None:
        self._data += data

    def isatty(self) -> bool:
        return False

    def take(self) -> str:
        data, self._data = self._data, b""
        return data.decode("utf-8", "replace")
