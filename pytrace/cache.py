"""A directory on disk that only its owner could have written to, for what is costly to make twice.

Root keeps it in /var/cache/pytrace, everybody else in ~/.cache/pytrace; `$XDG_CACHE_HOME` moves it. The directory
and its files must belong to the caller and be writable by nobody else, or they are treated as absent:
what is read from here may be trusted as far as the caller trusts itself. Every function works without a cache:
reading gives None, writing gives False.
"""

from __future__ import annotations

import os
import stat

_FOREIGN = stat.S_IWGRP | stat.S_IWOTH


def places() -> list[str]:
    """Directories that are tried, in order."""
    found = []
    if xdg := os.environ.get("XDG_CACHE_HOME", ""):
        # The specification says that a relative path is to be ignored.
        return [os.path.join(xdg, "pytrace")] if os.path.isabs(xdg) else []
    if os.geteuid() == 0:
        found.append("/var/cache/pytrace")
    home = os.path.expanduser("~")
    if os.path.isabs(home):
        found.append(os.path.join(home, ".cache", "pytrace"))
    return found


def _open_directory(path: str, create: bool) -> int | None:
    """An O_PATH-like fd of a directory that is ours alone. All further steps are relative to it, so that nobody
    who owns a directory above can swap it under us."""
    if create:
        try:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            os.mkdir(path, 0o700)
        except FileExistsError:
            pass
        except OSError:
            return None
    try:
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError:
        return None
    info = os.fstat(fd)
    if info.st_uid == os.geteuid() and not info.st_mode & _FOREIGN:
        return fd
    os.close(fd)
    return None


def open_file(name: str) -> int | None:
    """A read-only fd of the cached file `name` (the caller closes it), or None."""
    for path in places():
        directory = _open_directory(path, create=False)
        if directory is None:
            continue
        try:
            fd = os.open(name, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC, dir_fd=directory)
        except OSError:
            continue
        finally:
            os.close(directory)
        info = os.fstat(fd)
        if stat.S_ISREG(info.st_mode) and info.st_uid == os.geteuid() and not info.st_mode & _FOREIGN:
            return fd
        os.close(fd)
    return None


def read(name: str) -> bytes | None:
    """The contents of the cached file `name`, or None."""
    fd = open_file(name)
    if fd is None:
        return None
    with os.fdopen(fd, "rb") as file:
        return file.read()


def write(name: str, data: bytes) -> bool:
    """Keeps `data` as `name`, all or nothing (readers see the old file or the new one). Says whether it could."""
    for path in places():
        directory = _open_directory(path, create=True)
        if directory is None:
            continue
        temporary = f".{name}.{os.getpid()}"
        try:
            flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC
            fd = os.open(temporary, flags, 0o600, dir_fd=directory)
            try:
                with os.fdopen(fd, "wb") as file:
                    file.write(data)
                os.rename(temporary, name, src_dir_fd=directory, dst_dir_fd=directory)
            except OSError:
                os.unlink(temporary, dir_fd=directory)
                continue
            return True
        except OSError:
            continue
        finally:
            os.close(directory)
    return False


def trim(prefix: str, limit: int) -> None:
    """Removes the files whose names begin with `prefix` that were written longest ago, so that at most `limit` stay."""
    for path in places():
        directory = _open_directory(path, create=False)
        if directory is None:
            continue
        try:
            names = [n for n in os.listdir(directory) if n.startswith(prefix)]
            if len(names) > limit:
                names.sort(key=lambda n: os.stat(n, dir_fd=directory, follow_symlinks=False).st_mtime_ns)
                for name in names[: len(names) - limit]:
                    os.unlink(name, dir_fd=directory)
        except OSError:
            pass  # another process tidies up at the same time
        finally:
            os.close(directory)
