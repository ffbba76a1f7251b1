"""QKeras on Keras 3: archives against frozen outputs (scripts/make_qkeras_archive.py)."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen import api
from hwgen.errors import UserError
from hwgen.flow import tools
from hwgen.flow.c_engine import CEngine
from hwgen.importers import load
from hwgen.importers.hgq.files import CONFIG
from hwgen.ir import execute
from hwgen.numeric import quantize
from hwgen.passes import legalize
from hwgen.plan.dataflow.planner import plan_dataflow
from tests.helpers.pysim import check_against_model

MODEL = Path(__file__).parent / "fixtures" / "qkeras_v3.keras"


def frozen() -> Any:
    return np.load(MODEL.with_suffix(".npz"))


def test_golden_equals_qkeras() -> None:
    graph, data = load(MODEL), frozen()
    got = api.run(graph, {"data": data["x"]}, real=True)[graph.outputs[0]]
    assert np.array_equal(got, data["y"]) and len(np.unique(got)) > 50
    assert "first" in " ".join(graph.notes)


def test_c_code_and_rtl_equal_golden() -> None:
    graph = load(MODEL)
    codes = quantize(frozen()["x"], graph.inputs[0].type)
    check_against_model(plan_dataflow(legalize(graph), multipliers=30), codes[:2])
    if tools.c_compiler().found:
        out = graph.outputs[0]
        c = CEngine(graph).execute({"data": codes})[out]
        assert np.array_equal(c, execute(graph, {"data": codes})[out])


def changed(folder: Path, change: Callable[[Any], None]) -> Path:
    """The archive with another configuration."""
    path = folder / "changed.keras"
    with zipfile.ZipFile(MODEL) as source, zipfile.ZipFile(path, "w") as archive:
        for name in source.namelist():
            content = source.read(name)
            if name == CONFIG:
                config = json.loads(content)
                change({e["config"]["name"]: e for e in config["config"]["layers"]})
                content = json.dumps(config).encode()
            archive.writestr(name, content)
    return path


@pytest.mark.parametrize(
    ("layer", "change", "reason"),
    [
        ("dense", lambda c: c["dense"]["config"].update(use_bias=False),
         "has 2 variables, its configuration says kernel"),
        ("norm", lambda c: c["norm"].update(class_name="QBatchNormalization"),
         "QBatchNormalization is not read from .keras files"),
        ("flat", lambda c: c["flat"].update(class_name="QFlat"),
         "a layer of class QFlat is not supported"),
    ],
)  # fmt: skip
def test_refusals(layer: str, change: Callable[[Any], None], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(changed(tmp_path, change))
    assert caught.value.layer == layer and reason in str(caught.value)
