"""`self:signal:` probes of API sessions: this process gets the signal, the probes run."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable

import pytest

import pytrace

pytestmark = pytest.mark.usefixtures("nothing_left")
COUNTS = "self:signal:SIGUSR1 { @ = count(); }"


def eventually(true: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + 30
    while not true():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.002)
    return True


def test_a_signal_reaches_the_probe() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    with pytrace.trace(COUNTS) as t:
        for n in range(1, 6):
            os.kill(os.getpid(), signal.SIGUSR1)
            assert eventually(lambda: t.maps["@"].value == n)  # noqa: B023 - called at once
    assert t.maps["@"].value == 5
    assert signal.getsignal(signal.SIGUSR1) is before


def test_one_that_is_attached_later() -> None:
    with pytrace.Session() as t:
        t.attach(COUNTS)
        os.kill(os.getpid(), signal.SIGUSR1)
        assert eventually(lambda: t.maps["@"].value == 1)


def test_two_sessions_hear_the_same_signal() -> None:
    with pytrace.trace(COUNTS) as one:
        with pytrace.trace(COUNTS) as two:
            os.kill(os.getpid(), signal.SIGUSR1)
            assert eventually(lambda: (one.maps["@"].value, two.maps["@"].value) == (1, 1))
        os.kill(os.getpid(), signal.SIGUSR1)
        assert eventually(lambda: one.maps["@"].value == 2)
    assert two.maps["@"].value == 1


def test_when_the_session_is_over_the_signal_is_what_it_was() -> None:
    heard: list[int] = []
    before = signal.signal(signal.SIGUSR1, lambda number, frame: heard.append(number))
    try:
        t = pytrace.trace("self:signal:USR1 { exit(4); }").start()
        os.kill(os.getpid(), signal.SIGUSR1)
        assert t.wait(30)
        assert not heard
        os.kill(os.getpid(), signal.SIGUSR1)  # nobody has come by since
        assert heard == [signal.SIGUSR1]
        t.stop()
        assert t.exit_code == 4
    finally:
        signal.signal(signal.SIGUSR1, before)


@pytest.mark.parametrize("which", ["SIGUSR2", "usr2", signal.SIGUSR2, int(signal.SIGUSR2)])
def test_running_the_probes_by_name(which: str | int) -> None:
    with pytrace.trace("self:signal:SIGUSR2 { @ = count(); } self:signal:SIGUSR1 { @other = count(); }") as t:
        t.signal(which)
        t.signal(which)
        assert (t.maps["@"].value, t.maps["@other"].value) == (2, None)
        with pytest.raises(ValueError, match="no signal"):
            t.signal("SIGNOSUCH")
    with pytest.raises(pytrace.SessionOver):
        t.signal("SIGUSR2")


def test_in_another_thread_a_warning_says_what_to_do() -> None:
    before = signal.getsignal(signal.SIGUSR1)
    heard: list[str] = []

    def work() -> None:
        with pytrace.trace(COUNTS, on_warning=lambda w: heard.append(str(w))) as t:
            t.signal("USR1")
            heard.append(t.maps["@"].value)

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(heard) == 2
    assert "main thread" in heard[0]
    assert heard[1] == 1
    assert signal.getsignal(signal.SIGUSR1) is before


def test_in_the_foreground() -> None:
    def see(event: pytrace.Event) -> None:
        os.kill(os.getpid(), signal.SIGUSR1)

    before = signal.getsignal(signal.SIGUSR1)
    t = pytrace.trace("interval:ms:1 { print(1); } self:signal:USR1 { exit(6); }", on_event=see, output=None)
    assert t.follow(quiet=True) == 6
    assert signal.getsignal(signal.SIGUSR1) is before
