"""What stands in the way of tracing is said in one line."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from pytrace.kernel.privileges import CAP_BPF, CAP_PERFMON, CAP_SYS_ADMIN, PrivilegeError, require


def status(directory: Path, *capabilities: int) -> str:
    file = directory / "status"
    mask = sum(1 << c for c in capabilities)
    file.write_text(f"Name:\tx\nCapInh:\t0000000000000000\nCapEff:\t{mask:016x}\nSeccomp:\t0\n")
    return str(file)


def lockdown(directory: Path, text: str) -> str:
    file = directory / "lockdown"
    file.write_text(text)
    return str(file)


@pytest.mark.parametrize("capabilities", [(CAP_SYS_ADMIN,), (CAP_BPF, CAP_PERFMON)])
def test_either_set_of_capabilities_is_enough(tmp_path: Path, capabilities: tuple[int, ...]) -> None:
    require(status(tmp_path, *capabilities), lockdown(tmp_path, "none [integrity] confidentiality\n"))


@pytest.mark.parametrize("capabilities", [(), (CAP_BPF,), (CAP_PERFMON,)])
def test_too_few(tmp_path: Path, capabilities: tuple[int, ...]) -> None:
    with pytest.raises(PrivilegeError, match="sudo|or root" if os.geteuid() else "CAP_BPF and CAP_PERFMON"):
        require(status(tmp_path, *capabilities), str(tmp_path / "absent"))


def test_lockdown_that_hides_the_kernel(tmp_path: Path) -> None:
    with pytest.raises(PrivilegeError, match="confidentiality"):
        require(status(tmp_path, CAP_SYS_ADMIN), lockdown(tmp_path, "none integrity [confidentiality]\n"))


def test_without_proc_that_is_what_is_said(tmp_path: Path) -> None:
    with pytest.raises(PrivilegeError, match="needs /proc"):
        require(str(tmp_path / "absent"), str(tmp_path / "absent"))


def test_no_file_to_ask_forbids_nothing(tmp_path: Path) -> None:
    require(status(tmp_path, CAP_SYS_ADMIN), str(tmp_path / "absent"))
