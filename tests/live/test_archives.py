"""Libraries that run from within a ZIP archive, as on Android."""

from __future__ import annotations

import os
import re
import subprocess
import zipfile
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Runner

N = 12
PAGE = 4096
MEMBER = "lib/x86_64/libfoo.so"

# A function that needs no relocation, and a static probe without a semaphore.
LIBRARY = r"""
long foo(long x)
{
    __asm__ volatile("990: nop\n.pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n"
        ".4byte 992f-991f,994f-993f,3\n991: .asciz \"stapsdt\"\n992: .balign 4\n"
        "993: .8byte 990b\n.8byte 0\n.8byte 0\n"
        ".asciz \"app\"\n.asciz \"tick\"\n.asciz \"-8@%%rdi\"\n994: .balign 4\n.popsection\n" : : "D"(x));
    return 2 * x;
}
"""
# Maps the code of the library at OFFSET of the archive, and calls what stands AT bytes into it.
LOADER = r"""
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
int main(int argc, char **argv)
{
    int fd = open(argv[1], O_RDONLY);
    char *code = mmap(0, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, atol(argv[2]));
    long (*foo)(long) = (long (*)(long))(code + atol(argv[3]));
    long total = 0;
    for (long i = 0; i < atol(argv[4]); i++) total += foo(i);
    return total != atol(argv[4]) * (atol(argv[4]) - 1);
}
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("archive") / "libfoo.so"
    command = ["gcc", "-x", "c", "-O1", "-g", "-shared", "-fPIC", "-nostdlib", "-o", path, "-"]
    subprocess.run(command, check=True, input=LIBRARY, text=True)
    return path


@pytest.fixture(scope="module")
def archive(library: Path) -> Path:
    """Its library is aligned as zipalign does it: by an extra field in the header before the data."""
    path = library.parent / "app.apk"
    with zipfile.ZipFile(path, "w") as made:
        made.writestr("AndroidManifest.xml", "x" * 1234)
        info = zipfile.ZipInfo(MEMBER)
        before = made.fp.tell() + 30 + len(MEMBER) + 4  # type: ignore[union-attr]
        room = -before % PAGE
        info.extra = b"\x35\xd9" + room.to_bytes(2, "little") + bytes(room)
        made.writestr(info, library.read_bytes())
        made.writestr("lib/x86_64/libpacked.so", library.read_bytes(), zipfile.ZIP_DEFLATED)
    return path


@pytest.fixture(scope="module")
def command(archive: Path, library: Path, compile_c: Callable[..., Path]) -> str:
    """Where the library is in the archive is looked for, and where the code is in the library, readelf says."""
    start = archive.read_bytes().find(library.read_bytes())
    assert start > 0 and start % PAGE == 0
    text = subprocess.run(["readelf", "-lsW", library], check=True, capture_output=True, text=True).stdout
    segment = re.search(r"LOAD\s+(0x\w+) (0x\w+) \S+ \S+ \S+ R E", text)
    function = re.search(r"([0-9a-f]{16})\s+\d+ FUNC\s+GLOBAL DEFAULT\s+\d+ foo$", text, re.MULTILINE)
    assert segment and function
    at = int(function[1], 16) - int(segment[2], 16)
    return f"{compile_c(LOADER, '-O1')} {archive} {start + int(segment[1], 16)} {at} {N}"


def lines(pytrace: Runner, script: str, command: str, *options: str) -> list[str]:
    result = pytrace("-q", *options, "-e", script, "-c", command)
    assert result.status == 0, result.stderr
    return [line for line in result.stdout.split("\n") if line]


@pytest.mark.parametrize("options", [(), ("--no-feature", "uprobe_multi")], ids=["multi", "perf"])
def test_a_function_of_a_library_in_an_archive(
    pytrace: Runner, archive: Path, command: str, options: tuple[str, ...]
) -> None:
    script = (
        f"uprobe:{archive}!/{MEMBER}:foo {{ @in[args.x == arg0] = sum(arg0); }} "
        f"uretprobe:{archive}!/{MEMBER}:f* {{ @out[func] = sum(retval); }} "
        f"usdt:{archive}!/lib/*/libfoo.so:tick {{ @tick[arg0 >= 0] = count(); }}"
    )
    total = sum(range(N))
    assert sorted(lines(pytrace, script, command, *options)) == [
        f"@in[true]: {total}",
        f"@out[foo]: {2 * total}",
        f"@tick[true]: {N}",
    ]


def test_its_addresses_have_names(pytrace: Runner, archive: Path, command: str) -> None:
    script = f'uprobe:{archive}!/{MEMBER}:foo {{ @[usym(reg("ip")), ustack(1)] = count(); }}'
    assert lines(pytrace, script, command) == ["@[foo, ", "        foo+0", f"]: {N}"]


def test_what_is_in_an_archive(pytrace: Runner, archive: Path) -> None:
    listed = pytrace("-l", f"uprobe:{archive}!/{MEMBER}:*").stdout
    assert listed == f"uprobe:{archive}!/{MEMBER}:foo\n"


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("lib/x86_64/libpacked.so", "is compressed, so that no process can run it from there"),
        ("lib/none.so", "has no member 'lib/none.so'"),
        ("AndroidManifest.xml", "is not an ELF file"),
    ],
)
def test_what_cannot_be_probed_in_an_archive(pytrace: Runner, archive: Path, member: str, message: str) -> None:
    result = pytrace("-e", f"uprobe:{archive}!/{member}:foo {{ exit(); }}")
    assert result.status == 1 and message in result.stderr


def test_what_is_no_archive(pytrace: Runner, library: Path) -> None:
    for path, message in [(library, "is not a ZIP archive"), (f"{library}.none", os.strerror(2))]:
        result = pytrace("-e", f"uprobe:{path}!/{MEMBER}:foo {{ exit(); }}")
        assert result.status == 1 and message in result.stderr
