"""What the two kinds of histogram share: counts in buckets, quantiles and sums."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pytrace.record import record


@record
class Bucket:
    """`count` values in [`low`, `high`); None is open: a value without bound on that side."""

    low: int | None
    high: int | None
    count: int


@record
class Histogram:
    """Counts by bucket, as the kernel half keeps them: `counts[0]` is the underflow."""

    counts: tuple[int, ...]

    def bounds(self, index: int) -> tuple[int | None, int | None]:
        """[low, high) of the bucket at `index`; None where it is open."""
        raise TypeError("a histogram of no kind")

    def unit(self, bound: int) -> str:
        """Returns a bound as text, in the largest unit (1024 to the power of n) that bpftrace shows it in."""
        raise TypeError("a histogram of no kind")

    def label(self, bucket: Bucket) -> str:
        """Returns the bounds of a bucket as text: `[low, high)`, `[value]`, `(..., high)` or `[low, ...)`."""
        low, high = bucket.low, bucket.high
        if low is None:
            return f"(..., {self.unit(high or 0)})"
        if high is None:
            return f"[{self.unit(low)}, ...)"
        return f"[{self.unit(low)}]" if high == low + 1 else f"[{self.unit(low)}, {self.unit(high)})"

    def _like(self, counts: tuple[int, ...]) -> Self:
        raise TypeError("a histogram of no kind")

    @property
    def count(self) -> int:
        """How many values there are."""
        return sum(self.counts)

    @property
    def used(self) -> range:
        """The indexes from the first to the last bucket that is not empty."""
        filled = [i for i, n in enumerate(self.counts) if n]
        return range(filled[0], filled[-1] + 1) if filled else range(0)

    @property
    def buckets(self) -> tuple[Bucket, ...]:
        """The buckets from the first to the last that is not empty; empty ones between them included."""
        return tuple(Bucket(*self.bounds(i), self.counts[i]) for i in self.used)

    def __iter__(self) -> Iterator[Bucket]:
        return iter(self.buckets)

    def quantile(self, q: float) -> float | None:
        """An estimate of the value below which the fraction `q` (0 to 1) of the values lies; None if there are none.

        Values are taken to be spread evenly inside their bucket, so the answer is never further off than the bucket is
        wide. In an open bucket it is that bucket's one known bound. Raises `ValueError` for a `q` out of range.
        """
        if not 0 <= q <= 1:
            raise ValueError(f"a quantile is between 0 and 1, not {q}")
        rank = q * self.count
        below = 0
        for bucket in self.buckets:
            low, high = bucket.low, bucket.high
            if bucket.count and below + bucket.count >= rank:
                if low is None or high is None:
                    bound = high if low is None else low
                    return None if bound is None else float(bound)
                if high - low == 1:
                    return float(low)
                return low + (high - low) * (rank - below) / bucket.count
            below += bucket.count
        return None

    def divided(self, div: int) -> Self:
        """The same buckets with every count divided by `div` (rounded down)."""
        return self._like(tuple(n // div for n in self.counts))

    def __add__(self, other: Self) -> Self:
        """Bucket-wise sum. Raises `ValueError` if the buckets of the two differ."""
        if type(other) is not type(self) or self._like(()) != other._like(()) or len(self.counts) != len(other.counts):
            raise ValueError("these histograms have different buckets")
        return self._like(tuple(a + b for a, b in zip(self.counts, other.counts, strict=True)))

    def __repr__(self) -> str:
        buckets = ", ".join(f"[{_open(b.low)}, {_open(b.high)}): {b.count}" for b in self.buckets)
        return f"<{type(self).__name__} {buckets or 'empty'}>"

    def _repr_html_(self) -> str:
        """How notebooks show it."""
        from pytrace.output.svg import histogram_svg

        return histogram_svg(self)


def _open(bound: int | None) -> str:
    return "…" if bound is None else str(bound)
