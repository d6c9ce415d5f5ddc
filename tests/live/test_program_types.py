"""Types of a traced program by their names, without a declaration in the script."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

from tests.conftest import Runner

FIRST = r"""
#define APART __attribute__((noinline, noclone))
struct node { int value; struct node *next; };
struct file { short kind; char name[8]; };   /* the kernel has one of that name, too */
struct same { char pad[16]; int here; };
enum colour { RED, GREEN = 5 };
union word { unsigned whole; unsigned char part[4]; };
typedef struct { int left, right; } pair_t;
struct all { struct node *head; struct file file; enum colour colour; union word word; pair_t pair; struct same same; };
APART int first(struct all *all) { __asm__ volatile("" : : "r"(all) : "memory"); return all->same.here; }
int second(void);
int main(void)
{
    struct node last = {3, 0}, middle = {2, &last}, head = {1, &middle};
    struct all all = {&head, {-4, "notes"}, GREEN, {0x01020304}, {6, -7}, {"", 8}};
    return first(&all) + second() == 0;
}
"""
SECOND = r"""
struct same { int here; };
struct apart { long x; };
__attribute__((noinline, noclone)) static int other(struct same *same, struct apart *apart)
{
    __asm__ volatile("" : : "r"(same), "r"(apart) : "memory");
    return same->here;
}
int second(void)
{
    struct same same = {9};
    struct apart apart = {10};
    return other(&same, &apart);
}
"""


def build(folder: Path, *sources: str) -> Path:
    program = folder / "program"
    for i, text in enumerate(sources):
        (folder / f"{i}.c").write_text(text)
    files = [str(folder / f"{i}.c") for i in range(len(sources))]
    subprocess.run(["gcc", "-g", "-O1", "-o", str(program), *files], check=True)
    return program


def printed(pytrace: Runner, program: Path, script: str) -> list[str]:
    result = pytrace("-q", "-e", script.replace("PROGRAM", str(program)), "-c", str(program))
    assert result.status == 0, result.stderr
    return result.stdout.split()


def test_pointers_members_enums_unions_and_typedefs(pytrace: Runner, tmp_path: Path) -> None:
    program = build(tmp_path, FIRST, SECOND)
    script = """uprobe:PROGRAM:first {
        $a = (struct all *)arg0;
        printf("%d %d %s %x ", $a->head->value, $a->head->next->next->value, $a->colour, $a->word.part[0]);
        printf("%d %d ", $a->pair.right, ((pair_t *)&$a->pair)->left);
        printf("%d %d %d", sizeof(struct all), offsetof(struct all, pair), GREEN);
    }"""
    assert printed(pytrace, program, script) == ["1", "3", "GREEN", "4", "-7", "6", "56", "28", "5"]


def test_the_programs_meaning_of_a_name_comes_before_the_kernels(pytrace: Runner, tmp_path: Path) -> None:
    program = build(tmp_path, FIRST, SECOND)
    script = """uprobe:PROGRAM:first {
        $f = (struct file *)(arg0 + offsetof(struct all, file)); printf("%d %s ", $f->kind, $f->name);
    }
    end { printf("%d", sizeof(struct file) > 100); }"""
    assert printed(pytrace, program, script) == ["-4", "notes", "1"]


def test_each_source_file_has_its_own(pytrace: Runner, tmp_path: Path) -> None:
    program = build(tmp_path, FIRST, SECOND)
    script = """uprobe:PROGRAM:first {
        printf("%d ", ((struct same *)(arg0 + offsetof(struct all, same)))->here);
        printf("%d ", sizeof(struct apart));  // which only the other file has
    }
    uprobe:PROGRAM:other { printf("%d %d", ((struct same *)arg0)->here, ((struct apart *)arg1)->x); }"""
    assert printed(pytrace, program, script) == ["8", "8", "9", "10"]


def test_a_map_keeps_the_type_for_other_probes(pytrace: Runner, tmp_path: Path) -> None:
    program = build(tmp_path, FIRST, SECOND)
    script = """uprobe:PROGRAM:first { @all = (struct all *)arg0; }
    uretprobe:PROGRAM:first { printf("%d %d", @all->same.here, retval); clear(@all); }"""
    assert printed(pytrace, program, script) == ["8", "8"]


def test_what_is_built_anew_is_read_anew(pytrace: Runner, tmp_path: Path) -> None:
    script = "uprobe:PROGRAM:first { print(((struct all *)arg0)->head->value); }"
    program = build(tmp_path, FIRST, SECOND)
    assert printed(pytrace, program, script) == ["1"]
    turned = FIRST.replace("int value; struct node *next;", "struct node *next; int value;")
    turned = (
        turned.replace("{3, 0}", "{0, 3}")
        .replace("{2, &last}", "{&last, 2}")
        .replace("{1, &", "{.value = 11, .next = &")
    )
    program = build(tmp_path, turned, SECOND)
    assert printed(pytrace, program, script) == ["11"]


def test_a_name_that_nobody_knows_is_refused(pytrace: Runner, compile_c: Callable[..., Path]) -> None:
    program = compile_c(FIRST.replace("int second(void);", "int second(void) { return 0; }"), "-g")
    result = pytrace("-e", f"uprobe:{program}:first {{ print(((struct nosuch *)arg0)->x); }}")
    assert result.status == 1
    assert "'struct nosuch' is not known here" in result.stderr
