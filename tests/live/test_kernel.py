"""What the kernel package says about the running kernel, held against what other programs say."""

from __future__ import annotations

import json
import os
import random
import re
import subprocess
from pathlib import Path

import pytest

from pytrace import cache
from pytrace.kernel import Kernel, KernelError
from pytrace.kernel.btf import Btf
from pytrace.kernel.mount import mount_privately
from pytrace.kernel.tracefs import Tracefs
from pytrace.types import Array, Bool, Enum, Int, Pointer, Struct, Type

KINDS = {"INT": 1, "STRUCT": 4, "UNION": 5, "ENUM": 6, "TYPEDEF": 8, "FUNC": 12, "ENUM64": 19}


@pytest.fixture(scope="module")
def btf() -> Btf:
    return Kernel.running().btf


@pytest.fixture(scope="module")
def dumped() -> dict[int, dict[str, object]]:
    """All types as bpftool has them."""
    command = ["bpftool", "-j", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "raw"]
    return {t["id"]: t for t in json.loads(subprocess.check_output(command))["types"]}


def size_of(dumped: dict[int, dict[str, object]], id: int) -> int:
    t = dumped[id]
    if "size" in t:
        return int(t["size"])  # type: ignore[call-overload,no-any-return]
    match t["kind"]:
        case "PTR":
            return 8
        case "ARRAY":
            return int(t["nr_elems"]) * size_of(dumped, int(t["type_id"]))  # type: ignore[call-overload,no-any-return]
        case _:
            return size_of(dumped, int(t["type_id"]))  # type: ignore[call-overload]


def test_every_named_type_is_found_as_bpftool_numbers_it(btf: Btf, dumped: dict[int, dict[str, object]]) -> None:
    lowest: dict[tuple[int, str], int] = {}
    for id, t in dumped.items():
        kind = KINDS.get(str(t["kind"]))
        if kind and t["name"] != "(anon)":
            lowest.setdefault((6 if kind == 19 else kind, str(t["name"])), id)
    assert len(lowest) > 10_000
    assert {key: btf.id(*key) for key in lowest} == lowest
    functions = sorted(name for kind, name in lowest if kind == 12)
    assert btf.function_names() == functions
    assert btf.struct_names() == sorted(name for kind, name in lowest if kind == 4)


def test_every_struct_has_the_layout_that_bpftool_shows(btf: Btf, dumped: dict[int, dict[str, object]]) -> None:
    seen = 0
    for id, t in dumped.items():
        if t["kind"] not in ("STRUCT", "UNION"):
            continue
        found = btf.type(id)
        assert isinstance(found, Struct) and found.fields is not None
        members: list[dict[str, object]] = t["members"]  # type: ignore[assignment]
        assert (found.tag, found.size, len(found.fields)) == (str(t["kind"]).lower(), t["size"], len(members))
        for field, member in zip(found.fields, members, strict=True):
            name = "" if member["name"] == "(anon)" else member["name"]
            width = member.get("bitfield_size") or 0
            assert (field.name, field.bit_size) == (name, width)
            assert field.offset * 8 + field.bit_offset == member["bits_offset"]
            assert field.type.size == size_of(dumped, int(member["type_id"]))  # type: ignore[call-overload]
            if width:
                assert field.bit_offset + field.bit_size <= field.type.size * 8
            seen += 1
    assert seen > 50_000


def test_every_enum_has_the_members_that_bpftool_shows(btf: Btf, dumped: dict[int, dict[str, object]]) -> None:
    for id, t in dumped.items():
        if t["kind"] in ("ENUM", "ENUM64"):
            found = btf.type(id)
            assert isinstance(found, Enum)
            values: list[dict[str, object]] = t["values"]  # type: ignore[assignment]
            # bpftool's JSON has the values of unsigned 32-bit enums extended by their highest bit
            mask = (1 << 64) - 1 if found.signed else (1 << found.bits) - 1
            shown = [(v["name"], int(v["val"]) & mask) for v in values]  # type: ignore[call-overload]
            assert [(name, value & mask) for name, value in found.members] == shown
            assert found.signed or all(value >= 0 for _, value in found.members)
            assert (found.signed, found.size) == (t["encoding"] == "SIGNED", t["size"])


def test_every_function_has_the_parameters_that_bpftool_shows(btf: Btf, dumped: dict[int, dict[str, object]]) -> None:
    names = random.Random(1).sample(btf.function_names(), 2000)
    for name in names:
        function = btf.function(name)
        assert function
        proto = dumped[int(dumped[function.id]["type_id"])]  # type: ignore[call-overload]
        params: list[dict[str, object]] = proto["params"]  # type: ignore[assignment]
        shown = [p for p in params if p["type_id"]]
        assert [n for n, _ in function.params] == [
            p["name"] if p["name"] != "(anon)" else f"arg{i}" for i, p in enumerate(shown)
        ]
        assert function.variadic == (len(shown) < len(params))
        for (_, type), p in zip(function.params, shown, strict=True):
            assert type.size == size_of(dumped, int(p["type_id"]))  # type: ignore[call-overload]


def test_definitions_are_those_that_bpftool_prints(btf: Btf) -> None:
    text = subprocess.check_output(
        ["bpftool", "btf", "dump", "file", "/sys/kernel/btf/vmlinux", "format", "c"], text=True
    )
    compared = 0
    for match in re.finditer(r"^((?:struct|union|enum) \w+) \{\n.*?^\};$", text, re.MULTILINE | re.DOTALL):
        # bpftool renames what C has no scopes for and shows paddings; neither is in the BTF.
        if (
            "___" in match[0]
            or "__attribute__" in match[0]
            or re.search(r"^\t+\w[\w ]*: \d+;$", match[0], re.MULTILINE)
        ):
            continue
        assert btf.declaration(match[1]) == match[0]
        compared += 1
    assert compared > 5_000


def depth(type: Type) -> int:
    match type:
        case Struct(fields=fields):
            return 1 + max((depth(f.type) for f in fields or ()), default=0)
        case Array(element=element):
            return depth(element)
        case Pointer(to=Struct(name="") as nameless):
            return 1 + depth(nameless)
        case Pointer(to=Struct(fields=fields)):
            assert fields is None
    return 0


def test_the_task_struct_is_complete_where_it_must_be(btf: Btf) -> None:
    task = btf.struct("task_struct")
    assert task and depth(task) > 2
    kinds = {name: task.field(name).type for name in ("pid", "comm", "mm", "se", "in_execve")}  # type: ignore[union-attr]
    assert (kinds["pid"], kinds["comm"]) == (Int(32, True), Array(Int(8, True), 16))
    assert isinstance(kinds["mm"], Pointer) and str(kinds["mm"].to) == "struct mm_struct"
    assert isinstance(kinds["se"], Struct) and kinds["se"].field("vruntime") is not None
    assert task.field("in_execve").bit_size == 1  # type: ignore[union-attr]


def test_tracepoints_have_the_names_of_their_source(btf: Btf) -> None:
    switch = btf.tracepoint("sched_switch")
    assert switch
    assert [name for name, _ in switch.params][:3] == ["preempt", "prev", "next"]
    assert isinstance(switch.params[0][1], Bool) and str(switch.params[1][1]) == "struct task_struct *"
    events = {event for _, event in Kernel.running().tracefs.match("sched:*")}
    assert events & set(btf.tracepoint_names()) >= {"sched_switch", "sched_wakeup", "sched_process_exec"}


def test_a_private_tracefs_is_the_same_and_is_seen_by_nobody() -> None:
    shared = Kernel.running().tracefs
    before = Path("/proc/self/mountinfo").read_text()
    fd = mount_privately("tracefs")
    private = Tracefs(fd, f"/proc/self/fd/{fd}")
    try:
        assert Path("/proc/self/mountinfo").read_text() == before
        assert private.match("*") == shared.match("*") != []
        assert len(shared.match("**")) == len(shared.read("available_events").splitlines())
        for event in private.events("sched"):
            assert private.format("sched", event) == shared.format("sched", event) is not None
        assert os.path.exists(f"{private.path}/events")
    finally:
        os.close(fd)
    with pytest.raises(KernelError, match="nosuchfs"):
        mount_privately("nosuchfs")


def test_every_format_is_read_to_its_last_field() -> None:
    tracefs = Kernel.running().tracefs
    for category, event in tracefs.match("s*:*"):
        found = tracefs.format(category, event)
        text = tracefs.read(f"events/{category}/{event}/format")
        assert found and len(found.fields) == text.count("field:") and f"ID: {found.id}\n" in text
        for field in found.fields:
            assert f"\tfield:{field.declaration};\toffset:{field.offset};\tsize:{field.size};" in text
            if field.count and "*" not in field.ctype:
                assert field.size % field.count == 0


def test_every_syscall_event_has_a_number() -> None:
    kernel = Kernel.running()
    events = [event.removeprefix("sys_enter_") for _, event in kernel.tracefs.match("syscalls:sys_enter_*")]
    assert len(events) > 300
    assert [event for event in events if kernel.syscalls.number(event) is None] == []


def test_symbols_are_those_of_proc() -> None:
    symbols = Kernel.running().kallsyms
    lines = [line.split() for line in Path("/proc/kallsyms").read_text().splitlines()]
    core = [(int(line[0], 16), line[2]) for line in lines if len(line) == 3]
    first: dict[int, str] = {}
    for address, name in core:
        first.setdefault(address, name)
    for address, name in random.Random(2).sample(sorted(first.items()), 1000):
        if not address:
            continue
        found = symbols.at(address)
        assert found and (found[0].name, found[1]) == (name, 0)
        assert address in [s.address for s in symbols.lookup(name, "vmlinux")]
    text = {line[2] for line in lines if len(line) == 3 and line[1] in "tTwW"}
    assert set(symbols.functions()) == text


def test_traceable_functions_are_in_the_kernel() -> None:
    kernel = Kernel.running()
    traceable = kernel.traceable
    assert traceable.has("vfs_read") and traceable.has("vfs_read", "") and not traceable.has("no_such_function")
    assert "vfs_read" in traceable.functions("vfs_*")
    if traceable.source == "kallsyms":
        names = set(traceable.functions())
        assert names <= set(kernel.kallsyms.functions()) and names <= set(kernel.btf.function_names())


def test_a_cache_that_belongs_to_somebody_else_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    home = tmp_path / "pytrace"
    cache.write("a", b"one")
    os.chown(home / "a", 12345, 12345)
    assert cache.read("a") is None
    cache.write("b", b"two")
    assert cache.read("b") == b"two"
    os.chown(home, 12345, 12345)
    assert cache.read("b") is None and not cache.write("c", b"three")
