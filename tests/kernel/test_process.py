from __future__ import annotations

import os
import signal
import subprocess
from pathlib import Path

from pytrace.kernel.elf import Elf
from pytrace.kernel.process import Mapping, Process, parse_maps, processes
from tests.kernel.programs import compile_program

MAPS = """\
55d0c0000000-55d0c0004000 r--p 00000000 08:01 131 /usr/bin/with space
55d0c0004000-55d0c0010000 r-xp 00004000 08:01 131 /usr/bin/with space
7f0000000000-7f0000001000 rw-p 00000000 00:00 0
7f0000002000-7f0000003000 r-xp 00001000 08:01 77 /lib/gone.so (deleted)
7ffc00000000-7ffc00021000 rw-p 00000000 00:00 0 [stack]
"""


def test_maps_are_read() -> None:
    maps = parse_maps(MAPS)
    assert maps[1] == Mapping(0x55D0C0004000, 0x55D0C0010000, "r-xp", 0x4000, "08:01", 131, "/usr/bin/with space")
    assert [m.path for m in maps[2:]] == ["", "/lib/gone.so", "[stack]"]
    assert [m.executable for m in maps] == [False, True, False, True, False]
    assert [m.is_file for m in maps] == [True, True, False, True, False]


def test_an_address_is_located_in_its_file() -> None:
    maps = parse_maps(MAPS)
    process = Process(os.getpid())
    assert process.locate(0x55D0C0004010, maps) == (maps[1], 0x4010)
    assert process.locate(0x7F0000000010, maps) is None and process.locate(1, maps) is None


def test_a_running_program_tells_where_its_function_is(tmp_path: Path) -> None:
    main = r'int main(void) { printf("%p\n", (void *)where); fflush(stdout); getchar(); }'
    source = f"#include <stdio.h>\nint where(void) {{ return 1; }}\n{main}"
    path = compile_program(tmp_path, "where", "-pie", "-fPIE", source=source)
    with subprocess.Popen([path], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout and child.stdin
        address = int(child.stdout.readline(), 16)
        process = Process(child.pid)
        assert (process.comm, process.executable, process.alive) == ("where", str(path), True)
        found = process.locate(address)
        assert found
        mapping, offset = found
        elf = Elf.open(process.path(mapping))
        symbol = elf.function("where")
        assert symbol and mapping.executable and elf.offset_of(symbol.address) == offset
        assert child.pid in processes() and child.pid in Process(os.getpid()).children()
        assert process.threads() == [child.pid] and process.root == ""
        assert process.namespace_pid > 0
        child.stdin.close()
        child.wait()
        assert not process.alive


def test_a_zombie_is_not_alive_and_one_that_is_gone_has_nothing() -> None:
    child = subprocess.Popen(["sleep", "100"])
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    process = Process(child.pid)
    assert not process.alive
    child.wait()
    assert (process.comm, process.executable, process.maps(), process.threads()) == ("", "", [], [])
    assert (process.children(), process.root, process.namespace_pid) == ([], "", 0)


def test_a_name_with_brackets_does_not_confuse(tmp_path: Path) -> None:
    tool = tmp_path / "a) Z b"
    tool.write_bytes(Path("/bin/sleep").read_bytes())
    tool.chmod(0o755)
    with subprocess.Popen([tool, "100"]) as child:
        while Process(child.pid).comm != "a) Z b":
            assert child.poll() is None
        assert Process(child.pid).alive
        child.kill()
