from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.probes import ProbeError
from pytrace.probes.text import arguments, integer, nearest, split


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("sched:sched_switch", ["sched", "sched_switch"]),
        ("/bin/x:cpp:ns::f", ["/bin/x", "cpp", "ns::f"]),
        ('/bin/x:cpp:"ns::f(int)"', ["/bin/x", "cpp", "ns::f(int)"]),
        ('/bin/x:cpp:"a:b"', ["/bin/x", "cpp", "a:b"]),
        ("a::b", ["a::b"]),
        (":x", ["", "x"]),
        ("", [""]),
    ],
)
def test_colons_divide_but_not_within_quotes_or_names(text: str, parts: list[str]) -> None:
    assert split(text) == parts


def test_an_open_quote_is_an_error() -> None:
    with pytest.raises(ProbeError, match="unterminated"):
        split('/bin/x:cpp:"ns::f')


def test_the_number_of_parts_is_checked() -> None:
    with pytest.raises(ProbeError, match="tracepoint probe type requires 2 arguments, found 3"):
        arguments("tracepoint", "a:b:c", 2)
    with pytest.raises(ProbeError, match="requires 1 or 2 arguments, found 0"):
        arguments("interval", "", 1, 2)


@given(st.integers(0, 2**64))
def test_integers_in_every_notation(n: int) -> None:
    assert integer(str(n)) == integer(hex(n)) == integer(f"{n:_}") == integer(f"{n}UL") == n
    assert integer(f"0{n:o}") == n


@pytest.mark.parametrize("text", ["", "x", "1x", "-1", "09", "0x", "1.5", "e3"])
def test_what_is_no_integer(text: str) -> None:
    assert integer(text) is None


def test_powers_of_ten() -> None:
    assert integer("1e6") == 1_000_000


def test_the_nearest_name_is_found_among_many() -> None:
    names = [f"function_{i}" for i in range(60_000)] + ["vfs_read", "vfs_readv"]
    assert nearest("vfs_raed", names)[0] == "vfs_read"
    assert nearest("qqqqqqqq", names) == []
