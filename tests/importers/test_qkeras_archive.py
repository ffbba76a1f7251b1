"""QKeras on Keras 3: archives against frozen outputs (scripts/make_qkeras_archive.py)."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hwgen import api
from hwgen.errors import UserError
from hwgen.flow import tools
from hwgen.flow.c_engine import CEngine
from hwgen.importers import load
from hwgen.importers.keras.archive import CONFIG, WEIGHTS
from hwgen.ir import Graph, execute
from hwgen.numeric import quantize
from hwgen.passes import legalize
from hwgen.plan.dataflow.planner import plan_dataflow
from tests.helpers.pysim import check_against_model

Array = np.ndarray[Any, Any]

FIXTURES = Path(__file__).parent / "fixtures"
MODEL = FIXTURES / "qkeras_v3.keras"
PARTS = {
    "qkeras_v3": 50,
    "qkeras_v3_norms": 100,
    "qkeras_v3_pools": 20,
    "qkeras_v3_rows": 50,
    "qkeras_v3_curves": 20,
    "qkeras_v3_nested": 200,
}
"""Models, and of how many values at least their outputs are."""


def frozen(name: str) -> tuple[Graph, dict[str, Array], dict[str, Array]]:
    """A model, its inputs and its outputs by name."""
    graph, arrays = load(FIXTURES / f"{name}.keras"), np.load(FIXTURES / f"{name}.npz")
    x = {tensor.name: arrays[f"x.{tensor.name}"] for tensor in graph.inputs}
    return graph, x, {out: arrays[f"y.{n}"] for n, out in enumerate(graph.outputs)}


@pytest.mark.parametrize("name", PARTS)
def test_golden_equals_qkeras(name: str) -> None:
    graph, x, wanted = frozen(name)
    got = api.run(graph, x, real=True)
    for out, values in wanted.items():
        assert np.array_equal(got[out].reshape(values.shape), values), out
        assert len(np.unique(values)) >= PARTS[name]
    assert "first quantizer" in " ".join(graph.notes)


@pytest.mark.parametrize("name", ["qkeras_v3", "qkeras_v3_norms", "qkeras_v3_pools"])
def test_rtl_equals_golden(name: str) -> None:
    graph, x, _ = frozen(name)
    codes = quantize(x["data"], graph.inputs[0].type)
    check_against_model(plan_dataflow(legalize(graph), multipliers=30), codes[:1])


@pytest.mark.parametrize("name", PARTS)
def test_c_code_equals_golden(name: str) -> None:
    if not tools.c_compiler().found:
        pytest.skip("no C compiler")
    graph, x, _ = frozen(name)
    codes = {tensor.name: quantize(x[tensor.name], tensor.type) for tensor in graph.inputs}
    c, golden = CEngine(graph).execute(codes), execute(graph, codes)
    assert all(np.array_equal(c[out], golden[out]) for out in graph.outputs)


def test_architecture_and_weights_of_keras_3(tmp_path: Path) -> None:
    """What ``to_json`` and ``save_weights`` write: the members of an archive as files."""
    with zipfile.ZipFile(FIXTURES / "qkeras_v3_nested.keras") as archive:
        (tmp_path / "m.json").write_bytes(archive.read(CONFIG))
        (tmp_path / "m.weights.h5").write_bytes(archive.read(WEIGHTS))
    _, x, wanted = frozen("qkeras_v3_nested")
    got = api.run(load(tmp_path / "m.json"), x, real=True)
    assert all(np.array_equal(got[out], values) for out, values in wanted.items())


def test_an_archive_of_keras_2(tmp_path: Path) -> None:
    path = tmp_path / "old.keras"
    with h5py.File(tmp_path / "w.h5", "w") as file:
        file.create_group("_layer_checkpoint_dependencies/conv/vars")
    with zipfile.ZipFile(MODEL) as source, zipfile.ZipFile(path, "w") as archive:
        archive.writestr(CONFIG, source.read(CONFIG))
        archive.writestr(WEIGHTS, (tmp_path / "w.h5").read_bytes())
    with pytest.raises(UserError, match=r"not laid out as Keras 3 does it; .*save\('name.h5'\)"):
        load(path)


@pytest.mark.parametrize(
    "version, whose, value",
    [
        ("2.15.0", "Activation", lambda x: np.clip(0.2 * x + 0.5, 0, 1)),
        ("3.15.1", "Activation", lambda x: np.clip(x + 3, 0, 6) / 6),
        ("2.15.0", "QActivation", lambda x: np.clip(0.5 * x + 0.5, 0, 1)),
        ("3.15.1", "QActivation", lambda x: np.clip(0.5 * x + 0.5, 0, 1)),
    ],
)
def test_hard_sigmoids(
    version: str, whose: str, value: Callable[[Array], Array], keras: Any
) -> None:
    """Three functions have this name; which one it is depends on the layer and on who saved it."""
    layers = [keras.input(3), keras.dense("fc", 3), keras.layer(whose, "s")]
    layers[-1]["config"]["activation"] = "hard_sigmoid"
    kernel = {"fc": {"kernel": np.float32(np.eye(3) * 7 / 8), "bias": np.float32([-0.5, 0, 0.5])}}
    path = keras.write(keras.functional(*layers, keras.act("q", keras.bits(8, 0))), kernel)
    with h5py.File(path, "r+") as file:
        file.attrs["keras_version"] = version
    graph = load(path)
    x = np.arange(256)[:, None] / np.full(3, 256)
    (got,) = api.run(graph, {"data": x}, real=True).values()
    real = x * 7 / 8 + [-0.5, 0, 0.5]
    assert np.array_equal(got, np.minimum(np.rint(value(real) * 128), 127) / 128)


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
        ("norm", lambda c: c["norm"]["config"].update(scale=False),
         "has 4 variables, its configuration says beta, moving_mean, moving_variance"),
        ("conv", lambda c: c["conv"]["config"].update(mask=[1, 2, 3]),
         "its mask has not one number for each tap"),
        ("conv", lambda c: c["conv"]["config"].update(mask=[[0.5] * 3] * 3),
         "its mask has numbers other than 0 and 1"),
        ("bounded", lambda c: c["bounded"]["config"].update(
            activation="quantized_po2(4,quadratic_approximation=1)"),
         "quadratic_approximation makes more of 0 than of small numbers"),
        ("flat", lambda c: c["flat"].update(class_name="QFlat"),
         "a layer of class QFlat is not supported"),
    ],
)  # fmt: skip
def test_refusals(layer: str, change: Callable[[Any], None], reason: str, tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        load(changed(tmp_path, change))
    assert caught.value.layer == layer and reason in str(caught.value)
