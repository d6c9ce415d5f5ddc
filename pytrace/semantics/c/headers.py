"""Where headers are, and which of them are read at once."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence

from pytrace.diagnostics import Diagnostics, Source, Span
from pytrace.environment import variable

SYSTEM_DIRECTORIES = ("/usr/include", f"/usr/include/{os.uname().machine}-linux-gnu")
MAX_HEADER = 16 << 20
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

    def __call__(self, name: str, system: bool, asking: Span) -> Source | None:
        beside = [] if system else [os.path.dirname(asking.source.name)]
        path = self._path(name, beside)
        if path is None:
            if not system and self.diagnostics is not None and not self._kernel_header(name):
                searched = " and in ".join(("beside the script", *self.directories))
                self.diagnostics.error(asking, f"'{name}' file not found", f"looked {searched}; -I adds a directory")
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
    def _kernel_header(name: str) -> bool:
        """A header of the kernel by its place, whose types BTF has."""
        return name.startswith(("linux/", "net/", "asm/", "uapi/", "vmlinux", "trace/", "asm-generic/"))


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
