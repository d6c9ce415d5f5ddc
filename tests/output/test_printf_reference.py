"""The printf reference. Every expected text was printed by bpftrace 0.27 for the conversion and argument beside it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace import types as t
from pytrace.format import parse_format
from pytrace.output import (
    CutString,
    EnumValue,
    InetValue,
    MacValue,
    NamedValue,
    NoResolver,
    PointerValue,
    RecordValue,
    Words,
    format_text,
)

I8, I16, I32, I64 = (t.Int(b, True) for b in (8, 16, 32, 64))
U8, U16, U32, U64 = (t.Int(b, False) for b in (8, 16, 32, 64))
S = t.String(16)
VOIDP = t.Pointer(t.VOID)
E = t.Enum("E", 64, False, (("A", 0), ("B", 5)))
PAIR = t.Tuple((I8, S))
REC = t.Record((("a", I8), ("b", I8)))
BIG, NEG = 5000000000, -5000000000


def shown(format: str, type: t.Type, value: object) -> str:
    return format_text(parse_format(format), (type,), (value,), Words(NoResolver()))


# begin { $b = (uint64)5000000000; $n = (int64)-5000000000; printf("[%d][%i]…\n", $b, $b, …); … }
@pytest.mark.parametrize(
    ("format", "type", "value", "text"),
    [
        # Without a length bpftrace shows the lower 32 bits of these; we show what is there.
        ("%d", U64, BIG, "5000000000"),
        ("%u", U64, BIG, "5000000000"),
        ("%x", U64, BIG, "12a05f200"),
        ("%o", U64, BIG, "45201371000"),
        ("%X", U64, BIG, "12A05F200"),
        ("%#x", U64, BIG, "0x12a05f200"),
        ("%d", I64, NEG, "-5000000000"),
        ("%u", I64, NEG, "18446744068709551616"),
        ("%x", I64, NEG, "fffffffed5fa0e00"),
        ("%o", I64, NEG, "1777777777732576407000"),
        ("%ld", I64, NEG, "-5000000000"),
        ("%lu", I64, NEG, "18446744068709551616"),
        ("%lx", I64, NEG, "fffffffed5fa0e00"),
        ("%jd", I64, NEG, "-5000000000"),
        ("%zd", I64, NEG, "-5000000000"),
        ("%tx", I64, NEG, "fffffffed5fa0e00"),
        ("%Ld", I64, NEG, "-705032704"),
        ("%u", I8, -2, "4294967294"),
        ("%x", I8, -2, "fffffffe"),
        ("%lu", I8, -2, "18446744073709551614"),
        ("%hu", I8, -2, "65534"),
        ("%hx", I8, -2, "fffe"),
        ("%hhx", I8, -2, "fe"),
        ("%hhu", I8, -2, "254"),
        ("%d", U8, 254, "254"),
        ("%hhd", U8, 254, "-2"),
        ("%lu", U8, 254, "254"),
        ("%d", U32, 4294967295, "-1"),
        ("%ld", U32, 4294967295, "4294967295"),
        ("%hd", U32, 4294967295, "-1"),
        ("%hi", I32, 40000, "-25536"),
        ("%s", U64, BIG, "5000000000"),
        ("%s", I64, NEG, "-5000000000"),
        ("%s", U8, 254, "254"),
        # begin { printf("%08x|%-08x|%#08x|%#o|%#x|%+x|% x|%08d|%-08d|%08.3d|%+08d|% 8d|%+ d\n", …); }
        ("%08x", I16, 255, "000000ff"),
        ("%-08x", I16, 255, "ff000000"),
        ("%#08x", I16, 255, "00000xff"),
        ("%#o", I8, 0, "0"),
        ("%#o", I8, 8, "010"),
        ("%#x", I8, 0, "0"),
        ("%+x", I16, 255, "ff"),
        ("% x", I16, 255, "ff"),
        ("%08d", I8, -42, "00000-42"),
        ("%-08d", I8, -42, "-4200000"),
        ("%08.3d", I8, 42, "00000042"),
        ("%+08d", I8, 42, "00000+42"),
        ("% 8d", I8, 42, "      42"),
        ("% d", I8, 42, "42"),
        ("%+ d", I8, 42, "+42"),
        ("%+u", I8, 5, "5"),
        ("%.0d", I8, 0, "0"),
        ("%.5x", I16, 255, "ff"),
        ("%#X", I16, 255, "0XFF"),
        ("%#lX", I16, 171, "0XAB"),
        # begin { printf("[%p][%p][%20p][%-20p|\n", 0, -1, 4096, 4096); printf("%p %s %d", (int8*)0, …); }
        ("%p", I8, 0, "0"),
        ("%p", I8, -1, "0xffffffffffffffff"),
        ("%20p", I16, 4096, "              0x1000"),
        ("%-20p|", I16, 4096, "0x1000              |"),
        ("%08p", I16, 171, "00000xab"),
        ("%p", VOIDP, PointerValue(0), "0"),
        ("%s", VOIDP, PointerValue(0), "0x0"),
        ("%5s", VOIDP, PointerValue(5), "  0x5"),
        ("%d", VOIDP, PointerValue(5), "5"),
        ("%X", VOIDP, PointerValue(171), "AB"),
        # begin { printf("%5c|%-3c|%05c|%+s|%.1s|%05s\n", 65, 66, 67, 5, true, true); }
        ("%5c", I8, 65, "    A"),
        ("%-3c|", I8, 66, "B  |"),
        ("%05c", I8, 67, "0000C"),
        ("%c", I16, 321, "A"),
        ("%c", I8, 0, "\0"),
        ("%c", t.BOOL, True, "\x01"),
        ("%+s", I8, 5, "+5"),
        ("%+s", I8, -1, "-1"),
        ("%.1s", t.BOOL, True, "true"),
        ("%05s", t.BOOL, True, "0true"),
        ("%d", t.BOOL, True, "1"),
        ("%x", t.BOOL, True, "1"),
        # strings: precision is ignored; begin { printf("%5.3s|%-7.2s|\n", "abcdef", "abcdef"); }
        ("%5.3s", S, "abcdef", "abcdef"),
        ("%-7.2s|", S, "abcdef", "abcdef |"),
        ("%10s", S, "abc", "       abc"),
        # config = { max_strlen = 8 } uprobe… { printf("%12s|%.3s|\n", str(arg0), str(arg0)); }
        ("%12s", t.String(8), CutString("01234567"), "  01234567.."),
        ("%.3s", t.String(8), CutString("01234567"), "01234567.."),
        # enum E { A, B = 5 }; begin { printf("%d %s|%10s|%x\n", …); }
        ("%d", E, EnumValue(5, "B"), "5"),
        ("%s", E, EnumValue(5, "B"), "B"),
        ("%10s", E, EnumValue(5, "B"), "         B"),
        ("%s", E, EnumValue(18446612686439466241, ""), "18446612686439466241"),
        # begin { printf("%20s|%-20s|%+s|%05s\n", (1,"a"), …); printf("%20s|%-20s|", (a=1,b=2), (a=1,b=2)); }
        ("%20s", PAIR, (1, "a"), "                   (1, a)"),
        ("%-20s|", PAIR, (1, "a"), "(                   1, a)|"),
        ("%+s", t.Tuple((I8, t.Tuple((I8, I8)))), (1, (2, 3)), "(+1, (+2, +3))"),
        ("%05s", t.Tuple((I8, I8)), (1, 2), "0000(1, 2)"),
        ("%20s", REC, RecordValue(("a", "b"), (1, 2)), "                  { .a = 1, .b = 2 }"),
        ("%-20s|", REC, RecordValue(("a", "b"), (1, 2)), "{                   .a = 1, .b = 2 }|"),
        ("%20s", t.Array(U8, 2), (2, 1), "                   [2,1]"),
        ("%+s", t.Array(U8, 2), (2, 1), "[2,1]"),
        # begin { printf("%r|%rx|%rh|%s|%20r|%20rh\n", buf("a\x01\xffz\n\t\\\"", 8), buf("a\x01\xffz", 4), …); }
        ("%r", t.Buffer(8), b'a\x01\xffz\n\t\\"', 'a\\x01\\xffz\\x0a\\x09\\"'),
        ("%rx", t.Buffer(4), b"a\x01\xffz", "\\x61\\x01\\xff\\x7a"),
        ("%rh", t.Buffer(4), b"a\x01\xffz", "61 01 ff 7a"),
        ("%s", t.Buffer(4), b"a\x01\xffz", "a\\x01\\xffz"),
        ("%20r", t.Buffer(2), b"ab", "                  ab"),
        ("%20rh", t.Buffer(2), b"ab", "               61 62"),
        ("%20s", t.Inet(), InetValue(2, bytes((127, 0, 0, 1))), "           127.0.0.1"),
        ("%20s", t.Mac(), MacValue(bytes(6)), "   00:00:00:00:00:00"),
        ("%10s", t.Named("signal"), NamedValue(2, "signal"), " Interrupt"),
        ("%s", t.Named("strerror"), NamedValue(99999, "strerror"), "Unknown error"),
        ("%s", t.Named("signal"), NamedValue(999, "signal"), "N/A"),
        # begin { printf("%gr\n", 0xcc0); … }
        ("%gr", I64, 0xCC0, "GFP_KERNEL"),
        ("%gr", I64, 0, "0"),
        ("%gr", I64, 0x400DC0, "GFP_KERNEL_ACCOUNT|__GFP_ZERO"),
        ("%gr", I64, 0x100CCA, "GFP_HIGHUSER|0x8"),
        ("%gr", I64, 0x21C24CA, "GFP_TRANSHUGE"),
        ("%gr", I64, 0x21C20CA, "GFP_TRANSHUGE_LIGHT"),
        ("%gr", I64, 0x152CC0, "GFP_USER|__GFP_NOWARN|__GFP_NORETRY|__GFP_COMP"),
        ("%gr", I64, 0xC20, "GFP_ATOMIC|__GFP_DIRECT_RECLAIM"),
        ("%gr", I64, 0x6000C0, "__GFP_IO|__GFP_FS|__GFP_THISNODE|__GFP_ACCOUNT"),
        ("%gr", I64, 0x10000000000, "0x10000000000"),
        ("%30gr", I64, 0x820, "                    GFP_ATOMIC"),
        (
            "%gr",
            I8,
            -1,
            "GFP_TRANSHUGE|GFP_ATOMIC|GFP_DMA|GFP_DMA32|__GFP_ZERO|__GFP_WRITE|__GFP_RETRY_MAYFAIL|__GFP_NOFAIL|"
            "__GFP_NORETRY|__GFP_MEMALLOC|__GFP_THISNODE|__GFP_ACCOUNT|__GFP_ZEROTAGS|__GFP_SKIP_ZERO|__GFP_NO_OBJ_EXT|"
            "0xfffffffff8000210",
        ),
    ],
)
def test_conversion(format: str, type: t.Type, value: object, text: str) -> None:
    assert shown(format, type, value) == text


def test_percent_and_literals() -> None:
    """begin { printf("%5%|%%\\n"); } prints `%|%`."""
    assert format_text(parse_format("%5%|%%\n"), (), (), Words(NoResolver())) == "%|%\n"


def test_what_cannot_be_shown_says_so() -> None:
    assert shown("<%d>", S, "x").startswith("<!{")
    assert shown("<%r>", I8, 1).startswith("<!{")
    assert format_text(parse_format("%d %d"), (I8,), (1,), Words(NoResolver())) == "1 !{missing argument}"


def test_width_counts_bytes() -> None:
    assert shown("%4s", S, "é") == "  é"


@given(st.sampled_from(["", "hh", "h", "l", "ll"]), st.integers(-(1 << 63), (1 << 63) - 1))
def test_signed_and_unsigned_agree_on_the_bits(length: str, value: int) -> None:
    """Whatever the width: reading %d's number modulo the width gives %u's, and %x and %o are %u in other bases."""
    bits = {"hh": 8, "h": 16}.get(length, 64)
    unsigned = int(shown(f"%{length}u", I64, value))
    assert unsigned == value % (1 << bits)
    assert int(shown(f"%{length}d", I64, value)) % (1 << bits) == unsigned
    assert int(shown(f"%{length}x", I64, value), 16) == unsigned
    assert int(shown(f"%{length}o", I64, value), 8) == unsigned
