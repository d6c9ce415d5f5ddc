"""A kernel made by hand: as much of it as providers ask about, with the features a test wants."""

from __future__ import annotations

from typing import cast

from pytrace.kernel import Kernel
from pytrace.kernel.btf import Function
from pytrace.kernel.glob import matches
from pytrace.kernel.syscalls import Syscalls
from pytrace.kernel.tracefs import EventFormat, parse_format
from pytrace.probes import Target
from pytrace.types import INT32, INT64, UINT32, VOID, Enum, Field, Int, Pointer, Struct, Type

ALL = frozenset(
    (
        "tp_btf",
        "get_current_task_btf",
        "raw_tp",
        "kprobe",
        "kprobe_multi",
        "kprobe_session",
        "fentry",
        "uprobe_multi",
        "uprobe_session",
    )
)
COMMON = """name: {name}
ID: {id}
format:
	field:unsigned short common_type;	offset:0;	size:2;	signed:0;
	field:unsigned char common_flags;	offset:2;	size:1;	signed:0;
	field:unsigned char common_preempt_count;	offset:3;	size:1;	signed:0;
	field:int common_pid;	offset:4;	size:4;	signed:1;

{fields}
print fmt: ""
"""


def format_text(name: str, *fields: str) -> str:
    return COMMON.format(name=name, id=1, fields="\n".join(f"\tfield:{f}" for f in fields))


EVENTS = {
    ("sched", "sched_switch"): format_text(
        "sched_switch",
        "char prev_comm[16];	offset:8;	size:16;	signed:0;",
        "pid_t prev_pid;	offset:24;	size:4;	signed:1;",
        "long prev_state;	offset:32;	size:8;	signed:1;",
        "enum color hue;	offset:40;	size:4;	signed:0;",
        "bool late;	offset:44;	size:1;	signed:0;",
        "u8 bytes[6];	offset:45;	size:6;	signed:0;",
        "const struct file * file;	offset:56;	size:8;	signed:0;",
        "mystery_t odd;	offset:64;	size:2;	signed:1;",
        "__data_loc char[] name;	offset:68;	size:4;	signed:0;",
        "__rel_loc u64[] list;	offset:72;	size:4;	signed:0;",
    ),
    ("sched", "sched_wakeup"): format_text("sched_wakeup", "int pid;	offset:8;	size:4;	signed:1;"),
    ("syscalls", "sys_enter_openat"): format_text(
        "sys_enter_openat",
        "int __syscall_nr;	offset:8;	size:4;	signed:1;",
        "int dfd;	offset:16;	size:8;	signed:0;",
        "const char * filename;	offset:24;	size:8;	signed:0;",
        "int flags;	offset:32;	size:8;	signed:0;",
        "umode_t mode;	offset:40;	size:8;	signed:0;",
    ),
    ("syscalls", "sys_enter_newfstat"): format_text(
        "sys_enter_newfstat",
        "int __syscall_nr;	offset:8;	size:4;	signed:1;",
        "unsigned int fd;	offset:16;	size:8;	signed:0;",
        "struct stat * statbuf;	offset:24;	size:8;	signed:0;",
    ),
    ("syscalls", "sys_exit_read"): format_text(
        "sys_exit_read",
        "int __syscall_nr;	offset:8;	size:4;	signed:1;",
        "long ret;	offset:16;	size:8;	signed:1;",
    ),
}

THREAD_INFO = Struct("struct", "thread_info", 24, (Field("flags", INT64, 0), Field("status", UINT32, 16)))
TASK = Struct("struct", "task_struct", 4096, (Field("thread_info", THREAD_INFO, 8),))
FILE = Struct("struct", "file", 232, ())
COLOR = Enum("color", 32, False, (("RED", 0), ("BLUE", 1)))
TYPEDEFS: dict[str, Type] = {"pid_t": INT32, "umode_t": Int(16, False), "u8": Int(8, False), "u64": Int(64, False)}


class HandmadeBtf:
    def __init__(self, *functions: Function) -> None:
        self.modules: dict[str, HandmadeBtf] = {}
        self._functions = {f.name: f for f in functions}

    def struct(self, name: str, tag: str = "struct") -> Struct | None:
        return {s.name: s for s in (TASK, THREAD_INFO, FILE)}.get(name)

    def enum(self, name: str) -> Enum | None:
        return COLOR if name == "color" else None

    def typedef(self, name: str) -> Type | None:
        return TYPEDEFS.get(name)

    def function(self, name: str) -> Function | None:
        return self._functions.get(name)

    def tracepoint(self, name: str) -> Function | None:
        params = {
            "sched_switch": (("preempt", Int(8, False)), ("prev", Pointer(TASK))),
            "sys_enter": (("regs", Pointer(VOID)), ("id", INT64)),
        }
        return Function(name, params[name], VOID, 1) if name in params else None

    def iterators(self) -> list[str]:
        return ["task"]

    def tracepoint_names(self, pattern: str = "*") -> list[str]:
        return [n for n in ("sched_switch", "sys_enter") if matches(n, pattern)]


class HandmadeTracefs:
    def categories(self) -> list[str]:
        return sorted({c for c, _ in EVENTS})

    def events(self, category: str) -> list[str]:
        return sorted(e for c, e in EVENTS if c == category)

    def match(self, pattern: str) -> list[tuple[str, str]]:
        return sorted((c, e) for c, e in EVENTS if matches(f"{c}:{e}", pattern))

    def format(self, category: str, event: str) -> EventFormat | None:
        text = EVENTS.get((category, event))
        return parse_format(text) if text else None


class Features:
    def __init__(self, names: frozenset[str]) -> None:
        self._names = names

    def has(self, name: str) -> bool:
        return name in self._names

    def why(self, name: str) -> str:
        return f"no {name} here"


class Functions:
    """Both kallsyms and traceable functions."""

    modules: tuple[str, ...] = ()

    def __init__(self, names: list[str]) -> None:
        self._names = sorted(names)

    def functions(self, pattern: str = "*", module: str = "") -> list[str]:
        return [n for n in self._names if matches(n, pattern)]

    def lookup(self, name: str, module: str | None = None) -> list[str]:
        return [n for n in self._names if n == name]


VFS_READ = Function("vfs_read", (("file", Pointer(FILE)), ("count", Int(64, False))), INT64, 7)
BY_VALUE = Function("by_value", (("two", Struct("struct", "two", 16, ())), ("n", INT32)), VOID, 8)


class HandmadeKernel:
    def __init__(self, features: frozenset[str], machine: str) -> None:
        self.machine, self.version, self.release = machine, (6, 12, 0), "6.12.0"
        self.features = Features(features)
        self.btf = HandmadeBtf(VFS_READ, BY_VALUE)
        self.tracefs = HandmadeTracefs()
        self.syscalls = Syscalls.of(machine)
        self.clones = {"finish_switch": ("finish_switch.isra.0", "finish_switch.isra.0.constprop.1")}
        self.traceable = self.kallsyms = Functions(
            ["vfs_read", "vfs_write", "by_value", "do_nanosleep", "assembly", "_raw_spin_lock", "bpf_get_current_task"]
        )


def target(
    *,
    without: str = "",
    only: frozenset[str] | None = None,
    machine: str = "x86_64",
    pid: int = 0,
    unsafe: bool = False,
) -> Target:
    """A target whose kernel has every feature but those named in `without`, or only `only`."""
    features = ALL - set(without.split()) if only is None else only
    return Target(cast(Kernel, HandmadeKernel(features, machine)), pid, unsafe)
