"""A script that makes no sense is refused with a diagnostic: no other exception, no hang, whatever stage meets it."""

from __future__ import annotations

import random
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from pytrace.compiler import compile_script
from pytrace.diagnostics import ScriptError
from tests.conftest import Runner

SECONDS = 20  # for one script, on a busy machine

GOOD = (
    "tracepoint:syscalls:sys_enter_openat /pid > 1/ { @[comm, str(args.filename)] = count(); }\nend { print(@, 5); }",
    "begin { let $x : uint8 = 5; for ($i : 0..10) { $x += $i; if ($i % 2 == 0) { continue; } @s[$i] = sum($x); } }",
    "macro add($v, e, @m) { $v += e; @m[e] = $v; $v } fn f($a : int64) : int64 { return $a * 2; }\n"
    'begin { let $k : int64 = 1; print(add($k, f(3), @q)); printf("%d %s\\n", $k, (1, "a", true)); }',
    "config = { max_map_keys = 10; } struct pair { int a; char b[8]; union { long c; short d[4]; }; };\n"
    "let @l = lruhash(5);\nbegin { $p = (struct pair *)0; @l[$p->a] = $p->d[1]; print(sizeof(struct pair)); }",
    "rawtracepoint:sched_switch { @h = hist(cpu, 2); @l = lhist(arg0 & 0xff, 0, 100, 10); @t[kstack(3)] = avg(tid); }",
    'begin { $t = (1, ("a", 2)); $r = (x=$t.0, y=$t.1.0); @a[$r.x, $r.y] = (uint8[4])0x01020304; '
    "for ($kv : @a) { print($kv); } while ($t.0 < 3) { break; } unroll(3) { @c++; } }",
    'interval:s:1 { $c = curtask; printf("%s %d\\n", $c.comm, $c.pid); if (strncmp(comm, "x", 1) == 0) { exit(3); } }',
    'begin { print(strftime("%H", nsecs)); print(ntop(0x0100007f)); @ = tseries(1, 1s, 5); }',
    'profile:hz:99 { print((ustack, usym(reg("ip")), str($1), $#)); @x[ksym(1)] = stats(cpu); delete(@x, ksym(1)); }',
    'begin { $s = "abc"; print($s[1]); print($s == "b" ? -5 : ~7u); print({ let $q = 1; $q + 1 }); @ = 1; clear(@); }',
)
PIECES = (
    "begin", "{", "}", "(", ")", "[", "]", ";", ",", ".", "..", ":", "?", "=", "==", "+=", "++", "--", "-", "*", "&",
    "&&", "||", "!", "~", "/", "%", "<<", ">", "->", "$x", "$1", "$#", "@", "@m", "@m[1]", "1", "0", "-1", "1e6",
    "18446744073709551615", "0x", '"a"', '"%d %s\\n"', '"', "'", "//", "/*", "if", "else", "for", "while", "unroll",
    "return", "break", "let", "macro", "fn", "config", "import", "struct", "struct task_struct *", "uint8", "string[5]",
    "(int8)", "sizeof", "offsetof", "typeof", "comptime", "count()", "hist(", "print(", "printf(", "str(", "kstack",
    "ustack(", "comm", "pid", "args", "args.x", "curtask", "retval", "arg0", "nsecs", "true", "tracepoint:a:b",
    "interval:s:1", "#define A", "#include <a.h>", "\n", " ", "é", "\0",
)  # fmt: skip
WRONG = (
    '"a"', "5", "(1, 2)", "@u", "$undefined", "comm", "kstack", "count()", "(x=1)", "nothing", "args.nothing",
    "curtask", "(struct nothing *)1", "*5", "&5", "-comm", "!kstack", "$x.y", "{ }", "print(1)", "hist(1)",
    "1 / 0", "1 << 99", "0xffffffffffffffffff", "str(1, 2, 3)", "(string[0])5", "(uint8[99999999])1",
    "sizeof(struct nothing)",
)  # fmt: skip
PLACES = (
    "begin {{ $x = {0}; $x = {1}; }}",
    "begin {{ @m = {0}; @m = {1}; }}",
    "begin {{ @m[{0}] = {1}; }}",
    "begin {{ print({0} + {1}); }}",
    "begin {{ print({0} == {1}); }}",
    "begin {{ print({0} ? {1} : {0}); }}",
    "begin /{0}/ {{ print({1}); }}",
    "begin {{ if ({0}) {{ return {1}; }} }}",
    "begin {{ for ($i : {0}..{1}) {{ }} }}",
    'begin {{ printf("%d %s\\n", {0}, {1}); }}',
    "begin {{ printf({0}, {1}); }}",
    "begin {{ @a = hist({0}, {1}); @b = lhist({0}, {1}, 5, 1); @c = sum({1}); }}",
    "begin {{ print(str({0}, {1})); print(strncmp({0}, {1}, 2)); }}",
    "begin {{ let $a : uint8 = {0}; let $b : string = {1}; let $c : {0} = 1; }}",
    "begin {{ unroll({0}) {{ }} while ({1}) {{ }} print(({0})[{1}]); }}",
    "fn f($a : int64) : int64 {{ return {0}; }} begin {{ print(f({1})); }}",
    "macro m($v, e) {{ $v = e; }} begin {{ m({0}, {1}); }}",
    "interval:s:{0} {{ exit({1}); }}",
    "let @m = lruhash({0}); begin {{ @m[{1}]++; ({0})++; }}",
    "config = {{ max_strlen = {0}; stack_mode = {1}; }} begin {{ }}",
)


@contextmanager
def limited(text: str) -> Iterator[None]:
    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError(f"still busy after {SECONDS} s with {text!r}")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def refused(text: str) -> bool:
    """Whether a script is refused; anything but `ScriptError` fails the test, with the script in the message."""
    with limited(text):
        try:
            compile_script(text, name="fuzz", native=False)
        except ScriptError as error:
            assert error.diagnostics
            assert all(d.message for d in error.diagnostics)
            assert str(error)
            return True
        except Exception as error:
            raise AssertionError(f"{type(error).__name__} on {text!r}") from error
    return False


def mutated(choose: random.Random, text: str) -> str:
    for _ in range(choose.randint(1, 3)):
        at = choose.randrange(len(text) + 1)
        end = min(len(text), at + choose.choice((0, 1, 1, 2, 5, 12)))
        match choose.randrange(5):
            case 0:
                text = text[:at] + text[end:]
            case 1:
                text = text[:at] + choose.choice(PIECES) + text[end:]
            case 2:
                text = text[:at] + text[at:end] * 2 + text[end:]
            case 3:
                text = text[:at] + choose.choice(WRONG) + text[end:]
            case 4:
                words = text.split(" ")
                i, j = choose.randrange(len(words)), choose.randrange(len(words))
                words[i], words[j] = words[j], words[i]
                text = " ".join(words)
    return text


def soup(choose: random.Random) -> str:
    body = " ".join(choose.choices(PIECES, k=choose.randint(1, 25)))
    return choose.choice((body, f"begin {{ {body} }}", f"begin /{body}/ {{ }}", f"begin {{ print({body}); }}"))


def misfit(choose: random.Random) -> str:
    return choose.choice(PLACES).format(choose.choice(WRONG), choose.choice(WRONG))


def test_the_scripts_to_be_mutated_are_good() -> None:
    assert not any(refused(text) for text in GOOD)


def test_mutations_are_refused_or_compiled() -> None:
    choose = random.Random(11)
    verdicts = [refused(mutated(choose, choose.choice(GOOD))) for _ in range(400)]
    assert sum(verdicts) > 250


def test_soup_is_refused_or_compiled() -> None:
    choose = random.Random(12)
    assert sum([refused(soup(choose)) for _ in range(250)]) > 200


def test_truncated_scripts_are_refused_or_compiled() -> None:
    choose = random.Random(13)
    for _ in range(150):
        text = choose.choice(GOOD)
        refused(text[: choose.randrange(len(text))])


def test_what_does_not_fit_is_refused_or_compiled() -> None:
    choose = random.Random(14)
    assert sum([refused(misfit(choose)) for _ in range(400)]) > 300


def malformed(count: int) -> list[str]:
    """Scripts of all kinds that do not compile."""
    choose = random.Random(15)
    makers = (lambda: mutated(choose, choose.choice(GOOD)), lambda: soup(choose), lambda: misfit(choose))
    found: list[str] = []
    while len(found) < count:
        text = makers[len(found) % 3]()
        if "\0" not in text and refused(text):
            found.append(text)
    return found


@pytest.fixture(scope="module")
def scripts() -> list[str]:
    return malformed(20)


@pytest.mark.parametrize("number", range(20))
def test_the_command_line_says_what_is_wrong(number: int, scripts: list[str], pytrace: Runner, tmp_path: Path) -> None:
    script = tmp_path / "script.bt"
    script.write_text(scripts[number], encoding="utf-8")
    result = pytrace(script)
    assert result.status == 1, result
    assert "ERROR" in result.stderr
    assert "itself failed" not in result.stderr, result.stderr
    assert "Traceback" not in result.stderr
    assert result.stdout == ""
