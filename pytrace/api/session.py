"""A session to hold in one's hands: probes and maps that live while one looks at them."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

from pytrace.api.compiling import compile_for, compile_statements
from pytrace.api.core import OnEvent, SessionCore
from pytrace.api.engine import Engine, SessionOver, Timer
from pytrace.api.streams import STDOUT, check
from pytrace.kernel.privileges import require
from pytrace.program import MapSpec, Program, Signal, UserMap

if TYPE_CHECKING:
    from pytrace.api.event import Event
    from pytrace.api.foreground import Buffering
    from pytrace.api.maps import Map
    from pytrace.api.options import CompileOptions
    from pytrace.api.streams import Format, TextStream
    from pytrace.api.warn import OnWarning
    from pytrace.output import Renderer, Resolver
    from pytrace.runtime import Child, Loaded


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
    ends, is stopped.

    `follow()` instead does all of that in the calling thread, until something ends it, and shows what the command line
    shows.

    program     the first program, if any; more come with `attach`
    pid         user-space probes are limited to this process, and the session ends with it
    dwarf_pids  processes whose stacks `dw_ustack` unwinds, besides that of `pid` or of a command
    on_event    called with each `Event`, in the session's thread, instead of showing it. An exception in it ends the
                session and is raised by `stop()` or the end of the `with` block
    output      where the text of `printf()` and `print()` goes: anything with `write(str)`, a file descriptor, None for
                nowhere; by default `sys.stdout`
    format      "json" for one object a line instead of text
    renderer    shows everything instead: text, warnings and losses (see `pytrace.output.Renderer`); or a function that
                makes one, given the session's `Resolver`, which knows its stacks
    on_warning  called with each `TraceWarning`, instead of Python's `warnings.warn`

    Starting raises `PrivilegeError` where this process may not trace, and `KernelError` for everything that the kernel
    refuses. Lost events are counted in `lost`, and there is a `LostEventsWarning` in the thread that calls the next
    method, at the latest the end of the session. A session cannot be started twice.

    Signal handlers are installed only for `self:signal:` probes, and only in the main thread (see `signal`), and by
    `follow`, which gives them back.
    """

    def __init__(
        self,
        program: Program | None = None,
        *,
        pid: int = 0,
        dwarf_pids: Sequence[int] = (),
        on_event: OnEvent | None = None,
        output: TextStream | int | None = STDOUT,
        format: Format = "text",
        renderer: Renderer | Callable[[Resolver], Renderer] | None = None,
        options: CompileOptions | None = None,
        on_warning: OnWarning | None = None,
        child: Child | None = None,
    ) -> None:
        check(output, format)
        unsafe = bool((options or {}).get("unsafe"))
        self._core = SessionCore(program, pid, dwarf_pids, child, on_event, output, format, renderer, unsafe)
        self._engine, self._on_warning = self._core.engine, on_warning
        self._options: CompileOptions = {"timestamps": on_event is not None, **(options or {})}
        self._attachments: list[Attachment] = []
        self._list = threading.Lock()
        self._started = False
        self._raised = False
        self._allowed = False  # whoever made it has asked for the privileges already
        self._finalizer: Callable[[], object] | None = None
        if child is not None:
            self._end_with_me()

    # --- its life -----------------------------------------------------------------------------------

    def start(self) -> Self:
        """Loads and attaches the program. See the class for what it raises."""
        self._once()
        self._end_with_me()
        if "IPython" in sys.modules:
            from pytrace.api import notebook

            notebook.started(self)
        first = self._core.program
        try:
            self._may()
            if first is not None:
                self._listen(first)
            self._engine.start()
        except BaseException:
            self._close()
            raise
        if first is not None:
            loaded = None
            with suppress(SessionOver):  # `begin` may have ended it
                loaded = self._engine.call(lambda session: session.loaded[0])
            self._noted(Attachment(self._engine, first, loaded))
        return self

    def _once(self) -> None:
        if self._started:
            raise RuntimeError("a session cannot be started twice; make a new one")
        self._started = True

    def _may(self) -> None:
        if not self._allowed:
            require()

    def _end_with_me(self) -> None:
        """When nobody refers to this object any more, or Python ends, the session does."""
        if self._finalizer is None:
            import weakref

            self._finalizer = weakref.finalize(self, _abandon, self._core)

    def _close(self) -> None:
        if self._finalizer is not None:
            self._finalizer()
        else:
            _abandon(self._core)

    def follow(
        self,
        *,
        buffering: Buffering = "line",
        quiet: bool = False,
        warnings: bool = True,
        verbose: bool = False,
        dry_run: bool = False,
        keep: bool = True,
    ) -> int:
        """Traces in this thread and shows what the command line shows, until `exit()`, Ctrl-C (or SIGTERM, SIGHUP), the
        end of the command, of the process, or of whoever reads the output; or until nothing is left that could happen.
        Then everything is detached, the `end` probes run, and the maps are shown. Gives the code of `exit()`, else 0.

        The script's text goes to `output`, what there is to say besides to `sys.stderr`. In the main thread Ctrl-C is
        handled: the first ends the session in good order, a second one at once, with `KeyboardInterrupt`; and signals
        that `self:signal:` probes wait for reach them. Other threads, and `on_event`, may use the session meanwhile.
        A program that was compiled with the option `mode` "test" or "bench" has its tests or benchmarks run; then 1
        says that a test failed.

        buffering   when the output is flushed: "line" whenever there is nothing to do, "full" 64 KiB at a time, "none"
                    after each event. Text streams without a file behind them are written to at once
        quiet       `Attached N probes` is not said
        warnings    whether what `warnf()` says is shown
        verbose     the names of the probes are shown
        dry_run     everything is loaded, attached and detached; nothing is run
        keep        whether the maps can be looked at afterwards

        Raises `ValueError` for another `buffering`, what `start` raises, what `on_event` raised, and `BrokenPipeError`
        if nobody reads the output any more.
        """
        from pytrace.api.foreground import FollowOptions

        if buffering not in ("line", "full", "none"):
            raise ValueError(f"buffering is 'line', 'full' or 'none', not {buffering!r}")
        self._once()
        follow_options = FollowOptions(buffering, quiet, warnings, verbose, dry_run)
        mode = self._options.get("mode", "trace")
        self._core.keeping = keep
        try:
            self._may()
            if mode != "trace" and not dry_run:
                return self._core.examine(follow_options, mode)
            return self._core.follow(follow_options, self._begun)
        finally:
            self._raised = True
            self._close()

    def _begun(self, loaded: Sequence[Loaded]) -> None:
        for one in loaded:
            self._noted(Attachment(self._engine, one.program, one))

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
        if not self._engine.in_own_thread:
            self._speak(3)
            self._raise()

    def _finish(self) -> None:
        self._close()
        if self._started and not self._engine.in_own_thread:
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
        return self._core.exit_code

    def _raise(self) -> None:
        if self._engine.error is not None and not self._raised:
            self._raised = True
            raise self._engine.error

    def _speak(self, stacklevel: int) -> None:
        """Warns of what has been lost since the last time."""
        pending = self._core.warnings
        if not pending:
            return
        from pytrace.api.warn import warn

        while pending:
            warn(pending.popleft(), self._on_warning, stacklevel + 1)

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
        from pytrace.api.maps import Maps

        self._speak(3)
        return Maps(self._core.kept)

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
            return self._core.lost

    # --- more probes ------------------------------------------------------------------------------

    def attach(
        self,
        script: str | Program,
        *,
        params: Sequence[str | int] = (),
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
                    script,
                    name=name,
                    params=params,
                    named=named,
                    options=chosen,
                    maps=maps,
                    on_warning=self._on_warning,
                    stacklevel=3,
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
        self._listen(program)
        return self._engine.call(lambda session: self._core.add(session, program))

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
        program = compile_statements(
            statements, name=name, options=chosen, maps=self._known_maps(), on_warning=self._on_warning
        )
        events = self._engine.call(lambda session: self._core.run(session, program))
        self._speak(3)
        return events

    def evaluate(self, expression: str) -> Any:
        """The value of an expression, now: `t.evaluate("@[1] + 1")`. Nothing is shown. Raises like `run`."""
        maps = self._known_maps()
        program = compile_statements(
            expression,
            name="<expression>",
            options=self._options,
            maps=maps,
            expression=True,
            on_warning=self._on_warning,
        )
        events = self._engine.call(lambda session: self._core.run(session, program, show=False))
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

    # --- signals ------------------------------------------------------------------------------------

    def signal(self, which: str | int) -> None:
        """Runs the `self:signal:` probes of a signal, as if this process had got it: "SIGUSR1", "USR1" or its number.

        What this process really gets reaches them by itself if the session was started, or they were attached, in the
        main thread; the signal's handler is given back when the session is over. Attached in another thread they only
        run by this method, which a `TraceWarning` says.

        Raises `ValueError` for what is no signal, and `SessionOver`.
        """
        from pytrace.api.signals import number_of

        number = number_of(which)
        self._engine.call(lambda session: session.signal(number))

    def _listen(self, program: Program) -> None:
        if not any(isinstance(a, Signal) for p in program.progs for a in p.attach):
            return
        from pytrace.api.signals import awaited, listen

        if not self._core.follow_options and not listen(self._engine, awaited(program)):
            from pytrace.api.warn import TraceWarning, warn

            text = "signals reach self:signal probes only if they are attached in the main thread; signal() runs them"
            warn(TraceWarning(text), self._on_warning, 4)

    # --- how it looks -------------------------------------------------------------------------------

    def __repr__(self) -> str:
        state = "running" if self.running else "over" if self._started else "not started"
        return f"<Session {state}: {', '.join(self.probes) or 'no probes'}>"

    def _repr_html_(self) -> str:
        from html import escape

        from pytrace.api.maps import Maps

        return f"<p>{escape(repr(self))}</p>" + Maps(self._core.kept)._repr_html_()


def _abandon(core: SessionCore) -> None:
    """Ends a session that was stopped, or that nobody holds any more."""
    core.engine.shutdown()
    if "pytrace.api.signals" in sys.modules:
        from pytrace.api.signals import forget

        forget(core.engine)
    if core.child is not None:
        core.child.close()
