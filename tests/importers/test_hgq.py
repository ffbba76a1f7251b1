"""HGQ2 models against frozen outputs of HGQ2 itself (scripts/make_hgq_fixtures.py)."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.importers import load
from hwgen.importers.keras.archive import CONFIG, WEIGHTS, places_of
from hwgen.ir import Graph, execute
from hwgen.numeric import dequantize, parse_type, quantize
from hwgen.passes import legalize
from hwgen.plan.dataflow.planner import plan_dataflow
from tests.helpers.pysim import check_against_model

FIXTURES = Path(__file__).parent / "fixtures"
MODELS = sorted(path.stem for path in FIXTURES.glob("hgq_*.keras"))


def model_file(name: str) -> Path:
    return FIXTURES / f"{name}.keras"


def integers(graph: Graph, real: np.ndarray) -> np.ndarray:
    """Inputs in the graph's type, which holds them."""
    qtype = graph.inputs[0].type
    codes = quantize(real, qtype)
    assert np.array_equal(dequantize(codes, qtype), real)
    return codes


@pytest.mark.parametrize(("prefix", "input_type"), [("", "s12.8"), ("own_", None)])
@pytest.mark.parametrize("name", MODELS)
def test_equals_hgq(name: str, prefix: str, input_type: str | None) -> None:
    graph = load(model_file(name), input_type=parse_type(input_type) if input_type else None)
    data = np.load(FIXTURES / f"{name}.npz")
    edges = execute(graph, {graph.inputs[0].name: integers(graph, data[f"{prefix}x"])})
    output = graph.outputs[0]
    y = dequantize(edges[output], graph.tensors[output].type)
    assert np.array_equal(y, data[f"{prefix}y"])
    assert len(np.unique(y)) > 10


@pytest.mark.parametrize("name", MODELS)
def test_rtl_equals_golden(name: str) -> None:
    graph = load(model_file(name))
    data = np.load(FIXTURES / f"{name}.npz")
    plan = plan_dataflow(legalize(graph), multipliers=30)
    check_against_model(plan, integers(graph, data["own_x"])[:2])


def test_the_input_holds_what_its_quantizers_see() -> None:
    graph = load(model_file("hgq_elements"))
    assert "holds every type of its quantizers (conv_iq)" in graph.notes[0]
    one = load(model_file("hgq_saturating"))
    assert "from the first quantizer (conv_iq), which is left out" in one.notes[0]


def test_places() -> None:
    places = {
        "InputLayer": "input_layer",
        "QConv2D": "q_conv2d",
        "QMaxPooling2D": "q_max_pooling2d",
    }
    assert places_of(list(places)) == list(places.values())
    assert places_of(["QDense", "QConv2D", "QDense"]) == ["q_dense", "q_conv2d", "q_dense_1"]


# --- what is refused ----------------------------------------------------------------------------


def rewritten(
    folder: Path,
    config: Callable[[Any], None] = lambda config: None,
    weights: Callable[[Any], None] = lambda file: None,
    without: str = "",
) -> Path:
    """A copy of a model with changes."""
    with zipfile.ZipFile(model_file("hgq_elements")) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    tree = json.loads(members[CONFIG])
    config(tree["config"])
    members[CONFIG] = json.dumps(tree).encode()
    buffer = io.BytesIO(members[WEIGHTS])
    with h5py.File(buffer, "a") as file:
        weights(file)
    members[WEIGHTS] = buffer.getvalue()
    path = folder / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            if name != without:
                archive.writestr(name, content)
    return path


def refused(path: Path, layer: str | None, part: str) -> None:
    with pytest.raises(UserError) as caught:
        load(path)
    assert caught.value.layer == layer and part in str(caught.value), caught.value
    assert str(path) in str(caught.value)


def conv(config: Any) -> Any:
    return config["layers"][1]["config"]


CONFIGS: list[tuple[str, Callable[[Any], None]]] = [
    ("class QSoftmax is not supported", lambda c: c["layers"][4].update(class_name="QSoftmax")),
    ("of type 'float'", lambda c: conv(c)["kq_conf"]["config"].update(q_type="float")),
    ("has a scaler", lambda c: conv(c)["iq_conf"]["config"].update(scaler=0.3)),
    ("modes RND, WRAP_SM", lambda c: conv(c)["iq_conf"]["config"].update(overflow_mode="WRAP_SM")),
    ("no configuration", lambda c: conv(c).update(bq_conf=None)),
    ("kernel is not quantized", lambda c: conv(c)["kq_conf"]["config"].update(q_type="dummy")),
    ("not those of a kif", lambda c: conv(c)["iq_conf"]["config"].update(overflow_mode="SAT")),
    ("activation 'selu'", lambda c: conv(c).update(activation="selu")),
    ("variable 0 has shape", lambda c: conv(c).update(kernel_size=[2, 3])),
    ("data_format", lambda c: conv(c).update(data_format="channels_first")),
    ("groups", lambda c: conv(c).update(groups=0)),
]


@pytest.mark.parametrize(("part", "change"), CONFIGS, ids=[part for part, _ in CONFIGS])
def test_refuses(part: str, change: Callable[[Any], None], tmp_path: Path) -> None:
    layer = "dense" if "QSoftmax" in part else "conv"
    refused(rewritten(tmp_path, change), layer, part)


def test_variables(tmp_path: Path) -> None:
    def replaced(place: str, value: Any) -> Callable[[Any], None]:
        def change(file: Any) -> None:
            del file[place]
            file[place] = value

        return change

    nan = np.full((3, 3, 2, 3), np.nan, np.float32)
    refused(rewritten(tmp_path, weights=replaced("layers/q_conv2d/vars/0", nan)), "conv", "NaN")
    many = np.full((3, 3, 2, 3), 99, np.float32)
    bits = "layers/q_conv2d/kq/quantizer/vars/0"
    refused(rewritten(tmp_path, weights=replaced(bits, many)), "conv", "beyond 64")

    def emptied(file: Any) -> None:
        del file["layers/q_conv2d"]

    refused(rewritten(tmp_path, weights=emptied), "conv", "variable 0 has shape None")


@pytest.mark.parametrize("name", [CONFIG, WEIGHTS])
def test_missing_members(name: str, tmp_path: Path) -> None:
    refused(rewritten(tmp_path, without=name), None, f"has no {name}")


def test_truncated(tmp_path: Path) -> None:
    """Any beginning of an archive, and damage anywhere in it."""
    content = model_file("hgq_elements").read_bytes()
    path = tmp_path / "model.keras"
    for length in [*range(4, len(content), 4096), len(content) - 1]:
        path.write_bytes(content[:length])
        refused(path, None, "not a readable .keras archive")
    for place in range(200, len(content), 5000):
        path.write_bytes(content[:place] + bytes(64) + content[place + 64 :])
        try:
            load(path)
        except UserError as error:
            assert str(path) in str(error)


def test_other_archives(tmp_path: Path) -> None:
    def plain(config: Any) -> None:
        config["layers"] = [{"class_name": "Flatten", "config": {"name": "flat"}}]

    refused(rewritten(tmp_path, plain), None, "no layers of HGQ2")
    path = tmp_path / "model.keras"
    path.write_bytes(b"PK\3\4 nothing")
    refused(path, None, "not a readable .keras archive")
    with pytest.raises(UserError, match="says its own"):
        load(model_file("hgq_elements"), weights=path)


@pytest.mark.parametrize(
    "registered, said, way_out",
    [
        ("HGQ>HDense", "layers of HGQ 1", "HGQ2"),
        ("Custom>Dense", "no layers of HGQ2", "HGQ2's layers"),
    ],
)
def test_archives_of_other_libraries(
    registered: str, said: str, way_out: str, tmp_path: Path
) -> None:
    def other(config: Any) -> None:
        config["layers"] = json.loads(json.dumps(config["layers"]).replace("hgq>", "other>"))
        config["layers"][-1]["registered_name"] = registered

    path = rewritten(tmp_path, other)
    refused(path, None, said)
    refused(path, None, way_out)
