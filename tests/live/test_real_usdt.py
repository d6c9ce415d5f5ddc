"""Static probes of programs as distributions ship them: Python, PostgreSQL, libstdc++. Their arguments are known from
what the programs were given to do; which probes there are, readelf says."""

from __future__ import annotations

import glob
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from pytrace.kernel.libraries import find_library
from tests.conftest import Runner

PYTHON = "/usr/bin/python3"


def probes(path: str) -> set[str]:
    """`provider:name` of each probe of a file, by readelf."""
    text = subprocess.run(["readelf", "-nW", path], check=True, capture_output=True, text=True).stdout
    return {":".join(m) for m in re.findall(r"Provider: (\S+)\s+Name: (\S+)", text)}


def postgres() -> str:
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin/postgres")) or [shutil.which("postgres") or ""]
    assert found[-1], "PostgreSQL is not installed: scripts/test would have done it"
    return found[-1]


def library(name: str) -> str:
    found = find_library(name)
    assert found
    return found


@pytest.mark.parametrize("name", ["python3", "libstdc++", "libc", "postgres"])
def test_the_probes_of_a_file_are_those_of_readelf(pytrace: Runner, name: str) -> None:
    """Debian's libc is built without any, others' is not."""
    path = {"python3": PYTHON}.get(name) or (postgres() if name == "postgres" else library(name))
    expected = probes(path)
    listed = pytrace("-l", f"usdt:{path}:*").stdout.splitlines()
    assert set(listed) == {f"usdt:{path}:{name}" for name in expected}
    if expected:
        result = pytrace("-e", f"usdt:{path}:*:* {{ @[probe] = count(); }}", "-c", "true")
        assert f"Attached {len(expected)} probe" in result.stderr
    else:
        result = pytrace("-e", f"usdt:{path}:* {{ exit(); }}")
        assert result.status == 1
        assert "the file has no USDT probes at all" in result.stderr


# --- Python ----------------------------------------------------------------------------------------------

SCRIPT = """
import gc, sys
gc.disable()
def outer(n):
    return inner(n) + 1
def inner(n):
    return n
for i in range(7):
    outer(i)
for generation in (2, 0, 1, 0):
    gc.collect(generation)
for i in range(3):
    sys.audit("our.event", i)
"""


@pytest.fixture
def script(tmp_path: Path) -> Path:
    path = tmp_path / "traced.py"
    path.write_text(SCRIPT)
    return path


def lines(pytrace: Runner, text: str, *command: str | Path) -> list[str]:
    result = pytrace("-q", "-e", text, "-c", " ".join(map(str, command)))
    assert result.status == 0, result.stderr
    return [line for line in result.stdout.split("\n") if line]


def built_in(pytrace: Runner, name: str) -> bool:
    """Whether this Python has a probe; if not, that is what has to be said."""
    if f"python:{name}" in probes(PYTHON):
        return True
    result = pytrace("-e", f"usdt:{PYTHON}:python:{name} {{ exit(); }}")
    assert result.status == 1 and "No matches for usdt" in result.stderr
    return False


@pytest.mark.parametrize("option", ["", "uprobe_multi"], ids=["multi", "perf"])
def test_functions_of_python(pytrace: Runner, script: Path, option: str) -> None:
    """Guarded by semaphores. File and function are strings, the line is a signed number in half a register. Python 3.11
    passes the entries of most functions only if lines are traced as well."""
    if not all(built_in(pytrace, name) for name in ("function__entry", "function__return", "line")):
        return
    text = (
        f'usdt:{PYTHON}:python:function__entry /str(arg0) == "{script}"/ {{ @in[str(arg1), arg2] = count(); }} '
        f'usdt:{PYTHON}:function__return /str(arg0) == "{script}"/ {{ @out[str(arg1), arg2] = count(); }} '
        f'usdt:{PYTHON}:python:line /str(arg0) == "{script}"/ {{ @line[str(arg1), arg2] = count(); }}'
    )
    options = ("--no-feature", option) if option else ()
    result = pytrace("-q", *options, "-e", text, "-c", f"{PYTHON} {script}")
    assert result.status == 0, result.stderr
    found = dict(re.findall(r"^(@.*): (.*)$", result.stdout, re.MULTILINE))
    first = {line: n for n, line in enumerate(SCRIPT.split("\n"), 1)}
    assert found["@in[outer, " + str(first["def outer(n):"]) + "]"] == "7"
    assert found["@in[inner, " + str(first["def inner(n):"]) + "]"] == "7"
    assert found["@out[outer, " + str(first["    return inner(n) + 1"]) + "]"] == "7"
    assert found["@out[inner, " + str(first["    return n"]) + "]"] == "7"
    for function, text in [
        ("outer", "    return inner(n) + 1"),
        ("inner", "    return n"),
        ("<module>", "    outer(i)"),
    ]:
        assert found[f"@line[{function}, {first[text]}]"] == "7"


def test_collections_and_audits_of_python(pytrace: Runner, script: Path) -> None:
    """The generation is a number on the stack. There are others at start and exit."""
    text = (
        f'usdt:{PYTHON}:python:gc__start {{ printf("gc %d\\n", arg0); }} '
        f'usdt:{PYTHON}:python:audit /str(arg0) == "our.event"/ {{ printf("audit\\n"); }}'
    )
    found = "\n".join(lines(pytrace, text, PYTHON, script))
    assert "gc 2\ngc 0\ngc 1\ngc 0\naudit\naudit\naudit\n" in found


@pytest.mark.parametrize("binary", ["*", "", PYTHON, "python3*"])
def test_a_python_that_runs_already(pytrace: Runner, tmp_path: Path, binary: str) -> None:
    """By its process, whose files are found for us. Another one of the same program is not traced."""
    go = tmp_path / "go"
    code = f"import gc, os, time\ngc.disable()\nwhile not os.path.exists('{go}'): time.sleep(0.01)\ngc.collect(1)\n"
    both = [subprocess.Popen([PYTHON, "-c", code]) for _ in range(2)]
    try:
        traced, _ = both
        while PYTHON[-7:] not in Path(f"/proc/{traced.pid}/comm").read_text():
            time.sleep(0.01)
        text = f'usdt:{binary}:python:gc__start {{ printf("%d %d\\n", pid, arg0); }}'
        running = pytrace.start("-p", str(traced.pid), "-e", text).attached()
        go.touch()
        result = running.finish(None)
    finally:
        for process in both:
            process.kill()
            process.wait()
    assert result.status == 0, result.stderr
    found = [line for line in result.stdout.split("\n") if line]
    assert found[0] == f"{traced.pid} 1"
    assert {line.split()[0] for line in found} == {str(traced.pid)}


# --- libstdc++ -------------------------------------------------------------------------------------------

THROWS = r"""
#include <stdexcept>
int main() {
    long caught = 0;
    for (int i = 0; i < 9; i++)
        try { if (i % 3) throw i; throw std::runtime_error("text"); }
        catch (int) { caught++; } catch (std::exception &) { caught--; }
    return caught != 3;
}
"""


def test_exceptions_of_a_cpp_program(pytrace: Runner, tmp_path: Path) -> None:
    """The object that was thrown, and its type, which the program's own symbols name."""
    program = tmp_path / "throws"
    subprocess.run(["g++", "-x", "c++", "-O1", "-o", program, "-"], check=True, input=THROWS, text=True)
    text = (
        "usdt:libstdc++:libstdcxx:throw { @type[arg1] = count(); @object = arg0; if (*(uint32 *)arg0 < 9) "
        "{ @value[*(uint32 *)arg0] = count(); } } "
        "usdt:libstdc++:catch { @same[arg0 == @object] = count(); }"
    )
    found = dict(line.split(": ") for line in lines(pytrace, text, program))
    assert sorted(found[name] for name in found if name.startswith("@type")) == ["3", "6"]
    values = {name: count for name, count in found.items() if name.startswith("@value")}
    assert values == {f"@value[{i}]": "1" for i in range(9) if i % 3}
    assert [found[name] for name in found if name.startswith("@same")] == ["9"]


# --- PostgreSQL ------------------------------------------------------------------------------------------


class Cluster:
    """A server of our own, on a socket in a directory of its own."""

    def __init__(self, directory: str) -> None:
        self.directory, self.server = directory, postgres()
        self.bin = os.path.dirname(self.server)

    def as_its_user(self, *command: str) -> None:
        """PostgreSQL does not run as root."""
        done = subprocess.run(
            command, user="postgres", group="postgres", extra_groups=[], cwd="/", capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def start(self) -> None:
        data = f"{self.directory}/data"
        self.as_its_user(f"{self.bin}/initdb", "-D", data, "-A", "trust", "-N", "-E", "UTF8", "--locale=C")
        options = f"-k {self.directory} -F -c listen_addresses='' -c autovacuum=off -c max_wal_senders=0"
        self.as_its_user(f"{self.bin}/pg_ctl", "-D", data, "-w", "-l", f"{data}/log", "-o", options, "start")

    def stop(self) -> None:
        self.as_its_user(f"{self.bin}/pg_ctl", "-D", f"{self.directory}/data", "-m", "immediate", "-w", "stop")

    def query(self, *statements: str) -> str:
        """One connection that runs the statements one by one."""
        arguments = [a for statement in statements for a in ("-c", statement)]
        command = [f"{self.bin}/psql", "-XqAt", "-h", self.directory, "-U", "postgres", "-v", "ON_ERROR_STOP=1"]
        return subprocess.run([*command, *arguments], check=True, capture_output=True, text=True).stdout


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    directory = tempfile.mkdtemp(prefix="pytrace-pg-", dir="/tmp")
    try:
        shutil.chown(directory, "postgres")
        made = Cluster(directory)
        made.start()
        yield made
        made.stop()
    finally:
        shutil.rmtree(directory)


STATEMENTS = (
    "create temp table t (i int, s text)",
    "insert into t select n, 'ä' || n::text from generate_series(1, 100) n",
    "select sum(i) from t",
    "select count(*), 'a text with '' in it' from t where s like 'ä1%'",
)


def test_queries_of_postgresql(pytrace: Runner, cluster: Cluster) -> None:
    """The probe is in a process that the server forks for the connection, after its semaphore was raised."""
    text = (
        f'usdt:{cluster.server}:query__start {{ printf("start <%s>\\n", str(arg0)); }} '
        f'usdt:{cluster.server}:postgresql:query__done {{ printf("done <%s>\\n", str(arg0)); }} '
        f"usdt:{cluster.server}:query__parse__* {{ @[probe] = count(); }}"
    )
    running = pytrace.start("-e", text).attached()
    assert cluster.query(*STATEMENTS).splitlines() == ["5050", "12|a text with ' in it"]
    result = running.finish()
    found = [line for line in result.stdout.split("\n") if line]
    assert found[: 2 * len(STATEMENTS)] == [f"{when} <{s}>" for s in STATEMENTS for when in ("start", "done")]
    for name in ("start", "done"):
        probe = f"usdt:{cluster.server}:postgresql:query__parse__{name}"
        assert f"@[{probe}]: {len(STATEMENTS)}" in found, found


def test_transactions_of_postgresql(pytrace: Runner, cluster: Cluster) -> None:
    """A connection begins one of its own; what a rollback undoes was aborted."""
    text = f"usdt:{cluster.server}:postgresql:transaction__* {{ @[probe] = count(); }}"
    running = pytrace.start("-e", text).attached()
    cluster.query("select 1", "begin; select 2; rollback", "select 3", "begin; select 4; commit")
    found = dict(re.findall(r"^@\[.*transaction__(\w+)\]: (\d+)$", running.finish().stdout, re.MULTILINE))
    assert found == {"start": "5", "commit": "4", "abort": "1"}


def test_rows_that_postgresql_sorts(pytrace: Runner, cluster: Cluster) -> None:
    """sort__start(type, unique, keys, memory, random access, parallel): a constant, bytes and numbers on the stack."""
    running = pytrace.start(
        "-e", f'usdt:{cluster.server}:sort__start {{ printf("%d %d %d %d\\n", arg0, arg1, arg2, arg3); }}'
    ).attached()
    cluster.query("set work_mem = '7MB'", "select n from generate_series(1, 50) n order by n % 3, n desc, n + 1")
    assert running.finish().stdout.split("\n")[0] == "0 0 3 7168"
