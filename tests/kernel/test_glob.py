from __future__ import annotations

from fnmatch import fnmatchcase

from hypothesis import given
from hypothesis import strategies as st

from pytrace.kernel.glob import is_glob, matches, select

names = st.text("ab_.-[]!^*?\\", max_size=6).filter(lambda s: "\n" not in s)
patterns = st.text("ab_.-*?\\", max_size=6) | st.sampled_from(
    ["**", "*?", "[ab]*", "[!a]?", "*[a-c]", "a[", "[]a]", "x[^a]"]
)


@given(names, patterns)
def test_globs_mean_what_a_shell_means(name: str, pattern: str) -> None:
    assert matches(name, pattern) == fnmatchcase(name, pattern.replace("[^", "[!"))


@given(st.lists(st.text("ab_", min_size=1, max_size=4), unique=True), patterns)
def test_selecting_from_lines_is_matching_each(lines: list[str], pattern: str) -> None:
    text = "".join(f"{line}\n" for line in lines)
    assert select(text, pattern) == [line for line in lines if matches(line, pattern)]


def test_what_a_glob_is() -> None:
    assert is_glob("vfs_*") and is_glob("a?") and is_glob("[ab]") and not is_glob("vfs_read")
