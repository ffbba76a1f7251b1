"""Functions of one number: as ONNX states them, in float64, to be rounded to float32."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ...errors import UserError
from .file import OxNode
from .work import Array

_SELU = (1.67326319217681884765625, 1.05070102214813232421875)
"""ONNX's alpha and gamma where a Selu has none."""


def _factor(node: OxNode, key: str, given: float) -> float:
    """A factor of a curve. Raises UserError where the curve would fall."""
    factor = float(np.float32(node.get(key, given)))
    if not 0 <= factor < math.inf:
        raise UserError(f"{key} {factor:g} is not supported, which is no positive number")
    return factor


def _exponential(x: Array) -> Array:
    """exp(x) - 1 of numbers below zero, else 0."""
    return np.expm1(np.minimum(x.astype(np.float64), 0.0))


def elu(node: OxNode, x: Array) -> Array:
    """x, or alpha * (exp(x) - 1) below zero."""
    return np.where(x > 0, x, _factor(node, "alpha", 1.0) * _exponential(x))


def celu(node: OxNode, x: Array) -> Array:
    """x, or alpha * (exp(x / alpha) - 1) below zero."""
    alpha = _factor(node, "alpha", 1.0)
    if not alpha:
        raise UserError("alpha 0 is not supported")
    return np.where(x > 0, x, alpha * _exponential(x / alpha))


def selu(node: OxNode, x: Array) -> Array:
    """gamma * x, or gamma * alpha * (exp(x) - 1) below zero."""
    alpha, gamma = _factor(node, "alpha", _SELU[0]), _factor(node, "gamma", _SELU[1])
    return gamma * np.where(x > 0, x.astype(np.float64), alpha * _exponential(x))


def softplus(node: OxNode, x: Array) -> Array:
    """log(1 + exp(x))."""
    return np.logaddexp(0.0, x.astype(np.float64))


def softsign(node: OxNode, x: Array) -> Array:
    """x / (1 + |x|)."""
    return x / (1 + np.abs(x))


_ERF: Callable[[Array], Array] = np.vectorize(math.erf, otypes=[np.float64])


def erf(node: OxNode, x: Array) -> Array:
    """The error function."""
    return _ERF(x)


def gelu(node: OxNode, x: Array) -> Array:
    """x / 2 * (1 + erf(x / sqrt(2))), or its approximation by tanh."""
    wide = x.astype(np.float64)
    if str(node.get("approximate", "none")) == "tanh":
        inner = math.sqrt(2 / math.pi) * (wide + 0.044715 * wide**3)
        return 0.5 * wide * (1 + np.tanh(inner))
    return 0.5 * wide * (1 + _ERF(wide / math.sqrt(2)))


def hard_swish(node: OxNode, x: Array) -> Array:
    """x * clip(x / 6 + 1 / 2, 0, 1), in float32."""
    line = x * np.float32(1 / 6) + np.float32(0.5)
    return x * np.clip(line, np.float32(0), np.float32(1))


def mish(node: OxNode, x: Array) -> Array:
    """x * tanh(log(1 + exp(x)))."""
    wide = x.astype(np.float64)
    return wide * np.tanh(np.logaddexp(0.0, wide))
