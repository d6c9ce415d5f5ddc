"""Well-known constants against what this machine's C compiler says they are."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pytrace.semantics import constants

_HEADERS = """
sys/types.h sys/socket.h netinet/in.h netinet/tcp.h fcntl.h sys/stat.h sys/mman.h sched.h signal.h sys/mount.h
sys/ptrace.h sys/epoll.h sys/prctl.h sys/wait.h sys/resource.h sys/shm.h sys/inotify.h limits.h stdint.h time.h errno.h
poll.h syslog.h
"""


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AF_INET6", 10),
        ("IPPROTO_UDP", 17),
        ("S_IFSOCK", 0o140000),
        ("O_LARGEFILE", 0o100000),  # the kernel's; glibc on 64 bits says 0
        ("ENOENT", 2),
        ("SIGKILL", 9),
        ("CLONE_NEWNET", 0x40000000),
        ("TCP_NODELAY", 1),
        ("ETH_P_IPV6", 0x86DD),
        ("PF_KTHREAD", 0x200000),
        ("UINT64_MAX", 2**64 - 1),
        ("NULL", 0),
    ],
)
def test_some_by_heart(name: str, value: int) -> None:
    assert constants.constant(name) == value


@pytest.mark.parametrize("name", ["", "E", "Ellipsis", "NO_SUCH_THING", "error", "ETH", "SIGNATURE", "socket", "O_"])
def test_other_names_are_none(name: str) -> None:
    assert constants.constant(name) is None


def test_every_listed_name_has_a_value() -> None:
    listed = list(constants.names())
    assert len(listed) == len(set(listed))
    assert {"AF_INET", "ENOENT", "FUTEX_WAIT"} <= set(listed)
    assert all(constants.constant(n) is not None for n in listed)


@pytest.mark.skipif(shutil.which("gcc") is None, reason="no C compiler to compare with")
def test_values_are_those_of_the_compiler(tmp_path: Path) -> None:
    headers = "#define _GNU_SOURCE\n" + "".join(f"#include <{h}>\n" for h in _HEADERS.split())
    (tmp_path / "h.c").write_text(headers)
    macros = subprocess.run(["gcc", "-dM", "-E", tmp_path / "h.c"], capture_output=True, text=True, check=True).stdout
    defined = set(re.findall(r"^#define (\w+) ", macros, re.M))
    compared = [n for n in constants.names() if n in defined and n not in ("O_LARGEFILE", "NULL")]
    assert len(compared) > 800
    # An integer constant expression of any type, as 64 bits.
    lines = "".join(f'printf("{n} %llu\\n", (unsigned long long)({n}));\n' for n in compared)
    (tmp_path / "p.c").write_text(headers + "#include <stdio.h>\nint main(void) {\n" + lines + "return 0; }\n")
    subprocess.run(["gcc", "-w", "-o", tmp_path / "p", tmp_path / "p.c"], check=True)
    output = subprocess.run([tmp_path / "p"], capture_output=True, text=True, check=True).stdout
    wrong = {}
    for name, value in (line.split() for line in output.splitlines()):
        ours = constants.constant(name)
        assert ours is not None
        if ours % 2**64 != int(value):
            wrong[name] = (ours, int(value))
    # What holds all flags that there are grows with the kernel.
    assert not {name for name in wrong if not name.endswith(("_MASK", "_SUPPORTED", "_ALL", "_MAX"))}
    assert len(wrong) < 10


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("DT_DIR", 4),
        ("DT_REG", 8),
        ("ICMPV6_ECHO_REQUEST", 128),
        ("ICMPV6_MGM_REPORT", 131),
        ("NLM_F_REQUEST", 1),
        ("TCGETS", 0x5401),
        ("FS_IOC_GETFLAGS", 0x80086601),
        ("NFT_MSG_NEWTABLE", 0),
        ("INPUT_PROP_POINTER", 0),
        ("V4L2_PIX_FMT_YUYV", 0x56595559),
        ("DRM_IOCTL_VERSION", 0xC0406400),
    ],
)
def test_constants_of_the_kernel_s_headers(name: str, value: int) -> None:
    assert constants.constant(name) == value


def test_it_is_said_which_kernel_the_headers_are_of() -> None:
    first, *lines = (Path(constants.__file__).parent / "uapi.txt").read_text().splitlines()
    assert re.fullmatch(r"# Constants of the headers of Linux \d+\.\d+, written by scripts/genconstants", first)
    assert lines == sorted(lines, key=lambda line: line.split()[0])
    assert len(lines) > 40_000


def test_a_start_does_not_read_them() -> None:
    script = (
        "import sys; from pytrace.compiler import analyse; analyse('begin { print(AF_INET); exit(); }'); "
        "from pytrace.semantics import constants; sys.exit(constants._headers.cache_info().currsize)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
