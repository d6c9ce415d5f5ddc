from __future__ import annotations

import pytest

from pytrace.probes import PROVIDERS, ProbeError, describe, expand, list_probes, provider
from tests.probes.kernels import target


def test_every_provider_has_the_names_that_the_door_has() -> None:
    for name in PROVIDERS:
        found = PROVIDERS[name]
        assert found.name == name
        assert found.doc
        for short in found.aliases:
            assert provider(short) is found


def test_short_names_are_unique() -> None:
    names = [n for p in PROVIDERS.values() for n in (p.name, *p.aliases)]
    assert len(names) == len(set(names))


def test_every_provider_has_a_manual_page() -> None:
    import sys

    for name, found in PROVIDERS.items():
        page = sys.modules[f"pytrace.probes.{name}"].__doc__
        assert page is not None
        assert page.startswith(f"{found.name} — ")


@pytest.mark.parametrize("text", ["begin", "BEGIN", "Begin"])
def test_begin_in_any_case(text: str) -> None:
    (point,) = expand(text, target())
    assert point.name == "begin"


def test_other_names_are_case_sensitive() -> None:
    assert provider("u").name == "uprobe"
    assert provider("U").name == "usdt"
    with pytest.raises(ProbeError):
        provider("Tracepoint")


def test_an_unknown_provider_gets_the_nearest_name() -> None:
    with pytest.raises(ProbeError) as e:
        expand("tracepont:a:b", target())
    assert e.value.hint is not None
    assert "tracepoint" in e.value.hint


def test_a_wildcard_for_the_provider() -> None:
    names = [p.name for p in expand("k*probe:vfs_read", target())]
    assert names == ["kprobe:vfs_read", "kretprobe:vfs_read"]


def test_listing() -> None:
    t = target()
    assert list(list_probes("tracepoint:sched:*", t)) == [
        "tracepoint:sched:sched_switch",
        "tracepoint:sched:sched_wakeup",
    ]
    assert "hardware:cycles:" in list(list_probes("hardware:*", t))
    assert list(list_probes("interval:*", t)) == ["interval:hz:", "interval:ms:", "interval:s:", "interval:us:"]
    for pattern in ("sched_wakeup", "*:sched_wakeup"):
        assert set(list_probes(pattern, t)) == {"tracepoint:sched:sched_wakeup"}


def test_describe_shows_the_declarations_of_the_record() -> None:
    lines = describe("tracepoint:syscalls:sys_enter_openat", target())
    assert lines == [
        "int __syscall_nr",
        "int dfd",
        "const char * filename",
        "int flags",
        "umode_t mode",
    ]
