"""Which file a bare name of a program or library means."""

from __future__ import annotations

import os
import re
import struct
from functools import lru_cache

_CACHE = "/etc/ld.so.cache"
_MAGIC = b"glibc-ld.so.cache1.1"
_HEADER, _ENTRY = 48, struct.Struct("<iIIIQ")
# Type and architecture of an entry (glibc's sysdeps/generic/ldconfig.h): ELF for libc6, and 64-bit x86 or arm.
_FLAGS = {"x86_64": 0x0303, "aarch64": 0x0A03}
# Where there is no cache (musl, minimal containers).
_DIRECTORIES = ("/lib", "/usr/lib", "/usr/local/lib", "/lib64", "/usr/lib64")


def parse_ld_cache(data: bytes, machine: str) -> dict[str, str]:
    """Library file names to paths of an ld.so.cache, for one architecture. Empty for what is no such cache."""
    # The current format may stand behind an older one; its strings count from its own start.
    start = data.find(_MAGIC)
    if start < 0 or len(data) < start + _HEADER:
        return {}
    (count,) = struct.unpack_from("<I", data, start + len(_MAGIC))
    found: dict[str, str] = {}
    for at in range(
        start + _HEADER, min(start + _HEADER + count * _ENTRY.size, len(data) - _ENTRY.size + 1), _ENTRY.size
    ):
        flags, key, value, _, _ = _ENTRY.unpack_from(data, at)
        if flags == _FLAGS.get(machine):
            name, path = (data[start + s : data.find(b"\0", start + s)].decode() for s in (key, value))
            found.setdefault(name, path)  # the cache holds the best one first
    return found


@lru_cache(maxsize=8)
def _cache_of(root: str) -> dict[str, str]:
    try:
        with open(root + _CACHE, "rb") as file:
            return parse_ld_cache(file.read(), os.uname().machine)
    except OSError:
        return {}


def find_library(name: str, root: str = "") -> str | None:
    """The path of the library that `libc.so.6`, `libc.so`, `libc` or `c` means, below `root` (`/proc/PID/root` for a
    container; the path has it in front). The dynamic loader's own cache decides."""
    stem = name if name.startswith("lib") else f"lib{name}"
    for known in (_cache_of(root), _in_directories(root)):
        for wanted in (name, f"{name}.so", stem, f"{stem}.so"):
            if wanted in known:
                return root + known[wanted]
        versions = [n for n in known if re.fullmatch(re.escape(stem.removesuffix(".so")) + r"\.so\.[0-9.]+", n)]
        if versions:
            return root + known[max(versions, key=_version)]
    return None


def _version(name: str) -> list[int]:
    return [int(n) for n in re.findall(r"\d+", name.rpartition(".so.")[2])]


@lru_cache(maxsize=8)
def _in_directories(root: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for directory in _DIRECTORIES:
        try:
            names = os.listdir(root + directory)
        except OSError:
            continue
        for name in names:
            if name.startswith("lib") and ".so" in name:
                found.setdefault(name, f"{directory}/{name}")
    return found


def find_program(name: str, root: str = "") -> str | None:
    """The path of the program that a shell would start for `name`, below `root`; a name with a slash is itself."""
    if "/" in name:
        return root + name if os.path.exists(root + name) else None
    places = [*os.environ.get("PATH", "").split(":"), "/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin"]
    for directory in [*places, "/sbin", "/bin"]:
        path = f"{root}{directory}/{name}"
        if directory and os.path.isfile(path) and os.access(path, os.X_OK):
            return path
    return None


def resolve_binary(name: str, root: str = "") -> str | None:
    """The path of a program or library by its path, by $PATH, or by the loader's cache."""
    return find_program(name, root) or (None if "/" in name else find_library(name, root))
