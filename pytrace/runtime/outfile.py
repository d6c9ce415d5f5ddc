"""Opening files for writing as root, where other users may have prepared the way.

In a directory that everybody can write to, a symbolic link may have been put there by somebody who wants root to
overwrite its target. The kernel's `fs.protected_symlinks` covers sticky directories only, and can be off.
"""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable, Iterator

_MOST_LINKS = 40
_FLAGS = os.O_CLOEXEC | os.O_NOCTTY


def open_for_writing(path: str, *, replaces: Callable[[bytes], bool], unsafe: bool = False) -> int:
    """Returns a descriptor of the file, created or emptied.

    Unless `unsafe`, raises OSError if the way to it leads through a symbolic link in a directory that others can write
    to (ELOOP), if it is somebody else's file in such a directory (EPERM), or if a file is there that is not empty and
    `replaces`, called with its first bytes, returns False (EEXIST). Devices, pipes and sockets are opened as they are.
    """
    if unsafe:
        return os.open(path, _FLAGS | os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o666)
    for link in _links(path):
        if _writable_by_others(os.path.dirname(link)):
            raise OSError(errno.ELOOP, "a symbolic link in a directory that others can write to", link)
    if os.path.exists(path) and not os.path.isfile(path):
        return os.open(path, _FLAGS | os.O_WRONLY)
    real = os.path.realpath(path)
    fd = os.open(real, _FLAGS | os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o666)
    try:
        _check(fd, real, replaces)
        os.ftruncate(fd, 0)
    except BaseException:
        os.close(fd)
        raise
    return fd


def _check(fd: int, real: str, replaces: Callable[[bytes], bool]) -> None:
    # Somebody may have put a link in the place of a directory meanwhile.
    if os.path.realpath(f"/proc/self/fd/{fd}") != real:
        raise OSError(errno.ELOOP, "the path changed while it was opened", real)
    status = os.fstat(fd)
    if status.st_uid != os.geteuid() and _writable_by_others(os.path.dirname(real)):
        raise OSError(errno.EPERM, "somebody else's file in a directory that others can write to", real)
    if status.st_size and not replaces(os.pread(fd, 64, 0)):
        raise OSError(errno.EEXIST, "a file of another kind is there", real)


def _links(path: str) -> Iterator[str]:
    """Yields the symbolic links that are followed to get to `path`, at most 40 of them, as the kernel does."""
    waiting = [part for part in reversed(os.path.abspath(path).split("/")) if part]
    at = ""
    followed = 0
    while waiting and followed <= _MOST_LINKS:
        part = waiting.pop()
        if part in (".", ".."):
            at = at if part == "." else os.path.dirname(at)
            continue
        here = f"{at}/{part}"
        try:
            target = os.readlink(here)
        except OSError:
            at = here
            continue
        yield here
        followed += 1
        if target.startswith("/"):
            at = ""
        waiting += [piece for piece in reversed(target.split("/")) if piece]


def _writable_by_others(directory: str) -> bool:
    return bool(os.stat(directory).st_mode & stat.S_IWOTH)
