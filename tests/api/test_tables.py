"""Maps as rows, DataFrames, Arrow tables and HTML."""

from __future__ import annotations

import re
from typing import Any
from xml.etree import ElementTree

import pytest

from pytrace import types as t
from pytrace.api import tables
from pytrace.api.display import MOST_ROWS, map_html
from pytrace.api.maps import Snapshot
from pytrace.output import AvgValue, HistValue, LHistValue, StatsValue, Symbol, TSeriesValue
from pytrace.output.svg import histogram_svg
from pytrace.output.values import EnumValue, PointerValue, RecordValue
from pytrace.program import Storage, UserMap

COMM = t.String(16)
HIST = HistValue((0, 0, 3, 0, 5, *[0] * 60), 0)


def made(key: t.Type | None, value: t.Type, values: dict[Any, Any]) -> tuple[UserMap, dict[Any, Any]]:
    return UserMap("@m", "@m", Storage.HASH, key, value), values


CASES = [
    (made(COMM, t.Count(), {"a": 1, "b": 2}), ["key", "value"], [("a", 1), ("b", 2)]),
    (made(None, t.Count(), {None: 7}), ["value"], [(7,)]),
    (made(t.Tuple((t.INT64, COMM)), t.INT64, {(1, "x"): 2}), ["key0", "key1", "value"], [(1, "x", 2)]),
    (
        made(t.Record((("pid", t.INT64), ("n", COMM))), t.INT64, {RecordValue(("pid", "n"), (3, "x")): 2}),
        ["pid", "n", "value"],
        [(3, "x", 2)],
    ),
    (made(COMM, t.Avg(True), {"a": AvgValue(10, 4)}), ["key", "average", "count", "total"], [("a", 2, 4, 10)]),
    (made(COMM, t.Stats(True), {"a": StatsValue(9, 3)}), ["key", "average", "count", "total"], [("a", 3, 3, 9)]),
    (made(None, t.Hist(0), {None: HIST}), ["low", "high", "count"], [(1, 2, 3), (2, 4, 0), (4, 8, 5)]),
    (
        made(COMM, t.LHist(0, 10, 5), {"a": LHistValue((1, 0, 2, 1), 0, 10, 5)}),
        ["key", "low", "high", "count"],
        [("a", None, 0, 1), ("a", 0, 5, 0), ("a", 5, 10, 2), ("a", 10, None, 1)],
    ),
    (
        made(None, t.TSeries(10, 5, "sum", True), {None: TSeriesValue(10, 5, "sum", ((1, 4, 1), (3, 5, 1)))}),
        ["time", "value"],
        [(10, 4), (20, None), (30, 5)],
    ),
    (made(t.KSym(), t.INT64, {Symbol(0xFF, "schedule"): 1}), ["key", "value"], [("schedule", 1)]),
    (made(COMM, t.Tuple((t.INT64, COMM)), {"a": (1, "b")}), ["key", "value0", "value1"], [("a", 1, "b")]),
    (made(t.UINT64, t.UINT64, {2**64 - 1: EnumValue(3, "THREE"), 1: PointerValue(9)}), ["key", "value"],
     [(2**64 - 1, 3), (1, 9)]),
    (made(COMM, t.Count(), {}), ["key", "value"], []),
    (made(COMM, t.Count(), {"\udcff": 1}), ["key", "value"], [("�", 1)]),
]  # fmt: skip


@pytest.mark.parametrize(("source", "columns", "expected"), CASES)
def test_rows(source: tuple[UserMap, dict[Any, Any]], columns: list[str], expected: list[tuple[Any, ...]]) -> None:
    rows = tables.rows(*source)
    assert all(list(row) == columns for row in rows)
    assert [tuple(row.values()) for row in rows] == expected


@pytest.mark.parametrize(("source", "columns", "expected"), CASES)
def test_pandas(source: tuple[UserMap, dict[Any, Any]], columns: list[str], expected: list[tuple[Any, ...]]) -> None:
    pandas = pytest.importorskip("pandas")
    frame = tables.frame(*source)
    assert list(frame.columns) == columns
    found = [tuple(None if pandas.isna(v) else v for v in row) for row in frame.itertuples(index=False)]
    assert found == expected


@pytest.mark.parametrize(("source", "columns", "expected"), CASES)
def test_arrow(source: tuple[UserMap, dict[Any, Any]], columns: list[str], expected: list[tuple[Any, ...]]) -> None:
    pytest.importorskip("pyarrow")
    table = tables.table(*source)
    assert table.column_names == columns
    assert [tuple(row.values()) for row in table.to_pylist()] == expected


def parsed(html: str) -> ElementTree.Element:
    """Well-formed, or it raises."""
    return ElementTree.fromstring(re.sub(r' xmlns="[^"]*"', "", html))


def test_a_table_shows_every_entry_escaped() -> None:
    user_map, values = made(COMM, t.Count(), {"<b>&": 1, "x": 2})
    root = parsed(map_html(Snapshot(user_map, values, "")))
    assert [c.text for c in root.iter("td")] == ["<b>&", "1", "x", "2"]
    assert [c.text for c in root.iter("th")] == ["key", "value"]


def test_a_long_table_shows_its_end() -> None:
    user_map, values = made(t.INT64, t.Count(), {i: i for i in range(1000)})
    root = parsed(map_html(Snapshot(user_map, values, "")))
    assert len(list(root.iter("tr"))) == MOST_ROWS + 1
    assert f"{1000 - MOST_ROWS} more" in (root.find("p").text or "")  # type: ignore[union-attr]
    assert [c.text for c in root.iter("td")][-1] == "999"


def test_histograms_are_pictures_in_proportion() -> None:
    user_map, values = made(COMM, t.Hist(0), {"a<": HIST, "b": HIST})
    root = parsed(map_html(Snapshot(user_map, values, "")))
    pictures = list(root.iter("svg"))
    assert len(pictures) == 2
    bars = [float(r.get("width", "")) for r in pictures[0].iter("rect")]
    assert [round(b / max(bars) * 5) for b in bars] == [3, 0, 5]
    texts = [e.text for e in pictures[0].iter("text")]
    assert texts == ["@m[a<]", "[1]", "3", "[2, 4)", "0", "[4, 8)", "5"]


def test_an_empty_histogram_is_a_picture_too() -> None:
    assert "no values" in histogram_svg(HistValue((0,) * 10, 0))
    assert HIST._repr_html_() == histogram_svg(HIST)
