"""Keras layers as steps: what each layer does, its parameters read and checked.

To add a layer: a handler in ``_HANDLERS``, and a step with its lowering where no step fits.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from ..keras.architecture import KerasLayer
from ..keras.layers import PLAIN
from ..keras.steps import Norm, Step
from .files import Weights
from .kernels import (
    Statistics,
    activation,
    conv1d,
    conv2d,
    dense,
    depthwise,
    separable,
    statistics,
)
from .parameters import quantize_vector
from .pools import average_pooling, global_average_pooling
from .quantizers import parse_quantizer


def steps_of(layer: KerasLayer, weights: Weights) -> list[Step]:
    """The steps of a layer. Raises UserError naming the layer."""
    if layer.class_name in PLAIN:
        return PLAIN[layer.class_name](layer)
    return _HANDLERS[layer.class_name](layer, weights)


def check_supported(layer: KerasLayer) -> None:
    """Raise UserError for a class of layers that can not be imported."""
    if layer.class_name in _HGQ1:
        raise layer.error(
            f"{layer.class_name} is a layer of HGQ 1, whose files are not read",
            "build the model with HGQ2 (pip install HGQ2), train it, and save it as name.keras",
        )
    quantized = _UNQUANTIZED.get(layer.class_name)
    if quantized:
        raise layer.error(
            f"is not quantized ({layer.class_name} has float weights)",
            f"use {quantized} of QKeras with a kernel_quantizer, and train again",
        )
    if layer.class_name not in _HANDLERS | PLAIN:
        names = ", ".join(["InputLayer", *_HANDLERS, *PLAIN])
        raise layer.error(
            f"a layer of class {layer.class_name} is not supported", f"supported are {names}"
        )


def _batch_norm(layer: KerasLayer, weights: Weights) -> list[Step]:
    axis = layer.config.get("axis", -1)
    axis = axis[0] if isinstance(axis, list) and len(axis) == 1 else axis
    if isinstance(axis, bool) or not isinstance(axis, int):
        raise layer.error(f"axis {axis!r} is not supported", "normalize the last axis")
    norm = statistics(layer, weights, None)
    if layer.config.get("inverse_quantizer") is not None:
        return [_inverse_norm(layer, axis, norm)]
    mean, variance = norm.mean.astype(np.float64), norm.variance.astype(np.float64)
    gamma, beta = norm.gamma.astype(np.float64), norm.beta.astype(np.float64)
    scale = gamma / np.sqrt(variance + norm.epsilon)
    return [Norm(layer, axis, scale, beta - mean * scale)]


def _inverse_norm(layer: KerasLayer, axis: int, norm: Statistics) -> Norm:
    """A batch norm whose factor is quantized as a whole, computed in float32 (qnormalization.py,
    qkeras-v3 1.2.1)."""
    inverse = np.float32(1) / np.sqrt(norm.variance + np.float32(norm.epsilon)) * norm.gamma
    spec = parse_quantizer(layer.config["inverse_quantizer"], layer, "inverse quantizer")
    scale = quantize_vector(spec, inverse).astype(np.float64)
    return Norm(layer, axis, scale, norm.beta - norm.mean * scale)


_HANDLERS: dict[str, Callable[[KerasLayer, Weights], list[Step]]] = {
    "QConv2D": conv2d,
    "QConv2DBatchnorm": conv2d,
    "QConv1D": conv1d,
    "QDepthwiseConv2D": depthwise,
    "QDepthwiseConv2DBatchnorm": depthwise,
    "QSeparableConv2D": separable(2),
    "QSeparableConv1D": separable(1),
    "QDense": dense,
    "QDenseBatchnorm": dense,
    "QAveragePooling2D": average_pooling,
    "QGlobalAveragePooling2D": global_average_pooling,
    "QActivation": lambda layer, weights: activation(layer, layer.get("activation")),
    "Activation": lambda layer, weights: activation(layer, layer.get("activation")),
    "BatchNormalization": _batch_norm,
    "QBatchNormalization": _batch_norm,
}

_HGQ1 = frozenset({
    "HActivation", "HAdd", "HConv1D", "HConv1DBatchNorm", "HConv2D", "HConv2DBatchNorm", "HDense",
    "HDenseBatchNorm", "HQuantize", "PAveragePooling1D", "PAveragePooling2D", "PConcatenate",
    "PDropout", "PFlatten", "PMaxPooling1D", "PMaxPooling2D", "PPermute", "PReshape",
    "PZeroPadding1D", "PZeroPadding2D", "Signature",
})  # fmt: skip
"""Layers of the first HGQ, which is on Keras 2 and saves .h5 files as QKeras does."""

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
