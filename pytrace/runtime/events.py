"""Carries out what records ask for, in their order: shows what is to be shown, acts upon the rest."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pytrace.output import Record, RecordReader, Renderer
from pytrace.program import EventSpec, Program
from pytrace.record import replace
from pytrace.runtime.usermaps import ScriptMap, scalar
from pytrace.types import Stats

if TYPE_CHECKING:
    from pytrace.runtime.pcap import Captures

OnEvent = Callable[[Record], bool | None]
"""Sees each event before it is shown; if it returns True, the event is not shown."""

_SHOWN = frozenset(("printf", "print", "join", "time", "errorf", "warnf"))
_REFUSED = (errno.ELOOP, errno.EPERM, errno.EEXIST)
_SEEN = _SHOWN | {"print_map", "print_scalar", "print_entry"}


class Dispatcher:
    """The Python side of one loaded program's records.

    `exit` is called with the code of an `exit()`, `unwatch` with the address of an `unwatch()`, `system` with the
    command of a `system()`. `late` says whether the session was ended so long ago that `cat()` and `system()` are
    dropped; they are counted in `dropped`. `unsafe` is for capture files (see `Captures`).
    """

    def __init__(
        self,
        program: Program,
        maps: Mapping[str, ScriptMap],
        output: Renderer,
        exit: Callable[[int], None],
        on_event: OnEvent | None = None,
        unwatch: Callable[[int], None] = lambda address: None,
        *,
        system: Callable[[bytes], None],
        late: Callable[[], bool] = lambda: False,
        unsafe: bool = False,
    ) -> None:
        self._maps, self._output, self._exit, self._on_event = maps, output, exit, on_event
        self._unwatch, self._system, self._late, self._unsafe = unwatch, system, late, unsafe
        self._captures: Captures | None = None
        self._read = RecordReader(program)
        self._max_cat = int(dict(program.config).get("max_cat_bytes", 10240))
        self.errors = 0
        """How many `errorf` there were."""
        self.dropped = 0

    def __call__(self, data: memoryview) -> None:
        """One record, without the ring's header."""
        record = self._read(data)
        spec = record.spec
        if self._on_event is not None and spec.action in _SEEN and self._on_event(record):
            return
        if spec.action in _SHOWN:
            if spec.action == "errorf":
                self.errors += 1
            self._output.event(spec, record.values)
        else:
            self._act(spec, record.values)

    def _act(self, spec: EventSpec, values: Sequence[Any]) -> None:
        match spec.action:
            case "print_map":
                target = self._maps[spec.map]
                top, div = values[:2] if len(values) >= 2 else (0, 0)
                self._output.map(target.user_map, target.entries(), top, div)
            case "print_scalar":
                target = self._maps[spec.map]
                self._output.map(target.user_map, [(None, scalar(target.user_map, values))])
            case "print_entry":
                self._print_entry(spec, values[0])
            case "clear":
                self._maps[spec.map].clear()
            case "zero":
                self._maps[spec.map].zero()
            case "exit":
                self._exit(values[0] if values else 0)
            case "skboutput":
                self._capture(spec.text, *values)
            case "unwatch":
                self._unwatch(values[0])
            case "cat" | "system" if self._late():
                self.dropped += 1
            case "cat":
                self._cat(self._output.format(spec, values))
            case "system":
                self._system(self._output.format(spec, values))
            case other:
                raise ValueError(f"a record asks for {other!r}, which is not known here")

    def _print_entry(self, spec: EventSpec, key: Any) -> None:
        """Statistics are shown as a value, histograms as the map's only entry; nothing if the key is not there."""
        target = self._maps[spec.map]
        kind = target.user_map.value
        try:
            value = target.lookup(key)
        except KeyError:
            return
        if isinstance(kind, Stats):
            self._output.event(replace(spec, action="print", args=(kind,)), (value,))
        else:
            self._output.map(target.user_map, [(key, value)])

    def _capture(self, path: str, boot_ns: int, size: int, data: bytes) -> None:
        from pytrace.runtime.pcap import Captures

        self._captures = self._captures or Captures(self._unsafe)
        try:
            self._captures.write(path, boot_ns, size, data)
        except OSError as error:
            hint = "; --unsafe replaces it" if error.errno in _REFUSED else ""
            self._output.message(f"ERROR: failed to write '{path}': {error.strerror}{hint}")

    @property
    def lost_packets(self) -> dict[str, int]:
        """How many packets of `skboutput()` were not written, by path."""
        return self._captures.lost if self._captures else {}

    def close(self) -> None:
        """Closes capture files."""
        if self._captures is not None:
            self._captures.close()

    def _cat(self, path: bytes) -> None:
        try:
            # What a FIFO or a terminal will say some day must not hold up the tracing.
            with open(path, "rb", buffering=0, opener=lambda name, flags: os.open(name, flags | os.O_NONBLOCK)) as file:
                content = b""
                # Files of /proc come in pieces, whatever is asked for.
                while len(content) < self._max_cat and (piece := file.read(self._max_cat - len(content))):
                    content += piece
        except (OSError, ValueError) as error:
            reason = error.strerror if isinstance(error, OSError) else "not a file name"
            self._output.message(f"ERROR: failed to open file '{path.decode(errors='replace')}': {reason}")
            return
        self._output.cat(content)
