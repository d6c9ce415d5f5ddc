"""Kernel maps and the script's maps in them, read back after being written by other means."""

from __future__ import annotations

import struct
from typing import Any

import pytest

from pytrace.kernel import Kernel, bpf
from pytrace.output import StatsValue
from pytrace.program import BPF_F_MMAPABLE, BPF_F_RDONLY_PROG, MapSpec, MapType, Storage, UserMap
from pytrace.runtime.maps import KernelMap, MapError, Maps
from pytrace.runtime.usermaps import ScriptMap
from pytrace.types import INT64, UINT32, UINT64, Count, Hist, Stats, String, Tuple
from tests.asm import CPUS

POSSIBLE = Kernel.running().possible_cpus
KEYED = [MapType.HASH, MapType.LRU_HASH, MapType.PERCPU_HASH, MapType.LRU_PERCPU_HASH]


@pytest.mark.parametrize("type", KEYED)
@pytest.mark.parametrize("count", [0, 1, 3000])
def test_items_are_what_was_put_in(type: MapType, count: int) -> None:
    with KernelMap(MapSpec("m", type, 4, 4, 8192), POSSIBLE) as map:
        per_cpu = "PERCPU" in type.name
        expected = {
            struct.pack("=I", i): struct.pack("=Ixxxx", i) * POSSIBLE if per_cpu else struct.pack("=I", i)
            for i in range(count)
        }
        for key, content in expected.items():
            map.update(key, content)
        assert map.items() == expected
        assert sorted(map.keys()) == sorted(expected)
        assert all(map.lookup(key) == content for key, content in expected.items())
        map.zero()
        assert map.items() == {key: bytes(len(content)) for key, content in expected.items()}
        map.clear()
        assert map.items() == {}
        assert map.lookup(bytes(4)) is None
        assert not map.delete(bytes(4))


def test_large_values_come_in_batches() -> None:
    """A histogram for each of many keys does not fit into one batch; keys are many to a bucket of the hash."""
    with KernelMap(MapSpec("m", MapType.PERCPU_HASH, 8, 4000, 2048), POSSIBLE) as map:
        for i in range(2000):
            map.update(struct.pack("=Q", i), struct.pack("=Q", i).ljust(4000, b"x") * POSSIBLE)
        items = map.items()
        assert len(items) == 2000
        assert all(value[:8] == key for key, value in items.items())


def test_initial_data_is_there_and_frozen() -> None:
    spec = MapSpec("ro", MapType.ARRAY, 4, 16, 1, BPF_F_MMAPABLE | BPF_F_RDONLY_PROG, b"constants", True)
    with KernelMap(spec, POSSIBLE) as map:
        assert bytes(map.view[:16]) == b"constants".ljust(16, b"\0")
        assert map.view.readonly
        with pytest.raises(PermissionError):
            map.update(bytes(4), bytes(16))


def test_memory_is_the_map() -> None:
    with KernelMap(MapSpec("a", MapType.ARRAY, 4, 8, 3, BPF_F_MMAPABLE), POSSIBLE) as map:
        map.view[8:16] = struct.pack("=Q", 77)
        value = bytearray(8)
        bpf.map_lookup(map.fd, struct.pack("=I", 1), value)
        assert struct.unpack("=Q", value) == (77,)


def test_queues_give_back_in_order() -> None:
    with KernelMap(MapSpec("q", MapType.QUEUE, 0, 4, 4), POSSIBLE) as map:
        for i in range(3):
            map.update(b"", struct.pack("=I", i))
        assert map.pop() == struct.pack("=I", 0)
        map.clear()
        assert map.pop() is None


@pytest.mark.parametrize(
    "spec, reason",
    [
        (MapSpec("m", MapType.HASH, 4, 4, 1, 1 << 30), "no HASH map with flags"),
        (MapSpec("m", MapType.HASH, 4, 1 << 30, 1 << 20), "no memory for"),
    ],
)
def test_maps_that_cannot_be(spec: MapSpec, reason: str) -> None:
    with pytest.raises(MapError, match=reason):
        Maps((MapSpec("first", MapType.ARRAY, 4, 4, 1), spec), POSSIBLE)


def script_map(storage: Storage, spec: MapSpec, key: Any, value: Any, stride: int = 0) -> ScriptMap:
    return ScriptMap(UserMap("@m", "@m", storage, key, value, stride), KernelMap(spec, POSSIBLE), CPUS)


def test_a_slot_is_there_once_it_is_assigned() -> None:
    m = script_map(Storage.SLOT, MapSpec("@m", MapType.ARRAY, 4, 16, 1, BPF_F_MMAPABLE), None, INT64)
    assert m.entries() == []
    m.zero()
    assert m.entries() == []
    m.kernel_map.update(bytes(4), struct.pack("=qQ", -5, 1))
    assert m.entries() == [(None, -5)]
    m.zero()
    assert m.entries() == [(None, 0)]
    m.clear()
    assert m.entries() == []
    m.kernel_map.close()


@pytest.mark.parametrize(
    "type, rows, expected, zero",
    [
        (Count(), {0: (3,), CPUS - 1: (4,)}, 7, 0),
        (Stats(True), {0: (-10, 2), CPUS - 1: (4, 1)}, StatsValue(-6, 3), StatsValue(0, 0)),
    ],
)
def test_rows_of_cpus_are_merged(type: Any, rows: dict[int, tuple[int, ...]], expected: Any, zero: Any) -> None:
    spec = MapSpec("@m", MapType.ARRAY, 4, 64 * CPUS, 1, BPF_F_MMAPABLE)
    m = script_map(Storage.PERCPU_SLOT, spec, None, type, 64)
    m.zero()
    assert m.entries() == []
    for cpu, row in rows.items():
        packed = struct.pack(f"={len(row)}q", *row)
        m.kernel_map.view[64 * cpu : 64 * cpu + len(packed)] = packed
    assert m.entries() == [(None, expected)]
    m.zero()
    assert m.entries() == [(None, zero)]
    m.clear()
    assert m.entries() == []
    m.kernel_map.close()


def test_keys_are_decoded_and_values_merged() -> None:
    key = Tuple((UINT32, String(8)))
    m = script_map(Storage.PERCPU_HASH, MapSpec("@m", MapType.PERCPU_HASH, key.size, 8, 16), key, Count())
    value = b"".join(struct.pack("=Q", cpu + 1) for cpu in range(POSSIBLE))
    packed = struct.pack("=I", 5).ljust(key.offsets[1], b"\0") + b"abc"
    m.kernel_map.update(packed.ljust(key.size, b"\0"), value)
    assert m.entries() == [((5, "abc"), POSSIBLE * (POSSIBLE + 1) // 2)]
    m.zero()
    assert m.entries() == [((5, "abc"), 0)]
    m.keep()
    m.clear()
    m.kernel_map.close()
    assert m.entries() == [((5, "abc"), 0)]


def test_plain_values_in_a_hash() -> None:
    m = script_map(Storage.HASH, MapSpec("@m", MapType.HASH, 4, 8, 16), None, UINT64)
    m.kernel_map.update(bytes(4), struct.pack("=Q", 9))
    assert m.entries() == [(None, 9)]
    m.kernel_map.close()


def test_a_zeroed_histogram_keeps_its_key() -> None:
    kind = Hist(0)
    m = script_map(Storage.PERCPU_HASH, MapSpec("@m", MapType.PERCPU_HASH, 8, kind.size, 4, 1), UINT64, kind)
    m.kernel_map.update(bytes(8), (struct.pack("=QQ", 0, 1).ljust(kind.size, b"\0")) * POSSIBLE)
    assert m.entries()[0][1].count == POSSIBLE
    m.zero()
    assert m.entries()[0][1].count == 0
    m.kernel_map.close()
