"""The session of a prompt: one of the API that goes on when a script says `exit()`."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from pytrace.api.compiling import compile_for
from pytrace.api.event import Event
from pytrace.api.options import CompileOptions
from pytrace.api.session import Attachment, Session
from pytrace.api.warn import ScriptWarning
from pytrace.repl.screen import Screen, Shown

if TYPE_CHECKING:
    from pytrace.program import UserMap
    from pytrace.runtime import Loaded
    from pytrace.runtime import Session as Inner


class Live(Session):
    """What its probes print goes to `screen`. `gone` is called, in the session's thread, with an attachment that ended
    itself by `exit()`, and the code. An `exit()` outside of one ends the session."""

    def __init__(
        self,
        screen: Screen,
        gone: Callable[[Attachment, int], object],
        *,
        pid: int = 0,
        dwarf_pids: Sequence[int] = (),
        options: CompileOptions,
    ) -> None:
        super().__init__(
            renderer=lambda resolver: Shown(screen, resolver), pid=pid, dwarf_pids=dwarf_pids, options=options
        )
        self._gone = gone
        self._exits: dict[Loaded, int] = {}
        self._exits_lock = threading.Lock()
        self._engine.survives = self._exited

    def add(self, text: str, name: str) -> tuple[Attachment, list[str]]:
        """Compiles and attaches; the second is what the compiler finds odd. Raises like `attach`."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always", ScriptWarning)
            attachment = self.attach(text, name=name)
        # An `exit()` in `begin` is not left for the next round, so that the answer can tell.
        self._engine.call(lambda session: any(one.books.exiting for one in session.loaded) and self._exited(session))
        with self._exits_lock:
            ended = self._exits.pop(attachment._loaded, None) if attachment._loaded else None
        if ended is not None:  # in `begin`, before anybody could know the attachment
            attachment._loaded = None
            self._gone(attachment, ended)
        return attachment, [str(w.message) for w in caught if issubclass(w.category, ScriptWarning)]

    def once(self, text: str, name: str) -> list[Event]:
        """Compiles and runs what is done when it is loaded; gives what it printed, which is not shown. Raises like
        `run`."""
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ScriptWarning)
            options: CompileOptions = {**self._options, "timestamps": True}
            program = compile_for(text, name=name, options=options, maps=self._known_maps())
        return self._engine.call(lambda session: self._core.run(session, program, show=False))

    def types(self) -> dict[str, UserMap]:
        """The types of the session's maps, by name."""
        return {user_map.name: user_map for user_map, _ in self._known_maps()}

    def _exited(self, session: Inner) -> bool:
        ended = [(loaded, loaded.books.exit_code) for loaded in session.loaded if loaded.books.exiting]
        if not ended:
            return False
        for loaded, code in ended:
            session.remove(loaded)
            for attachment in self.attachments:
                if attachment._loaded is loaded:
                    attachment._loaded = None
                    self._gone(attachment, code)
                    break
            else:
                with self._exits_lock:
                    self._exits[loaded] = code
        session.take_exit()
        return True
