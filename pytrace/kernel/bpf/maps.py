"""The commands of bpf(2) that create, read and change maps."""

from __future__ import annotations

import errno

from pytrace.kernel.bpf.abi import MAP_BATCH, MAP_CREATE, MAP_ELEM, MAP_FREEZE, Cmd, object_name
from pytrace.kernel.bpf.syscall import Readable, address, bpf


def map_create(
    type: int, key_size: int, value_size: int, max_entries: int, flags: int = 0, name: str = "", inner: int = 0
) -> int:
    """Returns the descriptor of a new map. `inner` is the descriptor of a map like those that a map of maps holds."""
    attr = MAP_CREATE.pack(
        map_type=type,
        key_size=key_size,
        value_size=value_size,
        max_entries=max_entries,
        map_flags=flags,
        inner_map_fd=inner,
        map_name=object_name(name),
    )
    return bpf(Cmd.MAP_CREATE, attr)


def map_lookup(fd: int, key: bytes, value: bytearray) -> None:
    """Fills `value`. Raises OSError ENOENT if there is no such key."""
    bpf(Cmd.MAP_LOOKUP_ELEM, MAP_ELEM.pack(map_fd=fd, key=address(key), value=address(value)))


def map_lookup_and_delete(fd: int, key: bytes, value: bytearray) -> None:
    """Takes an element out of a map; out of a queue or stack with an empty `key`. Raises OSError ENOENT if there is
    none."""
    bpf(Cmd.MAP_LOOKUP_AND_DELETE_ELEM, MAP_ELEM.pack(map_fd=fd, key=address(key), value=address(value)))


def map_update(fd: int, key: bytes, value: Readable, flags: int = 0) -> None:
    """Sets the value of a key."""
    bpf(Cmd.MAP_UPDATE_ELEM, MAP_ELEM.pack(map_fd=fd, key=address(key), value=address(value), flags=flags))


def map_delete(fd: int, key: bytes) -> None:
    """Raises OSError ENOENT if there is no such key."""
    bpf(Cmd.MAP_DELETE_ELEM, MAP_ELEM.pack(map_fd=fd, key=address(key)))


def map_next_key(fd: int, key: bytes | None, following: bytearray) -> bool:
    """Fills `following` with the key after `key`, or with the first key if that is None. Returns False at the end. If
    `key` is no longer in the map, the kernel starts again at the first key."""
    attr = MAP_ELEM.pack(map_fd=fd, key=address(key) if key is not None else 0, value=address(following))
    try:
        bpf(Cmd.MAP_GET_NEXT_KEY, attr)
    except OSError as error:
        if error.errno == errno.ENOENT:
            return False
        raise
    return True


def map_lookup_batch(
    fd: int, start: Readable, following: bytearray, keys: bytearray, values: bytearray, count: int
) -> tuple[int, bool]:
    """Reads up to `count` entries (Linux 5.6 and later) from the position `start` (empty: the beginning) and writes the
    next position to `following`. Returns how many entries were read and whether those were the last. Raises OSError
    ENOSPC if one bucket of the map holds more than `count`."""
    attr = MAP_BATCH.pack(
        in_batch=address(start),
        out_batch=address(following),
        keys=address(keys),
        values=address(values),
        count=count,
        map_fd=fd,
    )
    done = False
    try:
        bpf(Cmd.MAP_LOOKUP_BATCH, attr)
    except OSError as error:
        if error.errno != errno.ENOENT:
            raise
        done = True
    return MAP_BATCH.get_u32(attr, "count"), done


def map_freeze(fd: int) -> None:
    """Makes a map read-only for user space (Linux 5.2 and later); the verifier then takes its contents as constants."""
    bpf(Cmd.MAP_FREEZE, MAP_FREEZE.pack(map_fd=fd))
