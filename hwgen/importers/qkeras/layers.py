"""Keras layers as steps: what each layer does, its parameters read and checked.

To add a layer: a handler in ``_HANDLERS``, and a step with its lowering where no step fits.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from ...ir.ops import AvgPool, MaxPool
from .architecture import Layer
from .files import Weights
from .parameters import Kernel, quantize_bias, quantize_kernel
from .quantizers import ActivationQuantizer, activation_quantizer, parse_quantizer


@dataclass(frozen=True)
class Step:
    """One thing to do with the data; its result is what Keras calls the output of ``layer``."""

    layer: Layer

    @property
    def name(self) -> str:
        """The layer's name, which the edge takes."""
        return self.layer.name


@dataclass(frozen=True)
class Linear(Step):
    """A matrix product, or a convolution where ``stride`` is given, plus a bias."""

    kernel: Kernel
    bias: tuple[Fraction, ...]
    stride: tuple[int, int] | None = None
    padding: str = "valid"


@dataclass(frozen=True)
class Norm(Step):
    """``x * scale + offset`` per channel, in float64; ``axis`` counts the frames' axis as 0."""

    axis: int
    scale: np.ndarray[Any, Any]
    offset: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Clip(Step):
    """ReLU: values below zero become zero, those above ``high`` become it (None: no bound)."""

    high: Fraction | None = None


@dataclass(frozen=True)
class Quantize(Step):
    """A quantizer of activations."""

    quantizer: ActivationQuantizer


@dataclass(frozen=True)
class Pooling(Step):
    """Max or average pooling."""

    op: type[MaxPool] | type[AvgPool]
    kernel: tuple[int, int]
    stride: tuple[int, int]
    padding: str


@dataclass(frozen=True)
class Shape(Step):
    """Another shape of the same elements; None: a vector. One length may be -1."""

    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Softmax(Step):
    """A softmax over the channels."""


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


def _weight(layer: Layer, weights: Weights, name: str, shape: tuple[int | None, ...]) -> Any:
    """One array of weights as float32; None in ``shape`` stands for any length."""
    if name not in weights:
        found = f"only {', '.join(weights)}" if weights else "none of this layer"
        raise layer.error(
            f"weights {name!r} are missing (the file has {found})",
            "give the weights file that belongs to this model",
        )
    array = weights[name]
    fits = len(array.shape) == len(shape) and all(
        want in (None, got) for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits:
        text = ", ".join("any" if n is None else str(n) for n in shape)
        raise layer.error(
            f"{name} has shape {array.shape}, ({text}) is needed",
            "give the weights file that belongs to this model",
        )
    if array.dtype not in (np.float32, np.float16):
        raise layer.error(f"{name} is stored as {array.dtype}, float32 is needed")
    if not array.size:
        raise layer.error(f"{name} has shape {array.shape}: it is empty")
    if not np.all(np.isfinite(array)):
        raise layer.error(f"{name} holds NaN or infinity", "the training diverged: train again")
    return array.astype(np.float32)


def _activation(layer: Layer, field: Any) -> list[Step]:
    """The steps of an activation field: a quantizer, or the name of a Keras activation."""
    plain = {"relu": [Clip(layer)], "linear": [], "softmax": [Softmax(layer)]}
    if isinstance(field, str) and field in plain:
        return list(plain[field])
    spec = parse_quantizer(field, layer, "activation")
    return [] if spec is None else [Quantize(layer, activation_quantizer(spec))]


def _linear(layer: Layer, weights: Weights, shape: tuple[int | None, ...], **more: Any) -> Any:
    spec = parse_quantizer(layer.config.get("kernel_quantizer"), layer, "kernel quantizer")
    if spec is None:
        raise layer.error(
            "is not quantized (kernel_quantizer is None)", "give it one and train again"
        )
    kernel = quantize_kernel(spec, _weight(layer, weights, "kernel", shape))
    bias = (Fraction(0),) * len(kernel.scale)
    if layer.require("use_bias", (True, False)):
        array = _weight(layer, weights, "bias", (len(kernel.scale),))
        field = layer.config.get("bias_quantizer")
        bias = quantize_bias(parse_quantizer(field, layer, "bias quantizer"), array)
    step = Linear(layer, kernel, bias, **more)
    return [step, *_activation(layer, layer.config.get("activation"))]


def _dense(layer: Layer, weights: Weights) -> list[Step]:
    return _linear(layer, weights, (None, layer.integer("units")))


def _conv2d(layer: Layer, weights: Weights) -> list[Step]:
    layer.require("data_format", ("channels_last",))
    layer.require("dilation_rate", ((1, 1), 1))
    layer.require("groups", (1,))
    shape = (*layer.pair("kernel_size"), None, layer.integer("filters"))
    return _linear(
        layer,
        weights,
        shape,
        stride=layer.pair("strides"),
        padding=layer.require("padding", ("valid", "same")),
    )


def _batch_norm(layer: Layer, weights: Weights) -> list[Step]:
    axis = layer.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise layer.error(f"axis {axis!r} is not supported", "normalize the last axis")
    mean = _weight(layer, weights, "moving_mean", (None,)).astype(np.float64)
    variance = _weight(layer, weights, "moving_variance", mean.shape).astype(np.float64)
    gamma, beta = np.ones_like(mean), np.zeros_like(mean)
    if layer.require("scale", (True, False)):
        gamma = _weight(layer, weights, "gamma", mean.shape).astype(np.float64)
    if layer.require("center", (True, False)):
        beta = _weight(layer, weights, "beta", mean.shape).astype(np.float64)
    epsilon = layer.config.get("epsilon", 1e-3)
    if not isinstance(epsilon, (int, float)) or not np.all(variance + epsilon > 0):
        raise layer.error(f"moving_variance + epsilon ({epsilon!r}) is not positive")
    scale = gamma / np.sqrt(variance + epsilon)
    return [Norm(layer, axis, scale, beta - mean * scale)]


def _pooling(op: type[MaxPool] | type[AvgPool]) -> Callable[[Layer, Weights], list[Step]]:
    def handler(layer: Layer, weights: Weights) -> list[Step]:
        layer.require("data_format", ("channels_last",))
        kernel = layer.pair("pool_size")
        stride = layer.pair("strides", layer.config.get("strides") or kernel)
        padding = layer.require("padding", ("valid", "same"))
        return [Pooling(layer, op, kernel, stride, padding)]

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


def _softmax(layer: Layer, weights: Weights) -> list[Step]:
    axis = layer.config.get("axis", -1)
    if axis not in (-1, [-1]):
        raise layer.error(f"axis {axis!r} is not supported (only the last)")
    return [Softmax(layer)]


_HANDLERS: dict[str, Callable[[Layer, Weights], list[Step]]] = {
    "QConv2D": _conv2d,
    "QDense": _dense,
    "QActivation": lambda layer, weights: _activation(layer, layer.get("activation")),
    "Activation": lambda layer, weights: _activation(layer, layer.get("activation")),
    "ReLU": _relu,
    "Softmax": _softmax,
    "BatchNormalization": _batch_norm,
    "MaxPooling2D": _pooling(MaxPool),
    "AveragePooling2D": _pooling(AvgPool),
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


def resolve_shape(step: Shape, size: int) -> tuple[int, ...]:
    """The target shape with its unknown length filled in. Raises UserError."""
    if step.shape is None:
        return (size,)
    known = prod(n for n in step.shape if n != -1)
    if size % known or (-1 not in step.shape and known != size):
        raise step.layer.error(f"target_shape {list(step.shape)} does not hold {size} elements")
    return tuple(size // known if n == -1 else n for n in step.shape)
