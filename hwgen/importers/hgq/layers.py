"""HGQ's layers as steps: an input quantizer, what the layer does, an output quantizer.

To add a layer: a handler in ``_HANDLERS``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from ...ir.ops import Add, AvgPool, MaxPool
from ..keras.architecture import KerasLayer
from ..keras.archive import Variables
from ..keras.functions import curve
from ..keras.layers import PLAIN, Handler, global_pooling, in_one_row, pooling, window
from ..keras.steps import Clip, Curve, Each, Join, Linear, Scale, SoftmaxStep, Step
from .quantizers import Fixed, FloatArray, quantize_kernel, quantize_vector


def steps_of(layer: KerasLayer, variables: Variables) -> list[Step]:
    """The steps of a layer. Raises UserError naming the layer."""
    if layer.class_name in PLAIN:
        return PLAIN[layer.class_name](layer)
    return _HANDLERS[layer.class_name](layer, variables)


def check_supported(layer: KerasLayer) -> None:
    """Raise UserError for a class of layers that can not be imported."""
    if layer.class_name not in _HANDLERS | PLAIN:
        names = ", ".join(["InputLayer", *_HANDLERS, *PLAIN])
        raise layer.error(
            f"a layer of class {layer.class_name} is not supported", f"supported are {names}"
        )


def _quantizer(layer: KerasLayer, variables: Variables, name: str, key: str) -> Fixed | None:
    return Fixed.of(layer, layer.get(key), variables, f"{name}/quantizer")


def _data(layer: KerasLayer, variables: Variables, name: str) -> list[Step]:
    """The input (iq) or output (oq) quantizer, where it is enabled."""
    if not layer.config.get(f"enable_{name}"):
        return []
    quantizer = _quantizer(layer, variables, name, f"{name}_conf")
    return [] if quantizer is None else [quantizer.step(name if name == "iq" else None)]


def _around(layer: KerasLayer, variables: Variables, steps: list[Step]) -> list[Step]:
    return [*_data(layer, variables, "iq"), *steps, *_data(layer, variables, "oq")]


def _activation(layer: KerasLayer) -> list[Step]:
    name = layer.config.get("activation")
    plain: dict[Any, list[Step]] = {
        None: [],
        "linear": [],
        "relu": [Clip(layer)],
        "relu6": [Clip(layer, Fraction(6))],
        "softmax": [SoftmaxStep(layer)],
    }
    if name is None or (isinstance(name, str) and name in plain):
        return plain[name]
    function = curve(name, {}) if name in ("tanh", "sigmoid") else None
    if function is None:
        raise layer.error(f"activation {name!r} is not supported")
    return [Curve(layer, function)]


def _parameters(
    layer: KerasLayer, variables: Variables, shapes: list[tuple[int | None, ...]]
) -> Any:
    """The first variables of a layer, float32 of these shapes (None: any length)."""
    arrays = variables.get("", [])
    for number, shape in enumerate(shapes):
        got = arrays[number].shape if number < len(arrays) else None
        fits = got is not None and len(got) == len(shape)
        if not fits or any(want not in (None, n) for want, n in zip(shape, got or (), strict=True)):
            raise layer.error(f"variable {number} has shape {got}, {shape} is needed")
        if arrays[number].dtype != np.float32 or not np.all(np.isfinite(arrays[number])):
            raise layer.error(f"variable {number} is not float32, or holds NaN or infinity")
    return arrays[: len(shapes)]


def _required(quantizer: Fixed | None, layer: KerasLayer, what: str) -> Fixed:
    if quantizer is None:
        raise layer.error(f"its {what} is not quantized", "give it a quantizer and train again")
    return quantizer


def _linear(
    layer: KerasLayer,
    variables: Variables,
    kernel: FloatArray,
    bias: FloatArray | None,
    **more: Any,
) -> Linear:
    kq = _required(_quantizer(layer, variables, "kq", "kq_conf"), layer, "kernel")
    exact = (Fraction(0),) * kernel.shape[-1]
    if bias is not None:
        bq = _required(_quantizer(layer, variables, "bq", "bq_conf"), layer, "bias")
        exact = quantize_vector(bq, bias)
    return Linear(layer, quantize_kernel(kq, kernel), exact, **more)


def _conv(rank: int) -> Callable[[KerasLayer, Variables], list[Step]]:
    def handler(layer: KerasLayer, variables: Variables) -> list[Step]:
        filters = layer.integer("filters")
        size = layer.pair("kernel_size") if rank == 2 else (layer.single("kernel_size"),)
        shapes: list[tuple[int | None, ...]] = [(*size, None, filters)]
        shapes += [(filters,)] if layer.require("use_bias", (True, False)) else []
        kernel, *bias = _parameters(layer, variables, shapes)
        if layer.config.get("padding") == "causal" and _data(layer, variables, "iq"):
            raise layer.error("causal padding is not supported", "use ZeroPadding1D")
        step = _linear(
            layer, variables, kernel, bias[0] if bias else None,
            groups=layer.integer("groups"), **window(layer, rank),
        )  # fmt: skip
        if rank == 2:
            return _around(layer, variables, [step, *_activation(layer)])
        step = replace(step, kernel=replace(step.kernel, codes=step.kernel.codes[None]))
        inside = [*in_one_row(layer, [step]), *_activation(layer)]
        return _around(layer, variables, inside)

    return handler


def _dense(layer: KerasLayer, variables: Variables) -> list[Step]:
    units = layer.integer("units")
    shapes: list[tuple[int | None, ...]] = [(None, units)]
    shapes += [(units,)] if layer.require("use_bias", (True, False)) else []
    kernel, *bias = _parameters(layer, variables, shapes)
    step = _linear(layer, variables, kernel, bias[0] if bias else None)
    return _around(layer, variables, [step, *_activation(layer)])


def _batch_norm_dense(layer: KerasLayer, variables: Variables) -> list[Step]:
    """A dense layer with a batch norm of its inputs in it, in float32 as HGQ folds it."""
    units = layer.integer("units")
    scaled = layer.require("scale", (True, False))
    first: list[tuple[int | None, ...]] = [(None, units), (units,)]
    kernel, bias, *gamma = _parameters(layer, variables, first + [(None,)] * scaled)
    mean, variance = _parameters(layer, {"": variables[""][-2:]}, [(len(kernel),)] * 2)
    factor = (gamma[0] if gamma else np.float32(1)) / np.sqrt(variance + _epsilon(layer))
    bias = bias - np.dot(mean, kernel)
    step = _linear(layer, variables, factor[:, None] * kernel, bias)
    return _around(layer, variables, [step, *_activation(layer)])


def _batch_norm(layer: KerasLayer, variables: Variables) -> list[Step]:
    """A factor and an offset for each channel, quantized."""
    names = [name for name in ("scale", "center") if layer.require(name, (True, False))]
    arrays = _parameters(layer, variables, [(None,)] * (len(names) + 2))
    given = dict(zip(names, arrays, strict=False))
    mean, variance = arrays[-2:]
    scale = given.get("scale", np.float32(1)) / np.sqrt(variance + _epsilon(layer))
    # HGQ2 0.2 takes 1 for the offset that is not trained.
    offset = given.get("center", np.float32(1)) - mean * scale
    kq = _required(_quantizer(layer, variables, "kq", "kq_conf"), layer, "scale")
    bq = _required(_quantizer(layer, variables, "bq", "bq_conf"), layer, "offset")
    axis = layer.config.get("axis", -1)
    step = Scale(layer, axis, quantize_vector(kq, scale), quantize_vector(bq, offset))
    return _around(layer, variables, [step])


def _epsilon(layer: KerasLayer) -> np.float32:
    epsilon = layer.get("epsilon")
    if not isinstance(epsilon, (int, float)) or epsilon < 0:
        raise layer.error(f"epsilon {epsilon!r} is not a number")
    return np.float32(epsilon)


def _pool(handler: Handler) -> Callable[[KerasLayer, Variables], list[Step]]:
    return lambda layer, variables: _around(layer, variables, handler(layer))


def _add(layer: KerasLayer, variables: Variables) -> list[Step]:
    quantizers: list[list[Step]] = []
    if layer.config.get("enable_iq"):
        confs = layer.get("iq_confs")
        for number, conf in enumerate(confs if isinstance(confs, list) else []):
            name = "quantizer" if number == 0 else f"quantizer_{number}"
            found = Fixed.of(layer, conf, variables, f"iq/quantizers/{name}/quantizer")
            quantizers.append([] if found is None else [found.step(f"iq{number}")])
    steps: list[Step] = [Each(layer, tuple(map(tuple, quantizers)))] if quantizers else []
    return [*steps, Join(layer, Add), *_data(layer, variables, "oq")]


def _table(layer: KerasLayer, variables: Variables) -> list[Step]:
    """A function of one variable between two quantizers."""
    return _around(layer, variables, _activation(layer))


def _standalone(layer: KerasLayer, variables: Variables) -> list[Step]:
    quantizer = Fixed.of(layer, layer.get("config"), variables, "quantizer")
    return [] if quantizer is None else [quantizer.step()]


_HANDLERS: dict[str, Callable[[KerasLayer, Variables], list[Step]]] = {
    "QConv2D": _conv(2),
    "QConv1D": _conv(1),
    "QDense": _dense,
    "QBatchNormDense": _batch_norm_dense,
    "QBatchNormalization": _batch_norm,
    "QMaxPooling2D": _pool(pooling(MaxPool)),
    "QMaxPooling1D": _pool(pooling(MaxPool, 1)),
    "QAveragePooling2D": _pool(pooling(AvgPool)),
    "QAveragePooling1D": _pool(pooling(AvgPool, 1)),
    "QGlobalMaxPooling2D": _pool(global_pooling(MaxPool)),
    "QGlobalMaxPooling1D": _pool(global_pooling(MaxPool, 1)),
    "QGlobalAveragePooling2D": _pool(global_pooling(AvgPool)),
    "QGlobalAveragePooling1D": _pool(global_pooling(AvgPool, 1)),
    "QAdd": _add,
    "QUnaryFunctionLUT": _table,
    "Quantizer": _standalone,
    "Activation": lambda layer, variables: _activation(layer),
}
