from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytrace.kernel import Kernel, KernelError
from pytrace.kernel.btf_identity import kernel_build_id
from pytrace.kernel.clones import find as find_clones
from pytrace.kernel.kallsyms import Kallsyms, KernelSymbol

TEXT = b"""0000000000000000 A fixed_percpu_data
ffffffff81000000 T _text
ffffffff81000000 T startup_64
ffffffff81000100 t helper
ffffffff81000200 T vfs_read
ffffffff81000200 W vfs_alias
ffffffff82000000 D jiffies
ffffffffc0002000 t late\t[net]
ffffffffc0001000 t helper\t[net]
ffffffffc0001800 d table\t[disk]
ffffffffc0003000 t bpf_prog_123_x\t[bpf]
"""


def test_an_address_belongs_to_the_symbol_below_it() -> None:
    symbols = Kallsyms(TEXT)
    assert symbols.at(0xFFFFFFFF81000204) == (KernelSymbol("vfs_read", 0xFFFFFFFF81000200, ""), 4)
    assert symbols.at(0xFFFFFFFF81000000) == (KernelSymbol("_text", 0xFFFFFFFF81000000, ""), 0)
    assert symbols.at(0xFFFFFFFFC00017FF) == (KernelSymbol("helper", 0xFFFFFFFFC0001000, "net"), 0x7FF)
    assert symbols.at(0xFFFFFFFFC0003001) == (KernelSymbol("bpf_prog_123_x", 0xFFFFFFFFC0003000, "bpf"), 1)


def test_an_address_outside_of_the_kernel_belongs_to_none() -> None:
    symbols = Kallsyms(TEXT)
    assert [symbols.at(a) for a in (0, 0x1000, 0xFFFFFFFF80FFFFFF, 2**64 - 1)] == [None] * 4


def test_names_are_found_in_vmlinux_and_in_modules() -> None:
    symbols = Kallsyms(TEXT)
    assert [(s.address, s.module) for s in symbols.lookup("helper")] == [
        (0xFFFFFFFF81000100, ""),
        (0xFFFFFFFFC0001000, "net"),
    ]
    assert symbols.address("helper", "net") == 0xFFFFFFFFC0001000
    assert symbols.address("helper", "vmlinux") == symbols.address("helper", "") == 0xFFFFFFFF81000100
    assert symbols.address("jiffies") == 0xFFFFFFFF82000000
    assert symbols.lookup("vfs") == [] and symbols.address("help.r") is None


def test_functions_are_text_symbols() -> None:
    symbols = Kallsyms(TEXT)
    assert symbols.functions() == ["_text", "helper", "startup_64", "vfs_alias", "vfs_read"]
    assert symbols.functions("vfs_*") == ["vfs_alias", "vfs_read"]
    assert symbols.functions(module="net") == ["helper", "late"] and symbols.functions(module="disk") == []
    assert symbols.modules == ["bpf", "net"]


def test_hidden_addresses_are_an_error_that_says_so() -> None:
    with pytest.raises(KernelError, match="hidden") as error:
        Kallsyms(b"0000000000000000 T _text\n0000000000000000 T vfs_read\n0000000000000000 t x\t[net]\n")
    assert "kptr_restrict" in (error.value.hint or "")
    with pytest.raises(KernelError):
        Kallsyms(b"")


addresses = st.integers(1, 60)


@given(st.lists(addresses, min_size=1, max_size=30), st.lists(addresses, max_size=10), st.integers(0, 70))
def test_lookups_agree_with_a_scan(vmlinux: list[int], module: list[int], address: int) -> None:
    symbols = [(a, f"k{i}", "") for i, a in enumerate(sorted(vmlinux))]
    symbols += [(a, f"m{i}", "mod") for i, a in enumerate(module)]
    text = "".join(f"{a:016x} t {n}{f'{chr(9)}[{m}]' if m else ''}\n" for a, n, m in symbols)
    below = [s for s in symbols if s[0] <= address]
    found = Kallsyms(text.encode()).at(address)
    if not below:
        assert found is None
    else:
        best = max(a for a, _, _ in below)
        first = next(s for s in below if s[0] == best)
        assert found == (KernelSymbol(first[1], first[0], first[2]), address - best)


CLONED = b"""ffffffff81000000 T _text
ffffffff81000100 t whole
ffffffff81000110 t whole.part.0
ffffffff81000120 t whole.isra.0
ffffffff81000130 t only.isra.0
ffffffff81000140 t only.isra.0.cold
ffffffff81000150 t both.constprop.0
ffffffff81000160 t both.constprop.1
ffffffff81000170 t piece.part.0
ffffffff81000180 t long.isra.0.constprop.3
ffffffff81000190 t by_clang.llvm.1234567890
ffffffffc0001000 t late.isra.0\t[net]
"""


def test_functions_of_which_there_are_clones_only(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    wanted = {
        "only": ("only.isra.0",),
        "both": ("both.constprop.0", "both.constprop.1"),
        "long": ("long.isra.0.constprop.3",),
        "by_clang": ("by_clang.llvm.1234567890",),
    }
    found = find_clones(lambda: Kallsyms(CLONED))
    assert {name: clones for name, clones in found.items() if name != "late"} == wanted
    if kernel_build_id():
        assert find_clones(lambda: pytest.fail("the symbols were read again")) == found


def test_clones_of_this_kernel_are_symbols_without_the_function() -> None:
    kernel = Kernel.running()
    for function, clones in list(kernel.clones.items())[:20]:
        assert not kernel.kallsyms.lookup(function)
        assert all(kernel.kallsyms.lookup(clone) for clone in clones)
