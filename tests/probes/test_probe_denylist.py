"""Which functions a probe is kept away from: by name, and in wildcards."""

from __future__ import annotations

import pytest

from pytrace.probes.denylist import REFUSED, RETURNS, denied, endless, in_wildcard


@pytest.mark.parametrize("function", ["_raw_spin_lock", "queued_spin_lock_slowpath", "do_exit"])
def test_returns_that_deadlock_or_never_come(function: str) -> None:
    assert denied(function, returns=True)
    assert denied(function, returns=False) is None
    assert not in_wildcard(function, True, "*")


def test_ordinary_functions_are_free() -> None:
    for returns in (False, True):
        assert denied("vfs_read", returns) is None
        assert in_wildcard("vfs_read", returns, "vfs_*")


@pytest.mark.parametrize(
    "function",
    ["_raw_spin_lock_irqsave", "htab_map_lookup_elem", "bpf_trace_run2", "trace_call_bpf", "__rcu_read_lock"],
)
def test_what_every_event_runs_through_is_in_no_broad_wildcard(function: str) -> None:
    assert not in_wildcard(function, False, "*")


def test_a_wildcard_that_asks_for_its_kind_gets_it() -> None:
    assert in_wildcard("htab_map_lookup_elem", False, "htab_*")
    assert in_wildcard("bpf_trace_run2", False, "bpf_trace_run*")


def test_what_would_never_end_without_a_guard() -> None:
    assert endless("__htab_map_lookup_elem")
    assert endless("bpf_ktime_get_ns")
    assert endless("vfs_read") is None


def test_what_the_kernel_refuses_is_in_none() -> None:
    for function in REFUSED:
        assert not in_wildcard(function, False, function)


def test_every_reason_is_a_sentence_for_a_person() -> None:
    assert all(" " in why for why in RETURNS.values())
