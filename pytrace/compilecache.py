"""Compiled programs, kept: the same script on the same kernel starts without the compiler.

An entry is bound to the text and all that the compiler was told, to the environment's settings, to this boot of the
kernel with the modules it has, and to the very files of pytrace and LLVM. What else a compilation looks at is
watched while it runs: if it opened anything but the kernel's own tables, or noted a passing fact (`pytrace.passing`),
or put probes into files, the program is not kept. `PYTRACE_CACHE=0` turns all of this off.

Entries hold machine code, so they live in `pytrace.cache`, which nobody but its owner could have written to.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache as once

from pytrace import cache, nativestate, passing, serial
from pytrace.options import Options
from pytrace.program import Attach, Program, Tracing, Uprobe, UprobeMulti
from pytrace.record import fields

PREFIX = "program-"
LIMIT = 200
"""How many programs are kept; the ones written longest ago go first."""

_PACKAGE = os.path.dirname(os.path.abspath(__file__))
# What stands there follows from what the key holds: this boot of the kernel, its modules, its dynamic events.
_KERNEL_TABLES = (
    "/sys/kernel/btf",
    "/sys/kernel/notes",
    "/sys/kernel/tracing",
    "/sys/kernel/debug/tracing",
    "/sys/devices/system/cpu/possible",
    "/sys/bus/event_source/devices",
    # Relative to a directory of tracefs.
    "events/",
    "available_events",
    "available_filter_functions",
)


def enabled() -> bool:
    return os.environ.get("PYTRACE_CACHE", "1") not in ("0", "off", "no", "false")


def compiled(
    compile_it: Callable[[], Program],
    text: str,
    *,
    name: str,
    params: Sequence[str],
    named: Mapping[str, str | bool],
    options: Options,
) -> Program:
    """The program that `compile_it` makes of these arguments: from the cache, or made and perhaps kept."""
    if options.debug_dirs:
        from pytrace.kernel import debugfile

        # Not for the compiler only: stacks are shown with what is found there.
        debugfile.look_in(options.debug_dirs)
    if not enabled():
        return compile_it()
    entry = _entry(text, name, params, named, options)
    kept = cache.read(entry)
    if kept is not None:
        try:
            return serial.load(kept, native=True)
        except serial.BadProgram:
            pass  # it is overwritten below
    watch = _Watch()
    with watch:
        program = compile_it()
    if not watch.passing and not any(_passes(attach) for p in program.progs for attach in p.attach):
        cache.write(entry, serial.dump(program, native=True))
        cache.trim(PREFIX, LIMIT)
    return program


def _entry(text: str, name: str, params: Sequence[str], named: Mapping[str, str | bool], options: Options) -> str:
    """The name of the entry."""
    from _blake2 import blake2b

    told = [text, name, tuple(params), sorted(named.items()), *_options(options)]
    key = repr((told, sorted(_settings()), *_kernel(), *_software()))
    return PREFIX + str(blake2b(key.encode(errors="surrogatepass"), digest_size=20).hexdigest())


def _options(options: Options) -> Iterator[object]:
    for f in fields(options):
        value = getattr(options, f.name)
        if f.name == "cpid":
            # Which process it is matters to `cpid` only, which notes it.
            value = bool(value)
        yield sorted(value) if isinstance(value, frozenset) else value


def _settings() -> Iterator[tuple[str, str]]:
    return ((n, v) for n, v in os.environ.items() if n.startswith(("PYTRACE_", "BPFTRACE_")))


def _kernel() -> Iterator[object]:
    yield os.uname()[2:]
    yield _read("/proc/sys/kernel/random/boot_id")
    # Name, size and address; the rest of a line counts references.
    yield sorted(line.split()[:6:5] for line in _read("/proc/modules").splitlines())
    yield _read("/sys/kernel/tracing/dynamic_events")
    yield os.geteuid()
    try:
        own = os.stat("/proc/self/ns/pid")
        yield own.st_dev, own.st_ino
    except OSError:
        yield None


def _read(path: str) -> str:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except OSError:
        return ""


def _software() -> Iterator[object]:
    yield nativestate.VERSION
    yield sys.version
    yield sorted(_sources(_PACKAGE))
    for place in sys.path:
        library = os.path.join(place, "llvmlite", "binding", "libllvmlite.so")
        try:
            info = os.stat(library)
        except OSError:
            continue
        yield library, info.st_mtime_ns, info.st_size
        break


def _sources(directory: str) -> Iterator[tuple[str, int, int]]:
    for item in os.scandir(directory):
        if item.is_dir(follow_symlinks=False):
            yield from _sources(item.path)
        elif item.name.endswith((".py", ".lark")):
            info = item.stat()
            yield item.path, info.st_mtime_ns, info.st_size


def _passes(attach: Attach) -> bool:
    """Whether what a probe is put into may be something else the next time: a file, another BPF program."""
    return isinstance(attach, Uprobe | UprobeMulti) or (isinstance(attach, Tracing) and attach.target_prog != 0)


class _Watch:
    """Sees what is opened inside the `with`: `passing` says whether some of it may be different the next time."""

    def __init__(self) -> None:
        self.passing = False
        places = (_PACKAGE, sys.pycache_prefix, *sys.path)
        self._ours = tuple({os.path.abspath(place) for place in places if place})
        self._caches = cache.places()

    def __enter__(self) -> None:
        self._noted = passing.noted()
        _install()
        _watches.append(self)

    def __exit__(self, *exc: object) -> None:
        _watches.remove(self)
        if passing.noted() != self._noted:
            self.passing = True

    def see(self, event: str, arguments: tuple[object, ...]) -> None:
        what = arguments[0]
        if isinstance(what, int):
            return  # a file that is open already: it was seen when it was opened
        path = os.fsdecode(what) if isinstance(what, str | bytes) else ""
        if not (path.startswith(_KERNEL_TABLES) or path in self._caches or self._import(event, path)):
            self.passing = True

    def _import(self, event: str, path: str) -> bool:
        """Whether it is how modules are imported, or a BTF index, which is named after the BTF that it is of."""
        if path.lstrip(".").startswith("btf-") and ".index" in path and "/" not in path:
            return True
        # While bytecode is written, its file's name has a number at the end.
        module = path.endswith((".py", ".pyc", ".so", ".lark")) or ".pyc." in path
        return path.startswith(self._ours) and (event != "open" or module)


_watches: list[_Watch] = []
_EVENTS = ("open", "os.listdir", "os.scandir", "socket.connect", "subprocess.Popen")


@once
def _install() -> None:
    # Such a hook stays for the life of the process: there is one, and most of the time it does nothing.
    sys.addaudithook(_hook)


def _hook(event: str, arguments: tuple[object, ...]) -> None:
    if event in _EVENTS:
        for watch in tuple(_watches):
            watch.see(event, arguments)
