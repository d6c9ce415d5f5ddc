"""What each setting does, seen on the running kernel; and that the environment wins over the script's block."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pytrace import program as wall
from pytrace.compiler import compile_script
from pytrace.kernel import Kernel
from pytrace.program import Program
from pytrace.record import replace
from pytrace.runtime import VerifierError
from pytrace.semantics.config import KEYS, LICENSES
from tests.asm import Asm, prog, program
from tests.conftest import Runner
from tests.live.runtime.conftest import Bench

Compile = Callable[..., Path]


def block(**settings: object) -> str:
    return "config = { " + "; ".join(f"{k} = {v}" for k, v in settings.items()) + " } "


# --- where values come from ----------------------------------------------------------------------------

# Another value than the default for the block, and another still for the environment.
OTHERS: dict[str, tuple[str, str]] = {
    "cpp_demangle": ("true", "false"),
    "lazy_symbolication": ("true", "false"),
    "print_maps_on_exit": ("false", "true"),
    "use_blazesym": ("false", "true"),
    "show_debug_info": ("false", "true"),
    "log_size": ("1000", "2000"),
    "max_bpf_progs": ("100", "200"),
    "max_cat_bytes": ("10", "20"),
    "max_map_keys": ("10", "20"),
    "max_probes": ("100", "200"),
    "max_strlen": ("64", "128"),
    "on_stack_limit": ("16", "24"),
    "perf_rb_pages": ("8", "16"),
    "str_trunc_trailer": ('"-"', "+"),
    "unstable_import_statement": ("warn", "enable"),
    "unstable_tseries": ("error", "enable"),
    "unstable_typeinfo": ("warn", "enable"),
    "unstable_dw_ustack": ("error", "enable"),
    "missing_probes": ("warn", "ignore"),
    "stack_mode": ("perf", "raw"),
    "license": ('"Dual MIT/GPL"', "GPL v2"),
    "cache_user_symbols": ("PER_PID", "NONE"),
    "percentiles": ("false", "true"),
}


@pytest.mark.parametrize("prefix", ["PYTRACE", "BPFTRACE"])
def test_the_environment_wins_over_the_block(pytrace: Runner, prefix: str) -> None:
    shown = [k for k in OTHERS if k not in ("cache_user_symbols", "percentiles")]  # `config` has not those two
    script = block(**{k: v for k, (v, _) in OTHERS.items()})
    script += "".join(f'begin {{ printf("{k}=%s\\n", config.{k}); }} ' for k in shown)
    lines = pytrace("-q", "-e", script).stdout.split("\n")
    assert dict(line.split("=") for line in lines if line) == {k: OTHERS[k][0].strip('"') for k in shown}
    env = {f"{prefix}_{k.upper()}": v for k, (_, v) in OTHERS.items()}
    lines = pytrace("-q", "-e", script, env=env).stdout.split("\n")
    assert dict(line.split("=") for line in lines if line) == {k: OTHERS[k][1] for k in shown}


def test_our_variable_wins_over_that_of_bpftrace(pytrace: Runner) -> None:
    env = {"BPFTRACE_MAX_STRLEN": "100", "PYTRACE_MAX_STRLEN": "200"}
    assert pytrace("-q", "-e", "begin { print(config.max_strlen); }", env=env).stdout == "200\n\n\n"


def test_every_setting_is_tried_here() -> None:
    assert OTHERS.keys() == KEYS.keys()
    tried = {name.removeprefix("test_key_").partition("__")[0] for name in globals() if name.startswith("test_key_")}
    # That of dw_ustack() is tried where the function is.
    assert KEYS.keys() - tried <= {"unstable_dw_ustack"}


# --- sizes -------------------------------------------------------------------------------------------


# Writes its text first, so that it is in memory when it is read.
SAYS = """
#include <string.h>
static char text[64];
__attribute__((noinline)) void say(char *text) { __asm__ volatile("" : : "r"(text) : "memory"); }
int main(void) { strcpy(text, "a long line of text"); say(text); }
"""


def test_key_max_strlen(pytrace: Runner, compile_c: Compile) -> None:
    target = compile_c(SAYS)
    script = f"uprobe:{target}:say {{ print(strlen(str(arg0))); }}"
    assert pytrace("-q", "-e", block(max_strlen=8) + script, "-c", str(target)).stdout.startswith("8\n")
    assert pytrace("-q", "-e", script, "-c", str(target)).stdout.startswith("19\n")


def test_key_str_trunc_trailer(pytrace: Runner, compile_c: Compile) -> None:
    target = compile_c(SAYS)
    script = f"uprobe:{target}:say {{ print(str(arg0)); }}"
    settings = block(max_strlen=8, str_trunc_trailer='"[more]"')
    assert pytrace("-q", "-e", settings + script, "-c", str(target)).stdout.startswith("a long l[more]\n")
    assert pytrace("-q", "-e", block(max_strlen=8) + script, "-c", str(target)).stdout.startswith("a long l..\n")


def test_key_max_map_keys(pytrace: Runner) -> None:
    result = pytrace("-e", block(max_map_keys=3) + "begin { for ($i : 0..10) { @[$i] = 1; } print(len(@)); clear(@); }")
    assert result.stdout.startswith("3\n")
    assert "Map full; can't update element of @ (7 times)" in result.stderr


def test_key_max_cat_bytes(pytrace: Runner, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("0123456789" * 2000)
    script = f'begin {{ cat("{tmp_path}/file"); }}'
    assert pytrace("-q", "-e", block(max_cat_bytes=7) + script).stdout == "0123456\n\n"
    assert len(pytrace("-q", "-e", script).stdout) == 10240 + 2


def test_key_max_probes(pytrace: Runner) -> None:
    script = "interval:s:1 { exit(); } interval:s:2 { exit(); }"
    result = pytrace("-e", block(max_probes=1) + script)
    assert (result.status, "Can't attach to 2 probes" in result.stderr) == (1, True)
    assert pytrace("-e", block(max_probes=2) + script).status == 0


def test_key_max_bpf_progs(pytrace: Runner) -> None:
    script = "begin { @a = 1; } end { @b = 2; }"
    result = pytrace("-e", block(max_bpf_progs=1) + script)
    assert (result.status, "this makes 2 BPF programs; the limit is 1" in result.stderr) == (1, True)
    assert pytrace("-q", "-e", block(max_bpf_progs=2) + script).stdout == "\n\n@a: 1\n@b: 2\n"


def test_key_on_stack_limit() -> None:
    script = 'begin { @a["one"] = ("two", 3); }'
    memory = {
        limit: [m.name for m in compile_script(block(on_stack_limit=limit) + script).maps if m.name == "scratch"]
        for limit in (0, 256)
    }
    assert memory == {0: ["scratch"], 256: []}


@pytest.mark.parametrize("limit", [0, 8, 32, 256])
def test_key_on_stack_limit__changes_no_result(pytrace: Runner, limit: int) -> None:
    script = 'begin { @a["one"] = ("two", 3); $x = @a["one"]; print($x); clear(@a); }'
    assert pytrace("-q", "-e", block(on_stack_limit=limit) + script).stdout == "(two, 3)\n\n\n"


def test_key_perf_rb_pages() -> None:
    for pages in (4, 64):
        program = compile_script(block(perf_rb_pages=pages) + "begin { print(1); }")
        with Bench().session(program) as session:
            info = Path(f"/proc/self/fdinfo/{session.loaded[0].maps[program.ring].fd}").read_text()
        size = re.search(r"^max_entries:\s+(\d+)$", info, re.M)
        assert size is not None
        assert int(size[1]) == pages * os.sysconf("SC_PAGE_SIZE")


def refused(config: tuple[tuple[str, str | int | bool], ...]) -> VerifierError:
    """What is said of a program that reads memory it must not, after many instructions that the log tells of."""
    code = Asm().mov(2, 0)
    for _ in range(500):
        code = code.mov(3, 1).mov(4, 2)
    whole: Program = program(prog(code.load(0, 2, 0).exit(), wall.TestRun("begin")))
    with pytest.raises(VerifierError) as caught:
        Bench().session(replace(whole, config=config)).__enter__()
    return caught.value


def test_key_log_size() -> None:
    whole, short = refused(()), refused((("log_size", 300),))
    assert short.log.split("\n", 1)[1] == whole.log[-300:]
    assert short.log.startswith(f"({len(whole.log) - 300} bytes were left out here")
    assert short.complaint == whole.complaint


# --- what is allowed ------------------------------------------------------------------------------------


@pytest.mark.parametrize("license", LICENSES)
def test_key_license(pytrace: Runner, license: str) -> None:
    script = block(license=f'"{license}"') + "begin { @ = comm; exit(); }"
    assert pytrace("-q", "-e", script).status == 0


def test_key_license__is_what_the_kernel_is_told() -> None:
    made = compile_script('interval:s:1 { printf("%s", kstack); }')
    with pytest.raises(VerifierError, match="GPL"):
        Bench().session(replace(made, config=(("license", "Proprietary"),))).__enter__()


@pytest.mark.parametrize(
    ("value", "status", "said"), [("error", 1, "ERROR"), ("warn", 0, "WARNING"), ("ignore", 0, "")]
)
def test_key_missing_probes(pytrace: Runner, value: str, status: int, said: str) -> None:
    script = (
        block(missing_probes=value) + 'tracepoint:syscalls:no_such_thing { } interval:ms:1 { printf("on\\n"); exit(); }'
    )
    result = pytrace("-e", script)
    assert result.status == status
    assert ("on\n" in result.stdout) == (status == 0)
    assert bool(re.search(r"no_such_thing", result.stderr)) == bool(said)
    assert said in result.stderr


UNSTABLE = {
    "unstable_tseries": "begin { @ = tseries(1, 1s, 3); clear(@); }",
    "unstable_typeinfo": "begin { print(typeinfo(pid).full_type); }",
    "unstable_import_statement": 'begin { import "h.h"; print(sizeof(struct imported)); }',
}


@pytest.mark.parametrize("key", UNSTABLE)
def test_key_unstable(pytrace: Runner, tmp_path: Path, key: str) -> None:
    (tmp_path / "h.h").write_text("struct imported { int a, b; };\n")
    seen = {}
    for value in ("enable", "warn", "error"):
        script = tmp_path / "script.pt"
        script.write_text(block(**{key: value}) + UNSTABLE[key])
        result = pytrace("-q", script)
        seen[value] = (result.status, "WARNING" in result.stderr, "ERROR" in result.stderr)
    assert (seen["enable"], seen["error"]) == ((0, False, False), (1, False, True))
    if key != "unstable_typeinfo":  # what it says is no output that could change
        assert seen["warn"] == (0, True, False)


test_key_unstable_tseries = test_key_unstable_typeinfo = test_key_unstable_import_statement = test_key_unstable


# --- what is shown --------------------------------------------------------------------------------------


def test_key_print_maps_on_exit(pytrace: Runner) -> None:
    script = "begin { @a = 1; @b = 2; print(@b); }"
    assert pytrace("-q", "-e", block(print_maps_on_exit="true") + script).stdout == "@b: 2\n\n\n@a: 1\n@b: 2\n"
    assert "@a" not in pytrace("-q", "-e", block(print_maps_on_exit="false") + script).stdout


def test_key_percentiles(pytrace: Runner) -> None:
    script = "begin { @ = lhist(5, 0, 10, 1); }"
    assert "p50 5" in pytrace("-q", "-e", block(percentiles="true") + script).stdout
    assert "p50" not in pytrace("-q", "-e", block(percentiles="false") + script).stdout


# A leaf that is called by a function inlined into another, all with frame pointers; the line numbers count.
CALLS = """#include <stdlib.h>
volatile int sink;
__attribute__((noinline)) void reached(int n) { sink = n; }
__attribute__((noinline)) void leaf(int n) {
    reached(n);
    sink++;
}
static inline __attribute__((always_inline)) void within(int n) {
    leaf(n + 1);
    sink++;
}
static inline __attribute__((always_inline)) void around(int n) {
    within(n);
}
__attribute__((noinline)) void outer(int n) {
    around(n);
    sink++;
}
int main(int count, char **words) {
    for (int i = 0; i < (count > 1 ? atoi(words[1]) : 1); i++)
        outer(1);
}
"""
FRAMES = ("-g", "-O1", "-fno-omit-frame-pointer", "-fno-optimize-sibling-calls")


def frames(pytrace: Runner, target: Path, mode: str, **settings: object) -> list[str]:
    """The lines of the stack up to main(), from the place after the call of `reached`: there the leaf has its frame."""
    script = f"uprobe:{target}:reached {{ print(ustack({mode}, 8)); exit(); }}"
    lines = pytrace("-q", "-e", block(**settings) + script, "-c", str(target)).stdout.split("\n")
    last = next(i for i, line in enumerate(lines) if "main" in line)
    return [line for line in lines[: last + 1] if line]


def test_key_show_debug_info(pytrace: Runner, compile_c: Compile) -> None:
    target = compile_c(CALLS, *FRAMES)
    source = f"{target}.c"
    plain = frames(pytrace, target, "bpftrace")
    assert [re.sub(r"\+\d+$", "+N", line) for line in plain] == [
        f"{' ' * 8}{n}+N" for n in ("reached", "outer", "main")
    ]
    shown = frames(pytrace, target, "bpftrace", show_debug_info="true")
    assert [re.sub(r"\+\d+@", "+N@", line.strip()) for line in shown] == [
        f"reached+N@{source}:3",
        f"[inlined] within@{source}:9",
        f"[inlined] around@{source}:13",
        f"outer+N@{source}:16",
        f"main+N@{source}:21",
    ]
    perf = frames(pytrace, target, "perf", show_debug_info="true")
    assert [line.split()[1:] for line in perf[1:3]] == [["within", "(inlined)"], ["around", "(inlined)"]]
    assert perf[1].split()[0] == perf[3].split()[0]


def test_key_show_debug_info__agrees_with_addr2line(compile_c: Compile) -> None:
    """Every instruction of the program, not only those that stacks have."""
    from pytrace.kernel.elf import Elf
    from pytrace.kernel.sourcelines import SourceLines

    target = compile_c(CALLS, *FRAMES)
    elf = Elf.open(str(target))
    lines = SourceLines.of(elf)
    assert lines is not None
    for name in ("reached", "leaf", "outer", "main"):
        symbol = elf.function(name)
        assert symbol is not None
        for address in range(symbol.address, symbol.address + symbol.size):
            said = subprocess.run(
                ["addr2line", "-f", "-i", "-e", target, hex(address)], capture_output=True, text=True, check=True
            ).stdout.split("\n")[:-1]
            wanted = list(zip(said[::2], [re.sub(r" \(discriminator \d+\)", "", s) for s in said[1::2]], strict=True))
            place = lines.at(address)
            assert place is not None
            assert [*place.inlined, (name, place.source)] == wanted


def test_key_use_blazesym(pytrace: Runner, compile_c: Compile) -> None:
    """Symbols are always found here: the setting is taken and changes nothing."""
    target = compile_c(CALLS, *FRAMES)
    seen = [frames(pytrace, target, "bpftrace", use_blazesym=value) for value in ("true", "false")]
    assert seen[0] == seen[1]


def test_key_stack_mode(pytrace: Runner, compile_c: Compile) -> None:
    target = compile_c(CALLS, *FRAMES)
    script = f"uprobe:{target}:reached {{ print(ustack(1)); exit(); }}"
    first = {
        mode: pytrace("-q", "-e", block(stack_mode=mode) + script, "-c", str(target)).stdout.split("\n")[1]
        for mode in ("bpftrace", "perf", "raw", "build_id")
    }
    assert first["bpftrace"] == "        reached+0"
    assert re.fullmatch(rf"\t[0-9a-f]+ reached\+0 \({target}\)", first["perf"])
    assert re.fullmatch("[0-9a-f]+", first["raw"])
    notes = subprocess.run(["readelf", "-n", target], capture_output=True, text=True, check=True).stdout
    build_id = re.search("Build ID: ([0-9a-f]+)", notes)
    assert build_id is not None
    assert re.fullmatch(rf"{build_id[1]} 0x[0-9a-f]+", first["build_id"])


DEEP = """
void deep(void) __asm__("_ZN2ns4deepEi");
void deep(void) { __asm__ volatile(""); }
int main(void) { deep(); }
"""


def test_key_cpp_demangle(pytrace: Runner, compile_c: Compile) -> None:
    target = compile_c(DEEP, "-O0")
    script = f'uprobe:{target}:_ZN2ns4deepEi {{ print(usym(reg("ip"))); exit(); }}'
    for value, name in (("true", "ns::deep(int)"), ("false", "_ZN2ns4deepEi")):
        result = pytrace("-q", "-e", block(cpp_demangle=value) + script, "-c", str(target))
        assert result.stdout == f"{name}\n\n\n"


# --- what is kept of user symbols -------------------------------------------------------------------------


def names_after_removal(pytrace: Runner, target: Path, tmp_path: Path, settings: str) -> list[str]:
    """Two processes of a program at a fixed address. The first symbol is shown while the program is there; that of the
    first process again, and that of the second process, when its file is gone and both have ended."""
    program = tmp_path / "gone"
    program.write_bytes(target.read_bytes())
    program.chmod(0o755)
    script = (
        f'{settings} uprobe:{program}:reached {{ $s = usym(reg("ip")); '
        "if (!has_key(@first, 0)) { @first[0] = $s; print(@first[0]); } else { @second[0] = $s; } } "
        'self:signal:SIGUSR1 { printf("%s %s\\n", @first[0], @second[0]); exit(); }'
    )
    running = pytrace.start("-e", script).attached()
    subprocess.run([program], check=True)
    running.wait_for("\n")
    subprocess.run([program], check=True)
    program.unlink()
    return running.finish(signal.SIGUSR1).stdout.split()[-2:]


@pytest.mark.parametrize(
    ("value", "kept"),
    [("NONE", (False, False)), ("PER_PID", (True, False)), ("PER_PROGRAM", (True, True)), ("AUTO", (True, True))],
)
def test_key_cache_user_symbols(
    pytrace: Runner, compile_c: Compile, tmp_path: Path, value: str, kept: tuple[bool, bool]
) -> None:
    target = compile_c(CALLS, *FRAMES, "-no-pie")
    settings = block(cache_user_symbols=value, print_maps_on_exit="false")
    names = names_after_removal(pytrace, target, tmp_path, settings)
    assert tuple(name == "reached" for name in names) == kept


@pytest.mark.parametrize(("value", "shown"), [("true", False), ("false", True)])
def test_key_lazy_symbolication(pytrace: Runner, compile_c: Compile, tmp_path: Path, value: str, shown: bool) -> None:
    """A symbol that is first shown when the process has ended and its file is gone."""
    program = tmp_path / "gone"
    program.write_bytes(compile_c(CALLS, *FRAMES).read_bytes())
    program.chmod(0o755)
    script = f'uprobe:{program}:reached {{ @s = usym(reg("ip")); printf("on\\n"); }}'
    script += ' self:signal:SIGUSR1 { printf("%s\\n", @s); clear(@s); exit(); }'
    running = pytrace.start("-e", block(lazy_symbolication=value) + script).attached()
    subprocess.run([program], check=True)
    running.wait_for("on\n")
    program.unlink()
    assert (running.finish(signal.SIGUSR1).stdout.split()[1] == "reached") == shown


# --- the environment alone ----------------------------------------------------------------------------------


def test_colours(pytrace: Runner) -> None:
    wrong, warning = "begin { nothing(); }", 'begin { @ = tseries(1, 1s, 3); clear(@); warnf("so"); }'
    for prefix in ("PYTRACE", "BPFTRACE"):
        said = {v: pytrace("-e", wrong, env={f"{prefix}_COLOR": v}).stderr for v in ("auto", "always", "never")}
        assert said["auto"] == said["never"]
        first, *rest = said["never"].split("\n")
        assert said["always"] == "\n".join([f"\x1b[31m{first}\x1b[0m", *rest])
    lines = pytrace("-e", warning, env={"PYTRACE_COLOR": "always"}).stderr.split("\n")
    yellow = [line for line in lines if "WARNING" in line]
    assert len(yellow) == 2
    assert all(line.startswith("\x1b[33m") and line.endswith("\x1b[0m") for line in yellow)


def test_a_colour_that_is_none(pytrace: Runner) -> None:
    result = pytrace("-q", "-e", "begin { print(1); }", env={"PYTRACE_COLOR": "often"})
    assert result.stdout.startswith("1\n")
    assert result.stderr == "WARNING: PYTRACE_COLOR is auto, always or never, not 'often'\n"


def test_headers_of_a_kernel_source_tree(pytrace: Runner, tmp_path: Path) -> None:
    """One of the source directory and one of the build directory, which are not where the system has its headers."""
    source, build = tmp_path / "source", tmp_path / "build"
    for place, name, value in ((source / "include/linux", "ours", 41), (build / "include/generated", "made", 1)):
        place.mkdir(parents=True)
        (place / f"{name}.h").write_text(f"#define {name.upper()} {value}\n")
    script = "#include <linux/ours.h>\n#include <generated/made.h>\nbegin { print(OURS + MADE); }"
    for prefix in ("PYTRACE", "BPFTRACE"):
        env = {f"{prefix}_KERNEL_SOURCE": str(source), f"{prefix}_KERNEL_BUILD": str(build)}
        assert pytrace("-q", "-e", script, env=env).stdout.startswith("42\n")
    assert "OURS" in pytrace("-q", "-e", script).stderr


def test_another_btf(pytrace: Runner, tmp_path: Path) -> None:
    here = Path("/sys/kernel/btf/vmlinux").read_bytes()
    # The same, but for a name of the same length: it can only come from this file.
    (tmp_path / "btf").write_bytes(here.replace(b"\0task_struct\0", b"\0tusk_struct\0"))
    for prefix in ("PYTRACE", "BPFTRACE"):
        env = {f"{prefix}_BTF": str(tmp_path / "btf")}
        assert pytrace("-l", "struct tusk_struct", env=env).stdout == "struct tusk_struct\n"
    result = pytrace("-l", "struct tusk_struct", env={"PYTRACE_BTF": "/nowhere/btf"})
    assert (result.status, "/nowhere/btf" in result.stderr) == (1, True)


def test_a_vmlinux_with_debug_info(pytrace: Runner, tmp_path: Path) -> None:
    """A file that says of one kernel function that it came from line 42 of a file, at the addresses of a kernel that is
    loaded elsewhere."""
    symbols = {s.name: s.address for s in Kernel.running().kallsyms.lookup("_text")}
    (function,) = Kernel.running().kallsyms.lookup("do_syscall_64")
    distance = function.address - symbols["_text"]
    assembly = tmp_path / "kernel.s"
    assembly.write_text(
        f"""
        .file 1 "/src/kernel" "entry.c"
        .text
        .globl _text
        _text: .skip {distance}
        .globl do_syscall_64
        .type do_syscall_64, @function
        do_syscall_64: .loc 1 42
        .rept 4096
        nop
        .endr
        .loc 1 43
        .size do_syscall_64, . - do_syscall_64
        """
    )
    vmlinux = tmp_path / "vmlinux"
    link = ["-nostdlib", "-static", "-Wl,-Ttext=0xffffffff91000000", "-Wl,--build-id=none", "-Wl,-e,_text"]
    subprocess.run(["gcc", "-g", *link, "-o", vmlinux, assembly], check=True)
    script = block(show_debug_info="true") + ("tracepoint:raw_syscalls:sys_enter { print(kstack); exit(); }")
    for prefix in ("PYTRACE", "BPFTRACE"):
        said = pytrace("-q", "-e", script, "-c", "true", env={f"{prefix}_VMLINUX": str(vmlinux)}).stdout
        assert re.search(r"^ {8}do_syscall_64\+\d+@/src/kernel/entry\.c:42$", said, re.M), said
    assert "entry.c" not in pytrace("-q", "-e", script, "-c", "true").stdout
