from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytrace import cache


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pytrace"


def test_what_is_written_is_read(home: Path) -> None:
    assert cache.read("a") is None
    assert cache.write("a", b"one") and cache.read("a") == b"one"
    assert cache.write("a", b"two") and cache.read("a") == b"two"
    assert os.listdir(home) == ["a"]
    assert (home.stat().st_mode & 0o777, (home / "a").stat().st_mode & 0o777) == (0o700, 0o600)


def test_a_directory_that_others_may_write_to_is_not_used(home: Path) -> None:
    cache.write("a", b"one")
    home.chmod(0o770)
    assert cache.read("a") is None and not cache.write("b", b"two")
    assert os.listdir(home) == ["a"]


def test_a_file_that_others_may_write_to_is_not_read(home: Path) -> None:
    cache.write("a", b"one")
    (home / "a").chmod(0o602)
    assert cache.read("a") is None


def test_links_are_not_followed(home: Path, tmp_path: Path) -> None:
    cache.write("a", b"one")
    (home / "b").symlink_to(home / "a")
    assert cache.read("b") is None
    real = tmp_path / "real"
    home.rename(real)
    home.symlink_to(real)
    assert cache.read("a") is None and not cache.write("c", b"x")
    assert sorted(os.listdir(real)) == ["a", "b"]


def test_no_directory_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert cache.read("a") is None and not cache.write("a", b"x")
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    assert cache.read("a") is None and not cache.write("a", b"x")
