"""Which file an attach point in user space means: paths, names, globs, and files that a process has mapped."""

from __future__ import annotations

import glob as paths
import os
from collections.abc import Iterator
from typing import NamedTuple

from pytrace.kernel import KernelError
from pytrace.kernel.elf import Elf
from pytrace.kernel.glob import is_glob
from pytrace.kernel.libraries import resolve_binary
from pytrace.kernel.process import Process
from pytrace.probes.base import ProbeError, Target


class Binary(NamedTuple):
    """`path` opens the file from here, `name` is what the traced process calls it."""

    path: str
    name: str

    @property
    def elf(self) -> Elf:
        """Raises `ProbeError` where it is no ELF file or cannot be read."""
        try:
            return Elf.open(self.path)
        except KernelError as e:
            raise ProbeError(e.message, e.hint) from e


def find(provider: str, text: str, target: Target) -> list[Binary]:
    """The files that the first part of an attach point names: a path, the bare name of a program or library, a glob of
    paths; with `-p`, in the eyes of that process, and ``*`` or nothing for every file it has mapped.

    Raises `ProbeError` if there is none. A glob may bring in files that are no ELF files: they are left out.
    """
    process = Process(target.pid) if target.pid else None
    root = process.root if process else ""
    if text in ("", "*"):
        if process is None:
            raise ProbeError(f"{provider} needs a binary", f"write {provider}:PATH:…, or give a process by -p")
        return list(_mapped(process, root))
    if is_glob(text):
        found = [Binary(p, p.removeprefix(root)) for p in sorted(paths.glob(root + text)) if _is_elf(p)]
        if not found:
            raise ProbeError(f"{provider} target '{text}' matches no program or library")
        return found
    path = resolve_binary(text, root)
    if path is None or not os.path.isfile(path):
        where = f" in the mount namespace of process {target.pid}" if root else ""
        raise ProbeError(f"{provider} target file '{text}' does not exist or is not executable{where}")
    return [Binary(path, path.removeprefix(root))]


def _is_elf(path: str) -> bool:
    try:
        with open(path, "rb") as file:
            return os.path.isfile(path) and file.read(4) == b"\x7fELF"
    except OSError:
        return False


def _mapped(process: Process, root: str) -> Iterator[Binary]:
    seen: set[str] = set()
    for mapping in process.maps():
        path = process.path(mapping) if mapping.executable and mapping.is_file else ""
        if path and path not in seen and _is_elf(path):
            seen.add(path)
            yield Binary(path, mapping.path)
