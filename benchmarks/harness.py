"""What the benchmarks share: the tracers that are compared, the load that is traced, and how a run is measured."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from threading import Timer

HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Tracer:
    """A command that takes `-e`, `-c` and `-o`, and the name it has in the tables."""

    name: str
    command: tuple[str, ...]


@dataclass(frozen=True)
class Run:
    """One finished run: wall and CPU seconds (children that were waited for included), peak memory in MiB."""

    wall: float
    cpu: float
    memory: float
    status: int
    errors: str


def pytrace() -> Tracer:
    """The pytrace of this checkout, or of the environment that runs the benchmark."""
    installed = Path(sys.executable).with_name("pytrace")
    command = (str(installed),) if installed.exists() else (sys.executable, "-m", "pytrace")
    os.environ["PYTHONPATH"] = str(HERE.parent)
    # As it runs for a user: with its modules compiled to bytecode once, not in every run.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    return Tracer("pytrace", command)


def bpftrace() -> Tracer | None:
    """The bpftrace that $BPFTRACE names or PATH has."""
    path = os.environ.get("BPFTRACE") or shutil.which("bpftrace")
    return Tracer("bpftrace", (path,)) if path else None


def scratch() -> Path:
    """A directory for this process's files, removed when it ends."""
    return _scratch()


@cache
def _scratch() -> Path:
    path = Path(tempfile.mkdtemp(prefix="pytrace-bench."))
    atexit.register(shutil.rmtree, path, ignore_errors=True)
    return path


@cache
def load() -> str:
    """The compiled load program (see load.c)."""
    binary = scratch() / "load"
    subprocess.run(["gcc", "-O2", "-o", binary, HERE / "load.c"], check=True)
    return str(binary)


@dataclass(frozen=True)
class Load:
    """What the load said of itself. Times are CPU time: what else runs on the machine shows least in them."""

    calls: int
    ns_per_call: float
    cpu: float


def read_load(text: str) -> Load:
    calls, _, cpu = (int(n) for n in text.split())
    return Load(calls, cpu * 1000 / calls, cpu / 1e6)


def run_load(calls: int) -> Load:
    """Runs the load beside whatever is tracing."""
    return read_load(subprocess.run([load(), str(calls)], check=True, capture_output=True, text=True).stdout)


def run(tracer: Tracer, *arguments: str, timeout: float = 300) -> Run:
    """A whole run of a tracer, its output thrown away."""
    errors = scratch() / "errors"
    with errors.open("wb") as sink:
        began = time.monotonic()
        process = subprocess.Popen([*tracer.command, *arguments], stdout=subprocess.DEVNULL, stderr=sink)
        watchdog = _kill_after(process, timeout)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.monotonic() - began
        watchdog.cancel()
        process.returncode = os.waitstatus_to_exitcode(status)
    text = errors.read_text(errors="replace")
    return Run(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024, process.returncode, text)


def _kill_after(process: subprocess.Popen[bytes], seconds: float) -> Timer:

    timer = Timer(seconds, process.kill)
    timer.daemon = True
    timer.start()
    return timer


@contextmanager
def tracing(tracer: Tracer, script: str) -> Iterator[int]:
    """Traces while the body runs, from the moment at which everything is attached; gives the tracer's pid."""
    errors = scratch() / "errors"
    with errors.open("wb") as sink:
        process = subprocess.Popen([*tracer.command, "-e", script], stdout=subprocess.DEVNULL, stderr=sink)
        try:
            deadline = time.monotonic() + 120
            while b"Attached " not in errors.read_bytes():
                if process.poll() is not None or time.monotonic() > deadline:
                    raise SystemExit(f"{tracer.name} did not attach:\n{errors.read_text(errors='replace')}")
                time.sleep(0.01)
            time.sleep(0.05)
            yield process.pid
        finally:
            if process.poll() is None:
                process.send_signal(signal.SIGINT)
                process.wait(120)


def program_cost(pid: int) -> float:
    """Nanoseconds per run, by the kernel's own statistics, of the busiest BPF program that a process has open."""
    best = (0, 0.0)
    for info in Path(f"/proc/{pid}/fdinfo").iterdir():
        try:
            facts = dict(re.findall(r"^(\w+):\s+(\d+)$", info.read_text(), re.MULTILINE))
        except FileNotFoundError:  # closed since the directory was listed
            continue
        if "run_cnt" in facts and int(facts["run_cnt"]) > best[0]:
            best = (int(facts["run_cnt"]), int(facts["run_time_ns"]) / int(facts["run_cnt"]))
    if not best[0]:
        raise SystemExit(f"no BPF program of process {pid} ran")
    return best[1]


@contextmanager
def bpf_statistics() -> Iterator[None]:
    """The kernel counts and times every run of a BPF program while the body runs (since Linux 5.1)."""
    switch = Path("/proc/sys/kernel/bpf_stats_enabled")
    before = switch.read_text()
    switch.write_text("1")
    try:
        yield
    finally:
        switch.write_text(before)
