"""The feature table, held against what can be known about a kernel without asking bpf(2)."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from pytrace.kernel import Kernel
from pytrace.kernel.features import Features
from pytrace.kernel.trials import FEATURES

FEATURE_NAMES = sorted(FEATURES)


@pytest.fixture(scope="module")
def features() -> Features:
    return Features(Kernel.running())


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_a_trial_leaves_nothing_and_gives_a_reason(features: Features, name: str) -> None:
    _ = Kernel.running().btf.id(12, "bpf_iter_task")  # what stays open for good
    before = sorted(os.listdir("/proc/self/fd"))
    assert features.has(name) == (features.why(name) == "")
    assert sorted(os.listdir("/proc/self/fd")) == before


@pytest.mark.parametrize("name", FEATURE_NAMES)
def test_the_table_is_complete(name: str) -> None:
    feature = FEATURES[name]
    assert re.fullmatch(r"[4-7]\.\d+", feature.since)
    assert feature.doc and "\n" not in feature.doc


@pytest.mark.parametrize(
    "name, place",
    [
        ("kprobe", "/sys/bus/event_source/devices/kprobe"),
        ("uprobe", "/sys/bus/event_source/devices/uprobe"),
        ("uprobe_refcount", "/sys/bus/event_source/devices/uprobe/format/ref_ctr_offset"),
    ],
)
def test_what_sysfs_knows_too(features: Features, name: str, place: str) -> None:
    assert features.has(name) == Path(place).exists()


@pytest.mark.parametrize(
    "name, symbol",
    [
        ("bpf_loop", "bpf_loop"),
        ("for_each_map_elem", "bpf_for_each_map_elem"),
        ("percpu_lookup", "bpf_map_lookup_percpu_elem"),
        ("ktime_tai", "bpf_ktime_get_tai_ns"),
        ("strncmp", "bpf_strncmp"),
        ("uprobe_multi", "bpf_uprobe_multi_link_attach"),
        ("test_run", "bpf_prog_test_run_raw_tp"),
    ],
)
def test_what_the_symbol_table_knows_too(features: Features, name: str, symbol: str) -> None:
    """A kernel without the function cannot have the feature; one with it has it unless it is locked."""
    there = Kernel.running().kallsyms.address(symbol) is not None
    if not there:
        assert not features.has(name)
    elif Kernel.running().version >= (6, 6, 0):
        assert features.has(name)


def test_doing_without(features: Features) -> None:
    without = Features(Kernel.running(), frozenset(["ringbuf"]))
    assert not without.has("ringbuf")
    assert without.why("ringbuf") == "told to do without it"
    assert without.has("mmapable") == features.has("mmapable")
    without.do_without(frozenset(["mmapable"]))
    assert not without.has("mmapable")


def test_unknown_names(features: Features) -> None:
    with pytest.raises(KeyError):
        features.has("telepathy")
    assert "telepathy" not in features
    assert "ringbuf" in features


def test_the_table_is_what_is_asked(features: Features) -> None:
    rows = features.table()
    assert [row.name for row in rows] == list(features)
    assert all(row.has == features.has(row.name) for row in rows)
