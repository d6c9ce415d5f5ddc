"""The parts of a session that its thread needs. They do not refer to the `Session`, so that a session without any other
reference is collected."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from pytrace.api.engine import Engine
from pytrace.api.streams import sink_of

if TYPE_CHECKING:
    from pytrace.api.event import Event
    from pytrace.api.foreground import Console, FollowOptions
    from pytrace.api.maps import Kept
    from pytrace.api.streams import Format, TextStream
    from pytrace.output import Record, Renderer, Resolver
    from pytrace.program import Program
    from pytrace.runtime import Child, Loaded, Symbols
    from pytrace.runtime import Session as Inner

OnEvent = Callable[["Event"], object]


class SessionCore:
    """`engine` runs the session's thread. `follow_options` is set by `Session.follow`; `keeping` is False if the maps
    are not to be kept; `exit_code` and `lost` are set at the end."""

    def __init__(
        self,
        program: Program | None,
        pid: int,
        dwarf_pids: Sequence[int],
        child: Child | None,
        on_event: OnEvent | None,
        output: TextStream | int | None,
        format: Format,
        renderer: Renderer | Callable[[Resolver], Renderer] | None,
        unsafe: bool = False,
    ) -> None:
        self.program, self.pid, self.child, self._on_event = program, pid, child, on_event
        self._dwarf_pids, self._unsafe = dwarf_pids, unsafe
        self._output, self._format, self._renderer = output, format, renderer
        self._config = dict(program.config) if program else {}
        self._trailer = str(self._config.get("str_trunc_trailer", ".."))
        self.engine = Engine(self.make, self.at_end)
        self.follow_options: FollowOptions | None = None
        self.keeping = True
        self.warnings: Any = ()
        self.exit_code: int | None = None
        self.lost = 0
        self._console: Console | None = None
        self._session: Inner | None = None
        self._kept: Kept | None = None
        self._keeper = threading.Lock()

    @property
    def kept(self) -> Kept:
        """The maps, for as long as anybody may want to see them."""
        with self._keeper:
            if self._kept is None:
                from pytrace.api.maps import Kept

                self._kept = Kept(self.engine)
            return self._kept

    # --- in the thread of the session --------------------------------------------------------------

    def make(self) -> Inner:
        from pytrace.kernel import Kernel
        from pytrace.runtime import Session, Symbols

        symbols = Symbols(Kernel.running())
        renderer = self._renderer(symbols) if callable(self._renderer) else self._renderer
        on_event = self._seeing(self.program, symbols) if self.program else None
        if self.follow_options is not None:
            return self._make_followed(self.follow_options, symbols, renderer, on_event)
        if renderer is None:
            from pytrace.api.show import quiet

            renderer = quiet(self._format, sink_of(self._output), symbols, self._trailer)
            self.warnings = renderer.warnings
        self._session = Session(
            self.program,
            pid=self.pid,
            child=self.child,
            output=renderer,
            symbols=symbols,
            announce=False,
            dwarf_pids=self._dwarf_pids,
            unsafe=self._unsafe,
            show_maps=False,
            on_event=on_event,
        )
        return self._session

    def _make_followed(
        self,
        follow_options: FollowOptions,
        symbols: Symbols,
        renderer: Renderer | None,
        on_event: Callable[[Record], bool] | None,
    ) -> Inner:
        from pytrace.api.foreground import never_run
        from pytrace.runtime import Session

        program = self.program
        console = self._console = self.console(follow_options, symbols, renderer)
        self._session = Session(
            never_run(program) if program is not None and follow_options.dry_run else program,
            pid=self.pid,
            child=self.child,
            output=console.renderer,
            symbols=symbols,
            announce=not (follow_options.quiet or follow_options.dry_run),
            flush=console.flush,
            output_fd=console.fd,
            dwarf_pids=self._dwarf_pids,
            unsafe=self._unsafe,
            on_event=on_event,
        )
        return self._session

    def console(self, follow_options: FollowOptions, symbols: Symbols, renderer: Renderer | None) -> Console:
        from pytrace.api.foreground import Console

        return Console(self._output, self._format, follow_options, self._config, symbols, renderer)

    def _seeing(self, program: Program, symbols: Any) -> Callable[[Record], bool] | None:
        if self._on_event is None:
            return None
        from pytrace.api.event import EventReader

        on_event, engine = self._on_event, self.engine
        read = EventReader(program, self._maps, symbols, self._trailer)

        def see(record: Record) -> bool:
            engine.deliver(lambda: on_event(read(record)))
            return True

        return see

    def _maps(self) -> Any:
        assert self._session is not None
        return self._session.maps

    def add(self, session: Inner, program: Program) -> Loaded:
        return session.add(program, self._seeing(program, session.symbols))

    def run(self, session: Inner, program: Program, show: bool = True) -> list[Event]:
        from pytrace.api.event import EventReader

        read = EventReader(program, self._maps, session.symbols, self._trailer)
        events: list[Event] = []

        def see(record: Record) -> bool:
            events.append(read(record))
            return not show

        session.remove(session.add(program, see))
        return events

    def at_end(self, session: Inner) -> None:
        if self.keeping:
            self.kept.keep(session)
        self.exit_code, self.lost = session.exit_code, session.lost

    # --- in the thread of who follows it -----------------------------------------------------------

    def follow(self, follow_options: FollowOptions, attached: Callable[[Sequence[Loaded]], object]) -> int:
        """All of it; gives the exit status. `attached` gets what is. Raises what `Engine.here` raises, and
        `BrokenPipeError`."""
        from pytrace.api.foreground import describe

        self.follow_options = follow_options

        def begun(session: Inner) -> bool:
            attached(session.loaded)
            if follow_options.verbose and not follow_options.dry_run:
                describe(session)
            return not follow_options.dry_run

        self.engine.here(begun)
        assert self._console is not None
        self._console.close()
        return self.exit_code or 0

    def examine(self, follow_options: FollowOptions, what: str) -> int:
        """Runs the `test` or `bench` probes and shows how it went; gives the exit status."""
        from pytrace.kernel import Kernel
        from pytrace.runtime import Symbols
        from pytrace.runtime.selftest import run_benchmarks, run_tests

        assert self.program is not None
        symbols = Symbols(Kernel.running())
        renderer = self._renderer(symbols) if callable(self._renderer) else self._renderer
        console = self.console(follow_options, symbols, renderer)
        try:
            run = run_tests if what == "test" else run_benchmarks
            status = run(
                self.program, console.renderer, symbols, pid=self.pid, child=self.child, dwarf_pids=self._dwarf_pids
            )
        finally:
            self.engine.shutdown()
        console.close()
        return status
