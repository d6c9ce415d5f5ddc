"""Histograms as pictures: SVG with one bar for each bucket, readable on light and dark pages."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pytrace.output.histogram import Histogram

_ROW, _LABEL, _BAR, _COUNT = 18, 120, 360, 90


def histogram_svg(histogram: Histogram, title: str = "") -> str:
    """One `<svg>` element; its text takes the colour of the page."""
    span = histogram.used
    most = max((histogram.counts[i] for i in span), default=0)
    top = _ROW if title else 0
    height, width = top + _ROW * max(len(span), 1) + 4, _LABEL + _BAR + _COUNT
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
        'font-family="monospace" font-size="12" fill="currentColor" role="img">'
    ]
    if title:
        parts.append(f'<text x="0" y="13" font-weight="bold">{escape(title)}</text>')
    if not span:
        parts.append(f'<text x="0" y="{top + 13}">no values</text>')
    for row, bucket in enumerate(histogram.buckets):
        y = top + row * _ROW
        label = escape(histogram.label(bucket))
        length = bucket.count * _BAR / most
        parts.append(f'<text x="{_LABEL - 6}" y="{y + 13}" text-anchor="end">{label}</text>')
        parts.append(
            f'<rect x="{_LABEL}" y="{y + 2}" width="{length:.1f}" height="{_ROW - 4}" fill="#4c78a8">'
            f"<title>{label}: {bucket.count}</title></rect>"
        )
        parts.append(f'<text x="{_LABEL + length + 6:.1f}" y="{y + 13}">{bucket.count}</text>')
    parts.append("</svg>")
    return "".join(parts)
