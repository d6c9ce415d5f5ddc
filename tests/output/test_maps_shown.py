"""Whole maps in text and in JSON. The expected lines were printed by bpftrace 0.27 for the script above each test, with
`-f json` for the second half; where its order is that of a hash, the one that is ours (by key) is written down."""

from __future__ import annotations

from typing import Any

from pytrace import types as t
from pytrace.output import AvgValue, CutString, HistValue, LHistValue, MacValue, PointerValue, RecordValue, StatsValue
from pytrace.program import Storage, UserMap

I8, I64, U64 = t.Int(8, True), t.INT64, t.UINT64
S = t.String(8)
FULL = "@" * 52
EMPTY = " " * 52


def hist(bits: int, **counts: int) -> HistValue:
    """Counts by bucket index: `_0=1` is one value in bucket 0."""
    filled = {int(name[1:]): n for name, n in counts.items()}
    return HistValue(tuple(filled.get(i, 0) for i in range(t.Hist(bits).buckets)), bits)


def test_keys_and_values(screen: Any) -> None:
    """begin { @t[(1,(2,3))]=(1,"b"); @n["x y, z"]=-1; @b[true]=false; @p[(void*)16]=(void*)32;
    @r[(a=1,b="x y")]=(c=2,d=(1,2)); @arr[(uint8[2])0x0102]=(uint8[2])0x0304;
    @buf[buf("a b\\xff",4)]=buf("\\xff\\x00",2); }"""
    screen.map("@t", t.Tuple((I8, t.Tuple((I8, I8)))), t.Tuple((I8, S)), [((1, (2, 3)), (1, "b"))])
    screen.map("@n", t.Tuple((S, S)), I8, [(("x y", "z"), -1)])
    screen.map("@b", t.BOOL, t.BOOL, [(True, False)])
    screen.map("@p", t.Pointer(t.VOID), t.Pointer(t.VOID), [(PointerValue(16), PointerValue(32))])
    inner = t.Tuple((I8, I8))
    key = RecordValue(("a", "b"), (1, "x y"))
    value = RecordValue(("c", "d"), (2, (1, 2)))
    screen.map("@r", t.Record((("a", I8), ("b", S))), t.Record((("c", I8), ("d", inner))), [(key, value)])
    pair = t.Array(t.Int(8, False), 2)
    screen.map("@arr", pair, pair, [((2, 1), (4, 3))])
    screen.map("@buf", t.Buffer(4), t.Buffer(2), [(b"a b\xff", b"\xff\x00")])
    assert screen.shown == (
        "@t[1, (2, 3)]: (1, b)\n"
        "@n[x y, z]: -1\n"
        "@b[true]: false\n"
        "@p[0x10]: 0x20\n"
        "@r[{ .a = 1, .b = x y }]: { .c = 2, .d = (1, 2) }\n"
        "@arr[[2,1]]: [4,3]\n"
        "@buf[a b\\xff]: \\xff\\x00\n"
    )
    assert screen.lines == (
        '{"type": "map", "data": {"@t": {"1,(2,3)": [1,"b"]}}}\n'
        '{"type": "map", "data": {"@n": {"xy,z": -1}}}\n'
        '{"type": "map", "data": {"@b": {"true": false}}}\n'
        '{"type": "map", "data": {"@p": {"0x10": 32}}}\n'
        '{"type": "map", "data": {"@r": {"{.a=1,.b=xy}": {"c": 2, "d": [1,2]}}}}\n'
        '{"type": "map", "data": {"@arr": {"[2,1]": [4,3]}}}\n'
        '{"type": "map", "data": {"@buf": {"ab\\\\xff": [-1,0]}}}\n'
    )


def test_cut_strings_carry_the_trailer(screen: Any, make_screen: Any) -> None:
    """config = { max_strlen = 8 } uprobe:… { @b[str(arg0)] = str(arg1, 5); }"""
    screen.map("@b", S, S, [(CutString("01234567"), "0123")])
    assert screen.shown == "@b[01234567..]: 0123\n"
    assert screen.lines == '{"type": "map", "data": {"@b": {"01234567..": "0123"}}}\n'
    other = make_screen(trailer="~~")
    other.map("@b", None, S, [(None, CutString("01234567"))])
    assert other.shown == "@b: 01234567~~\n"


def test_numbers_ascend_by_value_and_ties_by_key(screen: Any) -> None:
    """begin { @i64[1]=(int64)5; @i64[2]=(int64)3; @i64[3]=(int64)-1; … @u[1]=(uint64)-1; @u[2]=3; }"""
    screen.map("@i64", I8, I64, [(1, 5), (2, 3), (3, -1), (5, 100), (4, 7)])
    screen.map("@u", I8, U64, [(1, (1 << 64) - 1), (2, 3)])
    screen.map("@c", I8, t.Count(), [(2, 1), (3, 2), (1, 1)])
    assert screen.shown == (
        "@i64[3]: -1\n@i64[2]: 3\n@i64[1]: 5\n@i64[4]: 7\n@i64[5]: 100\n"
        "@u[2]: 3\n@u[1]: 18446744073709551615\n"
        "@c[1]: 1\n@c[2]: 1\n@c[3]: 2\n"
    )
    assert '{"@u": {"2": 3, "1": "18446744073709551615"}}' in screen.lines


def test_min_and_max_ascend_as_if_unsigned(screen: Any) -> None:
    """begin { @m[1]=min(5); @m[2]=min(-2); @m[3]=min(7); @m[4]=min(1); @m[5]=min(-9); } and the same with sum."""
    entries = [(1, 5), (2, -2), (3, 7), (4, 1), (5, -9)]
    screen.map("@m", I8, t.Min(True), entries)
    screen.map("@s", I8, t.Sum(True), entries)
    assert screen.shown == (
        "@m[4]: 1\n@m[1]: 5\n@m[3]: 7\n@m[5]: -9\n@m[2]: -2\n@s[5]: -9\n@s[2]: -2\n@s[4]: 1\n@s[1]: 5\n@s[3]: 7\n"
    )


def test_other_values_ascend_by_key(screen: Any) -> None:
    """begin { @v[1]="z"; @v[2]="a"; @v[-3]="b"; @b[1]=true; @b[2]=false; @b[0]=true; }"""
    screen.map("@v", I8, S, [(1, "z"), (2, "a"), (-3, "b")])
    screen.map("@b", I8, t.BOOL, [(1, True), (2, False), (0, True)])
    assert screen.shown == "@v[-3]: b\n@v[1]: z\n@v[2]: a\n@b[0]: true\n@b[1]: true\n@b[2]: false\n"


def test_averages_and_stats(screen: Any) -> None:
    """begin { @av[1]=avg(4); @av[2]=avg(-3); @av[3]=avg(0); @st[1]=stats(5); @st[1]=stats(8); @st[2]=stats(1); }"""
    screen.map("@av", I8, t.Avg(True), [(1, AvgValue(4, 1)), (2, AvgValue(-3, 1)), (3, AvgValue(0, 1))])
    screen.map("@st", I8, t.Stats(True), [(1, StatsValue(13, 2)), (2, StatsValue(1, 1))])
    assert screen.shown == (
        "@av[2]: -3\n@av[3]: 0\n@av[1]: 4\n"
        "@st[2]: { .count = 1, .average = 1, .total = 1 }\n@st[1]: { .count = 2, .average = 6, .total = 13 }\n"
    )
    assert screen.lines == (
        '{"type": "stats", "data": {"@av": {"2": -3, "3": 0, "1": 4}}}\n'
        '{"type": "stats", "data": {"@st": {"2": {"count": 1, "average": 1, "total": 1}, '
        '"1": {"count": 2, "average": 6, "total": 13}}}}\n'
    )


def test_top_and_div(screen: Any) -> None:
    """begin { @ii[1]=(int64)-7; @ii[2]=(int64)7; print(@ii,0,2); @tu[1]=(4,4); print(@tu,0,2); print(@st,1,2); … }"""
    screen.map("@ii", I8, I64, [(1, -7), (2, 7)], 0, 2)
    screen.map("@tu", I8, t.Tuple((I8, I8)), [(1, (4, 4))], 0, 2)
    screen.map("@st", I8, t.Stats(True), [(1, StatsValue(13, 2)), (2, StatsValue(1, 1))], 1, 2)
    screen.map("@p", None, t.Pointer(t.VOID), [(None, PointerValue(8))], 0, 2)
    screen.map("@x", I8, t.Array(I8, 2), [(1, (8, 4))], 0, 2)
    assert screen.shown == (
        "@ii[1]: -3\n@ii[2]: 3\n@tu[1]: (2, 2)\n@st[1]: { .count = 2, .average = 3, .total = 13 }\n"
        "@p: 0x8\n@x[1]: [4,2]\n"
    )


def test_power_of_two_histogram(screen: Any) -> None:
    """begin { @h=hist(-1); @h=hist(0); @h=hist(1); @h=hist(1); @h=hist(5); }"""
    screen.map("@h", None, t.Hist(0), [(None, hist(0, _0=1, _1=1, _2=2, _4=1))])
    half = "@" * 26 + " " * 26
    assert screen.shown == (
        "@h:\n"
        f"(..., 0)               1 |{half}|\n"
        f"[0]                    1 |{half}|\n"
        f"[1]                    2 |{FULL}|\n"
        f"[2, 4)                 0 |{EMPTY}|\n"
        f"[4, 8)                 1 |{half}|\n"
        "\n"
    )
    assert screen.lines == (
        '{"type": "hist", "data": {"@h": [{"max": -1, "count": 1},{"min": 0, "max": 0, "count": 1},'
        '{"min": 1, "max": 1, "count": 2},{"min": 2, "max": 3, "count": 0},{"min": 4, "max": 7, "count": 1}]}}\n'
    )


def index(value: int, bits: int) -> str:
    highest = value.bit_length() - 1
    return f"_{1 + ((highest - bits + 1) << bits) + ((value >> (highest - bits)) & ((1 << bits) - 1))}"


def test_histogram_labels(screen: Any) -> None:
    """begin { @=hist(V, K); } for each V and K: both ends are in the unit that fits both if K is not 0."""
    labels = []
    for value, bits in (
        (600, 0),
        (600000, 0),
        ((1 << 63) - 1, 0),
        (5, 2),
        (1000, 2),
        (1024, 2),
        (1048575, 2),
        (1048576, 2),
        (5242880, 2),
        (3000000, 3),
        (8192, 3),
        (1000000, 5),
        ((1 << 63) - 1, 5),
    ):
        screen.out.data = b""
        screen.map("@", None, t.Hist(bits), [(None, hist(bits, **{index(value, bits): 1}))])
        labels.append(screen.shown.splitlines()[1].split("  ")[0])
    assert labels == [
        "[512, 1K)",
        "[512K, 1M)",
        "[4E, 8E)",
        "[5]",
        "[896, 1024)",
        "[1024, 1280)",
        "[896K, 1024K)",
        "[1024K, 1280K)",
        "[5M, 6M)",
        "[2816K, 3072K)",
        "[8K, 9K)",
        "[976K, 992K)",
        "[8064P, 8192P)",
    ]


def test_a_double_cannot_hold_the_last_bound(screen: Any) -> None:
    """begin { @m2=hist(9223372036854775807); }"""
    screen.map("@m2", None, t.Hist(0), [(None, hist(0, **{index((1 << 63) - 1, 0): 1}))])
    assert '[{"min": 4611686018427387904, "max": "9223372036854775807", "count": 1}]' in screen.lines


def test_divided_counts_keep_their_rows(screen: Any) -> None:
    """begin { @h=hist(1); @h=hist(5); print(@h,0,2); @l[2]=lhist(7,0,10,1); @l[2]=lhist(7,0,10,1); print(@l,1,2); }"""
    screen.map("@h", None, t.Hist(0), [(None, hist(0, _2=1, _4=1))], 0, 2)
    lhist = LHistValue((0,) * 8 + (2,) + (0,) * 3, 0, 10, 1)
    screen.map("@l", I8, t.LHist(0, 10, 1), [(2, lhist)], 1, 2)
    assert screen.shown == (
        f"@h:\n[1]                    0 |{EMPTY}|\n[2, 4)                 0 |{EMPTY}|\n"
        f"[4, 8)                 0 |{EMPTY}|\n\n"
        f"@l[2]:\n[7]                    2 |{FULL}|\n\n"
    )
    assert screen.lines == (
        '{"type": "hist", "data": {"@h": [{"min": 1, "max": 1, "count": 0},{"min": 2, "max": 3, "count": 0},'
        '{"min": 4, "max": 7, "count": 0}]}}\n'
        '{"type": "hist", "data": {"@l": {"2": [{"min": 7, "max": 7, "count": 2}]}}}\n'
    )


def test_linear_histograms(screen: Any) -> None:
    """begin { @c=lhist(7,5,22,5); @c=lhist(21,5,22,5); @c=lhist(4,5,22,5); @a=lhist(5000,0,4096,1024); … }"""
    screen.map("@c", None, t.LHist(5, 22, 5), [(None, LHistValue((1, 1, 0, 0, 1), 5, 22, 5))])
    screen.map("@a", None, t.LHist(0, 4096, 1024), [(None, LHistValue((0, 0, 0, 0, 1, 1), 0, 4096, 1024))])
    screen.map("@e", None, t.LHist(0, 3000, 1000), [(None, LHistValue((0, 0, 1, 0, 0), 0, 3000, 1000))])
    screen.map("@f", None, t.LHist(0, 1536, 512), [(None, LHistValue((0, 0, 0, 1, 0), 0, 1536, 512))])
    labels = [line[:16].rstrip() for line in screen.shown.splitlines() if line.startswith(("[", "("))]
    assert labels == [
        "(..., 5)",
        "[5, 10)",
        "[10, 15)",
        "[15, 20)",
        "[20, ...)",
        "[3K, 4K)",
        "[4K, ...)",
        "[1000, 2000)",
        "[1024, 1536)",
    ]
    assert '{"@c": [{"max": 4, "count": 1},{"min": 5, "max": 9, "count": 1},' in screen.lines
    assert '{"min": 20, "count": 1}]}}' in screen.lines


def test_a_range_ends_at_its_last_whole_step(screen: Any) -> None:
    """begin { @b=lhist(21,5,22,5); @h=lhist(97,0,99,2); @h=lhist(98,0,99,2); }"""
    odd, wide = t.LHist(5, 22, 5), t.LHist(0, 99, 2)
    screen.map("@b", None, odd, [(None, LHistValue((0, 0, 0, 0, 1), 5, 22, 5))])
    screen.map("@h", None, wide, [(None, LHistValue((0,) * 49 + (1, 1), 0, 99, 2))])
    assert (odd.buckets, wide.buckets) == (5, 51)
    assert [line[:16].rstrip() for line in screen.shown.splitlines() if line.startswith("[")] == [
        "[20, ...)",
        "[96, 98)",
        "[98, ...)",
    ]
    assert screen.lines.startswith('{"type": "hist", "data": {"@b": [{"min": 20, "count": 1}]}}\n')


def test_keyed_histograms_ascend_by_count(screen: Any) -> None:
    """begin { @x[1]=hist(1); @x[2]=hist(1); @x[2]=hist(1); @x[3]=hist(5); (twice more) print(@x,2); }"""
    entries = [(3, hist(0, _4=3)), (1, hist(0, _2=1)), (2, hist(0, _2=2))]
    screen.map("@x", I8, t.Hist(0), entries, 2)
    assert [line for line in screen.shown.splitlines() if line.startswith("@x")] == ["@x[2]:", "@x[3]:"]
    assert screen.lines == (
        '{"type": "hist", "data": {"@x": {"2": [{"min": 1, "max": 1, "count": 2}], '
        '"3": [{"min": 4, "max": 7, "count": 3}]}}}\n'
    )


def test_cleared_maps_that_are_printed(screen: Any) -> None:
    """begin { @c=count(); …; clear(@c); …; print(@c); … }: scalars show zero, keyed maps and pictures nothing."""
    screen.map("@c", None, t.Count(), [])
    screen.map("@s", None, S, [])
    screen.map("@t", None, t.Tuple((I8, S)), [])
    screen.map("@st", None, t.Stats(True), [])
    screen.map("@b", None, t.BOOL, [])
    screen.map("@h", None, t.Hist(0), [])
    screen.map("@k", I8, I8, [])
    screen.map("@kst", I8, t.Stats(True), [])
    assert screen.shown == "@c: 0\n@s: \n@t: (0, )\n@st: { .count = 0, .average = 0, .total = 0 }\n@b: false\n"
    assert screen.lines == (
        '{"type": "map", "data": {"@c": 0}}\n'
        '{"type": "map", "data": {"@s": ""}}\n'
        '{"type": "map", "data": {"@t": [0,""]}}\n'
        '{"type": "stats", "data": {"@st": {"count": 0, "average": 0, "total": 0}}}\n'
        '{"type": "map", "data": {"@b": false}}\n'
        '{"type": "stats", "data": {"@kst": {}}}\n'
    )


def test_zeroed_pictures(screen: Any) -> None:
    """begin { @h=hist(1); @mac=macaddr(curtask); zero(@h); }"""
    screen.map("@h", None, t.Hist(0), [(None, hist(0))])
    screen.map("@mac", None, t.Mac(), [(None, MacValue(bytes(6)))])
    assert screen.shown == "@h:\n\n@mac: 00:00:00:00:00:00\n"
    assert screen.lines.startswith('{"type": "hist", "data": {"@h": []}}\n')


def test_end_of_run(screen: Any) -> None:
    """begin { @b=1; @a=2; @e[1]=1; clear(@e); }: two newlines, then what is not empty, by name."""
    maps = [
        (UserMap("@b", "b", Storage.SLOT, None, I8), [(None, 1)]),
        (UserMap("@e", "e", Storage.HASH, I8, I8), []),
        (UserMap("@a", "a", Storage.SLOT, None, I8), [(None, 2)]),
    ]
    screen.text.maps(maps)
    screen.json.maps(maps)
    assert screen.shown == "\n\n@a: 2\n@b: 1\n"
    assert screen.lines == '{"type": "map", "data": {"@a": 2}}\n{"type": "map", "data": {"@b": 1}}\n'


def test_percentiles_on_request(make_screen: Any) -> None:
    """An addition of ours: one line below each histogram."""
    screen = make_screen(percentiles=True)
    screen.map("@h", None, t.Hist(0), [(None, hist(0, _2=99, _4=1))])
    assert screen.shown.splitlines()[-2] == "p50 1  p90 1  p99 1"
