"""uprobes in programs and libraries as distributions ship them. What must come out is known from what the programs were
given to do, and from binutils."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Result, Runner
from tests.terminal import CTRL_D, ENTER, Terminal

# How often the programs do what they do.
N = 25


def run(pytrace: Runner, script: str, *command: str | Path) -> Result:
    result = pytrace("-q", "-e", script, "-c", shlex.join(map(str, command)))
    assert result.status == 0, result.stderr
    return result


def maps(result: Result) -> dict[str, str]:
    """The map entries among the output, `@name[key]` to value."""
    return dict(re.findall(r"^(@.*): (.*)$", result.stdout, re.MULTILINE))


def tool(*command: str | Path) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def program(name: str) -> str:
    """The file that a name means, without symbolic links."""
    found = shutil.which(name)
    assert found, f"{name} is not installed: scripts/test would have done it"
    return os.path.realpath(found)


def entry(path: str) -> int:
    found = re.search(r"Entry point address:\s+(0x\w+)", tool("readelf", "-hW", path))
    assert found
    return int(found[1], 16)


def dynamic(path: str) -> set[str]:
    """The functions that a library exports, by nm."""
    text = tool("nm", "-D", "--defined-only", path)
    return {m[1] for m in re.finditer(r"^[0-9a-f]+ [TtWi] ([^@\n]+)", text, re.MULTILINE)}


# --- bash ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("binary", ["bash", "path"])
def test_lines_typed_into_bash(pytrace: Runner, binary: str) -> None:
    """readline() gives each line, and nothing at the end of input."""
    binary = program("bash") if binary == "path" else binary
    script = f'uretprobe:{binary}:readline {{ printf("%d <%s> %d\\n", pid, str(retval), retval == 0); }}'
    running = pytrace.start("-e", script).attached()
    with Terminal("--norc", "--noprofile", "-i", command=("bash",)) as terminal:
        for number, line in enumerate(("true first", "echo 'ein Wort'", "")):
            terminal.type(line + ENTER)
            running.wait_for(f"{terminal.pid} <{line}> 0\n")
            assert running.text().count(f"{terminal.pid} <") == number + 1
        terminal.finish(CTRL_D)
    lines = [line for line in running.finish().stdout.split("\n") if line.startswith(f"{terminal.pid} ")]
    assert [line.partition(" ")[2] for line in lines] == [
        "<true first> 0",
        "<echo 'ein Wort'> 0",
        "<> 0",
        "<> 1",
    ]


# --- openssl ---------------------------------------------------------------------------------------------


def libraries(path: str) -> dict[str, str]:
    """The libraries that the loader gives a program, name to path."""
    return dict(re.findall(r"^\s+(\S+) => (/\S+)", tool("ldd", path), re.MULTILINE))


def libcrypto() -> str:
    found = libraries(program("openssl"))
    return next(path for name, path in found.items() if name.startswith("libcrypto.so"))


@pytest.mark.parametrize("binary", ["libcrypto", "libcrypto.so", "path", "real path"])
def test_what_openssl_hashes(pytrace: Runner, tmp_path: Path, binary: str) -> None:
    """Every byte of the file goes through EVP_DigestUpdate(context, data, size), which gives 1."""
    binary = {"path": libcrypto(), "real path": os.path.realpath(libcrypto())}.get(binary, binary)
    text = "".join(f"line {i}\n" for i in range(5000))
    (tmp_path / "text").write_text(text)
    script = (
        f"uprobe:{binary}:EVP_DigestUpdate {{ @bytes += arg2; @calls++; "
        'if (@calls == 1) { printf("%s\\n", str(arg1, 7)); } } '
        f"uretprobe:{binary}:EVP_DigestUpdate {{ @result[(int32)retval]++; }}"
    )
    found = run(pytrace, script, "openssl", "dgst", "-sha256", tmp_path / "text")
    digest = tool("sha256sum", tmp_path / "text").split()[0]
    assert digest in found.stdout  # it did what it was to do
    assert "line 0\n" in found.stdout
    entries = maps(found)
    assert entries["@bytes"] == str(len(text))
    assert entries["@result[1]"] == entries["@calls"]


def test_every_function_of_a_library(pytrace: Runner) -> None:
    """Hundreds are one link. What is listed is what nm shows, and each is counted under its own name."""
    path = libcrypto()
    names = {n for n in dynamic(path) if n.startswith("EVP_")}
    assert len(names) > 500
    listed = {line.rpartition(":")[2] for line in pytrace("-l", f"uprobe:{path}:EVP_*").stdout.splitlines()}
    assert len(names & listed) > 500
    for name in names - listed:  # no probe can be put on those
        assert re.search(
            r"^\s+[0-9a-f]+:\t[0-9a-f ]+\tlock ", tool("objdump", "-d", f"--disassemble={name}", path), re.M
        )
    found = run(pytrace, f"uprobe:{path}:EVP_* {{ @[func] = count(); }}", "openssl", "dgst", "-sha256", "/etc/passwd")
    counted = maps(found)
    assert counted["@[EVP_DigestFinal_ex]"] == "1"
    assert {re.sub(r"^@\[(.*)\]$", r"\1", name) for name in counted} <= names


def test_functions_that_no_probe_can_be_put_on(pytrace: Runner) -> None:
    """Some of libc's begin with a locked instruction or one of AVX. A wildcard is about the others."""
    names = {n for n in dynamic(libraries(program("openssl"))["libc.so.6"]) if n.startswith("pthread_s")}
    assert {"pthread_self", "pthread_spin_lock"} <= names
    run(pytrace, "uprobe:libc:pthread_s* { @[func] = count(); }", "true")
    listed = {line.rpartition(":")[2] for line in pytrace("-l", "uprobe:libc:pthread_s*").stdout.splitlines()}
    assert "pthread_self" in listed and "pthread_spin_lock" not in listed


def test_the_stack_of_a_stripped_library(pytrace: Runner) -> None:
    """Its names are those of its dynamic symbols."""
    path = libcrypto()
    script = f'uprobe:{path}:EVP_DigestFinal_ex {{ printf("%s\\n%s", usym(reg("ip")), ustack(perf, 1)); }}'
    text = run(pytrace, script, "openssl", "dgst", "-sha256", "/etc/passwd").stdout
    frame = rf"\t[0-9a-f]+ EVP_DigestFinal_ex\+0 \({re.escape(os.path.realpath(path))}\)"
    assert re.search(rf"^EVP_DigestFinal_ex\n\n{frame}$", text, re.MULTILINE), text


# --- a C++ library ---------------------------------------------------------------------------------------

STREAMS = rf"""
#include <iostream>
#include <sstream>
int main() {{
    std::ostringstream out;
    for (int i = 0; i < {N}; i++) out << i << 'c';
    for (int i = 0; i < {2 * N}; i++) out << 1.5;
    long total = 0;
    for (long i = 0; i < {3 * N}; i++) out << i * 1000000;
    std::cout << out.str().size() << std::endl;
}}
"""


@pytest.fixture(scope="module")
def streams(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Not optimised, so that every `<<` is a call of the library."""
    path = tmp_path_factory.mktemp("streams") / "streams"
    subprocess.run(["g++", "-x", "c++", "-O0", "-o", path, "-"], check=True, input=STREAMS, text=True)
    return path


@pytest.mark.parametrize("binary", ["libstdc++", "libstdc++.so.6", "path"])
def test_a_cpp_function_by_its_name(pytrace: Runner, streams: Path, binary: str) -> None:
    binary = libraries(str(streams))["libstdc++.so.6"] if binary == "path" else binary
    script = (
        f'uprobe:{binary}:cpp:"std::ostream::operator<<(int)" /pid == cpid/ {{ @ = sum((int32)arg1); @n = count(); }}'
    )
    assert maps(run(pytrace, script, streams)) == {"@": str(sum(range(N))), "@n": str(N)}


def test_overloads_of_a_cpp_function(pytrace: Runner, streams: Path) -> None:
    script = 'uprobe:libstdc++:cpp:"std::ostream::operator<<" /pid == cpid/ { @[func] = count(); }'
    found = maps(run(pytrace, script, streams))
    assert {name: found.get(f"@[std::ostream::operator<<({name})]") for name in ("int", "double", "long")} == {
        "int": str(N),
        "double": str(2 * N),
        "long": str(3 * N),
    }
    assert "@[std::ostream::operator<<(bool)]" not in found


def test_a_wildcard_in_a_cpp_name(pytrace: Runner, streams: Path) -> None:
    """A template's function, with and without the type that it returns in front. int goes through long."""
    script = (
        'uprobe:libstdc++:cpp:"std::ostream::_M_insert<*>" /pid == cpid/ { @a[func] = count(); } '
        'uretprobe:libstdc++:cpp:"*ostream::_M_insert<double>*" /pid == cpid/ { @b[func] = count(); }'
    )
    found = maps(run(pytrace, script, streams))
    name = "std::ostream& std::ostream::_M_insert"
    assert found[f"@a[{name}<double>(double)]"] == found[f"@b[{name}<double>(double)]"] == str(2 * N)
    assert found[f"@a[{name}<long>(long)]"] == str(4 * N)
    assert len([key for key in found if key.startswith("@b")]) == 1


def test_cpp_names_in_stacks(pytrace: Runner, streams: Path) -> None:
    script = (
        'uprobe:libstdc++:cpp:"std::ostream::operator<<(double)" /pid == cpid/ { @[ustack(1)] = count(); '
        '@s[usym(reg("ip"))] = count(); }'
    )
    found = run(pytrace, script, streams)
    assert f"    std::ostream::operator<<(double)+0\n]: {2 * N}" in found.stdout
    assert maps(found)["@s[std::ostream::operator<<(double)]"] == str(2 * N)


# --- stripped, static, at a fixed address, anywhere --------------------------------------------------------


@pytest.mark.parametrize("kind", ["uprobe", "uretprobe"])
def test_a_stripped_program_says_so(pytrace: Runner, kind: str) -> None:
    path = program("ls")
    assert "no symbols" in subprocess.run(["nm", path], capture_output=True, text=True).stderr
    result = pytrace("-e", f"{kind}:{path}:main {{ exit(); }}")
    assert result.status == 1
    assert f"No matches for {kind} {path}:main." in result.stderr
    assert f"{path} is stripped: only its" in result.stderr
    assert "debug symbols" in result.stderr and "probe an address" in result.stderr


@pytest.mark.parametrize("name", ["ls", "busybox", "python3"])
def test_a_program_by_an_address(pytrace: Runner, name: str) -> None:
    """Where it begins is passed once: in ls, which may be loaded anywhere, and in busybox, which is static."""
    path = "/usr/bin/python3" if name == "python3" else program(name)
    command = {"ls": [path, "-d", "/"], "busybox": [path, "true"], "python3": [path, "-c", ""]}[name]
    script = f"uprobe:{path}:{entry(path):#x} /pid == cpid/ {{ @ = count(); }}"
    assert maps(run(pytrace, script, *command)) == {"@": "1"}


def test_what_python_is_given_to_run(pytrace: Runner) -> None:
    """Debian's is a program at a fixed address."""
    script = 'uprobe:/usr/bin/python3:PyRun_SimpleStringFlags /pid == cpid/ { printf("<%s>", str(arg0)); }'
    text = run(pytrace, script, "/usr/bin/python3", "-c", "n = 1 + 1").stdout
    assert "<n = 1 + 1\n>" in text


COUNTED = rf"""
#include <stdlib.h>
long total;
__attribute__((noinline)) long work(long x) {{ total += 3 * x; return total; }}
int main(void) {{ for (long i = 0; i < {N}; i++) work(i); return total == 0; }}
"""
FORMS = {
    "pie": ("-pie", "-fPIE"),
    "no-pie": ("-no-pie", "-fno-pie"),
    "static": ("-static",),
    "static-pie": ("-static-pie",),
}


@pytest.mark.parametrize("form", FORMS)
def test_symbol_offset_and_address(pytrace: Runner, compile_c: Callable[..., Path], form: str) -> None:
    """Every instruction of the function, as objdump shows them, is passed as often as it is called."""
    path = compile_c(COUNTED, "-O1", *FORMS[form])
    text = tool("objdump", "-d", "--no-show-raw-insn", "--disassemble=work", path)
    addresses = [int(a, 16) for a in re.findall(r"^\s+([0-9a-f]+):\s+\w", text, re.MULTILINE)]
    start, second, last = addresses[0], addresses[1], addresses[-1]
    script = (
        f"uprobe:{path}:work {{ @symbol = count(); @sum = sum(arg0); }} "
        f"uprobe:{path}:work+{second - start} {{ @second = count(); }} "
        f"uprobe:{path}:work+{last - start:#x} {{ @last = count(); }} "
        f"uprobe:{path}:{start:#x} {{ @address = count(); }} "
        f"uprobe:{path}:{last} {{ @decimal = count(); }} "
        f"uretprobe:{path}:work {{ @returned = max(retval); }}"
    )
    total = sum(range(N))
    assert maps(run(pytrace, script, path)) == {
        **{f"@{name}": str(N) for name in ("symbol", "second", "last", "address", "decimal")},
        "@sum": str(total),
        "@returned": str(3 * total),
    }


def test_names_come_back_with_the_debug_file(pytrace: Runner, compile_c: Callable[..., Path], tmp_path: Path) -> None:
    """What a distribution does: the symbols stand in a file of their own, found by its link or below --debuginfo."""
    path, debug = tmp_path / "split", tmp_path / "debug" / "split.debug"
    shutil.copy(compile_c(COUNTED, "-O1", "-g", "-Wl,--build-id"), path)
    debug.parent.mkdir()
    tool("objcopy", "--only-keep-debug", path, debug)
    tool("objcopy", "--strip-all", f"--add-gnu-debuglink={debug}", path)
    script = f'uprobe:{path}:work {{ @[ustack(1), args.x == arg0] = count(); @s[usym(reg("ip"))] = count(); }}'
    refused = pytrace("-e", script)
    assert refused.status == 1 and "is stripped" in refused.stderr

    def works(*options: str) -> None:
        result = pytrace("-q", *options, "-e", script, "-c", str(path))
        assert result.status == 0, result.stderr
        assert re.search(rf"^@\[\n\s+work\+0\n, (1|true)\]: {N}\n", result.stdout, re.MULTILINE), result.stdout
        assert f"@s[work]: {N}\n" in result.stdout

    beside = tmp_path / ".debug"
    beside.mkdir()
    shutil.copy(debug, beside / "split.debug")
    works()
    shutil.rmtree(beside)
    id = re.search(r"Build ID: (\w+)", tool("readelf", "-n", path))
    assert id
    by_id = tmp_path / "elsewhere" / ".build-id" / id[1][:2]
    by_id.mkdir(parents=True)
    debug.rename(by_id / f"{id[1][2:]}.debug")
    works("--debuginfo", str(tmp_path / "elsewhere"))
    listed = pytrace("-lv", f"uprobe:{path}:w*", "--debuginfo", f"/nowhere:{tmp_path / 'elsewhere'}").stdout
    assert listed == f"uprobe:{path}:work\n    long int x\n"
