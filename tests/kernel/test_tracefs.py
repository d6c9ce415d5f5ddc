from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytrace.kernel import KernelError
from pytrace.kernel.tracefs import TraceField, Tracefs, parse_format

SWITCH = """name: sample
ID: 42
format:
\tfield:unsigned short common_type;\toffset:0;\tsize:2;\tsigned:0;
\tfield:int common_pid;\toffset:4;\tsize:4;\tsigned:1;

\tfield:char prev_comm[16];\toffset:8;\tsize:16;\tsigned:0;
\tfield:const char * filename;\toffset:24;\tsize:8;\tsigned:0;
\tfield:__data_loc char[] name;\toffset:32;\tsize:4;\tsigned:0;
\tfield:__rel_data_loc u64[] more;\toffset:36;\tsize:4;\tsigned:0;
\tfield:__data_loc cpumask_t mask;\toffset:40;\tsize:4;\tsigned:0;
\tfield:unsigned long args[6];\toffset:48;\tsize:48;\tsigned:0;
\tfield:u32 grid[2][3];\toffset:96;\tsize:24;\tsigned:0;
\tfield:char label[TASK_COMM_LEN];\toffset:120;\tsize:16;\tsigned:0;
\tfield:struct mm_struct * mm;\toffset:136;\tsize:8;
\tfield:enum xfs_group_type kind;\toffset:144;\tsize:4;\tsigned:0;

print fmt: "prev_comm=%s; offset:1", REC->prev_comm
"""


def test_a_format_is_read() -> None:
    event = parse_format(SWITCH)
    assert (event.name, event.id, event.print_fmt) == ("sample", 42, '"prev_comm=%s; offset:1", REC->prev_comm')
    shapes = {f.name: (f.ctype, f.offset, f.size, f.signed, f.count) for f in event.fields}
    assert shapes == {
        "common_type": ("unsigned short", 0, 2, False, 0),
        "common_pid": ("int", 4, 4, True, 0),
        "prev_comm": ("char", 8, 16, False, 16),
        "filename": ("const char *", 24, 8, False, 0),
        "name": ("char", 32, 4, False, 0),
        "more": ("u64", 36, 4, False, 0),
        "mask": ("cpumask_t", 40, 4, False, 0),
        "args": ("unsigned long", 48, 48, False, 6),
        "grid": ("u32", 96, 24, False, 6),
        "label": ("char", 120, 16, False, 16),
        "mm": ("struct mm_struct *", 136, 8, False, 0),
        "kind": ("enum xfs_group_type", 144, 4, False, 0),
    }
    located = {f.name: f.relative for f in event.fields if f.data_loc}
    assert located == {"name": False, "more": True, "mask": False}
    assert event.field("label") == TraceField("label", "char label[TASK_COMM_LEN]", "char", 120, 16, False, 16)
    assert event.field("absent") is None


@pytest.mark.parametrize(
    "text", ["", "name: x\n", "ID: 4\n", "name: x\nID: 1\n\tfield:;\toffset:0;\tsize:1;\tsigned:0;\n"]
)
def test_what_is_no_format_is_refused(text: str) -> None:
    with pytest.raises(KernelError):
        parse_format(text)


@pytest.fixture
def tree(tmp_path: Path) -> Tracefs:
    """A directory that looks like tracefs."""
    (tmp_path / "available_events").write_text("sched:switch\nsyscalls:sys_enter_read\nsched:exec\n")
    (tmp_path / "events/sched/switch").mkdir(parents=True)
    (tmp_path / "events/sched/switch/format").write_text(SWITCH)
    return Tracefs(os.open(tmp_path, os.O_PATH | os.O_DIRECTORY), str(tmp_path))


def test_events_are_listed_by_category_and_by_glob(tree: Tracefs) -> None:
    assert tree.categories() == ["sched", "syscalls"]
    assert tree.events("sched") == ["exec", "switch"] and tree.events("none") == []
    assert tree.match("s*:*e*") == [("sched", "exec"), ("syscalls", "sys_enter_read")]


def test_an_event_that_is_not_there_has_no_format(tree: Tracefs) -> None:
    assert tree.format("sched", "switch") == parse_format(SWITCH)
    assert tree.format("sched", "gone") is None and tree.format("none", "switch") is None
    assert tree.format("..", "available_events") is None and tree.format("sched/switch", "format") is None
