"""Where each map of a script lives: the cheapest kernel map that is still exact.

A scalar word is a slot in an mmapable array (one add through a direct pointer, no lookup, no syscall to read it); a
scalar aggregation is such a slot for each CPU. Everything with a key is a hash, per CPU where values are merged; large
values that are merged share the rows of an ordinary hash, because the kernel cannot make per-CPU memory at the moment
that a key is first seen: it allocates it beforehand, in a worker, and a burst of new keys finds none.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytrace import types as t
from pytrace.program import BPF_F_MMAPABLE, BPF_F_NO_PREALLOC, MapSpec, MapType, Storage, UserMap
from pytrace.record import record
from pytrace.semantics import typed

if TYPE_CHECKING:
    from pytrace.kernel.features import Features

PREALLOC_LIMIT = 256
"""Values above this size are allocated when they are needed, where the kernel can do that in any context."""
WORDS = 16
"""Aggregations up to this size (all but histograms and time series) are allocated up front for every CPU."""
STRIPED_ELEMENT, STRIPED_MAP = 4096, 32 << 20
"""Bytes that all rows of an element may have, and of all elements of a map that is allocated up front; one row is
always there."""


@record
class MapLayout:
    """A script's map, its kernel map, and whether several programs write it (so that updates must be atomic)."""

    user: UserMap
    spec: MapSpec
    shared: bool

    @property
    def name(self) -> str:
        return self.spec.name

    @property
    def stripes(self) -> int:
        """The rows in an element of a striped hash."""
        return self.spec.value_size // self.user.stride


_QUEUES = {"queue": MapType.QUEUE, "stack": MapType.STACK}
_DECLARED = {
    "hash": MapType.HASH,
    "lruhash": MapType.LRU_HASH,
    "percpuhash": MapType.PERCPU_HASH,
    "percpulruhash": MapType.LRU_PERCPU_HASH,
    "lpm": MapType.LPM_TRIE,
}


def lay_out(symbol: typed.MapSymbol, cpus: int, max_keys: int, features: Features, shared: bool) -> MapLayout:
    """Chooses the storage of a map whose types are final. `shared`: more than one program may write it, or one that can
    be interrupted by itself. A map that the session has stays as it is."""
    no_prealloc = features.has("hash_on_demand")  # safe in any context (6.1+)
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
    stride = 0
    striped = value_size > WORDS and (not isinstance(symbol.value, t.TSeries) or features.has("atomics"))
    if aggregation and striped and kind == MapType.PERCPU_HASH and symbol.kind != "percpuhash":
        kind, per_cpu, stride = MapType.HASH, False, value_size
        rows = _rows(cpus, stride, STRIPED_ELEMENT if no_prealloc else min(STRIPED_ELEMENT, STRIPED_MAP // entries))
        value_size, shared = rows * stride, shared or rows < cpus
    large = value_size > PREALLOC_LIMIT and not per_cpu
    on_demand = (large and no_prealloc and not lru) or kind == MapType.LPM_TRIE  # which has no other way
    flags = BPF_F_NO_PREALLOC if on_demand else 0
    spec = MapSpec(name, kind, key_size, value_size, entries, flags)
    storage = Storage.PERCPU_HASH if per_cpu else Storage.STRIPED_HASH if stride else Storage.HASH
    return MapLayout(UserMap(name, name, storage, symbol.key, symbol.value, stride, symbol.kind), spec, shared)


def _rows(cpus: int, stride: int, room: int) -> int:
    """How many rows an element has: one for each CPU, or as many as fit; a power of two."""
    rows = cpus
    while rows > 1 and rows * stride > room:
        rows //= 2
    return rows
