"""Programs that are preempted in the middle, on a kernel that preempts: nothing of theirs gets mixed up or lost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.kernels.matrix import ROOT

TASKS, ROUNDS = 12, 5_000

# More tasks than CPUs, of different priorities, call the same function with a text of their own.
SOURCE = r"""
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>
volatile long sum;
__attribute__((noinline, noclone)) void work(const char *name, long round) { sum += round + name[0]; }
int main(int argc, char **argv) {
    int tasks = atoi(argv[1]), rounds = atoi(argv[2]);
    for (int task = 0; task < tasks; task++)
        if (!fork()) {
            char name[128];
            snprintf(name, sizeof name, "%02d-%0100d", task, task);
            if (nice(task) == -1) return 1;
            for (long round = 0; round < rounds; round++) work(name, round);
            _exit(0);
        }
    while (wait(0) > 0) ;
    return 0;
}
"""
SCRIPT = """
config = {{ max_strlen = 200; unstable_tseries = enable }}
uprobe:{program}:work {{
  @count[str(arg0)] = count();
  @stats[str(arg0)] = stats(arg1);
  @min[str(arg0, 60)] = min(arg1);
  @max = max(arg1);
  @sum = sum(arg1);
  @hist[str(arg0)] = lhist(arg1, 0, 5000, 2500);
  @series = tseries(arg1, 1d, 2, "sum");
  @extremes[str(arg0)] = tseries(arg1, 1d, 2, "max");
}}
profile:hz:199 {{ @seen[str(comm)] = count(); }}
"""
GUEST = """
{python} -B -m pytrace -f json -o {out} {script} & tracer=$!
until grep -q attached_probes {out} 2>/dev/null; do sleep 0.2; done
{program} {tasks} {rounds}
kill -INT $tracer
wait $tracer
cat {out}
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="loads BPF programs: needs root (./scripts/test asks for it)")
def test_values_of_preempted_programs_are_exact(tmp_path: Path) -> None:
    program = tmp_path / "many"
    (tmp_path / "many.c").write_text(SOURCE)
    subprocess.run(["gcc", "-O1", "-o", str(program), str(tmp_path / "many.c")], check=True)
    script, out = tmp_path / "script.pt", tmp_path / "out.json"
    script.write_text(SCRIPT.format(program=program))
    command = GUEST.format(python=sys.executable, out=out, script=script, program=program, tasks=TASKS, rounds=ROUNDS)
    done = subprocess.run(
        [str(ROOT / "scripts/vm"), "6.12", "--cmdline", "preempt=full", "--timeout", "300", "--", "sh", "-c", command],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stdout + done.stderr, done.stdout + done.stderr
    maps: dict[str, Any] = {}
    for line in done.stdout.splitlines():
        event = json.loads(line)
        if event["type"] in ("map", "hist", "stats", "tseries"):
            maps |= event["data"]
    names = {f"{task:02}-{task:0100}" for task in range(TASKS)}
    total = ROUNDS * (ROUNDS - 1) // 2
    assert maps["@count"] == dict.fromkeys(names, ROUNDS)
    assert {name: (s["count"], s["total"]) for name, s in maps["@stats"].items()} == dict.fromkeys(
        names, (ROUNDS, total)
    )
    assert maps["@min"] == {name[:59]: 0 for name in names}
    assert (maps["@max"], maps["@sum"]) == (ROUNDS - 1, TASKS * total)
    assert set(maps["@hist"]) == names
    for buckets in maps["@hist"].values():
        assert [bucket["count"] for bucket in buckets] == [ROUNDS // 2, ROUNDS // 2]
    assert [point["value"] for point in maps["@series"]] == [TASKS * total]
    assert {name: [p["value"] for p in points] for name, points in maps["@extremes"].items()} == {
        name: [ROUNDS - 1] for name in names
    }
