"""The command of `-c`: started at once, so that its pid is known, and held before its exec until everything is
attached."""

from __future__ import annotations

import os
import select
import shlex
import signal
import threading
import time
from collections.abc import Callable, Sequence
from types import TracebackType
from typing import Any, Self

import _cffi_backend  # type: ignore[import-untyped]

from pytrace.kernel import KernelError

_PR_SET_PDEATHSIG = 1
_ffi: Any = _cffi_backend.FFI()
_prctl: Any = _cffi_backend.load_library(None, 0).load_function(
    _ffi.typeof("int (*)(int, unsigned long, unsigned long, unsigned long, unsigned long)"), "prctl"
)
_PATIENCE_MS = 1000


class ChildError(KernelError):
    """The command cannot be run; the message says why."""


class Child:
    """A child process that waits before its exec. If the tracer dies it gets SIGTERM, or never runs at all.

    `pid` is its process id and `fd` a pidfd (5.3+), readable when it has ended. `status` is its exit status, as a shell
    gives it (128 + signal), or None as long as it has not been reaped.
    """

    def __init__(self, command: str | Sequence[str]) -> None:
        """`command` is split as a shell would, but no shell runs. Raises `ChildError` if there is no such program."""
        try:
            self.argv = shlex.split(command) if isinstance(command, str) else list(command)
        except ValueError as error:
            raise ChildError(f"cannot run {command!r}: {error}") from error
        if not self.argv:
            raise ChildError("there is no command to run")
        path = _find(self.argv[0])
        self.status: int | None = None
        gate, self._gate = os.pipe()
        self._failure, failure = os.pipe()
        # The death signal goes by thread: it may only depend on one that lives as long as the tracer.
        mortal = threading.current_thread() is threading.main_thread()
        self._inner_gate = gate
        self.pid = os.fork()
        if not self.pid:
            _become(path, self.argv, gate, self._gate, failure, mortal)
        os.close(gate)
        os.close(failure)
        self.fd = os.pidfd_open(self.pid)

    @property
    def held(self) -> bool:
        """Whether it waits before its exec, or has ended there."""
        return self._gate >= 0

    def settle(self) -> None:
        """Returns once it waits at its gate, so that nothing which it does before can be traced; after a second at the
        latest, and at once where the kernel does not show what a process waits for."""
        until = time.monotonic() + _PATIENCE_MS / 1000
        while time.monotonic() < until:
            try:
                with open(f"/proc/{self.pid}/stat", "rb") as stat, open(f"/proc/{self.pid}/syscall", "rb") as call:
                    asleep = stat.read().rpartition(b")")[2].split()[0] == b"S"
                    # The number of the call and its first argument.
                    if asleep and call.read().split()[1:2] == [b"%#x" % self._inner_gate]:
                        return
            except OSError:
                return
            time.sleep(0.0005)

    def release(self, arrived: Callable[[], object] | None = None) -> None:
        """Lets it run. Raises `ChildError` if its exec fails. It waits while `arrived` is called, behind its exec, and
        once more when all libraries that its program is linked with are mapped."""
        if arrived is None:
            self._open_gate()
        else:
            from pytrace.runtime.entry import run_to_entry

            self._ended(run_to_entry(self.pid, self._open_gate, arrived))
        # The other end is closed by the exec, or after the errno of a failed one.
        problem = os.read(self._failure, 16)
        os.close(self._failure)
        self._failure = -1
        if problem:
            self.reap()
            raise ChildError(f"cannot run {self.argv[0]}: {os.strerror(int(problem))}")

    def _open_gate(self) -> None:
        os.write(self._gate, b"!")
        os.close(self._gate)
        self._gate = -1

    def reap(self) -> int:
        """Waits for its end and gives `status`."""
        if self.status is None:
            self._ended(os.waitpid(self.pid, 0)[1])
        assert self.status is not None
        return self.status

    def _ended(self, raw: int | None) -> None:
        if raw is not None:
            code = os.waitstatus_to_exitcode(raw)
            self.status = code if code >= 0 else 128 - code

    def close(self) -> None:
        """Ends it if it still runs: by SIGTERM, and if it ignores that for a second, by SIGKILL."""
        if self.fd < 0:
            return
        for fd in (self._gate, self._failure):
            if fd >= 0:
                os.close(fd)
        self._gate = self._failure = -1
        if self.status is None:
            poll = select.poll()
            poll.register(self.fd, select.POLLIN)
            if not poll.poll(0):
                signal.pidfd_send_signal(self.fd, signal.SIGTERM)
                if not poll.poll(_PATIENCE_MS):
                    signal.pidfd_send_signal(self.fd, signal.SIGKILL)
            self.reap()
        os.close(self.fd)
        self.fd = -1

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.close()


def _become(path: str, argv: list[str], gate: int, other: int, failure: int, mortal: bool) -> None:
    """The child's side; does not return."""
    try:
        os.close(other)
        if mortal:
            _prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        signal.set_wakeup_fd(-1)
        # What Python ignores would stay ignored behind the exec.
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        # If the tracer is gone, the gate is closed: nothing is read.
        if os.read(gate, 1):
            os.execv(path, argv)
    except OSError as error:
        os.write(failure, str(error.errno).encode())
    except BaseException:
        os._exit(126)
    finally:
        os._exit(127)


def _find(name: str) -> str:
    """The file that a command name stands for, by PATH."""
    places = [""] if "/" in name else os.environ.get("PATH", os.defpath).split(os.pathsep)
    for place in places:
        path = os.path.join(place, name)
        if os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    raise ChildError(f"cannot run {name}: there is no such program")
