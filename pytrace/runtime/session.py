"""A tracing session: Programs at work in the kernel, until something ends it."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from types import MappingProxyType, TracebackType
from typing import TYPE_CHECKING, Self

from pytrace.kernel import KernelError
from pytrace.output import Renderer, Text
from pytrace.program import Counter, Program
from pytrace.runtime.attach import AttachError, Place
from pytrace.runtime.commands import LAST, Commands
from pytrace.runtime.events import Dispatcher, OnEvent
from pytrace.runtime.loaded import Loaded
from pytrace.runtime.maps import KernelMap
from pytrace.runtime.sinks import FdSink
from pytrace.runtime.symbols import Symbols
from pytrace.runtime.usermaps import ScriptMap
from pytrace.runtime.waiting import Signals, Waiter

if TYPE_CHECKING:
    from pytrace.kernel import Kernel
    from pytrace.runtime.child import Child
    from pytrace.runtime.unwind import Unwinding

_ENDING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_IDLE = 0.05  # seconds between looks at a ring whose records wake nobody
_BUSY = 0.002  # while it fills faster than an eighth of it in one round
_TELL_LOST = 1.0
_STRAGGLERS = 0.5  # for records that are still being written when all is detached


class SessionError(KernelError):
    """The session cannot be: what it was to watch is not there."""


class Session:
    """Loads Programs, attaches them, delivers what they send, detaches.

    On entering, `program` is loaded and attached and its `begin` probes have run; `run` works until `exit()`, a
    signal, the end of the command, of the process `pid` or of the reader of the output; on leaving without an
    exception, everything is detached, the `end` probes run, what is still in the rings is delivered and the maps are
    shown. Whatever happens, nothing stays in the kernel.

    output      what shows events and maps; without it, text on stdout. `symbols` is the resolver that it was given
    pid         user-space probes are limited to that process, and its end is the session's
    child       the command of `-c`; it is released when everything is attached, ended and reaped by the session
    on_event    sees each event first
    native      whether native code may format events; `native_in_use` says whether it does
    show_maps   whether non-empty maps are shown at the end; by default the Program's config says so
    announce    whether `Attached N probes` is said
    flush       called before each sleep and at the end, for an output that buffers
    output_fd   where the output goes in the end: the session ends when nobody reads it any more
    dwarf_pids  processes whose stacks `dw_ustack` unwinds, besides `pid` and `child`
    unsafe      whether `skboutput()` may replace files that are no captures, and follow other users' links

    Errors on entering: `SessionError`, `MapError`, `LoadError`, `VerifierError`, `AttachError`.
    """

    def __init__(
        self,
        program: Program | None = None,
        *,
        pid: int = 0,
        child: Child | None = None,
        output: Renderer | None = None,
        symbols: Symbols | None = None,
        kernel: Kernel | None = None,
        on_event: OnEvent | None = None,
        native: bool = True,
        show_maps: bool | None = None,
        announce: bool = True,
        flush: Callable[[], object] | None = None,
        output_fd: int | None = None,
        dwarf_pids: Iterable[int] = (),
        unsafe: bool = False,
    ) -> None:
        if kernel is None:
            from pytrace.kernel import Kernel

            kernel = Kernel.running()
        self.kernel, self.child = kernel, child
        self.pid = pid or (child.pid if child else 0)
        self.symbols = symbols or Symbols(kernel)
        self._watched_pid = pid
        self._program = program
        config = dict(program.config) if program else {}
        self._trailer = str(config.get("str_trunc_trailer", ".."))
        if output is None:
            output = Text(FdSink(1), FdSink(2), self.symbols, trailer=self._trailer)
            output_fd = 1 if output_fd is None else output_fd
        self.output = output
        self._on_event, self._native = on_event, native and on_event is None
        self.native_in_use = False
        self._show_maps = show_maps is not False
        self._with_maps = show_maps or bool(config.get("print_maps_on_exit", True))
        self._announce, self._flush, self._output_fd = announce, flush, output_fd
        self._loaded: list[Loaded] = []
        self._dispatchers: dict[Loaded, Dispatcher] = {}
        self._errors_before = 0
        self._script_maps: dict[str, ScriptMap] = {}
        self._stacks: dict[str, KernelMap] = {}
        self._dwarf_pids = tuple(dwarf_pids)
        self._unwinding: Unwinding | None = None
        self._cut_stacks: dict[Counter, int] = {}
        self._exit_code: int | None = None
        self._ending = False
        self._finished = False
        self._output_closed = False  # nobody reads the output any more
        self._lost_told = time.monotonic()
        self._untold = 0
        self._opened = contextlib.ExitStack()
        self._waiter = Waiter()
        self._opened.callback(self._waiter.close)
        self._signals = Signals(self._waiter, _ENDING)
        self._commands = Commands(self._waiter, self._command_printed)
        self._ended_at: float | None = None  # when a signal was first seen to end the session
        self._unsafe = unsafe

    # --- what is in it ---------------------------------------------------------------------------

    @property
    def maps(self) -> Mapping[str, ScriptMap]:
        """The script's maps by name (`@x`). They answer after the session, too, if `keep_maps` was called in it."""
        return MappingProxyType(self._script_maps)

    def keep_maps(self) -> None:
        """Reads all maps, so that they answer when the session is over."""
        for script_map in self._script_maps.values():
            script_map.keep()

    @property
    def loaded(self) -> tuple[Loaded, ...]:
        return tuple(self._loaded)

    @property
    def lost(self) -> int:
        """Events that found no room in a ring, so far."""
        return sum(loaded.books.lost for loaded in self._loaded) + self._lost_before

    _lost_before = 0

    def add(self, program: Program, on_event: OnEvent | None = None, announce: bool = False) -> Loaded:
        """Loads one more Program, runs its `begin` probes and attaches it. Its maps are those of the session where the
        names are the same; if their types are not, `MapMismatch` is raised and nothing has changed. Its events are
        seen by `on_event` instead of the session's. With `announce`, that it is attached is said before its output."""
        on_event = on_event or self._on_event
        missing = str(dict(program.config).get("missing_probes", "error"))
        known = dict(self._script_maps)
        shared = self._stacks | self._unwinding_for(program)
        loaded = Loaded(program, Place(self.kernel, self.pid), self._script_maps, shared)
        try:
            dispatcher = Dispatcher(
                program,
                loaded.script_maps,
                self.output,
                self.stop,
                on_event,
                loaded.unwatch,
                system=self._commands.run,
                late=self._late,
                unsafe=self._unsafe,
            )
            self._dispatchers[loaded] = dispatcher
            as_text = self._native and on_event is None and not getattr(self.output, "needs_values", True)
            write = self._raw if as_text else None
            native = loaded.deliver(self._while_asleep(dispatcher), write, trailer=self._trailer.encode())
            self.native_in_use = self.native_in_use or native
            script_maps, stacks = loaded.adopt()
            self._script_maps |= script_maps
            self._stacks |= stacks
            self.symbols.add_stacks(stacks)
            self.symbols.configure(dict(program.config))
            self.symbols.watch(program, self._watched_pid)
            self._loaded.append(loaded)
            self._signals.take(loaded.signals)
            loaded.run("begin")
            going_on = not self._over()
            if going_on:
                loaded.attach(lambda error: self._missed(error, missing))
            if announce:
                self.output.attached(len(program.probes))
            self._drain(loaded)
            if going_on:
                loaded.walk(lambda text: self._walked(loaded, text))
        except BaseException:
            if loaded in self._loaded:
                self._loaded.remove(loaded)
            self._dispatchers.pop(loaded, None)
            loaded.close()
            for name in self._script_maps.keys() - known.keys():
                self._script_maps.pop(name).kernel_map.close()
            raise
        self._waiter.watch(loaded.ring.fd, loaded)
        return loaded

    def _unwinding_for(self, program: Program) -> dict[str, KernelMap]:
        """The maps that a program unwinds stacks by, if it does: those of the session, filled."""
        if not program.unwinding:
            return {}
        if self._unwinding is None:
            from pytrace.runtime.unwind import Unwinding

            held = {self.child.pid} if self.child is not None and self.child.held else set()
            pids = {self.pid, *self._dwarf_pids} - {0}
            if not pids:
                raise SessionError("dw_ustack requires a target process: name it by -p, -c or --dwarf-pid")
            for pid in self._dwarf_pids:
                if not os.path.exists(f"/proc/{pid}"):
                    raise SessionError(f"there is no process {pid}")
            possible, online = self.kernel.possible_cpus, self.kernel.online_cpus
            self._unwinding = Unwinding(program.maps, possible, online, pids - held, held, self.output.message)
            for fd in self._unwinding.fds:
                self._waiter.watch(fd, "mapped")
        return self._unwinding.maps

    def _while_asleep(self, handle: Callable[[memoryview], object]) -> Callable[[memoryview], bool]:
        """The same, asking to stop when somebody waits."""

        def handle_one(data: memoryview) -> bool:
            handle(data)
            return self._woken or (self._signals.ended and not self._finished)

        return handle_one

    def _late(self) -> bool:
        """Whether a signal has ended the session so long ago that commands are no longer started."""
        if not self._signals.ended:
            return False
        if self._ended_at is None:
            self._ended_at = time.monotonic()
        return time.monotonic() - self._ended_at > LAST

    def _command_printed(self, text: bytes) -> None:
        with self._noting_closed_output():
            self.output.system(text)

    def _await_commands(self) -> None:
        """Runs the commands of `system()` that are left to run; after a signal, for a moment only."""
        while self._commands.busy:
            if self._output_closed or self._late():
                self._commands.terminate()
            self._commands.pump(_IDLE)

    def _raw(self, text: memoryview) -> None:
        self.output.raw(bytes(text))

    def _walked(self, loaded: Loaded, text: bytes) -> None:
        self._drain(loaded)
        if text:
            with self._noting_closed_output():
                self.output.raw(text)

    def remove(self, loaded: Loaded) -> None:
        """Detaches one Program, runs its `end` probes and delivers what it had sent. Its maps stay."""
        self._retire(loaded)
        self._waiter.forget(loaded.ring.fd)
        self._tell_books(loaded)
        self._tell_cut_stacks()
        self._lost_before += loaded.books.lost
        dispatcher = self._dispatchers.pop(loaded)
        self._errors_before += dispatcher.errors
        dispatcher.close()
        self._loaded.remove(loaded)
        loaded.close()

    def _missed(self, error: AttachError, missing: str) -> None:
        if missing == "error":
            raise error
        if missing == "warn":
            self.output.message(f"WARNING: {error}")

    # --- its life ----------------------------------------------------------------------------------

    def __enter__(self) -> Self:
        try:
            self._opened.enter_context(self._signals)
            if self._watched_pid:
                self._watch_process(self._watched_pid)
            if self.child is not None:
                self._opened.callback(self.child.close)
                self._waiter.watch(self.child.fd, "child")
                self.child.settle()
            if self._output_fd is not None:
                self._watch_reader(self._output_fd)
            if self._program is not None:
                with self._noting_closed_output():
                    self.add(self._program, announce=self._announce)
            if self.child is not None and not self._over():
                unwinding, child = self._unwinding, self.child
                child.release((lambda: unwinding.refresh((child.pid,))) if unwinding is not None else None)
        except BaseException:
            self.close()
            raise
        return self

    def _watch_process(self, pid: int) -> None:
        try:
            fd = os.pidfd_open(pid)
        except OSError as error:
            raise SessionError(f"there is no process {pid}") from error
        self._opened.callback(os.close, fd)
        self._waiter.watch(fd, "process")

    def _watch_reader(self, fd: int) -> None:
        """A pipe reports an error to its writer when the last reader is gone; files cannot be watched, nor end so."""
        with contextlib.suppress(OSError):
            copy = os.dup(fd)
            self._opened.callback(os.close, copy)
            self._waiter.watch(copy, "reader", 0)

    def stop(self, code: int | None = None) -> None:
        """Ends `run` soon, from any thread; `code` is what it then gives."""
        if code is not None and self._exit_code is None:
            self._exit_code = code
        self._ending = True
        self._waiter.wake()

    def take_exit(self) -> int | None:
        """The code of an `exit()` that is to end the session, which then goes on; None if there was none."""
        self._over()
        code, self._exit_code, self._ending = self._exit_code, None, False
        for loaded in self._loaded:
            loaded.books.resume()
        return code

    @property
    def errors(self) -> int:
        """How many `errorf` there were."""
        return sum(dispatcher.errors for dispatcher in self._dispatchers.values()) + self._errors_before

    def _over(self) -> bool:
        if self._ending or self._signals.ended or self._output_closed:
            return True
        for loaded in self._loaded:
            if loaded.books.exiting:
                self.stop(loaded.books.exit_code)
                return True
        return False

    @property
    def over(self) -> bool:
        """Whether it is to end: by `exit()`, a signal, or the end of what it watches."""
        return self._over()

    @property
    def waits(self) -> bool:
        """Whether anything may still happen by itself: something is attached, a command runs, a signal is awaited."""
        return self.child is not None or any(loaded.waits for loaded in self._loaded)

    @property
    def exit_code(self) -> int | None:
        """What `exit()` was given, or None as long as it was not called."""
        return self._exit_code

    def wake(self) -> None:
        """Ends a `poll` early, from any thread: its sleep, and its delivery of events that Python has to show, of which
        there may be seconds' worth in the rings."""
        self._woken = True
        self._waiter.wake()

    def run(self) -> int:
        """Delivers events until the session is to end, detaches, and shows what is left to show. Gives the code of
        `exit()`, else 0 (how the command ended is in `child.status`). A second Ctrl-C raises `KeyboardInterrupt`."""
        waits = self.waits
        while waits and not self._over():
            self.poll()
        self.finish()
        return self._exit_code or 0

    def poll(self, timeout: float | None = None) -> bool:
        """One round: sleeps until something is to be done, but not longer than `timeout` seconds, and delivers what has
        come. Whether the session is to go on."""
        longest = self._pause if timeout is None else min(timeout, self._pause)
        if self._flush is not None:
            with self._noting_closed_output():
                self._flush()
        ready = self._waiter.wait(longest)
        for number in self._signals.drain():
            self.signal(number)
        if "child" in ready or "process" in ready:
            if self.child is not None and "child" in ready:
                self.child.reap()
            self._ending = True
        if "reader" in ready:
            self._output_closed = True
        self._commands.next_round()
        self.drain()
        self._woken = False
        return not self._over()

    _woken = False
    _pause = _IDLE

    def signal(self, number: int) -> None:
        """Runs the programs that wait for a signal of this process."""
        for loaded in self._loaded:
            loaded.signal(number)

    def drain(self) -> int:
        """Delivers what is in the rings now. Gives the bytes taken out."""
        taken = 0
        busy = False
        for loaded in self._loaded:
            size = self._drain(loaded)
            busy = busy or size * 8 > loaded.ring.size
            taken += size
        self._pause = _BUSY if busy else _IDLE
        self.symbols.processes.poll()
        if self._unwinding is not None:
            self._unwinding.poll()
        now = time.monotonic()
        if now - self._lost_told >= _TELL_LOST:
            self._lost_told = now
            for loaded in self._loaded:
                self._tell_books(loaded)
        return taken

    def _drain(self, loaded: Loaded) -> int:
        with self._noting_closed_output():
            return loaded.drain()
        return 0

    @contextlib.contextmanager
    def _noting_closed_output(self) -> Iterator[None]:
        """Notes that the reader of the output is gone, which is no error."""
        try:
            yield
        except BrokenPipeError:
            self._output_closed = True

    def _retire(self, loaded: Loaded) -> None:
        """Detaches, runs `end`, and delivers everything that was sent."""
        if loaded.links:
            loaded.detach()
            _settle()
        self._drain_all(loaded)
        if loaded.books.exiting:
            self.stop(loaded.books.exit_code)
            loaded.books.resume()
        if not self._output_closed:
            loaded.run("end")
            self._drain_all(loaded)
            if loaded.books.exiting:  # the last word
                self._exit_code = loaded.books.exit_code

    def _drain_all(self, loaded: Loaded) -> None:
        until = time.monotonic() + _STRAGGLERS
        self._woken = False
        while not self._output_closed and loaded.pending:
            if not self._drain(loaded) and time.monotonic() > until:
                return

    def finish(self) -> None:
        """Detaches everything, runs the `end` probes, delivers the rest, shows maps and losses. Once only."""
        if self._finished:
            return
        self._finished = True
        for loaded in self._loaded:
            self._retire(loaded)
        for loaded in self._loaded:
            if loaded.books.exiting and self._exit_code is None:
                self._exit_code = loaded.books.exit_code
        self._await_commands()
        with self._noting_closed_output():
            if not self._output_closed and self._show_maps:
                shown = self._script_maps.values() if self._with_maps else ()
                self.output.maps((m.user_map, m.entries()) for m in shown)
            if self._flush is not None:
                self._flush()
        for loaded in self._loaded:
            self._tell_books(loaded)
        self._tell_cut_stacks()
        self._tell_dropped()
        if self.lost:
            self.output.lost_total(self.lost)
        unseen = self.symbols.processes.lost
        if unseen:
            self.output.message(
                f"WARNING: {unseen} reports of processes and their files were lost: user addresses may have no names"
            )
        missed = sum(loaded.misses() for loaded in self._loaded)
        if missed:
            self.output.message(
                f"WARNING: {missed} times a probe fired within itself or another of its kind and was not run"
            )

    def _tell_books(self, loaded: Loaded) -> None:
        new = loaded.books.take_new()
        lost = sum(n for counter, n in new if counter.kind == "lost")
        if lost:
            self.output.lost(lost)
        for counter, n in new:
            if counter.kind == "helper_error":
                # Reads of memory fail in one way, lookups give no reason.
                code = 0 if counter.subject == "map_lookup_elem" else -errno.EFAULT
                reason = os.strerror(-code) if code else "Can't lookup map element because it does not exist."
                self.output.helper_error(counter.subject, code, f"{reason} ({n} times)", counter.location)
            elif counter.kind.startswith("unwind_"):
                self._cut_stacks[counter] = self._cut_stacks.get(counter, 0) + n
            elif text := _complaint(counter, n):
                self.output.message(text)

    def _tell_dropped(self) -> None:
        """Says, at the end, what `system()`, `cat()` and `skboutput()` were asked for and did not do."""
        dropped = self._commands.dropped + sum(dispatcher.dropped for dispatcher in self._dispatchers.values())
        if dropped:
            self.output.message(
                f"WARNING: {dropped} calls of system() or cat() were not carried out: there were too many"
            )
        for dispatcher in self._dispatchers.values():
            for path, n in dispatcher.lost_packets.items():
                self.output.message(f"WARNING: {n} packets were not written to '{path}'")

    def _tell_cut_stacks(self) -> None:
        """Once, at the end: with a probe that fires everywhere they are expected, and many."""
        for counter, n in self._cut_stacks.items():
            self.output.message(_complaint(counter, n))
        self._cut_stacks.clear()

    def close(self) -> None:
        """Gives everything back without a word. `finish` is the polite way to end."""
        self._finished = True
        self._commands.close()
        for dispatcher in self._dispatchers.values():
            dispatcher.close()
        for loaded in self._loaded:
            loaded.close()
        self._loaded.clear()
        for script_map in self._script_maps.values():
            script_map.kernel_map.close()
        for stacks in self._stacks.values():
            stacks.close()
        self._stacks.clear()
        if self._unwinding is not None:
            self._unwinding.close()
            self._unwinding = None
        self.symbols.processes.close()
        self._opened.close()

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        try:
            if kind is None:
                self.finish()
        finally:
            self.close()


def _settle() -> None:
    """Waits until programs that were running when they were detached have ended: such a program is not preempted, so
    being scheduled once on each CPU is enough."""
    allowed = os.sched_getaffinity(0)
    for cpu in allowed:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, {cpu})
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, allowed)


def _complaint(counter: Counter, n: int) -> str:
    where = "{}:{}:{}: ".format(*counter.location) if counter.location[0] else ""
    match counter.kind:
        case "map_full":
            return (
                f"{where}WARNING: Map full; can't update element of {counter.subject} ({n} times). Try increasing "
                "max_map_keys config or manually evicting old entries"
            )
        case "map_failed":
            return f"{where}WARNING: {n} updates of {counter.subject} failed: there was no memory for a new element"
        case "bad_prefix":
            return f"{where}WARNING: {n} updates of {counter.subject} failed: no address has a prefix of that length"
        case "sample_lost":
            return f"{where}WARNING: {n} samples of {counter.subject} were lost: they came while another was added"
        case "stack_lost":
            return f"{where}WARNING: {n} stacks were not kept, and are shown empty: there was no room for them"
        case "run_lost":
            return f"{where}WARNING: {n} events were lost: too many runs of their probe were interrupted at once"
        case "loop_limit":
            return f"{where}WARNING: a loop was cut short {n} times"
        case "unwind_process":
            return (
                f"{where}WARNING: {n} stacks are empty: dw_ustack unwinds those of the processes of -p, -c and "
                "--dwarf-pid"
            )
        case "unwind_unknown":
            return f"{where}WARNING: {n} stacks end early, in code without unwind information"
        case "unwind_fault":
            return f"{where}WARNING: {n} stacks end early: their memory could not be read"
        case "divide_by_zero":
            return f"{where}WARNING: {n} divisions by zero gave 1"
        case "out_of_bounds":
            return f"{where}WARNING: an index was out of bounds {n} times; what is not there reads as 0"
    return ""  # what was lost is told by the renderer
