#!/usr/bin/env python3
"""Makes qkeras_v3*.keras and .npz of tests/importers: QKeras models on Keras 3, and their outputs.

``x.NAME`` and ``y.N`` of an .npz are the inputs by name and the outputs in their order. Needs an
environment of its own: tensorflow-cpu 2.18 or 2.21, keras 3.15 and qkeras-v3 1.2.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

# Set before Keras starts: oneDNN may choose convolutions whose float sums differ.
os.environ["KERAS_BACKEND"] = "tensorflow"
os.environ["TF_ENABLE_ONEDNN_OPTS"] = "0"

import keras
import numpy as np
from keras.layers import (
    Activation,
    Add,
    BatchNormalization,
    Concatenate,
    Flatten,
    Input,
    MaxPooling1D,
    MaxPooling2D,
)
from qkeras.qconv2d_batchnorm import QConv2DBatchnorm
from qkeras.qconvolutional import (
    QConv1D,
    QConv2D,
    QDepthwiseConv2D,
    QSeparableConv1D,
    QSeparableConv2D,
)
from qkeras.qdense_batchnorm import QDenseBatchnorm
from qkeras.qdepthwiseconv2d_batchnorm import QDepthwiseConv2DBatchnorm
from qkeras.qlayers import QActivation, QDense
from qkeras.qnormalization import QBatchNormalization
from qkeras.qpooling import QAveragePooling2D, QGlobalAveragePooling2D
from qkeras.quantizers import quantized_bits, quantized_relu, ternary

FIXTURES = Path(__file__).resolve().parent.parent / "tests" / "importers" / "fixtures"
SEED, FROZEN = 1, 100


def bits(width: int, integer: int = 0, **options: Any) -> quantized_bits:
    """``quantized_bits`` with a number as alpha: a kernel with None silently gets auto_po2."""
    return quantized_bits(width, integer, **({"alpha": 1.0} | options))


def weighted(kernel: Any = None) -> dict[str, Any]:
    """The quantizers of a layer with weights: 4-bit kernel if not given, 8-bit bias."""
    return {"kernel_quantizer": kernel or bits(4), "bias_quantizer": bits(8, 2)}


def sequential(shape: tuple[int, ...], *stack: Any) -> keras.Model:
    """A chain behind an 8-bit input."""
    first = QActivation(bits(8, 2), name="first")
    return keras.Sequential([Input(shape, name="data"), first, *stack])


def plain() -> keras.Model:
    """Convolutions, a depthwise one, a float batch norm, a dense layer."""
    wide = bits(8, 2)
    x = data = Input((6, 6, 2), name="data")
    x = QActivation(wide, name="first")(x)
    kernel = bits(5, 1)
    x = QConv2D(4, 3, padding="same", kernel_quantizer=kernel, bias_quantizer=wide, name="conv")(x)
    x = QActivation(quantized_relu(6, 2), name="act")(x)
    kernel = quantized_bits(4, 0, alpha="auto_po2")
    bias = bits(6, 1)
    x = QDepthwiseConv2D(3, depthwise_quantizer=kernel, bias_quantizer=bias, name="depthwise")(x)
    x = BatchNormalization(name="norm")(x)
    x = QActivation("quantized_relu(5,1)", name="bounded")(x)
    x = Flatten(name="flat")(MaxPooling2D(2, name="pool")(x))
    kernel = ternary(alpha=1.0)
    x = QDense(5, kernel_quantizer=kernel, bias_quantizer=wide, name="dense")(x)
    return keras.Model(data, x, name="archive")


def norms() -> keras.Model:
    """Batch norms with quantizers of their own or of the whole factor, and inside of layers; a
    kernel of which some taps are left."""
    taps = np.array([[1, 0, 1], [0, 1, 0], [1, 0, 1]], np.float32)
    return sequential(
        (6, 6, 2),
        QConv2DBatchnorm(3, 3, padding="same", **weighted(bits(6, 1))),
        QActivation(bits(6, 2)),
        QDepthwiseConv2DBatchnorm(2, depthwise_quantizer=bits(5, 1), bias_quantizer=bits(8, 2)),
        QBatchNormalization(scale=False, name="norm"),
        QActivation(bits(6, 2)),
        QConv2D(3, 3, padding="same", mask=taps, name="masked", **weighted()),
        QBatchNormalization(
            gamma_quantizer=None, variance_quantizer=None, inverse_quantizer=bits(8, 2)
        ),
        QActivation(bits(6, 2)),
        Flatten(),
        QDenseBatchnorm(4, use_bias=False, **weighted(bits(6, 1))),
    )


def pools() -> keras.Model:
    """Separable convolutions, average pools with quantized factors."""
    apart = {"depthwise_quantizer": bits(4), "pointwise_quantizer": bits(4)}
    apart["bias_quantizer"] = bits(8, 1)
    return sequential(
        (7, 7, 2),
        QSeparableConv2D(3, 2, depth_multiplier=2, name="apart", **apart),
        QActivation("quantized_relu(6,2)"),
        QAveragePooling2D((3, 2), strides=1, average_quantizer=bits(6), activation=bits(7, 2)),
        QConv2D(3, 2, **weighted()),
        QActivation("quantized_relu(6,2)"),
        QGlobalAveragePooling2D(average_quantizer=bits(8), activation=bits(8, 2)),
        QDense(3, **weighted()),
    )


def rows() -> keras.Model:
    """One dimension, and a separable convolution there."""
    apart = {"depthwise_quantizer": bits(4), "pointwise_quantizer": bits(4)}
    apart["bias_quantizer"] = bits(8, 1)
    return sequential(
        (10, 2),
        QConv1D(4, 3, padding="same", **weighted()),
        QActivation(bits(6, 2)),
        MaxPooling1D(2),
        QSeparableConv1D(3, 3, padding="same", name="apart", **apart),
        QActivation("quantized_relu(5,1)"),
        Flatten(),
        QDense(3, **weighted()),
    )


def curves() -> keras.Model:
    """Every kind of activation; hard_sigmoid, which is one of Keras' and another one of QKeras'."""
    stack: list[Any] = []
    for name in (
        "quantized_sigmoid(5)", "quantized_tanh(5)", "quantized_po2(4,2)",
        "quantized_relu_po2(3,4)", "quantized_relu(5,1,0,0.25)", "binary(alpha=1)",
        "ternary(alpha=1,threshold=0.5)", "quantized_bits(6,2,1,alpha=0.5)",
    ):  # fmt: skip
        stack += [QConv2D(3, 2, padding="same", **weighted()), QActivation(name)]
    for function in ("hard_sigmoid", "relu6", "leaky_relu"):
        stack += [QConv2D(3, 2, padding="same", **weighted(bits(5, 1))), Activation(function)]
        stack += [QActivation(bits(7, 3))]
    inside = QConv2D(3, 2, activation="hard_sigmoid", name="inside", **weighted(bits(5, 1)))
    return sequential((4, 4, 2), *stack, inside, QActivation("quantized_relu(7,0)"))


def nested() -> keras.Model:
    """Two inputs and two outputs, and models inside of models in which names occur again."""
    deep = [Input((4, 4, 3)), QConv2D(3, 3, padding="same", name="conv", **weighted())]
    deep += [BatchNormalization(name="norm"), QActivation(bits(6, 2), name="act")]
    x = middle = Input((4, 4, 3))
    x = QConv2D(3, 3, padding="same", name="conv", **weighted())(x)
    x = QActivation(bits(6, 2), name="act")(x)
    backbone = keras.Model(middle, keras.Sequential(deep, name="deep")(x), name="backbone")
    left, right = Input((6, 6, 2), name="left"), Input((4, 4, 3), name="right")
    x = QActivation(bits(7, 2), name="left_bits")(left)
    x = QActivation(bits(6, 2), name="act")(QConv2D(3, 3, name="conv", **weighted())(x))
    y = backbone(QActivation(bits(8, 2), name="right_bits")(right))
    total = QActivation(bits(6, 2), name="sum")(Add()([x, y]))
    scores = QDense(3, name="scores", **weighted())(Flatten()(total))
    image = QConv2D(2, 1, name="image", **weighted())(Concatenate()([total, x]))
    return keras.Model([left, right], [scores, image], name="outer")


MODELS = {
    "qkeras_v3": plain,
    "qkeras_v3_norms": norms,
    "qkeras_v3_pools": pools,
    "qkeras_v3_rows": rows,
    "qkeras_v3_curves": curves,
    "qkeras_v3_nested": nested,
}


def freeze(name: str, made: keras.Model) -> None:
    """Draw weights, save the model and what it computes."""
    rng = np.random.default_rng(SEED)
    for variable in made.weights:
        kind = variable.path.split("/")[-1]
        if kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.4, 1.6, variable.shape))
        elif variable.shape:
            variable.assign(rng.normal(0, 0.5, variable.shape))
    made.save(FIXTURES / f"{name}.keras")
    inputs = {each.name: rng.integers(-512, 512, (FROZEN, *each.shape[1:])) for each in made.inputs}
    frames = [(codes / 64).astype(np.float32) for codes in inputs.values()]
    results = made.predict(frames if len(frames) > 1 else frames[0], verbose=0)
    results = results if isinstance(results, list) else [results]
    arrays = {f"x.{name}": frame for name, frame in zip(inputs, frames, strict=True)}
    arrays |= {f"y.{number}": result for number, result in enumerate(results)}
    np.savez_compressed(FIXTURES / f"{name}.npz", **arrays)


def main() -> None:
    """Freeze all of them."""
    for name, make in MODELS.items():
        keras.utils.clear_session()
        freeze(name, make())


if __name__ == "__main__":
    main()
