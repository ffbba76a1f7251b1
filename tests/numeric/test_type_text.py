"""Types as people read them, wherever they do."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.cli import main
from hwgen.numeric import Overflow, QType, Rounding, parse_type, type_text
from hwgen.report import html

FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"
MODELS = {
    "dataflow": FIXTURES / "onnx_qdq_residual.onnx",
    "tiled": FIXTURES / "tflite_adds.tflite",
}
S8 = QType(True, 8, 0, Rounding.HALF_EVEN, Overflow.SATURATE, 0.03937, -128)


def test_types_in_words() -> None:
    assert type_text(S8) == "s8, scale 0.0394, zero -128"
    assert type_text(S8, 6) == "s8, scale 0.03937, zero -128"
    assert type_text(replace(S8, zero_point=0, scale=(0.5, 0.25))) == "s8, a scale a channel"
    assert type_text(parse_type("u8.7")) == "u8.7"
    assert html.type_text is type_text


@pytest.mark.parametrize("arch", ["dataflow", "tiled"])
def test_people_read_one_form_and_files_have_theirs(
    arch: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    model = MODELS[arch]
    graph = hwgen.load(model)
    (x,), (out,) = graph.inputs, graph.outputs
    given, result = (type_text(t.type) for t in (x, graph.tensors[out]))
    assert main(["inspect", str(model)]) == 0
    shown = capsys.readouterr().out
    assert result in shown and str(graph.tensors[out].type) not in shown
    assert main(["inspect", str(model), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["inputs"][0]["type"] == str(x.type)
    np.save(tmp_path / "x.npy", np.zeros((1, *graph.arrangement(x.name).shape), int))
    files = ["--input", str(tmp_path / "x.npy"), "--output", str(tmp_path / "y.npy")]
    assert main(["run", str(model), *files]) == 0
    assert f"of {result} in " in capsys.readouterr().out
    np.save(tmp_path / "x.npy", np.full((1, *graph.arrangement(x.name).shape), 999))
    assert main(["run", str(model), *files]) == 2
    assert f"its type {given} has " in capsys.readouterr().err
    package = hwgen.build(model, tmp_path / "p", arch=arch, multipliers=16, c=True)
    guide = (package.path / "INTEGRATE.md").read_text()
    for tensor in (x, graph.tensors[out]):
        exact = type_text(tensor.type, 6)
        assert f"| element | {exact}: " in guide
        assert f" of {exact}" in (package.path / "c" / f"{graph.name}.h").read_text()
    assert str(x.type) not in guide + (package.path / "report.html").read_text()
    assert json.loads((package.path / "report.json").read_text())["name"] == graph.name
