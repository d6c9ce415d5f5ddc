"""Maps as HTML, for notebooks: a table; a picture for each histogram."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from pytrace.api.tables import key_columns, rows, value_columns
from pytrace.output import Histogram
from pytrace.output.svg import histogram_svg

if TYPE_CHECKING:
    from pytrace.api.maps import Snapshot

MOST_ROWS = 60
"""Rows of a table; of a longer map the last are shown, which are the largest."""
MOST_PICTURES = 20


def map_html(now: Snapshot) -> str:
    """A title and a table, or pictures."""
    user_map, values = now.user_map, now.values
    pictures = {key: value for key, value in values.items() if isinstance(value, Histogram)}
    if pictures:
        shown = list(pictures.items())[-MOST_PICTURES:]
        body = "".join(histogram_svg(value, _title(user_map.name, key)) for key, value in shown)
        return f"<div>{_rest(len(pictures) - len(shown))}{body}</div>"
    columns = key_columns(user_map.key) + value_columns(user_map.value)
    found = rows(user_map, values)
    shown_rows = found[-MOST_ROWS:]
    head = "".join(f"<th>{escape(name)}</th>" for name in columns)
    lines = "".join(f"<tr>{''.join(_cell(row[name]) for name in columns)}</tr>" for row in shown_rows)
    return (
        f"<div>{_rest(len(found) - len(shown_rows))}<table><caption>{escape(user_map.name)}</caption>"
        f"<thead><tr>{head}</tr></thead><tbody>{lines}</tbody></table></div>"
    )


def _rest(count: int) -> str:
    return f"<p>… {count} more …</p>" if count else ""


def _title(name: str, key: Any) -> str:
    if key is None:
        return name
    parts = key if isinstance(key, tuple) and not hasattr(key, "text") else (key,)
    return f"{name}[{', '.join(str(part) for part in parts)}]"


def _cell(value: Any) -> str:
    if isinstance(value, list):
        return f"<td><pre>{escape(chr(10).join(map(str, value)))}</pre></td>"
    align = ' style="text-align: right"' if isinstance(value, int) else ""
    return f"<td{align}>{escape(str(value))}</td>"
