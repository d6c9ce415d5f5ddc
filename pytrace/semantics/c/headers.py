"""Where headers are, and which of them are read at once."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.environment import variable

SYSTEM_DIRECTORIES = ("/usr/include", f"/usr/include/{os.uname().machine}-linux-gnu")
MAX_HEADER = 16 << 20
_KERNEL = frozenset(
    """
    acpi arch asm asm-generic bcc block bpf clocksource crypto cxl drivers drm dt-bindings fs generated
    hyperv kernel keys kunit kvm linux math-emu media memory misc mm mtd net pcmcia ras rdma rv scsi security
    soc sound target trace uapi ufs vdso video virt vmlinux xen
    """.split()  # noqa: SIM905
)
_LIBRARY = frozenset(
    """
    aio aliases alloca argp arpa assert bits byteswap complex cpio ctype dirent dlfcn elf endian err errno
    error execinfo fcntl features fenv float fnmatch ftw getopt glob gnu grp iconv ifaddrs inttypes langinfo
    libgen limits link locale malloc math mntent monetary mqueue net netdb netinet netpacket nl_types paths
    poll pthread pty pwd regex resolv sched search semaphore setjmp shadow signal spawn stdalign stdarg
    stdatomic stdbool stddef stdint stdio stdlib string strings stropts sys syslog tar termio termios time
    uchar ucontext ulimit unistd utime utmp wait wchar wctype wordexp
    """.split()  # noqa: SIM905
)
"""Where headers of the kernel and of the C library are, or what they are called."""
_INCLUDE = re.compile(r"""#\s*include\s*([<"])([^<>"\n]+)[>"]""")


def kernel_directories() -> tuple[str, ...]:
    """Where a kernel's own headers are, if the environment names its source directory (`PYTRACE_KERNEL_SOURCE`) and
    perhaps one that it was built in (`PYTRACE_KERNEL_BUILD`)."""
    source = variable("kernel_source") or ""
    build = variable("kernel_build") or source
    arch = {"x86_64": "x86", "aarch64": "arm64"}.get(os.uname().machine, os.uname().machine)
    parts = ((source, ""), (build, ""), (build, "/generated"), (source, "/uapi"), (build, "/generated/uapi"))
    found = (f"{root}{top}/include{part}" for root, part in parts if root for top in (f"/arch/{arch}", ""))
    return tuple(dict.fromkeys(found))


class Finder:
    """Finds headers. Those in `<>` are put off to `later` at first; the lookup that then reads them takes all."""

    def __init__(self, directories: Sequence[str], diagnostics: Diagnostics | None = None) -> None:
        self.directories = (*directories, *kernel_directories())
        self.diagnostics = diagnostics
        self.later: list[Source] = []
        self.missing: list[str] = []
        self.script: frozenset[int] = frozenset()
        """The ids of the sources whose mistakes are the script's own."""

    def __call__(self, name: str, system: bool, asking: Span) -> Source | None:
        beside = [] if system else [os.path.dirname(asking.source.name)]
        path = self._path(name, beside)
        if path is None:
            self.missing.append(name)
            asked = not system or id(asking.source) in self.script
            if self.diagnostics is not None and asked and not self._well_known(name):
                beside_script = [] if system else ["beside the script"]
                places = [*beside_script, *self.directories, *(SYSTEM_DIRECTORIES if system else ())]
                hint = f"looked {'in ' * system}{' and in '.join(places)}; -I adds a directory"
                self.diagnostics.error(asking, f"'{name}' file not found", hint)
            return None
        try:
            source = _text_of(path)
        except OSError as e:
            if self.diagnostics is not None:
                self.diagnostics.error(asking, f"cannot read {path}: {e.strerror}")
            return None
        if self.diagnostics is not None and (system or path.startswith(SYSTEM_DIRECTORIES)):
            self.later.append(source)
            return None
        return source

    def _path(self, name: str, beside: Sequence[str]) -> str | None:
        if os.path.isabs(name):
            return name if os.path.isfile(name) else None
        for directory in (*beside, *self.directories, *SYSTEM_DIRECTORIES):
            path = os.path.join(directory, name)
            if os.path.isfile(path):
                return path
        return None

    @staticmethod
    def _well_known(name: str) -> bool:
        """A header of the kernel or the C library by its name, whose types BTF has, and whose constants are known."""
        first = name.removeprefix("../").split("/")[0].removesuffix(".h")
        return first in _KERNEL or first in _LIBRARY


def put_off(finder: Finder, spans: Sequence[Span]) -> bool:
    """Whether the definitions only include headers that are not read now, which takes no preprocessor."""
    includes = [_INCLUDE.fullmatch(span.text.strip()) for span in spans]
    if None in includes:
        return False
    found = [finder(m[2], m[1] == "<", span) for m, span in zip(includes, spans, strict=True) if m]
    if any(found):
        finder.later.clear()
        return False
    return True


def _text_of(path: str) -> Source:
    with open(path, "rb") as file:
        data = file.read(MAX_HEADER)
    return Source(path, data.decode("utf-8", "surrogateescape"))
