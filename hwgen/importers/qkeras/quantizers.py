"""QKeras' quantizers: their parameters, and the integer rule of those for activations."""

from __future__ import annotations

import ast
from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ...numeric import Overflow, QType, Rounding
from ..affine import log2_exact
from ..keras.architecture import KerasLayer
from ..keras.quantizer import ActivationQuantizer

FloatArray = np.ndarray[Any, Any]

FLOAT32_BITS = 24
"""QKeras computes in float32: with more bits its largest code is no longer 2**bits - 1."""

_PO2: dict[str, Any] = {
    "bits": 8,
    "max_value": None,
    "use_stochastic_rounding": False,
    "quadratic_approximation": False,
    "log2_rounding": "rnd",
    "qnoise_factor": 1.0,
    "var_name": None,
    "use_ste": True,
    "use_variables": False,
}

# Parameters with QKeras' defaults, in the order of its constructors.
_PARAMETERS: dict[str, dict[str, Any]] = {
    "quantized_bits": {
        "bits": 8,
        "integer": 0,
        "symmetric": 0,
        "keep_negative": True,
        "alpha": None,
        "use_stochastic_rounding": False,
        "scale_axis": None,
        "qnoise_factor": 1.0,
        "var_name": None,
        "use_ste": True,
        "use_variables": False,
    },
    "quantized_relu": {
        "bits": 8,
        "integer": 0,
        "use_sigmoid": 0,
        "negative_slope": 0.0,
        "use_stochastic_rounding": False,
        "relu_upper_bound": None,
        "is_quantized_clip": True,
        "qnoise_factor": 1.0,
        "var_name": None,
        "use_ste": True,
        "use_variables": False,
    },
    "quantized_tanh": {
        "bits": 8,
        "use_stochastic_rounding": False,
        "symmetric": False,
        "use_real_tanh": False,
    },
    "quantized_sigmoid": {
        "bits": 8,
        "symmetric": False,
        "use_real_sigmoid": False,
        "use_stochastic_rounding": False,
    },
    "quantized_po2": _PO2,
    "quantized_relu_po2": {"bits": 8, "max_value": None, "negative_slope": 0} | _PO2,
    "binary": {"use_01": False, "alpha": None, "use_stochastic_rounding": False},
    "ternary": {
        "alpha": None,
        "threshold": None,
        "use_stochastic_rounding": False,
        "number_of_unrolls": 5,
    },
}


@dataclass(frozen=True)
class Spec:
    """A quantizer with all its parameters, from its object or its string."""

    name: str
    params: dict[str, Any]
    layer: KerasLayer

    def number(self, key: str, low: int, high: int) -> int:
        """An integer parameter within limits (a float with an integral value is one)."""
        value = self.params[key]
        if isinstance(value, (int, float)) and low <= value <= high and value == int(value):
            return int(value)
        raise self.layer.error(f"{self.name}: {key} is {value!r}, {low}..{high} is needed")

    def flag(self, key: str) -> bool:
        """A parameter that is true or false, or 1 or 0."""
        return bool(self.number(key, 0, 1))


def parse_quantizer(field: Any, layer: KerasLayer, what: str) -> Spec | None:
    """Read a quantizer: an object, a string such as ``quantized_relu(4,2)``, or none (None).

    Raises UserError for a quantizer or a parameter that is not supported.
    """
    if field is None or field in ("linear", "None"):
        return None
    name, args, given = _call(field, layer, what)
    if name not in _PARAMETERS:
        raise layer.error(
            f"{what} {name!r} is not supported", f"supported are {', '.join(_PARAMETERS)}"
        )
    known = _PARAMETERS[name]
    if len(args) > len(known):
        raise layer.error(f"{what} {name} has {len(args)} arguments, at most {len(known)} exist")
    given = dict(zip(known, args, strict=False)) | given
    for key, value in given.items():
        if key not in known and value is not None:
            raise layer.error(
                f"{what} {name} has {key}={value!r}, which is not supported",
                f"leave {key} away, and train again",
            )
    spec = Spec(name, known | {k: v for k, v in given.items() if k in known}, layer)
    if spec.params.get("qnoise_factor", 1.0) != 1.0:
        raise layer.error(
            f"{name}: qnoise_factor {spec.params['qnoise_factor']!r} leaves values unquantized",
            "set it to 1 before saving",
        )
    return spec


def _call(field: Any, layer: KerasLayer, what: str) -> tuple[str, list[Any], dict[str, Any]]:
    """Name, positional and named arguments."""
    if isinstance(field, dict):
        name, config = field.get("class_name"), field.get("config", {})
        if isinstance(name, str) and isinstance(config, dict):
            return name.rsplit(">", 1)[-1], [], config
    if isinstance(field, str):
        try:
            node = ast.parse(field.strip(), mode="eval").body
            if isinstance(node, ast.Name):
                return node.id, [], {}
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
                args = [ast.literal_eval(a) for a in node.args]
                named = {str(k.arg): ast.literal_eval(k.value) for k in node.keywords}
                return node.func.id, args, named
        except (SyntaxError, ValueError, RecursionError, MemoryError):
            pass
    raise layer.error(f"{what} {field!r} is not understood")


def bits_type(spec: Spec) -> tuple[QType, int]:
    """Type and grid of codes without alpha: of quantized_bits, binary and ternary."""
    if is_binary(spec) or spec.name == "ternary":
        # +1 and -1 take two bits of two's complement; ``integer`` plays no part.
        return QType(True, 2, 0, Rounding.HALF_EVEN, Overflow.SATURATE_SYMMETRIC), 0
    bits, signed = spec.number("bits", 1, 32), spec.flag("keep_negative")
    integer = spec.number("integer", -64, 64)
    symmetric = signed and spec.flag("symmetric")
    overflow = Overflow.SATURATE_SYMMETRIC if symmetric else Overflow.SATURATE
    frac = bits - int(signed) - integer
    return QType(signed, bits, frac, Rounding.HALF_EVEN, overflow), frac


def with_frac(qtype: QType, frac: int) -> QType:
    """The same type with other fractional bits."""
    return QType(qtype.signed, qtype.width, frac, qtype.rounding, qtype.overflow)


def is_binary(spec: Spec) -> bool:
    """Whether it is the sign function with sign(0) = 1: one bit, signed."""
    if spec.name != "quantized_bits":
        return spec.name == "binary"
    return spec.params["bits"] == 1 and spec.flag("keep_negative")


def channel_alphas(spec: Spec, channels: int) -> tuple[Fraction, ...]:
    """The alpha of each output channel of a kernel: one number for all, or a list of them.

    QKeras stores lists as they are and arrays as ``{"class_name": "__numpy__", ...}``.
    """
    alpha = spec.params["alpha"]
    if isinstance(alpha, dict) and alpha.get("class_name") == "__numpy__":
        alpha = alpha.get("config", {}).get("value")
    if not isinstance(alpha, list):
        return (number_alpha(spec),) * channels
    while len(alpha) == 1 and isinstance(alpha[0], list):
        alpha = alpha[0]
    if len(alpha) not in (1, channels):
        raise spec.layer.error(
            f"{spec.name}: alpha has {len(alpha)} numbers for {channels} output channels"
        )
    alphas = tuple(number_alpha(replace(spec, params=spec.params | {"alpha": a})) for a in alpha)
    return alphas * (channels // len(alphas))


def number_alpha(spec: Spec) -> Fraction:
    """A number alpha as the float32 that QKeras multiplies by."""
    alpha = spec.params["alpha"]
    if alpha is None:
        return Fraction(1)
    if isinstance(alpha, bool) or not isinstance(alpha, (int, float)) or not 0 < alpha < 2.0**64:
        raise spec.layer.error(
            f"{spec.name}: alpha {alpha!r} is not supported", 'use a positive number, or "auto"'
        )
    return Fraction(float(np.float32(alpha)))


def ternary_threshold(spec: Spec) -> Fraction:
    """Find the number from which on ternary is not zero, a float32. Raises UserError."""
    threshold = spec.params["threshold"]
    threshold = 0.33 if threshold is None else threshold
    if isinstance(threshold, bool) or not isinstance(threshold, (int, float)) or threshold <= 0:
        raise spec.layer.error(f"{spec.name}: threshold {threshold!r} is not a positive number")
    return Fraction(float(np.float32(threshold)))


def activation_quantizer(spec: Spec) -> ActivationQuantizer:
    """The integer rule of a quantizer of activations. Raises UserError where there is none."""
    if spec.name not in ("quantized_bits", "quantized_relu"):
        raise spec.layer.error(
            f"activation {spec.name!r} is not supported", "use quantized_bits or quantized_relu"
        )
    if spec.number("bits", 1, 32) > FLOAT32_BITS:
        raise spec.layer.error(
            f"{spec.name} with {spec.params['bits']} bits is not exact in the float32 of QKeras",
            f"use at most {FLOAT32_BITS} bits",
        )
    if spec.name == "quantized_relu":
        return _relu(spec)
    if isinstance(spec.params["alpha"], str):
        raise spec.layer.error(
            f"{spec.name}: alpha {spec.params['alpha']!r} of an activation depends on the data",
            "use alpha=1",
        )
    qtype, grid = bits_type(spec)
    exponent = log2_exact(number_alpha(spec))
    if exponent is None:
        raise spec.layer.error(
            f"{spec.name}: alpha {spec.params['alpha']!r} of an activation is not a power of two",
            "use alpha=1",
        )
    return ActivationQuantizer(with_frac(qtype, grid - exponent), grid, is_binary(spec))


def _relu(spec: Spec) -> ActivationQuantizer:
    bits, integer = spec.number("bits", 1, 32), spec.number("integer", -64, 64)
    for key in ("use_sigmoid", "negative_slope"):
        if spec.params[key]:
            raise spec.layer.error(f"{spec.name}: {key}={spec.params[key]!r} is not supported")
    qtype = QType(False, bits, bits - integer, Rounding.HALF_EVEN, Overflow.SATURATE)
    bound = spec.params["relu_upper_bound"]
    # QKeras obeys the bound only with is_quantized_clip=False, which it does not save: a file
    # can not say what the model was trained with, unless the bound makes no difference.
    largest = qtype.max * 2.0**-qtype.frac
    harmless = bound is None or (isinstance(bound, (int, float)) and bound >= largest)
    if not harmless:
        raise spec.layer.error(
            f"{spec.name}: relu_upper_bound {bound!r} is below the largest value of {qtype} and "
            "QKeras does not save whether it applies (is_quantized_clip)",
            "drop it, or choose bits and integer that end there",
        )
    return ActivationQuantizer(qtype, qtype.frac)
