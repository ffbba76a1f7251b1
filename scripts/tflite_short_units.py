"""Models of single TensorFlow Lite operators whose activations have 16 bits; make_tflite_units.py
writes them.
"""

from __future__ import annotations

import numpy as np

from tests.helpers.tflite_files import TfFile


def sixteen(file: TfFile, rng: np.random.Generator) -> None:
    """Activations of 16 bits, weights of eight: layers, sums, products, pools."""
    shape, kind = (1, 5, 4, 3), "INT16"
    x = file.input(shape, kind, scale=3 / 65536)
    z = file.input(shape, kind, scale=5 / 65536)
    window = {"StrideH": 1, "StrideW": 1, "DilationHFactor": 1, "DilationWFactor": 1}
    scales = 0.004 * rng.uniform(0.5, 1.5, 6)
    bias = file.tensor((6,), "INT64", 3 / 65536 * scales, data=rng.integers(-90000, 90000, 6))
    for conv, sizes, axis in (
        ("CONV_2D", (6, 3, 3, 3), 0), ("DEPTHWISE_CONV_2D", (1, 3, 3, 6), 3),
    ):  # fmt: skip
        w = file.tensor(sizes, scale=scales, data=rng.integers(-127, 128, sizes), axis=axis)
        y = file.tensor((1, 5, 4, 6), kind, scale=2.5 / 65536)
        table = "Conv2DOptions" if axis == 0 else "DepthwiseConv2DOptions"
        more = {"DepthMultiplier": 2} if axis else {}
        file.outputs.append(file.operator(
            conv, [x, w, bias], y, table, version=4, FusedActivationFunction=axis // 3,
            **window, **more,
        ))  # fmt: skip
    uneven = 0.003 * rng.uniform(0.5, 1, 5)
    for bits, each, said in (
        ("INT64", 0.003, 0),
        (None, 0.003, 0),
        (None, 0.003, 4),
        ("INT64", uneven, 0),
    ):
        w = file.tensor((5, 60), scale=each, data=rng.integers(-127, 128, (5, 60)))
        bias = -1
        if bits:
            bias = file.tensor(
                (5,), bits, 3 / 65536 * np.asarray(each), data=rng.integers(-90000, 90000, 5)
            )
        y = file.tensor((1, 5), kind, scale=9 / 65536)
        file.outputs.append(
            file.operator(
                "FULLY_CONNECTED",
                [x, w, bias],
                y,
                "FullyConnectedOptions",
                version=11,
                QuantizedBiasType=said,
            )
        )
    for operator, scale in (("ADD", 6 / 65536), ("MUL", 1 / 65536)):
        y = file.tensor(shape, kind, scale=scale)
        table = f"{operator.capitalize()}Options"
        more = {} if operator == "MUL" else {"PotScaleInt16": False}
        file.outputs.append(file.operator(operator, [x, z], y, table, 4, **more))
    for pool in ("MAX_POOL_2D", "AVERAGE_POOL_2D"):
        y = file.tensor((1, 3, 2, 3), kind, scale=3 / 65536)
        file.outputs.append(file.operator(
            pool, [x], y, "Pool2DOptions", version=3, FilterHeight=3, FilterWidth=2, StrideH=2,
            StrideW=2,
        ))  # fmt: skip
    y = file.tensor(shape, scale=0.02, zero=-7)
    file.outputs.append(file.operator("QUANTIZE", [x], y, "QuantizeOptions", version=3))


def short_curves(file: TfFile, rng: np.random.Generator) -> None:
    """Curves, limits, means and softmaxes of 16 bits."""
    shape, kind = (1, 2, 3, 4), "INT16"
    x, z = (file.input(shape, kind, scale=scale) for scale in (3 / 8192, 3 / 65536))
    for source in (x, z):
        for curve in ("LOGISTIC", "TANH", "SOFTMAX"):
            table = {"table": "SoftmaxOptions", "Beta": 0.75} if curve == "SOFTMAX" else {}
            y = file.tensor(shape, kind, scale=2.0**-15)
            file.outputs.append(file.operator(curve, [source], y, version=3, **table))
    for limit, scale in (("RELU", 3 / 8192), ("RELU6", 3 / 8192), ("RELU", 7 / 8192)):
        y = file.tensor(shape, kind, scale=scale)
        file.outputs.append(file.operator(limit, [x], y, version=3))
    for scale, sizes in ((3 / 8192, (1, 1, 1, 4)), (1 / 8192, (1, 4))):
        y, axes = file.tensor(sizes, kind, scale=scale), file.integers([1, 2])
        keeps = len(sizes) == 4
        file.outputs.append(
            file.operator("MEAN", [x, axes], y, "ReducerOptions", 3, KeepDims=keeps)
        )


def short_chain(file: TfFile, rng: np.random.Generator) -> None:
    """Curves of 16 bits in a row, with one output that can be built."""
    shape = (1, 2, 3)
    x = file.input(shape, "INT16", scale=3 / 8192)
    for curve in ("LOGISTIC", "TANH", "SOFTMAX"):
        table = {"table": "SoftmaxOptions", "Beta": 4} if curve == "SOFTMAX" else {}
        y = file.tensor(shape, "INT16", scale=2.0**-15)
        x = file.operator(curve, [x], y, version=3, **table)


def short_ends(file: TfFile, rng: np.random.Generator) -> None:
    """Leaks of 16 bits, and a softmax from bytes to 16 bits."""
    shape, kind = (1, 2, 3, 4), "INT16"
    x = file.input(shape, kind, scale=1 / 1024)
    for alpha, scale in ((0.1, 1 / 1024), (-0.7, 7 / 8192), (1.7, 3 / 1024), (0.0, 1 / 3000)):
        y = file.tensor(shape, kind, scale=scale)
        y = file.operator("LEAKY_RELU", [x], y, "LeakyReluOptions", Alpha=alpha)
        file.outputs.append(y)
    x, y = file.input((1, 6), scale=0.07, zero=5), file.tensor((1, 6), kind, 2.0**-16, -(1 << 15))
    file.outputs.append(file.operator("SOFTMAX", [x], y, "SoftmaxOptions", version=3, Beta=1))
