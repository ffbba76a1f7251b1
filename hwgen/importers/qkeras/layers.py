"""Keras layers as steps: what each layer does, its parameters read and checked.

To add a layer: a handler in ``_HANDLERS``, and a step with its lowering where no step fits.
"""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction

import numpy as np

from ...ir.fields import PADS
from ...ir.ops import Add, AvgPool, Concat, MaxPool, Pad, Upsample
from .architecture import Layer
from .files import Weights
from .functions import curve
from .kernels import activation, conv1d, conv2d, dense, depthwise, in_one_row, separable, statistics
from .steps import Border, Clip, Curve, Join, Norm, Pooling, PoolOp, Shape, Softmax, Step


def steps_of(layer: Layer, weights: Weights) -> list[Step]:
    """The steps of a layer. Raises UserError naming the layer."""
    return _HANDLERS[layer.class_name](layer, weights)


def check_supported(layer: Layer) -> None:
    """Raise UserError for a class of layers that can not be imported."""
    quantized = _UNQUANTIZED.get(layer.class_name)
    if quantized:
        raise layer.error(
            f"is not quantized ({layer.class_name} has float weights)",
            f"use {quantized} of QKeras with a kernel_quantizer, and train again",
        )
    if layer.class_name not in _HANDLERS:
        names = ", ".join(["InputLayer", *_HANDLERS])
        raise layer.error(
            f"a layer of class {layer.class_name} is not supported", f"supported are {names}"
        )


def _batch_norm(layer: Layer, weights: Weights) -> list[Step]:
    axis = layer.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise layer.error(f"axis {axis!r} is not supported", "normalize the last axis")
    norm = statistics(layer, weights, None)
    mean, variance = norm.mean.astype(np.float64), norm.variance.astype(np.float64)
    gamma, beta = norm.gamma.astype(np.float64), norm.beta.astype(np.float64)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return [Norm(layer, axis, scale, beta - mean * scale)]


def _pooling(op: PoolOp, rank: int = 2) -> Callable[[Layer, Weights], list[Step]]:
    def handler(layer: Layer, weights: Weights) -> list[Step]:
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


def _global_pooling(op: PoolOp, rank: int = 2) -> Callable[[Layer, Weights], list[Step]]:
    def handler(layer: Layer, weights: Weights) -> list[Step]:
        layer.require("data_format", ("channels_last",))
        steps: list[Step] = [Pooling(layer, op, None)]
        if rank == 1:
            steps = in_one_row(layer, steps)
        return steps if layer.require("keepdims", (False, True)) else [*steps, Shape(layer)]

    return handler


def _zero_padding(layer: Layer, weights: Weights) -> list[Step]:
    layer.require("data_format", ("channels_last",))
    value = layer.get("padding")
    pads = [value, value] if isinstance(value, int) else value
    if isinstance(pads, list) and len(pads) == 2:
        pads = [[p, p] if isinstance(p, int) else p for p in pads]
    return [Border(layer, Pad(_pads(layer, pads, value)))]


def _zero_padding_1d(layer: Layer, weights: Weights) -> list[Step]:
    value = layer.get("padding")
    pads = _pads(layer, [[0, 0], [value, value] if isinstance(value, int) else value], value)
    return in_one_row(layer, [Border(layer, Pad(pads))])


def _pads(layer: Layer, pads: object, value: object) -> tuple[tuple[int, int], tuple[int, int]]:
    try:
        return PADS.decode(pads)
    except ValueError:
        raise layer.error(f"padding {value!r} is not understood") from None


def _upsampling(rank: int) -> Callable[[Layer, Weights], list[Step]]:
    def handler(layer: Layer, weights: Weights) -> list[Step]:
        if rank == 1:
            return in_one_row(layer, [Border(layer, Upsample((1, layer.single("size"))))])
        layer.require("data_format", ("channels_last",))
        layer.require("interpolation", ("nearest",))
        return [Border(layer, Upsample(layer.pair("size")))]

    return handler


def _join(op: type[Add] | type[Concat]) -> Callable[[Layer, Weights], list[Step]]:
    def handler(layer: Layer, weights: Weights) -> list[Step]:
        if op is Concat:
            layer.require("axis", (-1, 3))
        return [Join(layer, op)]

    return handler


def _flatten(layer: Layer, weights: Weights) -> list[Step]:
    layer.require("data_format", ("channels_last",))
    return [Shape(layer)]


def _reshape(layer: Layer, weights: Weights) -> list[Step]:
    shape = layer.get("target_shape")
    good = isinstance(shape, list) and 1 <= len(shape) <= 3
    if not good or not all(isinstance(n, int) and (n >= 1 or n == -1) for n in shape):
        raise layer.error(f"target_shape {shape!r} is not supported (1 to 3 lengths)")
    if shape.count(-1) > 1:
        raise layer.error(f"target_shape {shape!r} has several unknown lengths")
    return [Shape(layer, tuple(shape))]


def _relu(layer: Layer, weights: Weights) -> list[Step]:
    for key in ("negative_slope", "threshold"):
        if layer.config.get(key):
            raise layer.error(f"{key} {layer.config[key]!r} is not supported (only 0)")
    high = layer.config.get("max_value")
    if high is None:
        return [Clip(layer)]
    if isinstance(high, bool) or not isinstance(high, (int, float)) or not 0 < high < 2.0**64:
        raise layer.error(f"max_value {high!r} is not a positive number")
    return [Clip(layer, Fraction(float(np.float32(high))))]


def _leaky_relu(layer: Layer, weights: Weights) -> list[Step]:
    slope = layer.config.get("alpha", layer.config.get("negative_slope", 0.3))
    if isinstance(slope, bool) or not isinstance(slope, (int, float)) or not 0 <= slope <= 1:
        raise layer.error(f"alpha {slope!r} is not a number from 0 to 1")
    function = curve("leaky_relu", {"slope": slope})
    assert function is not None
    return [Curve(layer, function)]


def _softmax(layer: Layer, weights: Weights) -> list[Step]:
    axis = layer.config.get("axis", -1)
    if axis not in (-1, [-1]):
        raise layer.error(f"axis {axis!r} is not supported (only the last)")
    return [Softmax(layer)]


_HANDLERS: dict[str, Callable[[Layer, Weights], list[Step]]] = {
    "QConv2D": conv2d,
    "QConv2DBatchnorm": conv2d,
    "QConv1D": conv1d,
    "QDepthwiseConv2D": depthwise,
    "QDepthwiseConv2DBatchnorm": depthwise,
    "QSeparableConv2D": separable(2),
    "QSeparableConv1D": separable(1),
    "QDense": dense,
    "QDenseBatchnorm": dense,
    "QActivation": lambda layer, weights: activation(layer, layer.get("activation")),
    "Activation": lambda layer, weights: activation(layer, layer.get("activation")),
    "ReLU": _relu,
    "LeakyReLU": _leaky_relu,
    "Softmax": _softmax,
    "BatchNormalization": _batch_norm,
    "QBatchNormalization": _batch_norm,
    "MaxPooling2D": _pooling(MaxPool),
    "MaxPooling1D": _pooling(MaxPool, 1),
    "AveragePooling2D": _pooling(AvgPool),
    "AveragePooling1D": _pooling(AvgPool, 1),
    "GlobalMaxPooling2D": _global_pooling(MaxPool),
    "GlobalMaxPooling1D": _global_pooling(MaxPool, 1),
    "GlobalAveragePooling2D": _global_pooling(AvgPool),
    "GlobalAveragePooling1D": _global_pooling(AvgPool, 1),
    "ZeroPadding2D": _zero_padding,
    "ZeroPadding1D": _zero_padding_1d,
    "UpSampling2D": _upsampling(2),
    "UpSampling1D": _upsampling(1),
    "Add": _join(Add),
    "Concatenate": _join(Concat),
    "Flatten": _flatten,
    "Reshape": _reshape,
    # Dropout acts in training only.
    "Dropout": lambda layer, weights: [],
}

_UNQUANTIZED = {
    "Dense": "QDense",
    "Conv1D": "QConv1D",
    "Conv2D": "QConv2D",
    "Conv2DTranspose": "QConv2DTranspose",
    "DepthwiseConv2D": "QDepthwiseConv2D",
    "SeparableConv2D": "QSeparableConv2D",
    "SimpleRNN": "QSimpleRNN",
    "LSTM": "QLSTM",
    "GRU": "QGRU",
}
