"""The problems of the bench: networks and their exact answers, from peers or from the project."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mobilenet import mobilenet_v2

import hwgen

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("HWGEN_SHARED", ROOT.parent / "shared"))
SUBSTITUTE_SEED = 20240301

Array = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Problem:
    """A model file, frames, and what the frames must give.

    substitute : the peer's own numbers are not there; seeded ones of the same shapes are used, and
    the golden model's answers.
    """

    name: str
    model: Path
    x: Array
    y: Array | None
    substitute: bool = False


def mnist(folder: Path) -> Problem:
    """The shipped CNN on digits of the test set, against frozen outputs of QKeras."""
    models = ROOT / "hwgen" / "models"
    digits, oracle = np.load(models / "mnist_digits.npz"), np.load(models / "mnist_cnn_oracle.npz")
    model = models / "mnist_cnn.h5"
    graph = hwgen.load(model)
    # QKeras gives real numbers; the output's integers are so many units of its last bit.
    y = oracle["logits"][:20] * 2.0 ** graph.tensors[graph.outputs[0]].type.frac
    return Problem("mnist", model, digits["x"][..., None][:20], y)


def nngen_mnistcnn(folder: Path) -> Problem:
    """NNgen's MNIST CNN through the JSON format; its layers and shifts are those of the peer.

    ``w`` filters (outputs, rows, columns, channels) or (outputs, inputs), ``b`` biases, ``s``
    scales: y = clip(round((w x + b) * s / 2**shift), -127, 127), half away from zero.
    """
    file = SHARED / "peers" / "nngen_mnistcnn.npz"
    arrays = dict(np.load(file)) if file.is_file() else _nngen_substitute()
    layers: list[dict[str, Any]] = []

    def add(name: str, op: str, **attributes: Any) -> None:
        before = layers[-1]["name"] if layers else "image"
        layers.append({"name": name, "op": op, "inputs": [before], **attributes})

    for index, (name, shift) in enumerate(NNGEN_LAYERS):
        w, b, s = (arrays[f"{letter}{index}"] for letter in "wbs")
        conv = w.ndim == 4
        if index == 2:
            add("flat", "flatten")
        weights = w.transpose(1, 2, 3, 0) if conv else w.T
        padding = {"padding": "same"} if conv else {}
        add(
            f"{name}_mac", "conv2d" if conv else "dense",
            weights=weights.tolist(), weight_type=_S8, **padding,
        )  # fmt: skip
        add(
            name, "requantize", mult=s.tolist(), bias=(b * s).tolist(), shift=shift, type=_S8,
            clip=[0 if index < 3 else -127, 127],
        )  # fmt: skip
        if conv:
            add(f"pool{index}", "max_pool", kernel=2, stride=2)
    model = {
        "format": "hwgen-model",
        "schema": 1,
        "name": "nngen_mnistcnn",
        "inputs": [{"name": "image", "shape": [28, 28, 1], "type": _S8}],
        "layers": layers,
        "outputs": [layers[-1]["name"]],
    }
    path = folder / "nngen_mnistcnn.json"
    path.write_text(json.dumps(model))
    return Problem("nngen_mnistcnn", path, arrays["x"], arrays.get("out_y"), not file.is_file())


NNGEN_LAYERS = (("c0", 13), ("c1", 14), ("m0", 15), ("y", 14))
"""Names of the layers with weights, and the shifts of their scales (shared peers' README)."""

_S8 = {"signed": True, "width": 8, "frac": 0, "rounding": "half_away", "overflow": "saturate"}


def _nngen_substitute() -> dict[str, Array]:
    rng = np.random.default_rng(SUBSTITUTE_SEED)
    arrays: dict[str, Array] = {"x": rng.integers(0, 128, (1, 28, 28, 1))}
    for index, shape in enumerate(((8, 3, 3, 1), (16, 3, 3, 8), (32, 784), (10, 32))):
        arrays[f"w{index}"] = rng.integers(-127, 128, shape)
        arrays[f"b{index}"] = rng.integers(-1200, 1200, shape[0])
        arrays[f"s{index}"] = rng.integers(42, 100, shape[0])
    return arrays


def network_files() -> dict[str, Path]:
    """Files of larger networks, by name, those that are there."""
    tflite = SHARED / "models" / "tflite"
    files = {
        "resnet8": tflite / "mlperf_tiny_ic_resnet8_int8.tflite",
        "mobilenet_v1_vww": tflite / "mlperf_tiny_vww_mobilenetv1_int8.tflite",
    }
    return {name: file for name, file in files.items() if file.is_file()}


def networks() -> dict[str, hwgen.ir.Graph]:
    """Networks whose planning takes long, by name: a seeded one, and real ones that are there."""
    found = {name: hwgen.load(file) for name, file in network_files().items()}
    return {**found, "mobilenet_v2_160": mobilenet_v2(160, 0.35)}


PROBLEMS: dict[str, Callable[[Path], Problem]] = {
    "nngen_mnistcnn": nngen_mnistcnn,
    "mnist": mnist,
}
"""Each makes its problem, with files it writes in a folder."""
