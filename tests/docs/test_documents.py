"""What the documents state is recomputed."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path

import numpy as np

import hwgen
from hwgen.importers import tflite
from hwgen.ir import OPS, execute, graph_from_json
from hwgen.numeric import Overflow, QType, Rounding, apply_overflow, round_shift
from hwgen.passes import legalize
from hwgen.plan.dataflow.plan import DataflowPlan
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


def test_the_figures_of_the_shipped_network_are_its_plans() -> None:
    """Cycles of the event model, which other tests hold against the RTL's."""
    section = (ROOT / "README.md").read_text().split("## The shipped CNN")[1].split("\n## ")[0]
    graph = hwgen.load(Path(hwgen.__file__).parent / "models" / "mnist_cnn.h5")
    assert f"{graph.macs:,} MACs" in section
    found = re.findall(r"\n\|([0-9,| ]+)\|", section)
    assert len(found) == 4
    for row in found:
        asked, *told = (int(cell.replace(",", "")) for cell in row.split("|"))
        plan = hwgen.plan(graph, multipliers=asked)
        assert isinstance(plan, DataflowPlan)
        timing = plan.timing()
        assert told == [plan.multipliers, timing.interval, plan.interval_bound, timing.latency]


def test_the_operators_of_tensorflow_lite_are_those_of_the_code() -> None:
    (row,) = re.findall(r"\n\| TensorFlow Lite,(.*)", (ROOT / "README.md").read_text())
    _, now, refused, _ = row.split("|")
    kinds = {kind for kind in re.findall(r"[A-Z0-9_]{3,}", now) if kind not in ("TFLM",)}
    assert kinds == set(tflite._HANDLERS)
    of_16_bits = refused.split("of int16:")[1]
    assert set(re.findall(r"[A-Z0-9_]{3,}", of_16_bits)) == kinds - tflite._OF_16_BITS


MARKER_IN_PROSE = re.compile(r"[.:;] +(?:[-*]|\d+\.)(?: |$)")
"""A list's marker behind the end of a sentence or a part of one, in the middle of a line."""


def prose_of(document: Path) -> list[tuple[int, str]]:
    """Lines by their numbers, without those of blocks of code, of tables and of what is indented
    like code."""
    text = re.sub(r"(?ms)^```.*?^```", lambda m: "\n" * m[0].count("\n"), document.read_text())
    lines = enumerate(text.splitlines(), 1)
    return [(n, line) for n, line in lines if not line.startswith(("|", "    "))]


def test_lists_are_lists() -> None:
    """What was wrapped as one paragraph is read as one."""
    assert MARKER_IN_PROSE.search("maps. - **Units**") and MARKER_IN_PROSE.search("wrap; 2. Then")
    wrong, seen = [], 0
    for document in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]:
        for n, line in prose_of(document):
            seen += 1
            if MARKER_IN_PROSE.search(line):
                wrong.append(f"{document.name}:{n} {line}")
    assert not wrong, "\n".join(wrong)
    assert seen > 500


def test_prose_is_wrapped() -> None:
    """At 100, with a little room for a word that was changed."""
    wrong = [
        f"{document.name}:{n} {len(line)}"
        for document in [ROOT / "README.md", ROOT / "CHANGELOG.md", *sorted(DOCS.glob("*.md"))]
        for n, line in prose_of(document)
        if len(line) > 104
    ]
    assert not wrong, "\n".join(wrong)
