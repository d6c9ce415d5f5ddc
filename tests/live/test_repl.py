"""The live session as a person has it: on a terminal, with keys."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.conftest import Runner
from tests.terminal import BACKSPACE, CTRL_C, ENTER, TAB, UP, Terminal

CALLS = """
#include <stdlib.h>
#include <unistd.h>
#include <sys/syscall.h>
int main(int argc, char **argv) {
    for (long i = atol(argv[1]); i > 0; i--) { syscall(SYS_getppid); if (i % 4 == 0) getpgid(0); }
    return 0;
}
"""


@pytest.fixture(scope="module")
def calls(compile_c: Callable[..., Path]) -> Path:
    """Makes argv[1] calls of getppid(2) and a quarter as many of getpgid(2)."""
    return compile_c(CALLS)


@pytest.fixture
def state(tmp_path: Path) -> dict[str, str]:
    return {"XDG_STATE_HOME": str(tmp_path / "state")}


@pytest.fixture
def terminal(state: dict[str, str]) -> Iterator[Terminal]:
    with Terminal(env=state) as terminal:
        yield terminal


def traced(calls: Path, event: str, action: str) -> str:
    return f'tracepoint:syscalls:sys_enter_{event} /comm == "{calls.name[:15]}"/ {{ {action} }}'


def test_a_session_from_its_first_probe_to_the_script_it_leaves(
    terminal: Terminal, pytrace: Runner, calls: Path, tmp_path: Path
) -> None:
    assert terminal.answer(traced(calls, "getppid", "@calls[comm] = count();")) == "#1 attached: 1 probe"
    # A mistake stands under what is wrong, and the entry comes back to be corrected.
    wrong = traced(calls, "getpgid", "@pids = cuont();")
    said = terminal.answer(wrong)
    underline, message = said.split("\n")[:2]
    assert underline.index("~") == len("pytrace> ") + wrong.index("cuont")
    assert message.startswith("ERROR: ") and "count" in said
    terminal.type(UP)
    terminal.wait_for(r"cuont\(\); }\Z")
    terminal.type(BACKSPACE * len("cuont(); }") + "count(); }" + ENTER)
    terminal.wait_for(r"^#2 attached: 1 probe\n+pytrace>\Z")

    assert terminal.answer("@limit = 7") == ""
    assert terminal.answer("@limit * 6") == "42"
    subprocess.run([calls, "100"], check=True)
    assert terminal.answer("print(@calls)") == f"@calls[{calls.name[:15]}]: 100"
    assert terminal.answer("@pids") == "@pids: 25"

    # A view that is drawn anew, until a key is pressed.
    terminal.type(":show @pids" + ENTER)
    terminal.wait_for(r"^@pids: 25\n— any key")
    subprocess.run([calls, "40"], check=True)
    terminal.wait_for(r"^@pids: 35\n— any key")
    terminal.type("q")
    terminal.wait_for(r"^@pids: 35\n+pytrace>\Z")
    assert "any key" not in terminal.text

    saved = tmp_path / "session.pt"
    assert str(saved) in terminal.answer(f":save {saved}")
    probes = terminal.answer(":probes")
    assert "#1  1 probe: tracepoint:syscalls:sys_enter_getppid" in probes and "#2  1 probe" in probes
    assert terminal.answer(":detach 2") == "#2 detached"
    subprocess.run([calls, "60"], check=True)
    assert terminal.answer("print(@calls); print(@pids)") == f"@calls[{calls.name[:15]}]: 200\n@pids: 35"
    ending = terminal.finish()
    assert terminal.status == 0
    assert f"@calls[{calls.name[:15]}]: 200\n@limit: 7\n@pids: 35" in ending

    # As many calls as there were when it was saved make the same maps.
    again = pytrace("-c", f"{calls} 140", saved)
    assert again.status == 0, again.stderr
    assert again.stdout.strip().split("\n") == [f"@calls[{calls.name[:15]}]: 140", "@limit: 7", "@pids: 35"]


def test_completion_of_probes_arguments_members_and_maps(terminal: Terminal) -> None:
    terminal.ready()
    terminal.type("tracepoint:syscalls:sys_enter_name_to" + TAB)
    terminal.wait_for(r"^pytrace> tracepoint:syscalls:sys_enter_name_to_handle_at\b")
    terminal.type(" { @opened[args.handl" + TAB)
    terminal.wait_for(r"@opened\[args\.handle\b")
    terminal.type(", curtask->real_par" + TAB)
    terminal.wait_for(r"curtask->real_parent\b")
    terminal.type("->tgi" + TAB)
    terminal.wait_for(r"real_parent->tgid\b")
    terminal.type("] = lhi" + TAB)
    terminal.wait_for(r"curtask->real_parent->tgid\] = lhist\(")
    terminal.wait_for(r"^lhist\(int n, const int min")  # what it takes
    terminal.type("1, 0, 10, 1); }" + ENTER)
    terminal.wait_for(r"^#1 attached: 1 probe\n+pytrace>\Z")
    terminal.type("print(@op" + TAB)
    terminal.wait_for(r"^pytrace> print\(@opened\b")
    terminal.type(")" + ENTER)
    terminal.wait_for(r"@opened\)\n+pytrace>\Z")
    terminal.type("(struct task_str" + TAB)
    terminal.wait_for(r"^pytrace> \(struct task_struct\b")
    terminal.type(CTRL_C)
    terminal.ready()


def test_entries_of_several_lines_definitions_and_history(terminal: Terminal, state: dict[str, str]) -> None:
    terminal.ready()
    terminal.type("macro twice(x) {" + ENTER + "x * 2" + ENTER + "}" + ENTER)
    terminal.wait_for(r"\.\.\. }\n+pytrace>\Z")
    assert terminal.answer("twice(21)") == "42"
    assert terminal.answer("$x = 5; $x + 1") == "6"
    terminal.type("twice(1" + ENTER)
    terminal.wait_for(r"^     \.\.\.\Z")
    terminal.type(ENTER)  # an empty line: there is no more to come
    terminal.wait_for(r"^1:6-7: ERROR: .*\ntwice\(1\n     ~\n+pytrace>\Z")
    said = terminal.answer("twice(nonsense)")
    assert "ERROR" in said and said.split("\n")[0].strip() == "~" * len("nonsense")
    terminal.type("@unfinished[" + CTRL_C)  # drops it
    terminal.wait_for(r"@unfinished\[\n+pytrace>\Z")
    terminal.finish()
    with Terminal(env=state) as later:
        later.ready()
        later.type(UP + UP + UP + UP + UP)
        later.wait_for(r"^pytrace> twice\(21\)\Z")
    assert os.stat(Path(state["XDG_STATE_HOME"]) / "pytrace" / "history").st_mode & 0o777 == 0o600


def test_an_exit_ends_its_own_script_and_at_the_prompt_the_session(terminal: Terminal) -> None:
    assert terminal.answer('begin { printf("once\\n"); exit(3); }') == "once\n#1 ended: exit(3)"
    terminal.answer("interval:ms:20 { @n++; if (@n == 3) { exit(4); } }")
    terminal.wait_for(r"^#2 ended: exit\(4\)")
    assert terminal.answer("@n") == "@n: 3"
    assert terminal.answer(":probes").startswith("nothing is attached")
    assert "@n: 3" in terminal.finish("exit(5)" + ENTER)
    assert terminal.status == 5


def test_commands(terminal: Terminal, tmp_path: Path) -> None:
    terminal.answer("interval:s:100 { @x[comm] = count(); }")
    assert terminal.answer(":list tracepoint:sched:sched_process_ex[ei]*").split("\n") == [
        "tracepoint:sched:sched_process_exec",
        "tracepoint:sched:sched_process_exit",
    ]
    assert "filename" in terminal.answer(":args tracepoint:sched:sched_process_exec")
    assert terminal.answer(":maps").split() == ["@x[string[64]]", "count_t", "0", "entries"]
    assert "bpf_get_current_comm" in terminal.answer(":bpf 1")
    assert "define" in terminal.answer(":ir")
    assert re.fullmatch(r"12\nparse [\d.]+ ms, compile and run [\d.]+ ms", terminal.answer(":time 4 * 3"))
    assert terminal.answer(":help hist").startswith("hist(int n")
    assert ":detach N" in terminal.answer(":help")
    assert "did you mean :probes?" in terminal.answer(":porbes")
    assert "there is no #7" in terminal.answer(":detach 7")
    assert "No such file" in terminal.answer(":load /nowhere/at.all")
    script = tmp_path / "loaded.pt"
    script.write_text("#!/usr/bin/env pytrace\nbegin { @loaded = 1; }\ninterval:s:100 { }\n")
    terminal.answer(f":load {script}")
    assert terminal.answer("@loaded") == "@loaded: 1"
    assert "usr/bin/env" not in terminal.answer(":probes")
    saved = tmp_path / "saved.pt"
    terminal.answer(":detach 2")
    terminal.answer(f":save {saved}")
    assert saved.read_text().endswith("\n// #2, detached:\n// begin { @loaded = 1; }\n// interval:s:100 { }\n")
    script.write_text("#!/usr/bin/env pytrace\nbegin { @loaded = nonsense; }\n")
    assert terminal.answer(f":load {script}").startswith(f"{script}:2:19-27: ERROR: ")
    terminal.finish(":quit" + ENTER)
    assert terminal.status == 0


def test_edit_puts_a_script_in_anothers_place(state: dict[str, str], tmp_path: Path) -> None:
    editor = tmp_path / "editor"
    editor.write_text("#!/bin/sh\nsed -i s/100/200/ $1\n")
    editor.chmod(0o755)
    with Terminal(env={**state, "VISUAL": str(editor)}) as terminal:
        terminal.answer("interval:s:100 { @ = 1; }")
        assert terminal.answer(":edit 1") == "#2 attached: 1 probe\n#1 detached"
        assert "interval:s:200" in terminal.answer(":probes")


def test_what_a_script_prints_cannot_command_the_terminal(terminal: Terminal) -> None:
    assert terminal.answer(r'begin { printf("\x1b[2Ja\x07b\n"); exit(); }') == "\\x1b[2Ja\\x07b\n#1 ended: exit(0)"


def test_a_flood_leaves_the_prompt_usable_and_the_books_exact(terminal: Terminal, calls: Path) -> None:
    terminal.answer(traced(calls, "getppid", 'printf("call %d\\n", @n++);'))
    with subprocess.Popen([calls, "1000000"]) as flood:
        terminal.wait_for(r"^call \d+$")
        terminal.type("1 << 20" + ENTER)
        terminal.wait_for(r"^1048576$", timeout=120)
        flood.wait(300)
    terminal.wait_for(r"not shown\n+pytrace>\Z", timeout=120)
    assert "@n: 1000000" in terminal.answer("@n").split("\n")  # beside it there may be a last note
    ending = terminal.finish()
    shown = len(re.findall(r"^call \d+$", terminal.text, re.MULTILINE))
    notes = re.findall(r"^… ([\d,]+) lines? (?:was|were) not shown$", terminal.text, re.MULTILINE)
    hidden = sum(int(note.replace(",", "")) for note in notes)
    lost = sum(map(int, re.findall(r"^Lost (\d+) events$", terminal.text, re.MULTILINE)))
    assert shown + hidden + lost == 1_000_000
    assert hidden > 0
    assert f"{shown + hidden:,} lines were printed, {hidden:,} of them not shown" in ending


def test_a_terminal_that_can_only_print_lines(state: dict[str, str]) -> None:
    with Terminal(term="dumb", env=state) as terminal:
        assert terminal.answer("interval:ms:10 { @ticks = count(); }") == "#1 attached: 1 probe"
        terminal.type("1 <<" + ENTER)
        terminal.wait_for(r"^     \.\.\.\Z")
        terminal.type("4" + ENTER)
        terminal.wait_for(r"^16\npytrace>\Z")
        terminal.type(":show @ticks" + ENTER)
        terminal.wait_for(r"(@ticks: \d+\s+){2}")
        terminal.type(ENTER)
        terminal.ready()
        said = terminal.answer("@x = nme")
        assert said.split("\n")[:2] == ["              ~~~", "ERROR: unknown identifier 'nme'"]
        assert re.search(r"@ticks: \d+", terminal.finish())
        assert "\x1b" not in terminal.text and terminal.status == 0


def test_without_a_terminal_there_is_no_session(pytrace: Runner) -> None:
    assert pytrace("-", stdin='begin { printf("%d\\n", 6 * 7); }').stdout.startswith("42\n")
    refused = pytrace()
    assert refused.status == 1 and "Usage:" in refused.stderr
