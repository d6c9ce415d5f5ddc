"""Entries in, answers out: what both kinds of terminal have in common."""

from __future__ import annotations

import shutil
import sys
import threading
from collections.abc import Callable

from pytrace.api.engine import SessionOver
from pytrace.diagnostics import ScriptError
from pytrace.kernel import KernelError
from pytrace.probes import ProbeError
from pytrace.repl import commands
from pytrace.repl.commands import CommandError
from pytrace.repl.errors import inline
from pytrace.repl.screen import Screen
from pytrace.repl.workspace import Workspace

PROMPT = "pytrace> "
CONTINUED = "     ... "


class Dialogue:
    """`show_live` shows what a function gives, again and again, until a key; the terminal's owner provides it."""

    def __init__(self, workspace: Workspace) -> None:
        self.workspace = workspace
        self.over = False
        self.show_live: Callable[[Callable[[], str]], None] = lambda look: self.write(look() + "\n")
        self._writing = threading.Lock()

    @property
    def screen(self) -> Screen:
        return self.workspace.screen

    def write(self, text: str) -> None:
        """To the terminal, at once."""
        if text:
            with self._writing:
                sys.stdout.write(text)
                sys.stdout.flush()

    def answer(self, text: str) -> None:
        """Does what was typed and shows what comes of it. `over` is set if that ends the session."""
        try:
            said = self._done(text)
        except ScriptError as error:
            said = inline(error, text, len(PROMPT), shutil.get_terminal_size().columns)
        except SessionOver:
            said, self.over = "", True
        except EOFError:
            said, self.over = "", True
        except (KernelError, ProbeError) as error:
            said = f"ERROR: {error.message}" + (f"\nHINT: {error.hint}" if error.hint else "")
        except CommandError as error:
            said = f"ERROR: {error}"
        except OSError as error:
            said = f"ERROR: {f'{error.filename}: ' if error.filename else ''}{error.strerror}"
        except KeyboardInterrupt:
            said = "cancelled"
        except Exception as error:
            # A defect of ours costs the entry, not the session.
            said = f"ERROR: pytrace itself failed: {type(error).__name__}: {error}\nHINT: please report it"
        self.over = self.over or not self.workspace.session.running
        self.write(self.screen.take())
        self.write(said + "\n" if said else "")

    def _done(self, text: str) -> str:
        if not text.strip():
            return ""
        if not text.lstrip().startswith(":"):
            return self.workspace.enter(text)
        name, _, argument = text.strip().removeprefix(":").partition(" ")
        if commands.find(name).name == "show":
            commands.map_text(self.workspace, argument.strip())  # complains before anything is drawn
            self.show_live(lambda: commands.map_text(self.workspace, argument.strip()))
            return ""
        return commands.run(self.workspace, text)
