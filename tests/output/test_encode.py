"""Keys to bytes: what `decode` reads back."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace import types as t
from pytrace.output import decode, encode

INTS = [t.Int(bits, signed) for bits in (8, 16, 32, 64) for signed in (False, True)]  # type: ignore[arg-type]


def values_of(kind: t.Type) -> st.SearchStrategy[Any]:
    match kind:
        case t.Int(bits, signed):
            low = -(1 << (bits - 1)) if signed else 0
            return st.integers(low, low + (1 << bits) - 1)
        case t.Bool():
            return st.booleans()
        case t.String(capacity):
            return st.binary(max_size=capacity).filter(lambda b: b"\0" not in b).map(
                lambda b: b.decode("utf-8", "surrogateescape")
            )  # fmt: skip
        case t.Tuple(elements):
            return st.tuples(*map(values_of, elements))
    return st.integers(0, (1 << 64) - 1)


plain = st.one_of(st.sampled_from(INTS), st.just(t.BOOL), st.builds(t.String, st.integers(1, 40)))
kinds = st.recursive(
    plain, lambda k: st.lists(k, min_size=1, max_size=4).map(lambda e: t.Tuple(tuple(e))), max_leaves=6
)


@given(st.data())
def test_what_is_encoded_decodes(data: st.DataObject) -> None:
    kind = data.draw(kinds)
    value = data.draw(values_of(kind))
    raw = encode(kind, value)
    assert raw is not None
    assert len(raw) == kind.size
    assert decode(kind, raw) == value


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (t.INT64, "x"),
        (t.INT64, 1 << 63),
        (t.UINT64, -1),
        (t.String(4), "too long"),
        (t.String(4), "a\0b"),
        (t.String(4), 5),
        (t.BOOL, 1),
        (t.Tuple((t.INT64, t.INT64)), (1,)),
        (t.Tuple((t.INT64,)), ("x",)),
        (t.KSym(), 5),
    ],
)
def test_what_no_key_can_be_is_none(kind: t.Type, value: Any) -> None:
    assert encode(kind, value) is None
