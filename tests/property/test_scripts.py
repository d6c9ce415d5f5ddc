"""Scripts that Hypothesis makes up compute what the evaluator says, and the verifier takes each of them.

The same 300 scripts each time, or as many other ones as `PYTRACE_SCRIPTS` says: 5000 are a night's work.
"""

from __future__ import annotations

import os
from collections import Counter

import pytest
from hypothesis import HealthCheck, Phase, event, given, settings

from pytrace.diagnostics import ScriptError, Source
from pytrace.syntax import parse
from tests.property import evaluator
from tests.property.runs import expected_maps, run
from tests.property.strategies import Made, scripts

NIGHTLY = "PYTRACE_SCRIPTS" in os.environ
EXAMPLES = int(os.environ.get("PYTRACE_SCRIPTS", "300"))


@pytest.mark.skipif(os.geteuid() != 0, reason="loads BPF programs: needs root (./scripts/test asks for it)")
def test_scripts_compute_what_the_evaluator_says() -> None:
    verdicts: Counter[bool] = Counter()

    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        derandomize=not NIGHTLY,
        phases=(Phase.generate, Phase.shrink) if NIGHTLY else (Phase.generate,),
        suppress_health_check=list(HealthCheck),
    )
    @given(scripts())
    def check(made: Made) -> None:
        machine = evaluator.run(made.script)
        try:
            out, err, maps = run(made.text)
        except ScriptError as error:
            verdicts[False] += 1
            event(error.diagnostics[0].message)
            return
        verdicts[True] += 1
        assert "lost" not in err.lower(), err
        assert out == "".join(machine.output)
        assert maps == expected_maps(machine)

    check()
    assert verdicts.total() >= EXAMPLES
    assert verdicts[False] * 50 <= verdicts.total(), "nearly all are to be accepted"


EVALUATED = {
    "print(-7 / 2); print(-7 % 3);": "-3\n-1\n",
    "let $a : uint8 = 255; $a++; print($a); print(~$a);": "0\n255\n",
    "let $u : uint64 = 1; print($u - 2); print($u < -1); print($u + 18446744073709551615);": "-1\nfalse\n0\n",
    "let $i : int64 = -8; print($i >> 1); print($i << 61); print($i / 0);": "-4\n0\n1\n",
    'print(("a", true, (1, "b")) == ("a", true, (1, "c"))); print((a=1, b="x"));': "false\n{ .a = 1, .b = x }\n",
    "for ($i : 0..3) { if ($i == 1) { continue; } print($i); }": "0\n2\n",
    "let $a : uint64 = 0x0001800000030004; print(((uint16[4])$a)[2]); print(((int16[4])$a)[2]);": "32768\n-32768\n",
    'printf("%llx [%6lld] [%-4s]\\n", (int8)-1, -5, "ab");': "ffffffffffffffff [    -5] [ab  ]\n",
    "@m[1] = (int64)2; @m[1] += 3; print(@m[1]++); print(@m[1]); print(has_key(@m, 2));": "5\n6\nfalse\n",
    "@s = avg((int64)-3); @s = avg((int64)-4); print(@s + 0);": "-3\n",
}


@pytest.mark.parametrize("body", EVALUATED)
def test_the_evaluator_itself(body: str) -> None:
    """Against values computed by hand."""
    machine = evaluator.run(parse(Source("-e", f"begin {{ {body} }}")))
    assert "".join(machine.output) == EVALUATED[body]
