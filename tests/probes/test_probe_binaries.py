"""Probes in user programs, checked with what binutils say about freshly compiled ones."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace.probes import ProbeError, RegsLoad, UsdtArgument, expand, list_probes, lowering
from pytrace.program import Uprobe, UprobeMulti
from pytrace.types import INT64, Enum, Pointer, Struct
from tests.probes.kernels import target

SOURCE = r"""
#include <stdint.h>
struct point { int x; short y; unsigned low : 3; struct point *next; char name[8]; };
enum color { RED, GREEN = 5 };
unsigned short semaphore __attribute__((section(".probes"), used));
#define PROBE(name, sem, args, ...) __asm__ volatile("990: nop\n" \
    ".pushsection .note.stapsdt,\"\",\"note\"\n.balign 4\n.4byte 992f-991f,994f-993f,3\n" \
    "991: .asciz \"stapsdt\"\n992: .balign 4\n993: .8byte 990b\n.8byte 0\n.8byte " sem "\n" \
    ".asciz \"app\"\n.asciz \"" name "\"\n.asciz \"" args "\"\n994: .balign 4\n.popsection\n" :: __VA_ARGS__)
__attribute__((noinline)) int work(struct point *p, long n, enum color c, double d, const char *s)
{
    PROBE("work", "0", "-4@%0 8@$7", "r"(p->x));
    return p->x + n + c + s[0] + (int)d;
}
__attribute__((noinline)) int twice(int a)
{
    if (a > 2) PROBE("twice", "semaphore", "-4@%0", "r"(a));
    else PROBE("twice", "semaphore", "-4@%0 8@$1", "m"(a));
    return a * 2;
}
int main(void) { struct point p = {1, 2, 3, 0, "x"}; return work(&p, 2, GREEN, 1.0, "s") + twice(3) + twice(1) > 99; }
"""
LINE_OF_WORK = SOURCE.split("\n").index("    return p->x + n + c + s[0] + (int)d;") + 1


@pytest.fixture(scope="module", params=[("-pie", "-fPIE"), ("-no-pie", "-fno-pie"), ("-static",)], ids=lambda f: f[0])
def program(request: pytest.FixtureRequest, compile_c: Callable[..., Path]) -> Path:
    return compile_c(SOURCE, "-O1", "-g", *request.param)


def symbols(program: Path) -> dict[str, int]:
    text = subprocess.run(["nm", program], check=True, capture_output=True, text=True).stdout
    return {name: int(address, 16) for address, name in re.findall(r"^([0-9a-f]+) \w (\S+)$", text, re.MULTILINE)}


def in_file(program: Path, address: int) -> int:
    """The file offset of an address, by `readelf`'s program headers."""
    text = subprocess.run(["readelf", "-lW", program], check=True, capture_output=True, text=True).stdout
    for line in text.split("\n"):
        if m := re.match(r"\s+LOAD\s+(0x\w+) (0x\w+) 0x\w+ (0x\w+)", line):
            offset, start, size = (int(n, 16) for n in m.groups())
            if start <= address < start + size:
                return address - start + offset
    raise AssertionError(f"{address:#x} is not loaded")


def test_a_function_is_where_the_linker_put_it(program: Path) -> None:
    offset = in_file(program, symbols(program)["work"])
    (point,) = expand(f"u:{program}:work", target())
    assert point.attach == UprobeMulti(str(program), (offset,))
    assert (point.name, point.function) == (f"uprobe:{program}:work", "work")
    (point,) = expand(f"u:{program}:work", target(without="uprobe_multi"))
    assert point.attach == Uprobe(str(program), offset)
    (point,) = expand(f"ur:{program}:work", target(without="uprobe_multi"))
    assert point.attach == Uprobe(str(program), offset, returns=True)


def test_offsets_and_addresses(program: Path) -> None:
    address = symbols(program)["work"]
    plain = target(without="uprobe_multi")
    (by_offset,) = expand(f"u:{program}:work+2", plain)
    (by_address,) = expand(f"u:{program}:{address + 2:#x}", plain)
    assert by_offset.attach == by_address.attach == Uprobe(str(program), in_file(program, address) + 2)
    with pytest.raises(ProbeError, match="outside the function bounds"):
        expand(f"u:{program}:work+100000", plain)
    with pytest.raises(ProbeError, match="is not an address"):
        expand(f"u:{program}:0x7fffffffffff", plain)


def test_arguments_are_typed_by_debug_info(program: Path) -> None:
    (point,) = expand(f"u:{program}:work", target())
    args = {a.name: a for a in point.context.args or ()}
    # di, si, dx; the double is in a floating-point register; then cx
    assert {n: a.load for n, a in args.items()} == {
        "p": RegsLoad(112),
        "n": RegsLoad(104),
        "c": RegsLoad(96),
        "s": RegsLoad(88),
    }
    assert args["n"].type == INT64
    assert args["c"].type == Enum("color", 32, False, (("RED", 0), ("GREEN", 5)))
    pointer = args["p"].type
    assert isinstance(pointer, Pointer)
    assert pointer.space == "user"
    struct = pointer.to
    assert isinstance(struct, Struct)
    fields = {f.name: f for f in struct.fields or ()}
    assert {n: f.offset for n, f in fields.items()} == {"x": 0, "y": 4, "low": 4, "next": 8, "name": 16}
    assert (fields["low"].bit_offset, fields["low"].bit_size) == (16, 3)


def test_a_source_line(program: Path) -> None:
    text = subprocess.run(
        ["objdump", "--dwarf=decodedline", program], check=True, capture_output=True, text=True
    ).stdout
    name = next(program.parent.glob(f"{program.name}.c")).name
    lines = re.findall(rf"^{re.escape(name)}\s+{LINE_OF_WORK}\s+(0x[0-9a-f]+)", text, re.MULTILINE)
    (point, *_) = expand(f"u:{program}@{name}:{LINE_OF_WORK}", target(without="uprobe_multi"))
    assert isinstance(point.attach, Uprobe)
    assert point.attach.offset == in_file(program, min(int(a, 16) for a in lines))
    assert point.name == f"uprobe:{program}@{name}:{LINE_OF_WORK}"
    with pytest.raises(ProbeError, match="no source file"):
        expand(f"u:{program}@other.c:1", target())
    with pytest.raises(ProbeError, match="No matches"):
        expand(f"u:{program}@{name}:1", target())


def notes(program: Path) -> list[tuple[str, int, int]]:
    """Name, address and semaphore of each probe, by `readelf`."""
    text = subprocess.run(["readelf", "-nW", program], check=True, capture_output=True, text=True).stdout
    found = re.findall(r"Provider: app\s+Name: (\w+)\s+Location: (\w+), Base: \w+, Semaphore: (\w+)", text)
    return [(name, int(address, 16), int(semaphore, 16)) for name, address, semaphore in found]


def test_a_static_probe_with_many_places(program: Path) -> None:
    places = [(a, s) for name, a, s in notes(program) if name == "twice"]
    (point,) = expand(f"U:{program}:twice", target())
    assert point.name == f"usdt:{program}:app:twice"
    attach = point.attach
    assert isinstance(attach, UprobeMulti)
    assert attach.offsets == tuple(in_file(program, a) for a, _ in places)
    assert attach.ref_ctr_offsets == tuple(in_file(program, s) for _, s in places)
    # one place has a second argument, which cannot be had in general
    (argument,) = point.context.positional
    assert isinstance(argument, UsdtArgument)
    assert len(argument.forms) == 2
    assert [argument.forms[c].deref for c in attach.cookies] == [False, True]
    merged = lowering.merge([point], [3])
    assert isinstance(merged[0], UprobeMulti)
    assert merged[0].cookies == (3, 1 << 32 | 3)


def test_without_multi_links_every_place_is_a_point(program: Path) -> None:
    points = expand(f"U:{program}:app:twice", target(without="uprobe_multi"))
    assert len(points) == 2
    assert len({p.name for p in points}) == 1
    assert all(isinstance(p.attach, Uprobe) and p.attach.ref_ctr_offset for p in points)
    assert [len(p.context.positional) for p in points] == [1, 2]


def test_one_link_for_probes_with_and_without_semaphores(program: Path) -> None:
    points = expand(f"U:{program}:*", target())
    (link,) = lowering.merge(points, range(len(points)))
    assert isinstance(link, UprobeMulti)
    offsets = {in_file(program, a): in_file(program, s) if s else 0 for _, a, s in notes(program)}
    assert dict(zip(link.offsets, link.ref_ctr_offsets, strict=True)) == offsets
    (plain,) = lowering.merge(expand(f"U:{program}:work", target()), [0])
    assert isinstance(plain, UprobeMulti)
    assert plain.ref_ctr_offsets == ()


def test_lists(program: Path) -> None:
    names = list(list_probes(f"usdt:{program}:*", target()))
    assert names == [f"usdt:{program}:app:twice", f"usdt:{program}:app:work"]
    listed = list(list_probes(f"uprobe:{program}:t*ice", target()))
    assert listed == [f"uprobe:{program}:twice"]


def test_the_nearest_name(program: Path) -> None:
    for text in (f"u:{program}:wrok", f"U:{program}:wrok", f"U:{program}:app:wrok"):
        with pytest.raises(ProbeError, match="No matches for") as e:
            expand(text, target())
        assert e.value.hint is not None
        assert "work" in e.value.hint


def test_many_functions_are_one_link(program: Path) -> None:
    points = [p for name in ("twice", "work") for p in expand(f"u:{program}:{name}*", target()) if p.function == name]
    addresses = symbols(program)
    (link,) = lowering.merge(points, [0, 1])
    assert isinstance(link, UprobeMulti)
    assert link.offsets == tuple(in_file(program, addresses[n]) for n in ("twice", "work"))
    assert link.cookies == (0, 1)


def test_a_stripped_binary_says_so(compile_c: Callable[..., Path]) -> None:
    program = compile_c(SOURCE, "-O1", "-s")
    with pytest.raises(ProbeError, match="No matches") as e:
        expand(f"u:{program}:work", target())
    assert e.value.hint is not None
    assert "is stripped" in e.value.hint
    with pytest.raises(ProbeError, match="no debug info"):
        expand(f"u:{program}@x.c:1", target())


def test_files_that_are_not_there_or_no_programs(tmp_path: Path) -> None:
    text = tmp_path / "text"
    text.write_text("hello")
    text.chmod(0o755)
    for binary, message in [(tmp_path / "none", "does not exist"), (text, "not an ELF file"), (tmp_path, "not exist")]:
        with pytest.raises(ProbeError, match=message):
            expand(f"u:{binary}:main", target())
    with pytest.raises(ProbeError, match="matches no program"):
        expand(f"u:{tmp_path}/*:main", target())
    with pytest.raises(ProbeError, match="needs a binary"):
        expand("u::main", target())


def test_every_binary_of_a_glob(compile_c: Callable[..., Path], tmp_path: Path) -> None:
    program = compile_c(SOURCE, "-O1", "-g")
    for name in ("one", "two"):
        shutil.copy(program, tmp_path / name)
    (tmp_path / "three").write_text("no program")
    os.link(tmp_path / "one", tmp_path / "one-again")
    (tmp_path / "two-again").symlink_to(tmp_path / "two")
    os.mkfifo(tmp_path / "zero")
    points = expand(f"u:{tmp_path}/*:work", target())
    assert [p.name for p in points] == [f"uprobe:{tmp_path}/{name}:work" for name in ("one", "two")]


def test_a_glob_of_names_is_of_programs_in_path(
    compile_c: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "marvel").symlink_to(compile_c(SOURCE, "-O1", "-g"))
    monkeypatch.setenv("PATH", f"/nowhere:{tmp_path}:{os.environ['PATH']}")
    for pattern in ("m?rvel", "marv*"):
        (point,) = expand(f"u:{pattern}:work", target())
        assert point.name == f"uprobe:{tmp_path}/marvel:work"
    assert f"usdt:{tmp_path}/marvel:app:work" in [p.name for p in expand("U:*:app:*", target())]
    with pytest.raises(ProbeError, match="matches no program"):
        expand("u:marv*less:main", target())


def test_a_library_by_name_is_what_the_loader_takes() -> None:
    environment = {"PATH": "/sbin:/usr/sbin:/usr/bin"}
    text = subprocess.run(["ldconfig", "-p"], check=True, capture_output=True, text=True, env=environment)
    path = re.search(r"libc\.so\.6 .*x86-64.* => (\S+)", text.stdout)
    assert path is not None
    for name in ("libc", "libc.so.6", "c"):
        (point,) = expand(f"u:{name}:malloc", target())
        assert point.name == f"uprobe:{path[1]}:malloc"


def test_what_a_process_has_mapped() -> None:
    """With a process, ``*`` is every file that it executes from: this one has libc."""
    names = [p.name for p in expand("u:*:malloc", target(pid=os.getpid()))]
    mapped = {line.split()[-1] for line in Path("/proc/self/maps").read_text().split("\n") if " r-xp " in line}
    assert names
    assert {n.split(":")[1] for n in names} <= mapped


CPP = r"""
#define APART __attribute__((noinline))
namespace ns {
struct base { int y; APART base(int y) : y(y) { asm(""); } APART virtual ~base() { asm(""); } };
struct box : virtual base {
    int x;
    APART box(int x) : base(x), x(x) { asm(""); }
    APART int get(int a) { return x + a; }
    APART int get(long a) { return x - a; }
    APART int operator<<(int a) const { return x << a; }
    APART int operator()(int a) const { return x ^ a; }
    APART operator bool() const { asm(""); return x; }
};
template <class T> APART T most(const T *a, const T *b) { asm(""); return *a < *b ? *b : *a; }
}
namespace { APART int hidden(int a) { asm(""); return a; } }
int main(int argc, char **) {
    ns::box b(argc); ns::base c(1);
    auto inner = [](int a) __attribute__((noinline)) { asm(""); return a + 1; };
    long one = 1, two = 2;
    return b.get(1) + b.get(2L) + (b << 2) + b(3) + bool(b) + ns::most(&one, &two) + hidden(4) + inner(5);
}
"""


@pytest.fixture(scope="module")
def boxes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    program = tmp_path_factory.mktemp("cpp") / "boxes"
    subprocess.run(["g++", "-x", "c++", "-O1", "-g", "-o", program, "-"], check=True, input=CPP, text=True)
    return program


def test_cpp_by_demangled_name(boxes: Path) -> None:
    both = expand(f'u:{boxes}:cpp:"ns::box::get"', target())
    assert sorted(p.function for p in both) == ["ns::box::get(int)", "ns::box::get(long)"]
    (one,) = expand(f'u:{boxes}:cpp:"ns::box::get(long)"', target())
    assert one.name == f'uprobe:{boxes}:cpp:"ns::box::get(long)"'
    assert isinstance(one.attach, UprobeMulti)
    assert one.attach.offsets == (in_file(boxes, symbols(boxes)["_ZN2ns3box3getEl"]),)
    (mangled,) = expand(f"u:{boxes}:_ZN2ns3box3getEl", target())
    assert mangled.attach == one.attach
    assert [a.name for a in mangled.context.args or ()] == ["this", "a"]
    assert one.context.args is not None and one.context.args == mangled.context.args
    assert len(list(list_probes(f"u:{boxes}:cpp:ns::box::get*", target()))) == 2


@pytest.mark.parametrize(
    ("written", "symbol"),
    [
        ("ns::box::operator<<", "_ZNK2ns3boxlsEi"),
        ("ns::box::operator()", "_ZNK2ns3boxclEi"),
        ("ns::box::operator()(int) const", "_ZNK2ns3boxclEi"),
        ("ns::box::operator bool", "_ZNK2ns3boxcvbEv"),
        ("ns::most<long>", "_ZN2ns4mostIlEET_PKS1_S3_"),
        ("long ns::most<long>", "_ZN2ns4mostIlEET_PKS1_S3_"),
        ("ns::most<long>(long const*, long const*)", "_ZN2ns4mostIlEET_PKS1_S3_"),
        ("ns::m?st<*>", "_ZN2ns4mostIlEET_PKS1_S3_"),
        ("(anonymous namespace)::hidden", "_ZN12_GLOBAL__N_16hiddenEi"),
        ("*hidden(int)", "_ZN12_GLOBAL__N_16hiddenEi"),
        ("main*::{lambda(int)#1}::operator()", "_ZZ4mainENKUliE_clEi"),
        ("ns::box::box", "_ZN2ns3boxC1Ei"),
    ],
)
def test_every_way_to_write_a_cpp_name(boxes: Path, written: str, symbol: str) -> None:
    (point,) = expand(f'u:{boxes}:cpp:"{written}"', target())
    assert isinstance(point.attach, UprobeMulti)
    assert point.attach.offsets == (in_file(boxes, symbols(boxes)[symbol]),)


def test_a_constructor_is_one_place(boxes: Path) -> None:
    """Its two symbols are the same code."""
    found = symbols(boxes)
    assert found["_ZN2ns4baseC1Ei"] == found["_ZN2ns4baseC2Ei"]
    (point,) = expand(f'u:{boxes}:cpp:"ns::base::base"', target())
    assert isinstance(point.attach, UprobeMulti)
    assert point.attach.offsets == (in_file(boxes, found["_ZN2ns4baseC1Ei"]),)
