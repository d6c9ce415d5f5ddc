"""LLVM reached directly and through llvmlite's own Python half."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from threading import Thread

import llvmlite
import pytest

from pytrace.codegen import libllvm, llvm
from pytrace.codegen.libllvm import LibLlvm

GOOD = "define i64 @f(i64 %x) nounwind { %y = mul i64 %x, 6 %z = udiv i64 %y, 2 ret i64 %z }"
TARGETS = [("bpf", "v3", 2, "default", "jitdefault"), ("x86_64-unknown-linux-gnu", "x86-64", 0, "pic", "small")]


def direct() -> LibLlvm:
    path = libllvm.library_path()
    assert path, f"this release of llvmlite ({llvmlite.__version__}) is unknown: look at its declarations"
    return LibLlvm(path)


@pytest.fixture(params=[direct, llvm.Binding], ids=["direct", "binding"])
def library(request: pytest.FixtureRequest) -> LibLlvm | llvm.Binding:
    make: Callable[[], LibLlvm | llvm.Binding] = request.param
    return make()


@pytest.mark.parametrize("target", TARGETS, ids=lambda t: t[0])
def test_both_ways_make_the_same_object(target: tuple[str, str, int, str, str]) -> None:
    objects, texts = [], []
    for library in (direct(), llvm.Binding()):
        machine, module = library.machine(*target), library.parse(GOOD)
        library.optimise(module, machine, 2)
        texts.append(str(module))
        objects.append(library.emit(machine, module))
    assert objects[0] == objects[1] and objects[0].startswith(b"\x7fELF")
    assert "ret i64" in texts[0]
    assert texts[0] == texts[1]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("define i32 @f() { ret i64 0 }", "doesn't match function result type"),
        ("define void @f() { a: br label %a }", "Entry block to function must not have predecessors"),
        ("nonsense", "expected top-level entity"),
    ],
)
def test_mistakes_in_ir_are_told_in_llvms_words(library: LibLlvm | llvm.Binding, text: str, words: str) -> None:
    with pytest.raises(RuntimeError, match=words):
        library.parse(text)
    library.parse(GOOD)


def test_an_unknown_triple(library: LibLlvm | llvm.Binding) -> None:
    with pytest.raises(RuntimeError, match="vax"):
        library.machine("vax", "", 2)


def test_modules_in_threads() -> None:
    expected = llvm.emit_object(llvm.optimise(GOOD))
    made: list[bytes] = []
    threads = [
        Thread(target=lambda: made.extend(llvm.emit_object(llvm.optimise(GOOD)) for _ in range(10))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert made == [expected] * 40


def test_another_release_goes_through_llvmlite(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(llvmlite, "__version__", "0.99.0")
    assert libllvm.library_path() == ""
    llvm._library.cache_clear()
    try:
        assert isinstance(llvm.library(), llvm.Binding)
    finally:
        llvm._library.cache_clear()


def test_a_library_that_lacks_a_function_is_not_used() -> None:
    with pytest.raises(AttributeError):
        LibLlvm("libc.so.6")
    with pytest.raises(OSError):
        LibLlvm("/nowhere")


def test_the_direct_way_imports_little() -> None:
    code = (
        "import sys; from pytrace.codegen import libllvm, llvm\n"
        f"llvm.emit_object(llvm.optimise({GOOD!r}))\n"
        "print(*{'ctypes', 'llvmlite.binding', 'importlib.resources'} & set(sys.modules))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout == "\n"
