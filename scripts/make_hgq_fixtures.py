#!/usr/bin/env python3
"""Makes the HGQ2 fixtures of tests/importers: tiny frozen models with bits of their own everywhere.

``hgq_<name>.keras`` and ``hgq_<name>.npz`` are a model and what HGQ2 computes with it:

- ``x``, ``y``: inputs, multiples of 2**-8 from -8 to 8, and outputs, float32, inference.
- ``own_x``, ``own_y``: the same for inputs that the model's own first quantizers leave as they are
  or only make coarser: multiples of their finest step, within their range.

Bits are drawn at random, some of them none at all, and the integer bits of what wraps are traced as
after training. Runs in an environment of its own: ``scripts/train --hgq-fixtures``.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

# Set before Keras starts: oneDNN may choose convolutions whose float sums differ.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import keras
import numpy as np
from hgq.config import QuantizerConfig, QuantizerConfigScope
from hgq.layers import (
    QAdd,
    QAveragePooling2D,
    QBatchNormalization,
    QBatchNormDense,
    QConv1D,
    QConv2D,
    QDense,
    QGlobalAveragePooling1D,
    QMaxPooling2D,
    Quantizer,
    QUnaryFunctionLUT,
)
from hgq.utils import trace_minmax
from keras.layers import Flatten, Input, MaxPooling2D, ReLU, Reshape

Array = np.ndarray[Any, Any]
FROZEN = 24


def elements() -> keras.Model:
    """Every weight and every activation with bits of its own, as HGQ2 does without being asked."""
    return keras.Sequential(
        [
            Input((6, 6, 2)),
            QConv2D(3, 3, activation="relu", name="conv"),
            MaxPooling2D(2, name="pool"),
            Flatten(name="flat"),
            QDense(4, name="dense"),
        ]
    )


def channels() -> keras.Model:
    """Activations with bits for each channel, a branch, a batch norm, an average, output types."""
    with QuantizerConfigScope(place="datalane", homogeneous_axis=None, heterogeneous_axis=(-1,)):
        x = Input((6, 6, 2))
        a = QConv2D(4, 3, padding="same", activation="relu", name="left")(x)
        b = QConv2D(4, 1, use_bias=False, enable_oq=True, name="right")(x)
        s = QAdd(name="add")([a, b])
        s = QBatchNormalization(name="norm")(s)
        s = ReLU(name="relu")(s)
        s = QAveragePooling2D(2, name="average")(s)
        s = Flatten(name="flat")(s)
        s = QDense(3, name="dense", enable_oq=True)(s)
    return keras.Model(x, s, name="channels")


def nested() -> keras.Model:
    """A model inside of a model; both have layers of the same classes and names."""
    inner = keras.Sequential(
        [
            Input((4, 4, 3)),
            QConv2D(4, 3, activation="relu", name="conv"),
            MaxPooling2D(2, name="pool"),
            Flatten(name="flat"),
            QDense(5, name="dense"),
        ],
        name="inner",
    )
    x = Input((6, 6, 2))
    y = QConv2D(3, 3, activation="relu", name="conv")(x)
    y = QDense(3, name="dense")(inner(y))
    return keras.Model(x, y, name="nested")


def saturating() -> keras.Model:
    """One type an edge, saturating; other roundings; an average of nine."""
    bits = {"homogeneous_axis": None, "heterogeneous_axis": ()}
    data = {"place": "datalane", "overflow_mode": "SAT", "round_mode": "RND_CONV", **bits}
    weights = {"place": "weight", "overflow_mode": "SAT", "round_mode": "TRN"}
    with QuantizerConfigScope(**data), QuantizerConfigScope(**weights):
        return keras.Sequential(
            [
                Input((7, 7, 1)),
                QConv2D(2, 2, strides=2, padding="same", activation="relu6", name="conv"),
                QMaxPooling2D(2, strides=1, name="maximum"),
                QAveragePooling2D(3, name="average"),
                Reshape((2,), name="flat"),
                QDense(3, name="dense"),
            ]
        )


def functions() -> keras.Model:
    """A batch norm in a dense layer, and a table."""
    return keras.Sequential(
        [
            Input((9,)),
            QBatchNormDense(5, name="folded", activation="relu"),
            QBatchNormDense(4, name="plain", scale=False),
            QUnaryFunctionLUT("tanh", name="table"),
            QDense(3, name="dense"),
            Quantizer(QuantizerConfig("default", "datalane"), name="last"),
        ]
    )


def sequence() -> keras.Model:
    """One dimension, groups."""
    return keras.Sequential(
        [
            Input((8, 4)),
            QConv1D(4, 3, padding="same", groups=2, activation="relu", name="conv"),
            QConv1D(3, 2, strides=2, use_bias=False, name="strided"),
            QGlobalAveragePooling1D(name="average"),
            QDense(2, name="dense"),
        ]
    )


MODELS = {f.__name__: f for f in (elements, channels, saturating, functions, sequence, nested)}


READS = {"channels": ("left", "right")}
"""Layers that read the input, where it is not the first alone."""


def quantizers(model: keras.Model) -> Iterator[Any]:
    """All fixed-point quantizers of a model."""
    for layer in model._flatten_layers():
        if hasattr(layer, "_k") and hasattr(layer, "_i"):
            yield layer


def draw_bits(model: keras.Model, rng: np.random.Generator) -> None:
    """Random bits; one weight in eight, and one activation in twelve, has none."""
    for quantizer in quantizers(model):
        shape = quantizer._k.shape
        if hasattr(quantizer, "_b"):
            bits = rng.integers(2, 8, shape).astype(np.float32)
            if np.prod(shape) > 1:
                bits[rng.random(shape) < 1 / 8] = 0
            quantizer._b.assign(bits + rng.uniform(-0.4, 0.4, shape))
            if quantizer.overflow_mode != "WRAP":
                quantizer._i.assign(rng.integers(-1, 2, shape))
        else:
            fractions = rng.integers(1, 7, shape).astype(np.float32)
            quantizer._f.assign(fractions + rng.uniform(-0.4, 0.4, shape))
            if quantizer.overflow_mode != "WRAP":
                quantizer._i.assign(rng.integers(1, 4, shape))


def prune(model: keras.Model, rng: np.random.Generator) -> None:
    """Activations without any bits, after their integer bits were traced."""
    for quantizer in quantizers(model):
        shape = quantizer._k.shape
        if hasattr(quantizer, "_f") and np.prod(shape) > 4:
            gone = rng.random(shape) < 1 / 12
            quantizer._f.assign(np.where(gone, -9.0, np.array(quantizer._f)))


def randomize(model: keras.Model, rng: np.random.Generator) -> None:
    """Biases and statistics other than those of a new model."""
    for layer in model.layers:
        for variable in layer.weights:
            name = variable.path.split("/")[-1]
            if name in ("bias", "bn_beta", "moving_mean"):
                variable.assign(rng.normal(0, 0.5, variable.shape))
            elif name in ("bn_gamma", "moving_variance"):
                variable.assign(rng.uniform(0.3, 2, variable.shape))


def own_inputs(model: keras.Model, shape: tuple[int, ...], rng: np.random.Generator) -> Array:
    """Multiples of the finest step of the quantizers that read the input, within their range."""
    readers = [layer for layer in model.layers if layer.name in READS.get(model.name, ())]
    readers = readers or [next(layer for layer in model.layers if hasattr(layer, "_iq"))]
    reads = [q for layer in readers for q in quantizers(layer._iq)]
    kif = [np.broadcast_arrays(*(np.array(v) for v in q.kif)) for q in reads]
    used = [np.stack(v)[:, np.stack(v).sum(0) > 0] for v in kif]
    k, i, f = np.concatenate(used, 1)
    step, high = 2.0 ** -f.max(), 2.0 ** i.max()
    low = -high if k.max() else 0
    return rng.integers(low / step, high / step, (FROZEN, *shape)) * step


def freeze(name: str, folder: Path) -> None:
    """Make one model and what HGQ2 computes with it."""
    seed = sum(map(ord, name))
    keras.utils.set_random_seed(seed)
    rng = np.random.default_rng(seed)
    model = MODELS[name]()
    shape = model.input_shape[1:]
    randomize(model, rng)
    draw_bits(model, rng)
    trace_minmax(model, rng.normal(0, 1, (500, *shape)).astype(np.float32), verbose=0)
    prune(model, rng)
    x = (rng.integers(-2048, 2048, (FROZEN, *shape)) / 256).astype(np.float32)
    # Most inputs within what was traced, the others wrap.
    x[: FROZEN // 2] /= 8
    x = np.round(x * 256) / 256
    own = own_inputs(model, shape, rng).astype(np.float32)
    y, own_y = (np.array(model(data, training=False)) for data in (x, own))
    model.save(folder / f"hgq_{name}.keras")
    arrays = {"x": x, "y": y, "own_x": own, "own_y": own_y}
    np.savez_compressed(folder / f"hgq_{name}.npz", **arrays)
    print(f"{name}: {len(np.unique(y))} different outputs of {y.size}")


def main() -> None:
    """All models, or some."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    default = Path(__file__).resolve().parent.parent / "tests" / "importers" / "fixtures"
    parser.add_argument("--out", type=Path, default=default)
    parser.add_argument("--only", choices=MODELS)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name in MODELS:
        if arguments.only in (None, name):
            freeze(name, arguments.out)


if __name__ == "__main__":
    main()
