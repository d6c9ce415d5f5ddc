"""The command line parser, against what getopt_long(3) does and bpftrace's options mean."""

from __future__ import annotations

import pytest

from pytrace.arguments import OPTIONS, STAGES, Arguments, UsageError, parse, usage


def test_program_and_its_parameters() -> None:
    a = parse(["-e", "begin {}", "12", "abc"])
    assert (a.program, a.script, a.positional) == ("begin {}", None, ["12", "abc"])


def test_first_word_is_the_script_without_a_program() -> None:
    a = parse(["x.pt", "1", "2"])
    assert (a.program, a.script, a.positional) == (None, "x.pt", ["1", "2"])


def test_options_are_found_among_parameters() -> None:
    a = parse(["x.pt", "5", "-q", "6"])
    assert a.quiet
    assert a.positional == ["5", "6"]


def test_dash_is_the_standard_input() -> None:
    assert parse(["-"]).script == "-"


def test_clusters_and_attached_arguments() -> None:
    a = parse(["-lve", "begin {}"])
    assert (a.list, a.verbose, a.program) == (True, True, "begin {}")
    assert parse(["-ebegin {}", "-p42"]).pid == 42


def test_long_options_take_their_argument_either_way_and_abbreviated() -> None:
    assert parse(["--dwarf-pid=7", "--dwarf-pid", "8"]).dwarf_pids == [7, 8]
    assert parse(["--pid=7"]).pid == parse(["--pid", "7"]).pid == 7
    assert parse(["--dry"]).dry_run


def test_exact_long_name_wins_over_a_longer_one() -> None:
    a = parse(["--include", "a.h", "--warnings"])
    assert a.includes == ["a.h"]
    assert a.helper_errors
    assert not a.no_warnings


def test_named_parameters_stand_after_two_dashes() -> None:
    a = parse(["x.pt", "1", "--", "--n=v", "-1", "--flag", "--empty=", "--eq=a=b"])
    assert a.positional == ["1", "-1"]
    assert a.named == {"n": "v", "flag": "true", "empty": "", "eq": "a=b"}


def test_options_after_two_dashes_are_not_ours() -> None:
    a = parse(["x.pt", "--", "--unsafe", "-q"])
    assert not a.unsafe
    assert not a.quiet
    assert a.positional == ["-q"]


def test_last_one_wins_and_lists_grow() -> None:
    assert parse(["-e", "a", "-e", "b"]).program == "b"
    assert parse(["-I", "a", "-Ib"]).include_dirs == ["a", "b"]
    assert parse(["--no-feature", "x,y"]).no_features == ["x", "y"]


def test_debug_stages_have_bpftrace_names_too() -> None:
    assert parse(["-d", "codegen", "-d", "ast"]).debug == ["ir", "ast"]
    assert parse(["-d", "all"]).debug == list(STAGES)


def test_modes_are_the_options_of_those_names() -> None:
    assert parse(["--mode", "test"]).test
    assert parse(["--mode", "bench"]).bench
    assert parse(["--mode=format"]).fmt


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["-e"], "option -e needs an argument"),
        (["--pid"], "option --pid needs an argument"),
        (["-x"], "unknown option -x"),
        (["-1"], "unknown option -1; a negative parameter goes after --"),
        (["--lsit"], "unknown option --lsit; did you mean --list?"),
        (["--ver"], "option --ver is ambiguous: --verbose, --version, --verify-llvm-ir"),
        (["--unsafe=1"], "option --unsafe takes no argument"),
        (["-p", "abc"], "option -p needs the number of a process, not 'abc'"),
        (["--dwarf-pid", "me"], "option --dwarf-pid needs the number of a process, not 'me'"),
        (["-p", "0"], "option -p needs the number of a process, not '0'"),
        (["-f", "xml"], "option -f takes text or json, not 'xml'"),
        (["-B", "some"], "option -B takes line, full or none, not 'some'"),
        (["-d", "x"], "option -d takes ast, types, ir, bpf, user, attach, verifier or all, not 'x'"),
        (["-p", "1", "-c", "true"], "options -c and -p exclude each other"),
        (
            ["--probe-filter", "(", "x"],
            "option --probe-filter needs a regular expression, and '(' is none: "
            "missing ), unterminated subpattern at position 0",
        ),
    ],
)
def test_mistakes(words: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(words)
    assert str(caught.value) == message


def test_the_table_is_sound() -> None:
    """No name twice, every attribute one that `Arguments` has, every shown option in the help text."""
    shorts = [o[0] for o in OPTIONS if o[0]]
    longs = [o[1] for o in OPTIONS if o[1]]
    assert len(set(shorts)) == len(shorts)
    assert len(set(longs)) == len(longs)
    known = {*vars(Arguments()), "mode", "_ignored", "_ignored_argument"}
    assert {o[3] for o in OPTIONS} <= known
    text = usage()
    assert all(f"--{o[1]}" in text for o in OPTIONS if o[1] and o[4])
    assert max(map(len, text.splitlines())) <= 120
