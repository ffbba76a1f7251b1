"""QKeras' average pools: sums times a quantized factor, and an activation behind."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction

import numpy as np

from ...ir.ops import AvgPool
from ..keras.architecture import KerasLayer
from ..keras.layers import Handler, global_pooling, pooling
from ..keras.steps import Pooling, Step
from .files import Weights
from .kernels import activation
from .parameters import quantize_vector
from .quantizers import Spec, parse_quantizer


def average(handler: Handler) -> Callable[[KerasLayer, Weights], list[Step]]:
    """The handler of a quantized average pool, from that of the plain one (qpooling.py, QKeras
    0.9.0)."""

    def quantized(layer: KerasLayer, weights: Weights) -> list[Step]:
        spec = parse_quantizer(layer.config.get("average_quantizer"), layer, "average quantizer")
        steps = handler(layer)
        if spec is not None:
            factor = _factor(spec)
            steps = [replace(s, factor=factor) if isinstance(s, Pooling) else s for s in steps]
        return [*steps, *activation(layer, layer.config.get("activation"))]

    return quantized


def _factor(spec: Spec) -> Callable[[int], Fraction]:
    """The quantizer's value of one over a number of elements."""
    if isinstance(spec.params.get("alpha"), str):
        raise spec.layer.error(
            f"its average quantizer has alpha {spec.params['alpha']!r}", "use alpha=1 there"
        )

    def factor(count: int) -> Fraction:
        one = np.float32(1.0 / count)
        value = Fraction(float(quantize_vector(spec, np.array([one]))[0]))
        if value <= 0:
            raise spec.layer.error(
                f"its average quantizer makes {float(value):g} of 1/{count}",
                "give it more bits",
            )
        return value

    return factor


average_pooling = average(pooling(AvgPool))
global_average_pooling = average(global_pooling(AvgPool))
