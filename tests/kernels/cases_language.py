"""What a kernel must be able to do for the language: maps, aggregations, loops, strings."""

from __future__ import annotations

from tests.kernels.base import Guest, case, entries, same
from tests.kernels.targets import ROUNDS


@case("maps", "scalars, keys of every kind")
def _(guest: Guest) -> None:
    found = guest.alone(
        'begin { @s = 5; @s += 2; @k["a"] = 1; @k["b"] = 2; @t[1, "x"] = 3; @p[(1, 2)] = 4; @d["z"] = 1; '
        'delete(@d, "z"); @h[has_key(@k, "a"), has_key(@k, "c")] = 1; }'
    )
    same(
        sorted(found),
        sorted(["@s: 7", "@k[a]: 1", "@k[b]: 2", "@t[1, x]: 3", "@p[1, 2]: 4", "@h[true, false]: 1"]),
    )


@case("maps", "values that are not words")
def _(guest: Guest) -> None:
    found = guest.alone('begin { @s = "text"; @t = (1, "two", 3); @a[1] = "one"; $r = (x=1, y="b"); @r = $r; }')
    same(sorted(found), sorted(["@s: text", "@t: (1, two, 3)", "@a[1]: one", "@r: { .x = 1, .y = b }"]))


@case("maps", "declared kinds")
def _(guest: Guest) -> None:
    found = guest.alone(
        "let @l = lruhash(2); let @h = hash(5); let @p = percpuhash(3); "
        "begin { @h[1] = 2; @l[1] = 1; @p[3] = count(); }"
    )
    same(sorted(found), sorted(["@h[1]: 2", "@l[1]: 1", "@p[3]: 1"]))


@case("maps", "arithmetic in place")
def _(guest: Guest) -> None:
    found = guest.alone(
        "begin { @a = 5; @b = @a++; @a -= 3; @a += 0; @c |= 5; @c ^= 1; @c &= 6; "
        "@k[1] += 0; @k[1] -= 7; @d = ++@k[1]; }"
    )
    same(sorted(found), ["@a: 3", "@b: 5", "@c: 4", "@d: -6", "@k[1]: -6"])


@case("aggregations", "of a command's calls")
def _(guest: Guest) -> None:
    found = guest.run(
        "tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { $n = args.pid - 100000000; "
        "@count = count(); @sum = sum($n); @min = min($n); @max = max($n); @avg = avg($n); @stats = stats($n); "
        "@keyed[$n % 2] = sum($n); }"
    )
    n = ROUNDS
    total = n * (n - 1) // 2
    expected = [
        f"@count: {n}",
        f"@sum: {total}",
        "@min: 0",
        f"@max: {n - 1}",
        f"@avg: {total // n}",
        f"@stats: {{ .count = {n}, .average = {total // n}, .total = {total} }}",
        f"@keyed[0]: {sum(range(0, n, 2))}",
        f"@keyed[1]: {sum(range(1, n, 2))}",
    ]
    same(sorted(found), sorted(expected))


@case("aggregations", "histograms")
def _(guest: Guest) -> None:
    found = guest.run(
        "tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { $n = args.pid - 100000000; "
        "@h = hist($n); @l = lhist($n, 0, 10, 2); @k[comm] = hist($n); }"
    )
    rows = [line.partition("|")[0].split() for line in found if "|" in line]
    hist = [["[0]", "1"], ["[1]", "1"], ["[2,", "4)", "2"], ["[4,", "8)", "3"]]
    linear = [["[0,", "2)", "2"], ["[2,", "4)", "2"], ["[4,", "6)", "2"], ["[6,", "8)", "1"]]
    same(sorted(rows), sorted(hist + hist + linear))


@case("aggregations", "read in a program")
def _(guest: Guest) -> None:
    found = guest.run(
        "tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { @c = count(); @s = sum(2); } "
        'end { printf("%d %d\\n", (int64)@c, (int64)@s); clear(@c); clear(@s); }'
    )
    same(found[0], f"{ROUNDS} {2 * ROUNDS}")


@case("aggregations", "read by key in a program", "percpu_lookup")
def _(guest: Guest) -> None:
    found = guest.run(
        'tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { @c["k"] = count(); if (@c["k"] == 3) { @three = 1; } } '
        'end { printf("%d\\n", (int64)@c["k"]); }'
    )
    same((found[0], entries(found, "@three")), (str(ROUNDS), {"": "1"}))


@case("maps", "size", "for_each_map_elem")
def _(guest: Guest) -> None:
    same(sorted(guest.alone("begin { @k[1] = 1; @k[2] = 2; @l = len(@k); clear(@k); }")), ["@l: 2"])


@case("loops", "range")
def _(guest: Guest) -> None:
    found = guest.alone("begin { $s = 0; for ($i : 0..1000) { if ($i == 900) { break; } $s += $i; } @ = $s; }")
    same(found, [f"@: {sum(range(900))}"])


@case("loops", "range known only when it runs")
def _(guest: Guest) -> None:
    found = guest.run(
        "tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ "
        "{ $n = args.pid - 99999999; for ($i : 0..$n) { if ($i == 2) { continue; } @ += $i; } }"
    )
    same(found, [f"@: {sum(i for n in range(1, ROUNDS + 1) for i in range(n) if i != 2)}"])


@case("loops", "while and unroll")
def _(guest: Guest) -> None:
    found = guest.alone("begin { $i = 0; while ($i < 50) { $i++; @a += $i; } unroll(5) { @b += 2; } }")
    same(sorted(found), [f"@a: {sum(range(51))}", "@b: 10"])


@case("loops", "over a map", "for_each_map_elem")
def _(guest: Guest) -> None:
    found = guest.alone(
        "begin { for ($i : 0..5) { @m[$i] = $i * $i; } "
        "for ($kv : @m) { @keys += $kv.0; @values += $kv.1; } clear(@m); }"
    )
    same(sorted(found), ["@keys: 10", "@values: 30"])


@case("loops", "over an aggregation", "for_each_map_elem", "percpu_lookup")
def _(guest: Guest) -> None:
    found = guest.run(
        "tracepoint:syscalls:sys_enter_getpgid /pid == cpid/ { @c[args.pid % 2] = count(); } "
        "end { for ($kv : @c) { @total += (int64)$kv.1; } clear(@c); }"
    )
    same(entries(found, "@total"), {"": str(ROUNDS)})


@case("strings", "comparison, search, formats")
def _(guest: Guest) -> None:
    found = guest.alone(
        'begin { $s = "hello world"; printf("%d %d %d %s %c\\n", $s == "hello world", strncmp($s, "help", 3), '
        'strcontains($s, "wor"), $s, 65); printf("%5d|%-5d|%05x|%s\\n", 42, 42, 42, "x"); }'
    )
    same(found, ["1 0 1 hello world A", "   42|42   |0002a|x"])


@case("strings", "long ones from user memory", "uprobe")
def _(guest: Guest) -> None:
    found = guest.run(
        f"config = {{ max_strlen = 1024 }} uprobe:{guest.program}:named {{ $s = str(arg0); "
        '@[$s] = count(); printf("%s|%d|%s\\n", $s, strlen($s), str(arg0, 4)); }'
    )
    same(set(found), {"a string|8|a s", f"@[a string]: {ROUNDS}"})


@case("strings", "buffers and arrays", "uprobe")
def _(guest: Guest) -> None:
    found = guest.run(f'uprobe:{guest.program}:named {{ printf("%rh %r\\n", buf(arg0, 4), buf(arg0, 8)); }}')
    same(set(found), {"61 20 73 74 a string"})


@case("strings", "several long ones in a key")
def _(guest: Guest) -> None:
    found = guest.run("tracepoint:syscalls:sys_enter_openat /pid == cpid/ { @[str(args.filename), comm] = count(); }")
    same(entries(found)["/no/such/file, target"], str(ROUNDS))


@case("clocks", "nsecs, elapsed")
def _(guest: Guest) -> None:
    found = guest.alone('begin { $a = nsecs; $b = nsecs; printf("%d %d\\n", $b >= $a, elapsed < 60000000000); }')
    same(found, ["1 1"])


@case("output", "many events, none lost")
def _(guest: Guest) -> None:
    found = guest.run(
        'tracepoint:syscalls:sys_enter_getppid /pid == cpid/ { printf("%d %s\\n", pid == cpid, comm); }', 3000
    )
    same((len(found), set(found)), (3000, {"1 target"}))
