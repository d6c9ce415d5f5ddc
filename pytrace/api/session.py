"""A session to hold in one's hands: probes and maps that live while one looks at them."""

from __future__ import annotations

import threading
import warnings
import weakref
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pytrace.api import notebook
from pytrace.api.compiling import compile_for, compile_statements
from pytrace.api.engine import Engine, SessionOver, Timer
from pytrace.api.event import Event, EventReader
from pytrace.api.maps import Kept, Map, Maps
from pytrace.api.options import CompileOptions
from pytrace.api.show import STDOUT, Quiet, TextStream
from pytrace.kernel.privileges import require
from pytrace.program import MapSpec, Program, UserMap

if TYPE_CHECKING:
    from pytrace.output import Record, Renderer, Resolver
    from pytrace.runtime import Child, Loaded
    from pytrace.runtime import Session as Inner

OnEvent = Callable[[Event], object]
DEFAULT: Any = STDOUT


class Attachment:
    """A program in a session. `detach` takes it out; as a context manager it does so at the end of the block."""

    def __init__(self, engine: Engine, program: Program, loaded: Loaded | None = None) -> None:
        self._engine, self.program, self._loaded = engine, program, loaded

    @property
    def probes(self) -> tuple[str, ...]:
        """The names of its probes."""
        return self.program.probes

    @property
    def attached(self) -> bool:
        """Whether it is still there."""
        return self._loaded is not None and self._engine.running

    def detach(self) -> None:
        """Detaches its probes, runs its `end` probes and delivers what it had sent. Its maps stay in the session. A
        second time does nothing."""
        loaded, self._loaded = self._loaded, None
        if loaded is not None and self._engine.running:
            self._engine.call(lambda session: session.remove(loaded), disruptive=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.detach()

    def __repr__(self) -> str:
        return f"<Attachment of {', '.join(self.probes)}{'' if self.attached else ' (detached)'}>"


class Session:
    """Programs at work in the kernel, with maps that they share by name.

    A context manager: entering (or `start()`) loads and attaches, leaving (or `stop()`) detaches, runs the `end` probes
    and keeps what is in the maps. In between a thread of its own takes what the programs send, so events are delivered,
    and all methods can be called from any thread. A session that nobody refers to any more, or that is left when Python
    ends, is stopped. No signal handlers are installed.

    program     the first program, if any; more come with `attach`
    pid         user-space probes are limited to this process, and the session ends with it
    on_event    called with each `Event`, in the session's thread, instead of showing it. An exception in it ends the
                session and is raised by `stop()` or the end of the `with` block
    output      where the text of `printf()` and `print()` goes: anything with `write(str)`, None for nowhere; by
                default `sys.stdout`
    renderer    shows everything instead: text, warnings and losses (see `pytrace.output.Renderer`); or a function that
                makes one, given the session's `Resolver`, which knows its stacks

    Starting raises `PrivilegeError` where this process may not trace, and `KernelError` for everything that the kernel
    refuses. Lost events are counted in `lost`, and there is a `LostEventsWarning` in the thread that calls the next
    method, at the latest the end of the session. A session cannot be started twice.
    """

    def __init__(
        self,
        program: Program | None = None,
        *,
        pid: int = 0,
        on_event: OnEvent | None = None,
        output: TextStream | None = DEFAULT,
        renderer: Renderer | Callable[[Resolver], Renderer] | None = None,
        options: CompileOptions | None = None,
        child: Child | None = None,
    ) -> None:
        kept = Kept()
        inside = _Inside(program, pid, child, on_event, output, renderer)
        engine = inside.engine = Engine(inside.make, lambda session: inside.at_end(session, kept))
        self._kept, self._inside, self._engine = kept, inside, engine
        self._options: CompileOptions = {"timestamps": on_event is not None, **(options or {})}
        self._attachments: list[Attachment] = []
        self._list = threading.Lock()
        self._started = False
        self._raised = False
        self._close = weakref.finalize(self, _abandon, engine, child)

    # --- its life -----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Loads and attaches the program. See the class for what it raises."""
        if self._started:
            raise RuntimeError("a session cannot be started twice; make a new one")
        self._started = True
        self._kept.engine = self._engine
        notebook.started(self)
        try:
            require()
            self._engine.start()
        except BaseException:
            self._close()
            raise
        first = self._inside.program
        if first is not None:
            loaded = None
            with suppress(SessionOver):  # `begin` may have ended it
                loaded = self._engine.call(lambda session: session.loaded[0])
            self._noted(Attachment(self._engine, first, loaded))
        return self

    def _noted(self, attachment: Attachment) -> Attachment:
        with self._list:
            self._attachments = [a for a in self._attachments if a.attached]
            self._attachments.append(attachment)
        return attachment

    def stop(self) -> None:
        """Detaches everything, runs the `end` probes, delivers what was sent, and keeps the maps. Raises what a
        callback raised. From within a callback it returns at once, and the session ends after it. A second time does
        nothing."""
        self._finish()
        if not self._engine.inside:
            self._speak(3)
            self._raise()

    def _finish(self) -> None:
        self._close()
        if self._started and not self._engine.inside:
            self._engine.over.wait()  # it may have been stopped from within

    def wait(self, timeout: float | None = None) -> bool:
        """Waits until the session ends by itself: by `exit()`, by the end of the process or command it watches, or
        because nothing is attached that could still fire. False if `timeout` seconds pass first. Raises what a callback
        raised."""
        over = True
        if self.running and self._waits():
            over = self._engine.over.wait(timeout)
        self._speak(3)
        self._raise()
        return over

    def _waits(self) -> bool:
        try:
            return self._engine.call(lambda session: session.waits)
        except SessionOver:
            return True  # it is about to end

    @property
    def running(self) -> bool:
        """Whether it has begun and has not ended."""
        return self._engine.running

    @property
    def exit_code(self) -> int | None:
        """What `exit()` was given; None as long as it was not called."""
        return self._inside.exit_code

    def _raise(self) -> None:
        if self._engine.error is not None and not self._raised:
            self._raised = True
            raise self._engine.error

    def _speak(self, stacklevel: int) -> None:
        """Warns of what has been lost since the last time."""
        pending = self._inside.warnings
        while pending:
            warnings.warn(pending.popleft(), stacklevel=stacklevel)

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._finish()
        self._speak(3)
        if kind is None:
            self._raise()

    # --- what is in it ----------------------------------------------------------------------------

    @property
    def maps(self) -> Mapping[str, Map]:
        """The maps by name (`t.maps["@"]`): see `Map`. They answer after the session, too, with what was in them at its
        end."""
        self._speak(3)
        return Maps(self._kept)

    @property
    def attachments(self) -> tuple[Attachment, ...]:
        """The programs that are attached, the first one first."""
        with self._list:
            return tuple(a for a in self._attachments if a.attached)

    @property
    def probes(self) -> tuple[str, ...]:
        """The names of all attached probes."""
        return tuple(name for a in self.attachments for name in a.probes)

    @property
    def lost(self) -> int:
        """Events that found no room, so far."""
        try:
            return self._engine.call(lambda session: session.lost)
        except SessionOver:
            if self._started:
                self._engine.wait_over()
            return self._inside.lost

    # --- more probes ------------------------------------------------------------------------------

    def attach(
        self,
        script: str | Program,
        *,
        params: Sequence[str] = (),
        named: Mapping[str, str | bool] | None = None,
        options: CompileOptions | None = None,
        name: str = "<script>",
    ) -> Attachment:
        """Adds probes to the running session: a script, or a program that was compiled before. Maps of the same name
        are the session's: keys and values have the types that they have there. `options` are in addition to the
        session's.

        Raises `ScriptError` for mistakes in the script (which leave the session as it is), `KernelError` for what the
        kernel refuses, and `SessionOver`.
        """
        from pytrace.runtime import MapMismatch

        if isinstance(script, Program):
            program = script
            loaded = self._add(program)
        else:
            chosen: CompileOptions = {**self._options, **(options or {})}
            while True:
                maps = self._known_maps()
                program = compile_for(
                    script, name=name, params=params, named=named, options=chosen, maps=maps, stacklevel=3
                )
                try:
                    loaded = self._add(program)
                    break
                except MapMismatch:
                    # Another thread has attached the same map meanwhile, with other types.
                    if maps == self._known_maps():
                        raise
        self._speak(3)
        return self._noted(Attachment(self._engine, program, loaded))

    def _add(self, program: Program) -> Loaded:
        return self._engine.call(lambda session: self._inside.add(session, program))

    def detach(self, attachment: Attachment | None = None) -> None:
        """Detaches one program, or without one all of them; the session goes on."""
        for one in [attachment] if attachment is not None else self.attachments:
            one.detach()
        self._speak(3)

    def run(self, statements: str, *, name: str = "<statements>", options: CompileOptions | None = None) -> list[Event]:
        """Runs statements once, now, against the session's maps: `t.run("print(@); @x = 5")`. What they print is shown
        like other output, and returned as events.

        Raises `ScriptError`, whose diagnostics point into `statements`, `KernelError` and `SessionOver`.
        """
        chosen: CompileOptions = {**self._options, "timestamps": True, **(options or {})}
        program = compile_statements(statements, name=name, options=chosen, maps=self._known_maps())
        events = self._engine.call(lambda session: self._inside.run(session, program))
        self._speak(3)
        return events

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, now: `t.evaluate("@[1] + 1")`. Nothing is shown. Raises like `run`."""
        maps = self._known_maps()
        program = compile_statements(expression, name="<expression>", options=self._options, maps=maps, expression=True)
        events = self._engine.call(lambda session: self._inside.run(session, program, show=False))
        self._speak(3)
        return events[0].value if events else None

    def _known_maps(self) -> list[tuple[UserMap, MapSpec]]:
        return self._engine.call(lambda s: [(m.user_map, m.kernel_map.spec) for m in s.maps.values()])

    # --- callbacks ----------------------------------------------------------------------------------

    def watch(self, name: str, callback: Callable[[dict[Any, Any]], object], interval: float = 1.0) -> Timer:
        """Every `interval` seconds, if the map `name` has changed since, calls back with its entries (in the session's
        thread; an exception ends the session). `cancel()` of the result ends it. Raises `KeyError` for an unknown
        map."""
        from pytrace.api.maps import snapshot

        engine = self._engine
        if name not in self.maps:
            raise KeyError(name)
        seen: dict[Any, Any] | None = None

        def look() -> None:
            nonlocal seen
            now = engine.call(lambda session: snapshot(session, name)).values
            if now != seen:
                seen = now
                engine.deliver(lambda: callback(dict(now)))

        timer = Timer(interval, look)
        engine.call(lambda session: engine.timers.append(timer))
        return timer

    # --- how it looks -------------------------------------------------------------------------------

    def __repr__(self) -> str:
        state = "running" if self.running else "over" if self._started else "not started"
        return f"<Session {state}: {', '.join(self.probes) or 'no probes'}>"

    def _repr_html_(self) -> str:
        from html import escape

        return f"<p>{escape(repr(self))}</p>" + Maps(self._kept)._repr_html_()


class _Inside:
    """The parts of a session that its thread needs. It does not refer to the `Session`, so that one that nobody holds
    any more can go."""

    def __init__(
        self,
        program: Program | None,
        pid: int,
        child: Child | None,
        on_event: OnEvent | None,
        output: TextStream | None,
        renderer: Renderer | Callable[[Resolver], Renderer] | None,
    ) -> None:
        self.program, self._pid, self._child, self._on_event = program, pid, child, on_event
        self._output, self._renderer = output, renderer
        self.warnings: Any = ()
        self.exit_code: int | None = None
        self.lost = 0
        self._session: Inner | None = None
        self._trailer = str(dict(program.config).get("str_trunc_trailer", "..")) if program else ".."

    def make(self) -> Inner:
        from pytrace.kernel import Kernel
        from pytrace.runtime import Session, Symbols

        symbols = Symbols(Kernel.running())
        renderer = self._renderer
        if renderer is None:
            renderer = quiet = Quiet(self._output, symbols, self._trailer)
            self.warnings = quiet.warnings
        elif callable(renderer):
            renderer = renderer(symbols)
        self._session = Session(
            self.program,
            pid=self._pid,
            child=self._child,
            output=renderer,
            symbols=symbols,
            announce=False,
            show_maps=False,
            on_event=self._seeing(self.program, symbols) if self.program else None,
        )
        return self._session

    def _seeing(self, program: Program, symbols: Any) -> Callable[[Record], bool] | None:
        if self._on_event is None:
            return None
        on_event, engine = self._on_event, self.engine
        read = EventReader(program, self._maps, symbols, self._trailer)

        def see(record: Record) -> bool:
            engine.deliver(lambda: on_event(read(record)))
            return True

        return see

    engine: Engine

    def _maps(self) -> Any:
        assert self._session is not None
        return self._session.maps

    def add(self, session: Inner, program: Program) -> Loaded:
        return session.add(program, self._seeing(program, session.symbols))

    def run(self, session: Inner, program: Program, show: bool = True) -> list[Event]:
        read = EventReader(program, self._maps, session.symbols, self._trailer)
        events: list[Event] = []

        def see(record: Record) -> bool:
            events.append(read(record))
            return not show

        session.remove(session.add(program, see))
        return events

    def at_end(self, session: Inner, kept: Kept) -> None:
        kept.keep(session)
        self.exit_code, self.lost = session.exit_code, session.lost


def _abandon(engine: Engine, child: Child | None) -> None:
    """Ends a session that was stopped, or that nobody holds any more."""
    engine.shutdown()
    if child is not None:
        child.close()
