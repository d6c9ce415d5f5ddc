"""What a live session consists of, and what entries do to it. Knows nothing of terminals: results are text."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from pytrace.api.maps import Map
from pytrace.api.options import CompileOptions
from pytrace.api.session import Attachment
from pytrace.diagnostics import ScriptError, Source
from pytrace.repl import entry as entries
from pytrace.repl.compose import ComposedScript
from pytrace.repl.live import Live
from pytrace.repl.screen import Screen, safe
from pytrace.syntax import ast

if TYPE_CHECKING:
    from pytrace.probes import Target


TYPED = "entry"
"""The name of sources that have none."""


class Numbered:
    """A script that was attached: `#number`."""

    def __init__(self, number: int, script: ast.Script, whole: ComposedScript, attachment: Attachment) -> None:
        self.number, self.script, self.whole, self.attachment = number, script, whole, attachment

    @property
    def text(self) -> str:
        """As it was entered."""
        return self.script.source.text


class Workspace:
    """The session of one prompt. A context manager; leaving it detaches everything.

    `scripts` are those that were attached, detached ones included; `definitions` and `statements` (those that changed
    maps) what else it takes to do it all again. `took` says how long the parts of the last entry took, in seconds.
    """

    def __init__(self, screen: Screen, options: CompileOptions, pid: int = 0, dwarf_pids: Sequence[int] = ()) -> None:
        self.screen, self.options, self.pid = screen, options, pid
        self.session = Live(screen, self._gone, pid=pid, dwarf_pids=dwarf_pids, options=options)
        self.scripts: list[Numbered] = []
        self.definitions: list[ast.Script] = []
        self.statements: list[str] = []
        self.took: dict[str, float] = {}
        self.last = ""
        self._ended: dict[int, int] = {}
        self._ending = threading.Lock()

    def __enter__(self) -> Workspace:
        self.session.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.session.stop()

    # --- entries ------------------------------------------------------------------------------------

    def enter(self, text: str, name: str = TYPED) -> str:
        """Does what was typed, or stands in the file `name`, and gives what there is to say about it. Raises
        `ScriptError`, with places in `text`, `KernelError`, and `SessionOver` if it was an `exit()`."""
        source = Source(name, text)
        began = time.monotonic()
        entry = entries.read(source)
        self.last = text
        self.took = {"parse": time.monotonic() - began}
        match entry:
            case entries.Probes(script):
                return self._attach(script)
            case entries.Definitions(script):
                return self._define(script)
        return self._do(entry)

    def _attach(self, script: ast.Script) -> str:
        number = len(self.scripts) + 1
        # A file keeps its name: imports and includes are looked for beside it.
        name = f"#{number}" if script.source.name == TYPED else script.source.name
        whole = entries.probes_text(self.definitions, script)
        began = time.monotonic()
        try:
            attachment, warnings = self.session.add(whole.text, name)
        except ScriptError as error:
            raise whole.own(error, script.source) from None
        finally:
            self.took["compile, load and attach"] = time.monotonic() - began
        with self._ending:
            self.scripts.append(Numbered(number, script, whole, attachment))
            code = self._ended.pop(id(attachment), None)
        count = len(attachment.probes)
        said = [safe(warning) for warning in warnings]
        if attachment.attached:
            said.append(f"#{number} attached: {count} probe{'' if count == 1 else 's'}")
        if code is not None:
            said.append(f"#{number} ended: exit({code})")
        return "\n".join(said)

    def _gone(self, attachment: Attachment, code: int) -> None:
        """In the session's thread, or in that of `_attach`."""
        with self._ending:
            for script in self.scripts:
                if script.attachment is attachment:
                    self.screen.say(f"#{script.number} ended: exit({code})")
                    return
            self._ended[id(attachment)] = code

    def _define(self, script: ast.Script) -> str:
        from pytrace.compiler import analyse

        whole = entries.statements_text([*self.definitions, script], entries.Statements(Source("", ""), None, False))
        try:
            analyse(whole.text, name="entry")
        except ScriptError as error:
            raise whole.own(error, script.source) from None
        self.definitions.append(script)
        return ""

    def _do(self, entry: entries.Statements) -> str:
        if not entry.source.text.strip():
            return ""
        whole = entries.statements_text(self.definitions, entry)
        began = time.monotonic()
        try:
            events = self.session.once(whole.text, entry.source.name)
        except ScriptError as error:
            raise whole.own(error, entry.source) from None
        finally:
            self.took["compile and run"] = time.monotonic() - began
        if entry.changing:
            self.statements.append(entry.source.text)
        return safe("".join(event.text for event in events).removesuffix("\n"))

    # --- what is in it ------------------------------------------------------------------------------

    @property
    def target(self) -> Target:
        """What probes are looked for in."""
        from pytrace.kernel import Kernel
        from pytrace.probes import Target

        return Target(Kernel.running(), self.pid, bool(self.options.get("unsafe")))

    @property
    def attached(self) -> list[Numbered]:
        return [script for script in self.scripts if script.attachment.attached]

    @property
    def maps(self) -> Mapping[str, Map]:
        return self.session.maps

    def numbered(self, word: str) -> Numbered:
        """The script `#word` (or `word`), attached or not. Raises `LookupError` with a message for the user."""
        number = word.removeprefix("#")
        if not number.isdecimal() or not 0 < int(number) <= len(self.scripts):
            there = f"there are #1 to #{len(self.scripts)}" if self.scripts else "nothing was attached yet"
            raise LookupError(f"there is no #{number}; {there}")
        return self.scripts[int(number) - 1]

    def maps_text(self) -> str:
        """All maps that are not empty, as they are shown at the end."""
        return safe("".join(str(m) for _, m in sorted(self.maps.items()) if len(m)))
