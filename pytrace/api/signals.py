"""Signals of this process that `self:signal:` probes of sessions wait for.

Python hears signals in its main thread only, and only there a handler can be installed. So a session that is started,
or gets such a script, in the main thread is told of them; elsewhere nobody can. A handler is given back when no session
wants it any more, by the first who comes by in the main thread: at the latest by the signal itself.
"""

from __future__ import annotations

import contextlib
import signal
import threading
from collections.abc import Iterable
from types import FrameType
from typing import Any

from pytrace.api.engine import Engine
from pytrace.program import Program, Signal

_listeners: dict[int, list[Engine]] = {}
_before: dict[int, Any] = {}


def awaited(program: Program) -> frozenset[int]:
    """The signals that a program waits for."""
    return frozenset(s.number for p in program.progs for s in p.attach if isinstance(s, Signal))


def number_of(which: str | int) -> int:
    """`"SIGUSR1"`, `"USR1"` and 10 are the same. Raises `ValueError` for what is no signal."""
    if not isinstance(which, str):
        return int(signal.Signals(which))
    name = which.upper()
    try:
        return int(signal.Signals[name if name.startswith("SIG") else f"SIG{name}"])
    except KeyError:
        raise ValueError(f"there is no signal {which}") from None


def listen(engine: Engine, numbers: Iterable[int]) -> bool:
    """From now on the session is told of these signals. False, and nothing happens, outside of the main thread."""
    if threading.current_thread() is not threading.main_thread():
        return False
    for number in numbers:
        if number not in _before:
            _before[number] = signal.signal(number, _heard)
        listeners = _listeners.setdefault(number, [])
        if engine not in listeners:
            listeners.append(engine)
    return True


def forget(engine: Engine) -> None:
    """The session is over."""
    for number, listeners in list(_listeners.items()):
        with contextlib.suppress(ValueError):
            listeners.remove(engine)
        if not listeners:
            _give_back(number)


def _give_back(number: int) -> bool:
    if threading.current_thread() is not threading.main_thread():
        return False
    _listeners.pop(number, None)
    before = _before.pop(number, signal.SIG_DFL)
    if signal.getsignal(number) is _heard:  # else somebody has taken it since
        signal.signal(number, signal.SIG_DFL if before is None else before)
    return True


def _heard(number: int, frame: FrameType | None) -> None:
    there = [engine for engine in _listeners.get(number, ()) if not engine.over.is_set()]
    for engine in there:
        engine.post(lambda session: session.signal(number))
    if not there and _give_back(number):
        signal.raise_signal(number)  # to whoever would have got it without us
