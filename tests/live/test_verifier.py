"""Shapes that verifiers dislike: each of these scripts must load, and those that say something must say it right."""

from __future__ import annotations

import pytest

from tests.property.runs import run

LONG = "y" * 900

SHAPES: dict[str, tuple[str, str | None]] = {
    "a division that LLVM does by a table": (
        "begin { @v = 5; let $x : int8 = (int8)@v; for ($i : 0..1) { $x += 0; } $x /= $x + $x & 2 + 1; print($x); }",
        "2\n",
    ),
    "a string indexed by a loop": (
        'begin { $s = "abcdef"; $n = 0; for ($i : 0..10) { $n += $s[$i]; } print($n); }',
        "597\n",
    ),
    "a string indexed by a random number": ('begin { $s = "aaaaaaaa"; print($s[rand & 7]); }', "97\n"),
    "a string indexed by an unbounded random number": ('begin { $s = "abc"; print($s[rand] >= 0); }', "true\n"),
    "an array indexed by a loop": (
        "begin { $a = (uint8[8])0x0807060504030201; $n = 0; for ($i : 0..8) { $n += $a[$i]; } print($n); }",
        "36\n",
    ),
    "an array indexed by what a map holds": (
        "begin { @i[1] = 3; $a = (uint8[8])0x0807060504030201; print($a[@i[1]]); }",
        "4\n",
    ),
    "five loops in each other": (
        "begin { $n = 0; for ($a : 0..3) { for ($b : 0..3) { for ($c : 0..3) { for ($d : 0..3) { for ($e : 0..3) "
        "{ $n += $a * $b + $c * $d + $e; } } } } } print($n); }",
        "729\n",
    ),
    "a loop that counts far": (
        "begin { $i = 0; while ($i < 100000) { $i++; @n += $i & 1; } print(@n + 0); }",
        "50000\n",
    ),
    "a loop of a length known at run time": (
        "begin { @n[0] = 70000; $s = 0; for ($i : 0..@n[0]) { if ($i % 3 == 0) { continue; } $s += $i; } print($s); }",
        "1633286667\n",
    ),
    "a loop of no rounds": ("begin { for ($i : 0..0) { print($i); } for ($i : 3..1) { print($i); } print(7); }", "7\n"),
    "a count that is looked at bit by bit": (
        "begin { for ($i : 0..5) { @m[$i] = $i; } $n = 0; for ($kv : @m) { $n++; } @h = hist($n, 5); print($n); }",
        "5\n",
    ),
    "the length of a map in a histogram": (
        "begin { for ($i : 0..5) { @m[$i] = $i; } @h = hist(len(@m)); print(len(@m)); }",
        "5\n",
    ),
    "loops over maps in each other": (
        "begin { for ($i : 0..4) { @a[$i] = $i; @b[$i] = count(); } $n = 0; "
        "for ($x : @a) { for ($y : @b) { $n += $x.1 * $y.1; } } print($n); }",
        "24\n",
    ),
    "a return from loops in each other": (
        "begin { for ($a : 0..5) { for ($b : 0..5) { while (1) { if ($a == 2 && $b == 3) { print(($a, $b)); return; } "
        "break; } } } print(0); }",
        "(2, 3)\n",
    ),
    "a return from a loop of a function": (
        "fn f($n : int64) : int64 { for ($i : 0..100) { for ($j : 0..10) { if ($i * $j > $n) { return $i; } } } "
        "return -1; } begin { $s = 0; for ($k : 0..4) { $s += f($k * 10); } print($s); print(f(5000)); }",
        "10\n-1\n",
    ),
    "a loop that captures much": (
        'begin { $t = (1, "abc", (2, "defg")); $s = "text"; let $a : uint8 = 1; let $b : int16 = -2; $c = true; '
        '$r = (x=1, y=(3, 4)); for ($i : 0..3) { $a += $i; $b -= $i; $c = !$c; if ($i == 1) { $s = "other"; } '
        '$t = ($i, "abc", (5, $s)); } print(($a, $b, $c, $s, $t, $r)); }',
        "(4, -5, false, other, (2, abc, (5, other)), { .x = 1, .y = (3, 4) })\n",
    ),
    "strings of full length": (
        f'begin {{ $a = "{LONG}"; $b = "{LONG}z"; $c = $a == $b ? $a : $b; @s[$c] = 1; print(strlen($c)); '
        'print(strcontains($c, "yyz")); print(@s[$b]); print($a != $b); }',
        "901\ntrue\n1\ntrue\n",
    ),
    "strings of full length in a tuple": (
        f'begin {{ $t = ("{LONG}", 1, "{LONG}"); @m[$t] = $t; $u = @m[$t]; print($u == $t); print($u.1); }}',
        "true\n1\n",
    ),
    "a tuple of more than 512 bytes in a loop": (
        f'begin {{ $n = 0; for ($i : 0..3) {{ $t = ($i, "{LONG}"); @m[$i] = $t; $n += @m[$i].0; }} print($n); }}',
        "3\n",
    ),
    "strings looked for within strings": (
        'begin { @s = "the quick brown fox"; @t = "fox"; for ($i : 0..3) { print(strstr(@s, @t)); } '
        'print(strstr("abcabcabd", "abcabd")); print(strncmp(@s, "the quack", 6)); }',
        "16\n16\n16\n3\n0\n",
    ),
    "many maps": (
        "begin { " + " ".join(f"@m{i}[{i}, comm] = count(); @n{i} = hist({i});" for i in range(25)) + " print(1); }",
        "1\n",
    ),
    "deep ifs": (
        "begin { @x[1] = 15; $n = 0; "
        + "".join(f"if (@x[1] > {i}) {{ $n += {i}; " for i in range(30))
        + "}" * 30
        + " print($n); }",
        "105\n",
    ),
    "many ifs after each other": (
        "begin { $n = 0; $r = rand; "
        + "".join(f"if ($r & (1 << {i})) {{ $n++; }} " for i in range(32))
        + "print($n <= 32); }",
        "true\n",
    ),
    "twenty arguments": (
        'begin { printf("' + "%d " * 20 + '\\n", ' + ", ".join(map(str, range(20))) + "); }",
        " ".join(map(str, range(20))) + " \n",
    ),
    "twenty arguments of all kinds": (
        'begin { printf("' + "%s %d %s %s " * 5 + '\\n", ' + ", ".join(['comm, rand, ("x", pid), nsecs'] * 5) + "); }",
        None,
    ),
    "stacks as keys": ("profile:hz:99 { @[kstack, ustack, comm] = count(); } begin { print(1); exit(); }", "1\n"),
    "stacks in tuples": ("profile:hz:99 { @[(kstack(3), ustack(perf, 3))] = stats(cpu); } begin { exit(); }", ""),
    "histograms of all widths": (
        "begin { for ($i : 0..70) { "
        + " ".join(f"@h{k} = hist((uint64)1 << ($i & 63), {k});" for k in range(6))
        + " @l = lhist($i - 5, 0, 50, 3); } print(1); }",
        "1\n",
    ),
    "time series": (
        "config = { unstable_tseries = enable } begin { for ($i : 0..5) { @t[$i] = tseries($i, 1ms, 20); "
        '@u = tseries($i, 1s, 10, "max"); } print(1); }',
        "1\n",
    ),
    "statistics read in loops": (
        "begin { for ($i : 1..11) { @s[$i % 2] = stats($i); @a = avg($i); @l = min($i); @m = max($i); @n = sum($i); } "
        "$t = 0; for ($i : 0..2) { $t += @a + @l + @m + @n; } print($t); }",
        "142\n",
    ),
    "macros and blocks in each other": (
        "macro twice(e) { { let $v = e; $v * 2 } } begin { $n = 0; for ($i : 0..3) { $n += twice(twice({ let $q = $i; "
        "$q + 1 })); } print($n); }",
        "24\n",
    ),
    "structs by pointer": (
        "begin { $t = curtask; for ($i : 0..3) { if ($t.real_parent.pid == 0) { break; } $t = $t.real_parent; } "
        "print($t.pid >= 0); print(strlen($t.comm) > 0); }",
        "true\ntrue\n",
    ),
    "structs by pointer in a loop without end": (
        "begin { $t = curtask; $n = 0; while ($t.pid != 0) { $t = $t.real_parent; $n++; } print($n > 0); }",
        "true\n",
    ),
    "more loads from the context than LLVM looks at": (
        "tracepoint:syscalls:sys_enter_[a-g]* { @[args.__syscall_nr] = count(); } begin { print(1); exit(); }",
        "1\n",
    ),
    "several loops over long strings": (
        "config = { max_strlen = 16384 } begin { $s = str(curtask.comm); @n[0] = $s; $w = comm; "
        'print((strcontains($s, "no such"), strstr($s, "words"), strstr($s, $w), globmatch($s, "*"), '
        'globmatch($s, "* no"), $s == @n[0], strncmp($s, @n[0], 9000), $s == $w)); }',
        "(false, -1, 0, true, false, true, 0, true)\n",
    ),
    "unrolled loops in each other": (
        "begin { $n = 0; unroll(20) { unroll(10) { $n += 1; @m[$n & 7] = $n; } } print($n); }",
        "200\n",
    ),
    "a division in each branch": (
        "begin { @d[0] = 0; $n = 100; for ($i : 0..4) { $n += $i ? 50 / $i : 7 % @d[0]; } print($n); }",
        "192\n",
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_kernel_takes_it(shape: str) -> None:
    script, expected = SHAPES[shape]
    out, _, _ = run(script)
    if expected is not None:
        assert out == expected
