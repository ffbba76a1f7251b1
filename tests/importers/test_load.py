"""Choosing an importer, and files that are no models: one clear message each."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.importers import load
from hwgen.ir import Graph, Node, Tensor, graph_to_json
from hwgen.ir.ops import Flatten
from hwgen.numeric import parse_type


def own_model(path: Path) -> Path:
    graph = Graph(
        "own",
        (Tensor("x", (2, 2, 1), parse_type("u8.8")),),
        (Node("flat", Flatten(), ("x",)),),
        ("flat",),
    )
    path.write_text(json.dumps(graph_to_json(graph)))
    return path


def message(path: Any, **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        load(path, **options)
    assert str(path) in str(caught.value) or "weights" in options
    return str(caught.value)


def test_own_json(tmp_path: Path) -> None:
    path = own_model(tmp_path / "own.json")
    assert load(path).name == "own"
    assert load(str(path)).tensors["flat"].shape == (4,)
    assert "says its own" in message(path, input_type=parse_type("u8.8"))
    assert "says its own" in message(path, weights=tmp_path / "w.h5")


def test_own_json_without_suffix_is_recognized(tmp_path: Path) -> None:
    assert load(own_model(tmp_path / "model")).name == "own"


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "m.json", "m.tflite", "m"])
def test_missing_directory_empty(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    assert "no such file" in message(path)
    path.touch()
    assert "empty" in message(path)
    path.unlink()
    path.mkdir()
    assert "directory" in message(path)


@pytest.mark.parametrize("name", ["m.h5", "m.hdf5", "m.tflite"])
def test_other_content(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"\x89HDX and more bytes than a signature")
    assert "content is not that of" in message(path)


@pytest.mark.parametrize("name", ["m.xyz", "m.pb"])
def test_unknown_suffix_lists_what_is_supported(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    path.write_bytes(b"PK\x03\x04....")
    text = message(path)
    assert repr(path.suffix) in text and "QKeras (.h5" in text


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"{", "not JSON"),
        (b"[1, 2]", "content is not that of a .json file"),
        (b'{"a": 1}', "content is not that of a .json file"),
        (b"\xff\xfe\x00", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b'{"format": "other"}', 'expected "hwgen-model"'),
        (b'{"class_name": "Sequential", "config": {}}', "without weights"),
    ],
)
def test_json_that_is_no_model(tmp_path: Path, content: bytes, reason: str) -> None:
    path = tmp_path / "m.json"
    path.write_bytes(content)
    assert reason in message(path)


def test_truncated_anywhere(keras: Any) -> None:
    path = keras.save(keras.sequential(keras.input(4), keras.dense("fc", 3)))
    whole = path.read_bytes()
    rng = np.random.default_rng(0)
    lengths = {1, 7, 8, 9, 63, 64, 95, 96, len(whole) - 1, *rng.integers(1, len(whole), 100)}
    for length in lengths:
        path.write_bytes(whole[: int(length)])
        text = message(path)
        assert "content is not that" in text or "not a readable HDF5 file" in text


def test_damaged_inside(keras: Any) -> None:
    """Overwritten parts give a message or, where only weights are hit, a model; never a crash."""
    path = keras.save(keras.sequential(keras.input(4), keras.dense("fc", 3)))
    whole = path.read_bytes()
    refused = 0
    for start in np.linspace(96, len(whole) - 32, 24).astype(int):
        path.write_bytes(whole[:start] + b"\xee" * 32 + whole[start + 32 :])
        try:
            load(path)
        except UserError as error:
            assert str(path) in str(error)
            refused += 1
    assert 0 < refused < 24, "both kinds of damage are met"


def test_architecture_with_weights_beside_it(keras: Any) -> None:
    model = keras.sequential(keras.input(4), keras.dense("fc", 3))
    weights = keras.random_weights(model, np.random.default_rng(0))
    path = keras.folder / "net.json"
    path.write_text(json.dumps(model))
    text = message(path)
    assert "net_weights.h5" in text and "net.h5" in text
    keras.write(None, weights, "net.h5", weights_only=True)
    first = load(path)
    (keras.folder / "net.h5").rename(keras.folder / "net_weights.h5")
    second = load(path)
    (keras.folder / "net_weights.h5").rename(keras.folder / "elsewhere.h5")
    third = load(path, weights=keras.folder / "elsewhere.h5")
    for graph in (first, second, third):
        assert graph.name == "net"
        np.testing.assert_array_equal(
            graph.nodes[0].op.weights,  # type: ignore[attr-defined]
            first.nodes[0].op.weights,  # type: ignore[attr-defined]
        )
    gone = keras.folder / "gone.h5"
    assert str(gone) in message(path, weights=gone)
    text = message(keras.folder / "elsewhere.h5")
    assert "weights only" in text


def test_graph_name_is_an_identifier(keras: Any) -> None:
    model = keras.sequential(keras.input(4), keras.dense("fc", 3))
    weights = keras.random_weights(model, np.random.default_rng(0))
    for name, want in (("2-layer net.h5", "m_2_layer_net"), ("ok.h5", "ok")):
        assert load(keras.write(model, weights, name)).name == want


def test_heavy_packages_are_not_imported_with_the_importers() -> None:
    code = "import sys, hwgen.importers; sys.exit('h5py' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
