"""Where each map of a script lives: the cheapest kernel map that is still exact.

A scalar word is a slot in an mmapable array (one add through a direct pointer, no lookup, no syscall to read it); a
scalar aggregation is such a slot for each CPU. Everything with a key is a hash, per CPU where values are merged.
"""

from __future__ import annotations

from pytrace import types as t
from pytrace.program import BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, MapSpec, MapType, Storage, UserMap
from pytrace.record import record
from pytrace.semantics import typed

PREALLOC_LIMIT = 256
"""Values above this size are allocated when they are needed: a per-CPU histogram for each of 4096 keys up front would
take megabytes for each CPU."""


@record
class MapLayout:
    """A script's map, its kernel map, and whether several programs write it (so that updates must be atomic)."""

    user: UserMap
    spec: MapSpec
    shared: bool

    @property
    def name(self) -> str:
        return self.spec.name


_QUEUES = {"queue": MapType.QUEUE, "stack": MapType.STACK}
_DECLARED = {
    "hash": MapType.HASH,
    "lruhash": MapType.LRU_HASH,
    "percpuhash": MapType.PERCPU_HASH,
    "percpulruhash": MapType.LRU_PERCPU_HASH,
    "lpm": MapType.LPM_TRIE,
}


def lay_out(symbol: typed.MapSymbol, cpus: int, max_keys: int, no_prealloc: bool, shared: bool) -> MapLayout:
    """Chooses the storage of a map whose types are final. `no_prealloc`: the kernel's on-demand allocation is safe in
    any context (6.1+); `shared`: more than one program may write it. A map that the session has stays as it is."""
    if symbol.known is not None:
        return MapLayout(*symbol.known, shared=True)
    name = "@" + symbol.name
    if symbol.kind in _QUEUES:
        spec = MapSpec(name, _QUEUES[symbol.kind], 0, symbol.value.size, symbol.max_entries or max_keys)
        return MapLayout(UserMap(name, name, Storage.QUEUE, None, symbol.value, declared=symbol.kind), spec, shared)
    aggregation = isinstance(symbol.value, t.Aggregation)
    if symbol.key is None and not symbol.kind:
        if aggregation:
            stride = t.align_up(symbol.value.size, 64)
            spec = MapSpec(name, MapType.ARRAY, 4, cpus * stride, 1, BPF_F_MMAPABLE)
            user = UserMap(name, name, Storage.PERCPU_SLOT, None, symbol.value, stride)
            return MapLayout(user, spec, shared)
        if t.is_word(symbol.value):
            spec = MapSpec(name, MapType.ARRAY, 4, 16, 1, BPF_F_MMAPABLE)
            return MapLayout(UserMap(name, name, Storage.SLOT, None, symbol.value), spec, shared)
    kind = _DECLARED.get(symbol.kind, MapType.PERCPU_HASH if aggregation else MapType.HASH)
    if aggregation and kind in (MapType.HASH, MapType.LRU_HASH):
        kind = MapType.PERCPU_HASH if kind == MapType.HASH else MapType.LRU_PERCPU_HASH
    per_cpu = kind in (MapType.PERCPU_HASH, MapType.LRU_PERCPU_HASH)
    lru = kind in (MapType.LRU_HASH, MapType.LRU_PERCPU_HASH)
    key_size = symbol.key.size if symbol.key is not None else 4
    value_size = symbol.value.size
    entries = symbol.max_entries or (1 if symbol.key is None else max_keys)
    large = value_size * (cpus if per_cpu else 1) > PREALLOC_LIMIT
    on_demand = (large and no_prealloc and not lru) or kind == MapType.LPM_TRIE  # which has no other way
    flags = BPF_F_NO_PREALLOC if on_demand else 0
    spec = MapSpec(name, kind, key_size, value_size, entries, flags)
    storage = Storage.PERCPU_HASH if per_cpu else Storage.HASH
    return MapLayout(UserMap(name, name, storage, symbol.key, symbol.value, declared=symbol.kind), spec, shared)
