"""The session on a terminal that can do nothing but print lines."""

from __future__ import annotations

import select
import sys
import threading
from collections.abc import Callable

from pytrace.repl.dialogue import CONTINUED, PROMPT, Dialogue
from pytrace.repl.entry import unfinished

_EVERY = 0.1
_LOOK = 1.0


class Plain:
    """Reads with `input()`. What probes print comes between the lines."""

    def __init__(self, dialogue: Dialogue) -> None:
        self._dialogue = dialogue
        self._over = threading.Event()
        self._prompt = ""

    def run(self) -> None:
        """Until the end of the input or of the session."""
        self._dialogue.show_live = self._live
        pump = threading.Thread(target=self._pump, daemon=True)
        pump.start()
        try:
            while not self._dialogue.over:
                try:
                    text = self._read()
                except EOFError:
                    self._dialogue.write("\n")
                    return
                except KeyboardInterrupt:
                    self._dialogue.write("\n")
                    continue
                self._dialogue.answer(text)
        finally:
            self._over.set()
            pump.join()

    def _read(self) -> str:
        text = self._line(PROMPT)
        while unfinished(text):
            text += "\n" + self._line(CONTINUED)
        return text

    def _line(self, prompt: str) -> str:
        self._prompt = prompt
        self._dialogue.write(prompt)
        try:
            return input()
        finally:
            self._prompt = ""

    def _pump(self) -> None:
        while not self._over.wait(_EVERY):
            text = self._dialogue.screen.take()
            if text and (prompt := self._prompt):
                # In the place of the prompt, which follows it.
                first, newline, rest = text.partition("\n")
                text = f"\r{first:<{len(prompt)}}{newline}{rest}{prompt}"
            self._dialogue.write(text)

    def _live(self, look: Callable[[], str]) -> None:
        try:
            while True:
                self._dialogue.write(look() + "\n")
                if select.select([sys.stdin], [], [], _LOOK)[0]:
                    sys.stdin.readline()
                    return
                self._dialogue.write("\n")
        except KeyboardInterrupt:
            self._dialogue.write("\n")
