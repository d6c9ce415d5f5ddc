"""-k: reads of memory that fail are told, with the helper and the place; without it they read as zero in silence."""

from __future__ import annotations

import json

from tests.conftest import Runner

SCRIPT = "begin {\n  print(*(uint32*)kptr(1));\n  exit();\n}"


def test_without_k_nothing_is_said(pytrace: Runner) -> None:
    done = pytrace("-q", "-e", SCRIPT)
    assert (done.stdout.strip(), done.stderr) == ("0", "")


def test_text_goes_to_stderr(pytrace: Runner) -> None:
    done = pytrace("-q", "-k", "-e", SCRIPT)
    assert done.stdout.strip() == "0"
    assert done.stderr.startswith("-e:2:3: WARNING: Bad address (1 times)")
    assert "helper: probe_read_kernel, retcode: -14" in done.stderr


def test_json_is_an_object(pytrace: Runner) -> None:
    done = pytrace("-q", "-k", "-f", "json", "-e", SCRIPT)
    found = [o for o in map(json.loads, done.stdout.splitlines()) if o["type"] == "helper_error"]
    assert [(o["helper"], o["retcode"], o["line"], o["col"]) for o in found] == [("probe_read_kernel", -14, 2, 3)]


def test_elements_that_are_read_and_are_not_there(pytrace: Runner) -> None:
    script = """begin {
  @x[1] = 5; print(@x[1]);
  print(@x[3]);
  @s["a"] = "b"; print((@s["c"], 1));
  @c[1] = count(); print(@c[1] + 1);
  print(@c[4] + 1);
  $early = @n; @n = 1; print(@n + 1);
  @z[2] += 1; @w[1]++; print(has_key(@x, 9));
  exit();
}"""
    quiet = pytrace("-q", "-e", script)
    done = pytrace("-q", "-k", "-e", script)
    assert done.stdout == quiet.stdout
    assert quiet.stderr == ""
    told = [line.split(" WARNING")[0] for line in done.stderr.splitlines() if "does not exist. (1 times)" in line]
    assert [place.split(":")[1] for place in told] == ["3", "4", "6", "7"], done.stderr
    assert "helper: map_lookup_elem, retcode: 0" in done.stderr
