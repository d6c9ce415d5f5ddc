"""The session on a terminal that can move its cursor: prompt_toolkit, with output above the prompt."""

from __future__ import annotations

import asyncio
import os
import shutil
import sys
import termios
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from prompt_toolkit import PromptSession
from prompt_toolkit.application import Application, get_app, run_in_terminal
from prompt_toolkit.auto_suggest import AutoSuggestFromHistory
from prompt_toolkit.completion import CompleteEvent, Completion, ThreadedCompleter
from prompt_toolkit.completion import Completer as Base
from prompt_toolkit.document import Document
from prompt_toolkit.filters import Condition
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.keys import Keys
from prompt_toolkit.layout import Layout, Window
from prompt_toolkit.layout.controls import FormattedTextControl
from prompt_toolkit.lexers import PygmentsLexer
from prompt_toolkit.styles import Style

from pytrace.repl.completion import Completer
from pytrace.repl.dialogue import CONTINUED, PROMPT, Dialogue
from pytrace.repl.entry import unfinished
from pytrace.repl.lexer import PytraceLexer

_TICK = 0.08
_LOOK = 0.5
_STYLE = Style.from_dict(
    {
        "prompt": "bold",
        "bottom-toolbar": "noreverse fg:ansibrightblack",
        "pygments.name.namespace": "ansiblue bold",
        "pygments.name.label": "ansiblue",
        "pygments.name.variable": "ansicyan",
        "pygments.name.variable.global": "ansimagenta bold",
        "pygments.name.function": "ansigreen",
        "pygments.name.builtin": "ansigreen",
        "pygments.name.attribute": "",
        "pygments.keyword": "ansiyellow",
        "pygments.literal.number": "",
        "pygments.literal.string": "ansired",
        "pygments.comment": "ansibrightblack italic",
    }
)


class Prompt:
    """Entries are read with editing, history, completion and colours; what probes print appears above."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._completer = Completer(dialogue.workspace)
        self._session: PromptSession[str] = PromptSession(
            [("class:prompt", PROMPT)],
            prompt_continuation=_continued,
            multiline=Condition(lambda: unfinished(get_app().current_buffer.text)),
            completer=ThreadedCompleter(_Completions(self._completer)),
            complete_while_typing=False,
            auto_suggest=AutoSuggestFromHistory(),
            history=history(),
            lexer=PygmentsLexer(PytraceLexer),
            style=_STYLE,
            key_bindings=_keys(),
            bottom_toolbar=self._hint,
            reserve_space_for_menu=6,
        )

    def run(self) -> None:
        """Until Ctrl-D, `:quit` or the end of the session."""
        self._dialogue.show_live = self._live
        self._completer.probes.warm()
        with echo(False):
            while not self._dialogue.over:
                try:
                    text = self._session.prompt(pre_run=self._begin)
                except EOFError:
                    return
                except KeyboardInterrupt:
                    continue
                with echo(text.lstrip().startswith(":e")):  # an editor may be one of lines
                    self._dialogue.answer(text)

    def _begin(self) -> None:
        get_app().create_background_task(self._pump(self._session.app))

    async def _pump(self, app: Application[Any]) -> None:
        """Shows what has come, while `app` runs, and ends it with the session."""
        while True:
            text = self._dialogue.screen.take()
            if text:
                await run_in_terminal(lambda: self._dialogue.write(text))  # noqa: B023 - awaited here
            if not self._dialogue.workspace.session.running:
                app.exit(exception=EOFError)
                return
            await asyncio.sleep(_TICK)

    def _hint(self) -> str | None:
        return self._completer.hint(get_app().current_buffer.document.text_before_cursor) or None

    def _live(self, look: Callable[[], str]) -> None:
        """Draws what `look` gives, again and again, until a key is pressed; then it stays on the screen."""
        keys = KeyBindings()

        @keys.add(Keys.Any)
        @keys.add("c-c")
        @keys.add("c-d")
        def _(event: KeyPressEvent) -> None:
            event.app.exit()

        control = FormattedTextControl(lambda: _fitting(look()) + "\n— any key ends this —", show_cursor=False)
        app: Application[None] = Application(
            Layout(Window(control, wrap_lines=False, always_hide_cursor=True)),
            key_bindings=keys,
            refresh_interval=_LOOK,
            erase_when_done=True,
        )

        def begin() -> None:
            app.create_background_task(self._pump(app))

        app.run(pre_run=begin)
        self._dialogue.write(look() + "\n")


def _continued(width: int, line: int, wrapped: int) -> str:
    return "" if wrapped else CONTINUED


@contextmanager
def echo(wanted: bool) -> Iterator[None]:
    """Whether the terminal shows what is typed while nobody reads: it would stand where the next prompt is drawn."""
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    mode = list(before)
    mode[3] = before[3] | termios.ECHO if wanted else before[3] & ~termios.ECHO
    termios.tcsetattr(fd, termios.TCSADRAIN, mode)
    try:
        yield
    finally:
        termios.tcsetattr(fd, termios.TCSADRAIN, before)


class _Completions(Base):
    def __init__(self, completer: Completer) -> None:
        self._completer = completer

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        for offer in self._completer.offers(document.text_before_cursor):
            yield Completion(offer.text, -offer.replaces, display_meta=offer.note)


def _fitting(text: str) -> str:
    """The last lines, as many as the terminal has room for: those with the highest values."""
    room = max(3, shutil.get_terminal_size().lines - 3)
    lines = text.split("\n")
    if len(lines) <= room:
        return text
    return "\n".join([f"… {len(lines) - room + 1} lines above", *lines[-room + 1 :]])


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("escape", "enter")
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.insert_text("\n")

    return keys


def history() -> History:
    """Entries of earlier sessions, in the user's state directory; of this one only where that cannot be written."""
    state = os.environ.get("XDG_STATE_HOME", "")
    if not os.path.isabs(state):
        state = os.path.expanduser("~/.local/state")
    directory = os.path.join(state, "pytrace")
    path = os.path.join(directory, "history")
    try:
        os.makedirs(directory, mode=0o700, exist_ok=True)
        os.close(os.open(path, os.O_CREAT | os.O_APPEND | os.O_WRONLY | os.O_CLOEXEC, 0o600))
    except OSError:
        return InMemoryHistory()
    return FileHistory(path)
