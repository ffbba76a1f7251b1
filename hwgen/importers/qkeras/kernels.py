"""Layers with kernels, and the reading of weights: dense, convolutions, folded batch norms."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ..keras.architecture import KerasLayer
from ..keras.functions import curve
from ..keras.layers import in_one_row, window
from ..keras.quantizer import Kernel
from ..keras.steps import Clip, Curve, Linear, Quantize, SoftmaxStep, Step, StepFunction
from .files import Weights
from .functions import quantizer_function
from .parameters import quantize_bias, quantize_kernel, quantize_vector
from .quantizers import FloatArray, Spec, activation_quantizer, parse_quantizer


def weight(layer: KerasLayer, weights: Weights, name: str, shape: tuple[int | None, ...]) -> Any:
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


def activation(layer: KerasLayer, field: Any) -> list[Step]:
    """The steps of an activation field: a quantizer, or the name of a Keras activation."""
    plain = {
        "relu": [Clip(layer)],
        "relu6": [Clip(layer, Fraction(6))],
        "linear": [],
        "softmax": [SoftmaxStep(layer)],
    }
    if isinstance(field, str) and field in plain:
        return list(plain[field])
    # QKeras' layers look for a name among QKeras' own functions first.
    whose = "qkeras" if layer.class_name.startswith("Q") else f"keras{layer.keras}"
    if isinstance(field, str) and (function := curve(field, {"whose": whose, "slope": 0.2})):
        return [Curve(layer, function)]
    spec = parse_quantizer(field, layer, "activation")
    if spec is None:
        return []
    if spec.params.get("quadratic_approximation"):
        raise layer.error(
            f"{spec.name} with quadratic_approximation makes more of 0 than of small numbers: such "
            "activations are not supported",
            "leave quadratic_approximation away",
        )
    if (function := quantizer_function(spec)) is not None:
        return [StepFunction(layer, function)]
    return [Quantize(layer, activation_quantizer(spec))]


def _kernel_quantizer(layer: KerasLayer, part: str) -> Spec:
    """The quantizer of a kernel; ``part``: kernel, depthwise or pointwise."""
    spec = parse_quantizer(layer.config.get(f"{part}_quantizer"), layer, f"{part} quantizer")
    if spec is None:
        raise layer.error(
            f"is not quantized ({part}_quantizer is None)", "give it one and train again"
        )
    return spec


def _bias(layer: KerasLayer, weights: Weights, outputs: int) -> FloatArray | None:
    if not layer.require("use_bias", (True, False)):
        return None
    return weight(layer, weights, "bias", (outputs,))


def _exact_bias(layer: KerasLayer, bias: FloatArray | None, outputs: int) -> tuple[Fraction, ...]:
    """The quantized bias."""
    if bias is None:
        return (Fraction(0),) * outputs
    return quantize_bias(
        parse_quantizer(layer.config.get("bias_quantizer"), layer, "bias quantizer"), bias
    )


def _linear(layer: KerasLayer, weights: Weights, shape: tuple[int | None, ...], **more: Any) -> Any:
    """Steps of a layer with one kernel whose last axis is the outputs."""
    spec = _kernel_quantizer(layer, "kernel")
    latent = weight(layer, weights, "kernel", shape)
    outputs = latent.shape[-1]
    bias = _bias(layer, weights, outputs)
    if layer.class_name.endswith("Batchnorm"):
        inverse, bias = _folded(layer, weights, bias, outputs)
        latent = inverse * latent
    kernel = quantize_kernel(spec, latent)
    step = Linear(layer, kernel, _exact_bias(layer, bias, outputs), **more)
    return [step, *activation(layer, layer.config.get("activation"))]


def _folded(
    layer: KerasLayer, weights: Weights, bias: FloatArray | None, outputs: int
) -> tuple[FloatArray, FloatArray]:
    """What a kernel is multiplied by, and the bias, when a batch norm goes into them.

    In float32 as QKeras folds them; both folding modes fold the moving statistics in inference
    (qconv2d_batchnorm.py, QKeras 0.9.0).
    """
    layer.require("folding_mode", ("ema_stats_folding", "batch_stats_folding"))
    norm = statistics(layer, weights, outputs)
    bias = np.zeros(outputs, np.float32) if bias is None else bias
    inverse = np.float32(1) / np.sqrt(norm.variance + np.float32(norm.epsilon))
    inverse = inverse * norm.gamma
    return inverse, inverse * (bias - norm.mean) + norm.beta


def dense(layer: KerasLayer, weights: Weights) -> list[Step]:
    """A QDense layer."""
    return _linear(layer, weights, (None, layer.integer("units")))


def conv2d(layer: KerasLayer, weights: Weights) -> list[Step]:
    """A QConv2D layer, with or without a batch norm in it."""
    kernel, filters, groups = layer.pair("kernel_size"), layer.integer("filters"), 1
    if "groups" in layer.config:
        groups = layer.integer("groups")
    steps = _linear(layer, weights, (*kernel, None, filters), groups=groups, **window(layer))
    mask = layer.config.get("mask")
    if mask is None or layer.class_name != "QConv2D":
        return steps
    return [replace(steps[0], kernel=_masked(layer, steps[0].kernel, mask)), *steps[1:]]


def _masked(layer: KerasLayer, kernel: Kernel, mask: Any) -> Kernel:
    """A kernel of which only some taps are left: the mask of qkeras-v3, zeros and ones."""
    try:
        taps = np.array(mask, np.float64).reshape(*kernel.codes.shape[:2], 1, 1)
    except (TypeError, ValueError):
        raise layer.error("its mask has not one number for each tap of the kernel") from None
    if not np.all((taps == 0) | (taps == 1)):
        raise layer.error("its mask has numbers other than 0 and 1", "put them into the kernel")
    return replace(kernel, codes=kernel.codes * taps.astype(kernel.codes.dtype))


def conv1d(layer: KerasLayer, weights: Weights) -> list[Step]:
    """A QConv1D layer, as a convolution of one row."""
    layer.require("groups", (1,))
    shape = (layer.single("kernel_size"), None, layer.integer("filters"))
    steps = _linear(layer, weights, shape, **window(layer, 1))
    linear = steps[0]
    kernel = replace(linear.kernel, codes=linear.kernel.codes[None])
    return in_one_row(layer, [replace(linear, kernel=kernel)]) + steps[1:]


def _depthwise_kernel(
    layer: KerasLayer, weights: Weights, size: tuple[int, ...], times: int
) -> Any:
    """The stored depthwise kernel, (rows, columns, channels, multiplier)."""
    return weight(layer, weights, "depthwise_kernel", (*size, None, times))


def _depthwise_step(
    layer: KerasLayer, latent: FloatArray, bias: tuple[Fraction, ...] | None, window: dict[str, Any]
) -> Linear:
    """A depthwise convolution: QKeras' scales belong to its last axis, the multiplier."""
    quantized = quantize_kernel(_kernel_quantizer(layer, "depthwise"), latent)
    rows, columns, channels, times = quantized.codes.shape
    kernel = replace(
        quantized,
        codes=quantized.codes.reshape(rows, columns, 1, channels * times),
        scale=quantized.scale * channels,
    )
    exact = (Fraction(0),) * (channels * times) if bias is None else bias
    return Linear(layer, kernel, exact, groups=channels, **window)


def depthwise(layer: KerasLayer, weights: Weights) -> list[Step]:
    """A QDepthwiseConv2D layer, with or without a batch norm in it."""
    times = layer.integer("depth_multiplier")
    latent = _depthwise_kernel(layer, weights, layer.pair("kernel_size"), times)
    outputs = latent.shape[2] * times
    bias = _bias(layer, weights, outputs)
    if layer.class_name.endswith("Batchnorm"):
        inverse, bias = _folded(layer, weights, bias, outputs)
        latent = latent * inverse.reshape(latent.shape[2:])
    step = _depthwise_step(layer, latent, _exact_bias(layer, bias, outputs), window(layer))
    return [step, *activation(layer, layer.config.get("activation"))]


def separable(rank: int) -> Callable[[KerasLayer, Weights], list[Step]]:
    """A depthwise and a pointwise convolution with nothing between them."""

    def handler(layer: KerasLayer, weights: Weights) -> list[Step]:
        size = layer.pair("kernel_size") if rank == 2 else (layer.single("kernel_size"),)
        times, filters = layer.integer("depth_multiplier"), layer.integer("filters")
        deep = _depthwise_kernel(layer, weights, size, times)
        shape = (1,) * rank + (deep.shape[-2] * times, filters)
        point = weight(layer, weights, "pointwise_kernel", shape)
        kernel = quantize_kernel(_kernel_quantizer(layer, "pointwise"), point)
        if rank == 1:
            deep, kernel = deep[None], replace(kernel, codes=kernel.codes[None])
        bias = _exact_bias(layer, _bias(layer, weights, filters), filters)
        steps: list[Step] = [
            _depthwise_step(layer, deep, None, window(layer, rank)),
            Linear(layer, kernel, bias, stride=(1, 1)),
        ]
        steps = steps if rank == 2 else in_one_row(layer, steps)
        return [*steps, *activation(layer, layer.config.get("activation"))]

    return handler


@dataclass(frozen=True)
class Statistics:
    """What a batch normalization learned, float32."""

    mean: FloatArray
    variance: FloatArray
    gamma: FloatArray
    beta: FloatArray
    epsilon: float


def statistics(layer: KerasLayer, weights: Weights, channels: int | None) -> Statistics:
    """The statistics of a batch normalization. Raises UserError."""

    def read(name: str, quantizer: str, length: int | None) -> FloatArray:
        """One vector, quantized where it is a QBatchNormalization."""
        field = layer.config.get(f"{quantizer}_quantizer")
        values = weight(layer, weights, name, (length,))
        return quantize_vector(parse_quantizer(field, layer, f"{quantizer} quantizer"), values)

    mean = read("moving_mean", "mean", channels)
    variance = read("moving_variance", "variance", len(mean))
    gamma, beta = np.ones_like(mean), np.zeros_like(mean)
    if layer.require("scale", (True, False)):
        gamma = read("gamma", "gamma", len(mean))
    if layer.require("center", (True, False)):
        beta = read("beta", "beta", len(mean))
    epsilon = layer.config.get("epsilon", 1e-3)
    if not isinstance(epsilon, (int, float)) or not np.all(variance + epsilon > 0):
        raise layer.error(f"moving_variance + epsilon ({epsilon!r}) is not positive")
    return Statistics(mean, variance, gamma, beta, epsilon)
