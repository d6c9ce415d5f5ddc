"""Maps as rows of columns, for pandas and Arrow, which are imported only here."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pytrace import types as t
from pytrace.extras import optional
from pytrace.output import AvgValue, Histogram, InetValue, MacValue, StatsValue, Symbol, TSeriesValue
from pytrace.output.values import RecordValue

if TYPE_CHECKING:
    import pandas
    import pyarrow

    from pytrace.program import UserMap


def rows(user_map: UserMap, values: Mapping[Any, Any]) -> list[dict[str, Any]]:
    """See `Map.to_rows`."""
    keys, columns = key_columns(user_map.key), value_columns(user_map.value)
    result = []
    for key, value in values.items():
        left = dict(zip(keys, _cells(user_map.key, key), strict=True)) if keys else {}
        result += [left | dict(zip(columns, cells, strict=True)) for cells in _value_rows(value, user_map.value)]
    return result


def key_columns(key: t.Type | None) -> list[str]:
    return [] if key is None else _names(key, "key")


def value_columns(value: t.Type) -> list[str]:
    match value:
        case t.Avg() | t.Stats():
            return ["average", "count", "total"]
        case t.Hist() | t.LHist():
            return ["low", "high", "count"]
        case t.TSeries():
            return ["time", "value"]
    return _names(value, "value")


def _names(type: t.Type, name: str) -> list[str]:
    match type:
        case t.Tuple(elements):
            return [f"{name}{i}" for i in range(len(elements))]
        case t.Record(fields):
            return [field for field, _ in fields]
        case t.Struct():
            return list(type.field_names())
    return [name]


def _cells(type: t.Type | None, value: Any) -> list[Any]:
    match type:
        case t.Tuple():
            return [_cell(part) for part in value]
        case t.Record() | t.Struct():
            return [_cell(part) for part in value.values()]
    return [_cell(value)]


def _cell(value: Any) -> Any:
    """What a table can hold: numbers, strings, bytes; everything else as text or a list."""
    match value:
        case bool():
            return value
        case int():
            return int(value)  # an enumerator or an address, too
        case str():
            return value.encode("utf-8", "surrogateescape").decode("utf-8", "replace")
        case Symbol() | InetValue() | MacValue():
            return str(value)
        case tuple() if hasattr(value, "text"):
            return [str(frame) for frame in value]
        case RecordValue():
            return {name: _cell(part) for name, part in value.items()}
        case tuple():
            return [_cell(part) for part in value]
    return value


def _value_rows(value: Any, type: t.Type) -> Iterator[list[Any]]:
    match value:
        case AvgValue() | StatsValue():
            yield [value.average, value.count, value.total]
        case Histogram():
            for bucket in value.buckets:
                yield [bucket.low, bucket.high, bucket.count]
        case TSeriesValue():
            for time, point in value.points():
                yield [time, point]
        case _:
            yield _cells(type, value)


def frame(user_map: UserMap, values: Mapping[Any, Any]) -> pandas.DataFrame:
    pandas = optional("pandas")
    columns = key_columns(user_map.key) + value_columns(user_map.value)
    made = pandas.DataFrame(rows(user_map, values), columns=columns)
    for name in ("low", "high") if isinstance(user_map.value, t.Hist | t.LHist) else ():
        made[name] = pandas.array([_or_missing(v) for v in made[name]], dtype="Int64")
    return made


def _or_missing(value: Any) -> int | None:
    """An end of a bucket; pandas may have made a float of it, and NaN of None."""
    return None if value is None or value != value else int(value)


def table(user_map: UserMap, values: Mapping[Any, Any]) -> pyarrow.Table:
    pyarrow = optional("pyarrow")
    found = rows(user_map, values)
    columns = {}
    for name in key_columns(user_map.key) + value_columns(user_map.value):
        cells = [row[name] for row in found]
        try:
            columns[name] = pyarrow.array(cells)
        except OverflowError:
            columns[name] = pyarrow.array(cells, type=pyarrow.uint64())
    return pyarrow.table(columns)
