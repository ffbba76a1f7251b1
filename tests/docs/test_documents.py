"""What the documents state is recomputed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np

from hwgen.ir import OPS, execute, graph_from_json
from hwgen.numeric import Overflow, QType, Rounding, apply_overflow, round_shift
from hwgen.passes import legalize
from hwgen.plan.dataflow.stages import stages_of

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
sys.path.insert(0, str(ROOT / "scripts"))

import legal_graph  # noqa: E402


def test_the_example_of_the_model_format_runs() -> None:
    text = (DOCS / "model_format.md").read_text()
    block = re.search(r"```json\n(.*?)```", text, re.S)
    assert block is not None
    graph = graph_from_json(json.loads(block[1]))
    scores = execute(graph, {"image": np.arange(16).reshape(1, 4, 4, 1)})["scores"]
    assert scores.shape == (1, 2)
    assert stages_of(legalize(graph))


def test_every_op_and_attribute_is_described() -> None:
    text = (DOCS / "model_format.md").read_text()
    for name, op in OPS.items():
        assert f"`{name}`" in text, name
        for attribute in op.attributes():
            assert f"`{attribute}`" in text, f"{name}.{attribute}"


def test_the_rules_of_the_legal_graph_are_those_of_the_code() -> None:
    text = (DOCS / "legal_graph.md").read_text()
    assert legal_graph.table() in text, "run scripts/legal_graph.py --write"


def rows(text: str, heading: str) -> dict[str, list[str]]:
    section = text.split(heading)[1].split("\n## ")[0]
    cells = [[c.strip() for c in line.strip("|").split("|")] for line in section.splitlines()]
    return {c[0].strip("`"): c[3:] for c in cells if c[0].startswith("`")}


def test_the_tables_of_the_number_system_are_right() -> None:
    text = (DOCS / "number_system.md").read_text()
    quarters = np.array([-10, -6, -5, 3, 6, 10])
    table = rows(text, "## Rounding")
    assert set(table) == {mode.value for mode in Rounding}
    for mode, shown in table.items():
        assert [int(v) for v in shown] == round_shift(quarters, 2, Rounding(mode)).tolist()
    table = rows(text, "## Overflow")
    assert set(table) == {mode.value for mode in Overflow}
    for mode, shown in table.items():
        qtype = QType(True, 4, 0, Rounding.FLOOR, Overflow(mode))
        assert [int(v) for v in shown] == apply_overflow(np.array([9, -9, -8]), qtype).tolist()
