"""Files that are written as root: links that others may have made, files that are not ours to overwrite."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.runtime.outfile import open_for_writing


def anything(start: bytes) -> bool:
    return True


def nothing(start: bytes) -> bool:
    return False


@pytest.fixture
def public(tmp_path: Path) -> Path:
    """A directory like /tmp."""
    directory = tmp_path / "public"
    directory.mkdir()
    directory.chmod(0o1777)
    return directory


def written(path: Path, replaces: Callable[[bytes], bool] = anything, unsafe: bool = False) -> None:
    fd = open_for_writing(str(path), replaces=replaces, unsafe=unsafe)
    os.write(fd, b"new")
    os.close(fd)


def refused(path: Path, code: int, replaces: Callable[[bytes], bool] = anything) -> None:
    with pytest.raises(OSError) as error:
        open_for_writing(str(path), replaces=replaces)
    assert error.value.errno == code


def test_a_file_is_made_or_emptied(tmp_path: Path) -> None:
    written(tmp_path / "a")
    (tmp_path / "b").write_bytes(b"something longer")
    written(tmp_path / "b")
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes() == b"new"


@pytest.mark.parametrize("target", ["victim", "absent", "../victim"])
def test_no_link_is_followed_in_a_directory_of_everybody(tmp_path: Path, public: Path, target: str) -> None:
    (public / "victim").write_bytes(b"precious")
    (tmp_path / "victim").write_bytes(b"precious")
    (public / "link").symlink_to(target)
    refused(public / "link", errno.ELOOP)
    assert (public / "victim").read_bytes() == (tmp_path / "victim").read_bytes() == b"precious"
    assert not (public / "absent").exists()


def test_nor_one_that_is_a_directory_on_the_way(tmp_path: Path, public: Path) -> None:
    (tmp_path / "private").mkdir()
    (public / "link").symlink_to(tmp_path / "private")
    refused(public / "link" / "file", errno.ELOOP)
    (tmp_path / "second").symlink_to(public / "link")  # a link of ours that leads to theirs
    refused(tmp_path / "second" / "file", errno.ELOOP)


def test_links_of_our_own_are_followed(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "link").symlink_to("target")
    written(tmp_path / "link")
    assert (tmp_path / "target").read_bytes() == b"new" and (tmp_path / "link").is_symlink()


def test_a_file_of_another_kind_stays(tmp_path: Path) -> None:
    (tmp_path / "notes").write_bytes(b"precious")
    refused(tmp_path / "notes", errno.EEXIST, nothing)
    assert (tmp_path / "notes").read_bytes() == b"precious"
    (tmp_path / "empty").touch()
    written(tmp_path / "empty", nothing)


@pytest.mark.skipif(os.geteuid() != 0, reason="gives a file to somebody else: needs root")
def test_nor_is_somebody_elses_file_overwritten(public: Path) -> None:
    (public / "theirs").write_bytes(b"precious")
    os.chown(public / "theirs", 12345, 12345)
    refused(public / "theirs", errno.EPERM)
    assert (public / "theirs").read_bytes() == b"precious"


def test_unsafe_does_what_it_is_told(tmp_path: Path, public: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (public / "link").symlink_to(tmp_path / "target")
    written(public / "link", nothing, unsafe=True)
    assert (tmp_path / "target").read_bytes() == b"new"


def test_devices_and_pipes_are_opened_as_they_are(tmp_path: Path) -> None:
    written(Path("/dev/null"), nothing)
    read, write = os.pipe()
    written(Path(f"/dev/fd/{write}"), nothing)
    assert os.read(read, 10) == b"new"
    os.mkfifo(tmp_path / "fifo")
    reader = os.open(tmp_path / "fifo", os.O_RDONLY | os.O_NONBLOCK)
    written(tmp_path / "fifo", nothing)
    assert os.read(reader, 10) == b"new"
    for fd in (read, write, reader):
        os.close(fd)
