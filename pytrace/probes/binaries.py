"""Which file an attach point in user space means: paths, names, globs, and files that a process has mapped."""

from __future__ import annotations

import glob as paths
import os
import re
import stat
from collections.abc import Iterator
from typing import NamedTuple

from pytrace.kernel import KernelError
from pytrace.kernel.elf import Elf
from pytrace.kernel.glob import compile_glob, is_glob, matches
from pytrace.kernel.libraries import resolve_binary
from pytrace.kernel.process import Process
from pytrace.probes.base import NoMatch, ProbeError, Target


class Binary(NamedTuple):
    """`path` opens the file from here, `name` is what the traced process calls it. A library in an archive `start`s
    somewhere in that file and has a `size`."""

    path: str
    name: str
    start: int = 0
    size: int = 0

    @property
    def is_elf(self) -> bool:
        """Whether it is an ELF file that can be looked into; a library in an archive is."""
        return bool(self.size) or is_elf(self.path)

    @property
    def elf(self) -> Elf:
        """Raises `ProbeError` where it is no ELF file or cannot be read."""
        try:
            if self.size:
                from pytrace.kernel.archives import open_member

                return open_member(self.path, self.start, self.size)
            return Elf.open(self.path)
        except KernelError as e:
            raise ProbeError(e.message, e.hint) from e


def find(provider: str, text: str, target: Target) -> list[Binary]:
    """The files that the first part of an attach point names: a path, the bare name of a program or library, a glob of
    paths or of the names of programs in $PATH. With `-p`, in the eyes of that process; globs of names, and nothing for
    ``*``, are of the files that it executes from then. `ARCHIVE!/MEMBER` is a library in a ZIP archive.

    Raises `ProbeError` if there is none. A glob may bring in files that are no ELF files: they are left out.
    """
    process = Process(target.pid) if target.pid else None
    root = process.root if process else ""
    if not text and process is None:
        raise ProbeError(f"{provider} needs a binary", f"write {provider}:PATH:…, or give a process by -p")
    archive, inside, member = text.partition("!/")
    if inside and archive:
        return list(_members(provider, archive, member, root))
    if not text or is_glob(text):
        found = list(_each_once(_candidates(text or "*", process, root)))
        if not found:
            raise NoMatch(f"{provider} target '{text}' matches no program or library")
        return found
    path = resolve_binary(text, root)
    if path is None or not os.path.isfile(path):
        where = f" in the mount namespace of process {target.pid}" if root else ""
        raise ProbeError(f"{provider} target file '{text}' does not exist or is not executable{where}")
    return [Binary(path, path.removeprefix(root))]


_MERGED = re.compile(r"lib(pthread|dl|rt|util|anl)[-.].*")


def successor(file: Binary) -> Binary | None:
    """The libc that has what was in a library once: since glibc 2.34 libpthread and its kin are empty."""
    directory, name = os.path.split(file.path)
    libc = os.path.join(directory, "libc.so.6")
    if not _MERGED.fullmatch(name) or file.size or not os.path.isfile(libc):
        return None
    return Binary(libc, os.path.join(os.path.dirname(file.name), "libc.so.6"))


def _members(provider: str, archive: str, pattern: str, root: str) -> Iterator[Binary]:
    """The libraries in an archive."""
    from pytrace.kernel.archives import members

    try:
        found = members(root + archive, pattern)
    except KernelError as e:
        raise ProbeError(f"{provider} target {e.message}", e.hint) from e
    if not found:
        raise ProbeError(f"{provider} target '{archive}' has no member '{pattern}'", f"unzip -l {archive} shows them")
    for member in found:
        name = f"{archive}!/{member.name}"
        if not member.stored:
            hint = "what runs is a copy that was unpacked somewhere: probe that file"
            raise ProbeError(
                f"{provider} target '{name}' is compressed, so that no process can run it from there", hint
            )
        yield Binary(root + archive, name, member.start, member.size)


def _candidates(pattern: str, process: Process | None, root: str) -> Iterator[Binary]:
    if "/" in pattern:
        for path in sorted(paths.glob(root + pattern)):
            yield Binary(path, path.removeprefix(root))
    elif process is not None:
        for mapping in process.maps():
            if mapping.executable and mapping.is_file and matches(os.path.basename(mapping.path), pattern):
                yield Binary(process.path(mapping), mapping.path)
    else:
        accepts = compile_glob(pattern).fullmatch
        for directory in os.environ.get("PATH", os.defpath).split(":"):
            names = sorted(os.listdir(directory)) if os.path.isdir(directory) else ()
            for name in filter(accepts, names):
                yield Binary(f"{directory}/{name}", f"{directory}/{name}")


def _each_once(candidates: Iterator[Binary]) -> Iterator[Binary]:
    """The ELF files among them. One that has several names is taken by the first: a call in it is one call."""
    seen: set[tuple[int, int]] = set()
    for binary in candidates:
        try:
            info = os.stat(binary.path)
        except OSError:
            continue
        file = info.st_dev, info.st_ino
        if file not in seen and stat.S_ISREG(info.st_mode) and is_elf(binary.path):
            seen.add(file)
            yield binary


def is_elf(path: str) -> bool:
    """Whether it is an ELF file that can be looked into, 64-bit and little-endian."""
    try:
        with open(path, "rb") as file:
            return file.read(6) == b"\x7fELF\2\1"
    except OSError:
        return False
