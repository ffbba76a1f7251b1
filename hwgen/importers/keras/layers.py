"""Layers of Keras itself, which have no weights, as steps."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from typing import Any

import numpy as np

from ...errors import UserError
from ...ir.fields import PADS
from ...ir.ops import Add, AvgPool, Concat, MaxPool, Pad, Upsample
from .architecture import KerasLayer
from .functions import curve
from .steps import Border, Clip, Curve, Join, Pooling, PoolOp, RowAxis, Shape, SoftmaxStep, Step

Handler = Callable[[KerasLayer], list[Step]]


def pooling(op: PoolOp, rank: int = 2) -> Handler:
    """Make the steps of a layer that pools windows of an image, or of a sequence (rank 1)."""

    def handler(layer: KerasLayer) -> list[Step]:
        layer.require("data_format", ("channels_last",))
        padding = layer.require("padding", ("valid", "same"))
        if rank == 1:
            length = layer.single("pool_size")
            stride = layer.single("strides", layer.config.get("strides") or length)
            return in_one_row(layer, [Pooling(layer, op, (1, length), (1, stride), padding)])
        kernel = layer.pair("pool_size")
        stride = layer.pair("strides", layer.config.get("strides") or kernel)
        return [Pooling(layer, op, kernel, stride, padding)]

    return handler


def global_pooling(op: PoolOp, rank: int = 2) -> Handler:
    """Make the steps of a layer that pools a whole image or sequence."""

    def handler(layer: KerasLayer) -> list[Step]:
        layer.require("data_format", ("channels_last",))
        steps: list[Step] = [Pooling(layer, op, None)]
        if rank == 1:
            steps = in_one_row(layer, steps)
        return steps if layer.require("keepdims", (False, True)) else [*steps, Shape(layer)]

    return handler


def _zero_padding(layer: KerasLayer) -> list[Step]:
    layer.require("data_format", ("channels_last",))
    value = layer.get("padding")
    pads = [value, value] if isinstance(value, int) else value
    if isinstance(pads, list) and len(pads) == 2:
        pads = [[p, p] if isinstance(p, int) else p for p in pads]
    return [Border(layer, Pad(_pads(layer, pads, value)))]


def _zero_padding_1d(layer: KerasLayer) -> list[Step]:
    value = layer.get("padding")
    pads = _pads(layer, [[0, 0], [value, value] if isinstance(value, int) else value], value)
    return in_one_row(layer, [Border(layer, Pad(pads))])


def _pads(
    layer: KerasLayer, pads: object, value: object
) -> tuple[tuple[int, int], tuple[int, int]]:
    try:
        return PADS.read(pads)
    except UserError:
        raise layer.error(f"padding {value!r} is not understood") from None


def _upsampling(rank: int) -> Handler:
    def handler(layer: KerasLayer) -> list[Step]:
        if rank == 1:
            return in_one_row(layer, [Border(layer, Upsample((1, layer.single("size"))))])
        layer.require("data_format", ("channels_last",))
        layer.require("interpolation", ("nearest",))
        return [Border(layer, Upsample(layer.pair("size")))]

    return handler


def _join(op: type[Add] | type[Concat]) -> Handler:
    def handler(layer: KerasLayer) -> list[Step]:
        if op is Concat:
            layer.require("axis", (-1, 3))
        return [Join(layer, op)]

    return handler


def _flatten(layer: KerasLayer) -> list[Step]:
    layer.require("data_format", ("channels_last",))
    return [Shape(layer)]


def _reshape(layer: KerasLayer) -> list[Step]:
    shape = layer.get("target_shape")
    good = isinstance(shape, list) and 1 <= len(shape) <= 3
    if not good or not all(isinstance(n, int) and (n >= 1 or n == -1) for n in shape):
        raise layer.error(f"target_shape {shape!r} is not supported (1 to 3 lengths)")
    if shape.count(-1) > 1:
        raise layer.error(f"target_shape {shape!r} has several unknown lengths")
    return [Shape(layer, tuple(shape))]


def _relu(layer: KerasLayer) -> list[Step]:
    for key in ("negative_slope", "threshold"):
        if layer.config.get(key):
            raise layer.error(f"{key} {layer.config[key]!r} is not supported (only 0)")
    high = layer.config.get("max_value")
    if high is None:
        return [Clip(layer)]
    if isinstance(high, bool) or not isinstance(high, (int, float)) or not 0 < high < 2.0**64:
        raise layer.error(f"max_value {high!r} is not a positive number")
    return [Clip(layer, Fraction(float(np.float32(high))))]


def _leaky_relu(layer: KerasLayer) -> list[Step]:
    slope = layer.config.get("alpha", layer.config.get("negative_slope", 0.3))
    if isinstance(slope, bool) or not isinstance(slope, (int, float)) or not 0 <= slope <= 1:
        raise layer.error(f"alpha {slope!r} is not a number from 0 to 1")
    function = curve("leaky_relu", {"slope": slope})
    assert function is not None
    return [Curve(layer, function)]


def _softmax(layer: KerasLayer) -> list[Step]:
    axis = layer.config.get("axis", -1)
    if axis not in (-1, [-1]):
        raise layer.error(f"axis {axis!r} is not supported (only the last)")
    return [SoftmaxStep(layer)]


def in_one_row(layer: KerasLayer, steps: list[Step]) -> list[Step]:
    """What is done to an image, done to a sequence."""
    return [RowAxis(layer, add=True), *steps, RowAxis(layer, add=False)]


def window(layer: KerasLayer, rank: int = 2) -> dict[str, Any]:
    """Stride, padding and dilation of a convolution; one of rank 1 has one row."""
    layer.require("data_format", ("channels_last",))
    if rank == 2:
        return {
            "stride": layer.pair("strides"),
            "dilation": layer.pair("dilation_rate", layer.config.get("dilation_rate", 1)),
            "padding": layer.require("padding", ("valid", "same")),
        }
    stride, dilation = layer.single("strides"), layer.single("dilation_rate", 1)
    padding = layer.require("padding", ("valid", "same", "causal"))
    if padding == "causal":
        padding = ((0, 0), ((layer.single("kernel_size") - 1) * dilation, 0))
    return {"stride": (1, stride), "dilation": (1, dilation), "padding": padding}


PLAIN: dict[str, Handler] = {
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "Softmax": _softmax,
    "MaxPooling2D": pooling(MaxPool),
    "MaxPooling1D": pooling(MaxPool, 1),
    "AveragePooling2D": pooling(AvgPool),
    "AveragePooling1D": pooling(AvgPool, 1),
    "GlobalMaxPooling2D": global_pooling(MaxPool),
    "GlobalMaxPooling1D": global_pooling(MaxPool, 1),
    "GlobalAveragePooling2D": global_pooling(AvgPool),
    "GlobalAveragePooling1D": global_pooling(AvgPool, 1),
    "ZeroPadding2D": _zero_padding,
    "ZeroPadding1D": _zero_padding_1d,
    "UpSampling2D": _upsampling(2),
    "UpSampling1D": _upsampling(1),
    "Add": _join(Add),
    "Concatenate": _join(Concat),
    "Flatten": _flatten,
    "Reshape": _reshape,
    # Dropout acts in training only.
    "Dropout": lambda layer: [],
}
"""Layers that mean the same in every version of Keras and every library on it."""
