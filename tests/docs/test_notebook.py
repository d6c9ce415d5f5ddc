"""docs/notebook.ipynb runs from its first cell to its last, twice in one kernel, and leaves nothing behind."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
nbformat = pytest.importorskip("nbformat")
nbclient = pytest.importorskip("nbclient")
pytest.importorskip("ipykernel")
pytestmark = pytest.mark.skipif(os.geteuid() != 0, reason="loads BPF programs: needs root (./scripts/test asks for it)")

HELD = """
from pathlib import Path

infos = [Path("/proc/self/fdinfo", name) for name in os.listdir("/proc/self/fd")]
print(sum("prog_id" in info.read_text() for info in infos if info.exists()))
"""


@pytest.fixture(scope="module")
def ran(tmp_path_factory: pytest.TempPathFactory) -> list[Any]:
    """The code cells with their outputs: all but the one that stops the session, twice, and then that one. Behind each
    run is a look at what is held."""
    place = tmp_path_factory.mktemp("jupyter")
    environment = {"PYTHONPATH": str(ROOT), "IPYTHONDIR": str(place), "JUPYTER_RUNTIME_DIR": str(place)}
    notebook = nbformat.read(ROOT / "docs" / "notebook.ipynb", as_version=4)
    sources = [c.source for c in notebook.cells if c.cell_type == "code"]
    stays = [source for source in sources if "live.stop" not in source]
    stops = [source for source in sources if "live.stop" in source]
    cells = [nbformat.v4.new_code_cell(s) for s in (*stays, HELD, *stays, HELD, *stops, HELD)]
    both = nbformat.v4.new_notebook(cells=cells, metadata=notebook.metadata)
    nbclient.NotebookClient(both, timeout=120, kernel_name="python3").execute(env={**os.environ, **environment})
    return list(both.cells)


def shown(cells: list[Any], source: str) -> dict[str, str]:
    """What the first cell with this in its source displayed, by MIME type."""
    cell = next(c for c in cells if source in c.source and c.outputs)
    data: dict[str, str] = {}
    for output in cell.outputs:
        data |= {"stream": output.text} if output.output_type == "stream" else output.data
    return data


def test_histograms_are_shown_as_pictures(ran: list[Any]) -> None:
    html = shown(ran, 't.maps["@ns"]')["text/html"]
    assert "<svg" in html
    assert "<rect" in html


def test_tables_are_shown(ran: list[Any]) -> None:
    html = shown(ran, '["@ns"].to_pandas()')["text/html"]
    assert all(f"<th>{name}</th>" in html for name in ("key", "low", "high", "count"))
    assert "got something" in shown(ran, "calls.columns")["text/html"]


def test_the_live_session(ran: list[Any]) -> None:
    assert "getsid" in shown(ran, "live.attach")["text/html"]
    ran_statements = shown(ran, "live.run")
    assert ": 101\n" in ran_statements["stream"]
    assert ran_statements["text/plain"] == "4"
    assert "<td>101</td>" in shown(ran, "live.stop")["text/html"]


def test_cells_that_ran_again_hold_no_more(ran: list[Any]) -> None:
    """The session of the first run is gone, although it was displayed and so is remembered by IPython."""
    held = [int(cell.outputs[0].text) for cell in ran if "fdinfo" in cell.source]
    assert held[0] > 0
    assert held == [held[0], held[0], 0]
