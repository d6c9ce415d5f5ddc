from __future__ import annotations

import os
import random
from pathlib import Path

import pytest

from pytrace.kernel import KernelError
from pytrace.kernel.btf import Btf
from pytrace.kernel.btf_index import Index, build
from pytrace.kernel.btf_raw import RawBtf
from pytrace.types import Field, Int, Pointer, Struct
from tests.kernel.btfs import Builder


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "pytrace"


def base() -> Builder:
    b = Builder()
    i = b.int("int", 4, 1)
    b.struct("task", 8, ("pid", i, 0), ("tgid", i, 32))
    b.function("fork", b.proto(i, ("task", b.pointer(2))))
    return b


def split(of: Builder) -> Builder:
    b = Builder(of.next, len(of.strings))
    b.struct("driver", 16, ("owner", b.next + 1, 0), ("id", 1, 64))
    b.pointer(2)
    b.function("probe", b.proto(1, ("driver", b.pointer(of.next))))
    return b


def test_names_are_found_by_kind_and_the_lowest_id_wins() -> None:
    b = base()
    second = b.struct("task", 16, ("other", 1, 0))
    b.typedef("task", 1)
    btf = Btf(b.blob())
    assert (btf.id(4, "task"), btf.id(8, "task"), btf.id(5, "task")) == (2, second + 1, None)
    assert btf.struct("task", "union") is None and btf.struct("tas") is None
    assert btf.sized("struct", "task") == 8


def test_lists_are_sorted_unique_and_globbed() -> None:
    b = base()
    for name in ("vfs_write", "vfs_read", "vfs_read", "do_exit"):
        b.function(name, 4)
    btf = Btf(b.blob())
    assert btf.function_names() == ["do_exit", "fork", "vfs_read", "vfs_write"]
    assert btf.function_names("vfs_*") == ["vfs_read", "vfs_write"]
    assert btf.function_names("vfs_rea?") == ["vfs_read"] == btf.function_names("vfs_read")
    assert btf.function_names("vfs") == btf.function_names("nothing*") == []
    assert btf.struct_names() == ["task"] and btf.struct_names(tag="union") == btf.enum_names() == []


def test_a_module_sees_the_types_of_vmlinux() -> None:
    whole = base()
    vmlinux = Btf(whole.blob())
    module = Btf(split(whole).blob(), base=vmlinux, module="net")
    task = vmlinux.struct("task")
    assert module.struct("task") is task
    assert module.struct("driver") == Struct(
        "struct",
        "driver",
        16,
        (Field("owner", Pointer(Struct("struct", "task", 8, None)), 0), Field("id", Int(32, True), 8)),
    )
    probe, fork = module.function("probe"), module.function("fork")
    assert probe and fork
    assert (probe.module, fork.module) == ("net", "")
    assert probe.id == vmlinux.end_id + 4 and fork == vmlinux.function("fork")
    assert module.function_names() == ["probe"]


def test_modules_are_opened_from_a_directory(tmp_path: Path, home: Path) -> None:
    whole = base()
    (tmp_path / "vmlinux").write_bytes(whole.blob())
    (tmp_path / "net").write_bytes(split(whole).blob())
    modules = Btf(whole.blob()).modules_in(str(tmp_path))
    assert "net" in list(modules) and "vmlinux" not in list(modules)
    assert modules["net"].function("probe") is not None
    assert modules["net"] is modules["net"]
    vmlinux = Btf(whole.blob())
    vmlinux.modules = vmlinux.modules_in(str(tmp_path))
    found, fork = vmlinux.find_function("probe"), vmlinux.find_function("fork")
    assert found and fork and (found.module, fork.module) == ("net", "")
    assert vmlinux.find_function("nothing") is None and vmlinux.function("probe") is None
    with pytest.raises(KeyError):
        modules["gone"]
    assert len(list(Btf(whole.blob()).modules_in(str(tmp_path / "absent")))) == 0


def test_unknown_kinds_are_skipped_where_the_btf_tells_their_size() -> None:
    b = Builder()
    b.int("int", 4, 1)
    b.add(25, "mystery", 0, 1, 2, 3, 4, 5, count=2)  # one word, then two elements of two words
    b.struct("after", 4, ("x", 1, 0))
    sizes = [b"\0\0\0\0"] * 26
    sizes[25] = bytes([4, 8, 0, 0])
    assert Btf(b.blob(b"".join(sizes))).struct("after") is not None
    with pytest.raises(KernelError, match="unknown kind of type at id 3"):
        Btf(b.blob())


@pytest.mark.parametrize("data", [b"", b"\x9f\xeb" + bytes(10), bytes(64), base().blob()[:50]])
def test_what_is_no_btf_is_refused(data: bytes) -> None:
    with pytest.raises(KernelError, match="not BTF"):
        Btf(data)


def test_damaged_types_give_an_error_and_nothing_else() -> None:
    rng = random.Random(1)
    for _ in range(500):
        damaged = bytearray(base().blob())
        for _ in range(rng.randint(1, 4)):
            damaged[rng.randrange(24, len(damaged))] = rng.randrange(256)
        try:
            btf = Btf(bytes(damaged))
            for id in range(1, btf.end_id):
                btf.type(id)
            btf.function("fork")
            btf.function_names()
            btf.declaration("struct task")
        except KernelError:
            continue


def test_types_that_lead_back_to_themselves_end_in_an_error() -> None:
    b = Builder()
    b.typedef("a", 2)
    b.typedef("b", 1)
    b.const(4)
    b.const(3)
    b.struct("s", 4, ("x", 3, 0))
    btf = Btf(b.blob())
    with pytest.raises(KernelError, match="damaged"):
        btf.typedef("a")
    with pytest.raises(KernelError, match="damaged"):
        btf.struct("s")
    with pytest.raises(KernelError, match="damaged"):
        btf.declaration("struct s")


def test_the_index_is_kept_and_used(home: Path) -> None:
    blob = base().blob()
    first = Btf.open(blob, "abc")
    files = list(home.iterdir())
    assert [f.name for f in files] == [f"btf-abc-{len(blob)}.index"]
    assert home.stat().st_mode & 0o777 == 0o700
    before = files[0].stat()
    second = Btf.open(blob, "abc")
    assert second.struct("task") == first.struct("task")
    assert files[0].stat().st_mtime_ns == before.st_mtime_ns


def test_an_index_that_is_cut_short_is_made_anew(home: Path) -> None:
    blob = base().blob()
    Btf.open(blob, "abc")
    (file,) = home.iterdir()
    whole = file.read_bytes()
    file.write_bytes(whole[:-3])
    assert Btf.open(blob, "abc").struct("task") is not None
    assert file.read_bytes() == whole


def test_an_index_that_others_could_have_written_is_not_used(home: Path) -> None:
    blob = base().blob()
    Btf.open(blob, "abc")
    (file,) = home.iterdir()
    other = Builder()
    other.int("long", 8, 1)
    file.write_bytes(build(RawBtf(other.blob()), 1))
    file.chmod(0o666)
    assert Btf.open(blob, "abc").struct("task") is not None


def test_without_a_cache_everything_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert Btf.open(base().blob()).struct("task") is not None
    assert os.listdir(tmp_path) == ["file"]


def test_another_btf_may_be_named_by_the_environment(
    tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "other.btf").write_bytes(base().blob())
    monkeypatch.setenv("BPFTRACE_BTF", str(tmp_path / "other.btf"))
    assert Btf.vmlinux().function_names() == ["fork"]
    monkeypatch.setenv("PYTRACE_BTF", str(tmp_path / "absent.btf"))
    with pytest.raises(KernelError, match=r"absent\.btf: No such file"):
        Btf.vmlinux()


def test_an_index_of_something_else_is_refused() -> None:
    with pytest.raises(KernelError, match="not an index"):
        Index(b"ptBTFidx" + bytes(100))


def test_names_with_equal_hashes_are_told_apart() -> None:
    # Two words whose CRC-32 is the same, whatever it starts from.
    b = Builder()
    i = b.int("int", 4, 1)
    first = b.struct("plumless", 4, ("a", i, 0))
    second = b.struct("buckeroo", 8, ("b", i, 0))
    btf = Btf(b.blob())
    assert list(btf.index.candidates(4, b"plumless")) == [first, second]
    assert (btf.sized("struct", "plumless"), btf.sized("struct", "buckeroo")) == (4, 8)
    assert (btf.id(4, "plumless"), btf.id(4, "buckeroo")) == (first, second)
