"""Kernels and biases, quantized with the same float32 operations as QKeras 0.9.0.

So every code is the one that QKeras computes with.
"""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from ...numeric import Overflow, QType, Rounding, type_for_range
from ..affine import log2_exact
from ..keras.quantizer import Kernel
from .functions import PowerOfTwo, quantizer_function
from .quantizers import (
    FLOAT32_BITS,
    Spec,
    bits_type,
    channel_alphas,
    is_binary,
    number_alpha,
    ternary_threshold,
    with_frac,
)

FloatArray = np.ndarray[Any, Any]

_EPSILON = np.float32(1e-7)
"""The value of K.epsilon()."""


def quantize_kernel(spec: Spec, x: FloatArray) -> Kernel:
    """Codes and scales of a float32 kernel whose last axis is the output channels."""
    # QKeras' layers replace a kernel's alpha None in this way.
    alpha = "auto_po2" if spec.params.get("alpha") is None else spec.params["alpha"]
    if spec.name == "quantized_po2":
        return _powers(spec, x)
    _check_kernel(spec, alpha, x)
    notes: tuple[str, ...] = ()
    if isinstance(alpha, str):
        few = spec.name != "quantized_bits"
        codes, factors, unsure = (_auto_few if few else _auto)(spec, alpha, x)
        qtype = _few_type(spec) if few else _auto_type(spec)
        scale = _channel_scales(factors.reshape(-1), codes)
        if unsure:
            notes = (f"{spec.layer.name}: {unsure}",)
    else:
        qtype = _few_type(spec) if spec.params.get("use_01") else bits_type(spec)[0]
        codes, scale = _codes(spec, x), channel_alphas(spec, x.shape[-1])
    return _normalized(codes.astype(np.int64), qtype, scale, notes)


_NEAR_TIE = (
    "an auto_po2 scale of this kernel is so near a rounding tie that another build of TensorFlow "
    "may choose its neighbour"
)
_MEAN = (
    "the scales of this kernel are means of float32 numbers, whose last bit depends on the order "
    "in which TensorFlow adds"
)


def _auto_type(spec: Spec) -> QType:
    integer, bits = spec.number("integer", -64, 64), spec.number("bits", 1, 32)
    return QType(True, bits, -integer, Rounding.HALF_EVEN, Overflow.SATURATE_SYMMETRIC)


def _few_type(spec: Spec) -> QType:
    """Make the type of +1 and -1, with 0 between them, or of 0 and 1."""
    if spec.params.get("use_01"):
        return QType(False, 1, 0, Rounding.HALF_EVEN, Overflow.SATURATE)
    return bits_type(spec)[0]


def _powers(spec: Spec, x: FloatArray) -> Kernel:
    """Signs times powers of two, as integers over the least one that occurs."""
    powers = PowerOfTwo.of(spec, 1)
    size = np.abs(x)
    clipped = np.maximum(size, _EPSILON)
    if powers.largest is not None:
        clipped = np.minimum(clipped, np.float32(float(powers.largest)))
    # TensorFlow's float32 logarithm: next to sqrt(2) times a power of two it may round otherwise.
    exponents = np.rint(np.log(clipped) / np.float32(np.log(2.0)))
    if powers.quadratic:
        raise spec.layer.error("a kernel with quadratic_approximation is not supported")
    exponents = np.clip(np.where(size < _EPSILON, powers.low, exponents), powers.low, powers.high)
    exponents = exponents.astype(np.int64)
    least = int(exponents.min())
    if int(exponents.max()) - least > FLOAT32_BITS:
        raise spec.layer.error(
            f"its powers of two reach from 2**{least} to 2**{exponents.max()}",
            "use fewer bits, or a max_value",
        )
    codes = np.where(x >= 0, 1, -1) * (1 << (exponents - least))
    largest = int(np.abs(codes).max())
    qtype = replace(type_for_range(-largest, largest, -least), overflow=Overflow.SATURATE)
    return _normalized(codes, qtype, (Fraction(1),) * x.shape[-1], ())


def _check_kernel(spec: Spec, alpha: Any, x: FloatArray) -> None:
    """Raise UserError for a quantizer that kernels can not have here."""
    layer, params = spec.layer, spec.params
    if spec.name == "quantized_relu":
        raise layer.error("a kernel quantized by quantized_relu is not supported")
    if spec.name in ("quantized_tanh", "quantized_sigmoid", "quantized_relu_po2"):
        raise layer.error(f"a kernel quantized by {spec.name} is not supported")
    if spec.name != "quantized_bits":
        if isinstance(alpha, str) and alpha not in ("auto", "auto_po2"):
            raise layer.error(f'{spec.name}: alpha {alpha!r} is not a number, "auto" or "auto_po2"')
        if isinstance(alpha, str) and params.get("threshold") is not None:
            raise layer.error(f"{spec.name}: a threshold with alpha {alpha!r}", "use alpha=1")
        return
    if spec.number("bits", 1, 32) > FLOAT32_BITS:
        raise layer.error(
            f"a kernel of {params['bits']} bits is not exact in the float32 of QKeras",
            f"use at most {FLOAT32_BITS} bits",
        )
    if isinstance(alpha, str) and params["scale_axis"] not in (None, x.ndim - 1, -1):
        raise layer.error(f"scale_axis {params['scale_axis']!r} is not supported (only the last)")


def _channel_scales(factors: FloatArray, codes: FloatArray) -> tuple[Fraction, ...]:
    """Exact scales; a channel of zeros takes a scale of another, which keeps multipliers small."""
    used = np.any(codes.reshape(-1, codes.shape[-1]) != 0, axis=0)
    default = next((float(f) for f, u in zip(factors, used, strict=True) if u), 1.0)
    return tuple(Fraction(float(f) if u else default) for f, u in zip(factors, used, strict=True))


def _normalized(
    codes: FloatArray, qtype: QType, scale: tuple[Fraction, ...], notes: tuple[str, ...]
) -> Kernel:
    """Powers of two in all scales move into ``frac``; equal ones leave no scale at all."""
    exponents = [log2_exact(s) for s in scale]
    known = [e for e in exponents if e is not None]
    if len(known) == len(exponents):
        least = min(known)
        qtype = with_frac(qtype, qtype.frac - least)
        scale = tuple(Fraction(2) ** (e - least) for e in known)
    return Kernel(codes, qtype, scale, notes)


def quantize_vector(spec: Spec | None, x: FloatArray) -> FloatArray:
    """The float32 values of a vector after any quantizer (None: as they are)."""
    if spec is not None and (function := quantizer_function(spec)) is not None:
        return np.array([float(function.value(Fraction(float(v)))) for v in x], np.float32)
    return np.array([float(v) for v in quantize_bias(spec, x)], np.float32)


def quantize_bias(spec: Spec | None, x: FloatArray) -> tuple[Fraction, ...]:
    """The exact values of a float32 bias vector after its quantizer (None: as it is)."""
    values = x
    if spec is not None:
        if spec.name != "quantized_bits":
            raise spec.layer.error(f"a bias quantized by {spec.name} is not supported")
        integer = np.float32(2.0 ** spec.number("integer", -64, 64))
        if isinstance(spec.params["alpha"], str):
            codes, factors, _ = _auto(spec, spec.params["alpha"], x)
            values = factors * (integer * codes)
        else:
            qtype, _ = bits_type(spec)
            unit = np.float32(2.0**-qtype.frac)
            values = np.float32(float(number_alpha(spec))) * (_codes(spec, x) * unit)
    return tuple(Fraction(float(v)) for v in values)


def _codes(spec: Spec, x: FloatArray) -> FloatArray:
    """Codes with a number alpha, in the float32 operations of QKeras."""
    if is_binary(spec):
        return np.where(x >= 0, np.float32(1), np.float32(0 if spec.params.get("use_01") else -1))
    if spec.name == "ternary":
        return np.sign(x) * (np.abs(x) >= np.float32(float(ternary_threshold(spec))))
    signed = spec.flag("keep_negative")
    m = np.float32(2.0 ** (spec.number("bits", 1, 32) - int(signed)))
    m_i = np.float32(2.0 ** spec.number("integer", -64, 64))
    low = np.float32(-m + int(spec.flag("symmetric"))) if signed else np.float32(0)
    with np.errstate(over="ignore", under="ignore"):
        return np.clip(np.rint(x * m / m_i), low, m - np.float32(1))


_LARGEST = 2.0**60
"""The largest number that is scaled by its own size: float32 holds the squares of its integers."""


def _check_size(spec: Spec, x: FloatArray) -> None:
    """Raise UserError for numbers so large that their scales would be infinite."""
    integer = spec.number("integer", -64, 64) if "integer" in spec.params else 0
    size = float(np.max(np.abs(x))) * 2.0**-integer
    if size >= _LARGEST:
        raise spec.layer.error(
            f"{spec.name}: numbers of {size:g} can not be given a scale of their own",
            "the training diverged: train again",
        )


def _auto_few(spec: Spec, alpha: str, x: FloatArray) -> tuple[FloatArray, FloatArray, str | None]:
    """The same for binary and ternary kernels: least squares (quantizers.py, QKeras 0.9.0)."""
    near = False
    _check_size(spec, x)
    if spec.name == "binary":
        codes = _codes(spec, x)
        scale, near = _least_squares(x, codes, alpha)
    else:
        axes = tuple(range(x.ndim - 1))
        scale = np.float32(2) * np.max(np.abs(x), axis=axes, keepdims=True) / np.float32(3)
        if alpha == "auto_po2":
            scale, near = _power_of_two(scale)
        codes = x
        for _ in range(spec.number("number_of_unrolls", 1, 100)):
            with np.errstate(divide="ignore", invalid="ignore"):
                inside = np.abs(scale * np.rint(x / scale)) < scale / np.float32(2)
            codes = np.where(inside, np.float32(0), np.sign(x))
            scale, unsure = _least_squares(x, codes, alpha)
            near |= unsure
    if alpha == "auto":
        return codes, scale, _MEAN
    return codes, scale, _NEAR_TIE if near else None


def _least_squares(x: FloatArray, codes: FloatArray, alpha: str) -> tuple[FloatArray, bool]:
    """mean(x * code) / (mean(code**2) + epsilon) a channel; whether its power of two is unsure."""
    axes = tuple(range(x.ndim - 1))
    xz = np.mean(x * codes, axis=axes, keepdims=True, dtype=np.float64)
    zz = np.mean(codes * codes, axis=axes, keepdims=True, dtype=np.float64)
    ratio = np.asarray(xz, np.float32) / (np.asarray(zz, np.float32) + _EPSILON)
    return _power_of_two(ratio) if alpha == "auto_po2" else (ratio, False)


def _auto(spec: Spec, alpha: str, x: FloatArray) -> tuple[FloatArray, FloatArray, str | None]:
    """alpha "auto" and "auto_po2": codes, scales, and what is unsure about them.

    Always symmetric, always signed. Scales are per output channel; of a vector, as QKeras does
    it, one for "auto" and one an element for "auto_po2".
    """
    bits = spec.number("bits", 1, 32)
    if alpha not in ("auto", "auto_po2"):
        raise spec.layer.error(
            f'{spec.name}: alpha {alpha!r} is not a number, "auto" or "auto_po2"'
        )
    if bits == 1:
        raise spec.layer.error(
            f"{spec.name}: with 1 bit and alpha {alpha!r} QKeras divides by zero", "use alpha=1"
        )
    _check_size(spec, x)
    axes = tuple(range(max(1, x.ndim - 1)))
    half = np.float32(2 ** (bits - 1) - 1)
    x = x / np.float32(2.0 ** spec.number("integer", -64, 64))
    scale = np.max(np.abs(x), axis=axes, keepdims=True) * np.float32(2) / (half * np.float32(2))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore", under="ignore"):
        if alpha == "auto":
            return _nearest(x, scale, half), scale, None
        scale, unsure = _power_of_two(scale)
        z = x
        for _ in range(5):
            z = _nearest(x, scale, half)
            if x.ndim > 1:
                # float64 sums differ from TensorFlow's float32 ones by less than ``unsure`` sees.
                xz = np.mean(x * z, axis=axes, keepdims=True, dtype=np.float64)
                zz = np.mean(z * z, axis=axes, keepdims=True, dtype=np.float64)
            else:
                xz, zz = x * z, z * z
            ratio = np.asarray(xz, np.float32) / (np.asarray(zz, np.float32) + _EPSILON)
            scale, near = _power_of_two(np.asarray(ratio))
            unsure |= near
        return z, scale, _NEAR_TIE if unsure else None


def _nearest(x: FloatArray, scale: FloatArray, half: np.float32) -> FloatArray:
    """sign(x) * min(floor(|x| / scale + 0.5), half); zero where the whole channel is zero."""
    v = np.floor(np.abs(x) / scale + np.float32(0.5))
    return np.sign(x) * np.where(v < half, v, half)


def _power_of_two(scale: FloatArray) -> tuple[FloatArray, bool]:
    """2**round(log2(scale + epsilon)), and whether a logarithm is next to a tie."""
    log2 = np.log(scale + _EPSILON) / np.float32(np.log(2.0))
    near = bool(np.any(np.abs(log2 - np.floor(log2) - 0.5) < 1e-5))
    return np.ldexp(np.float32(1), np.rint(log2).astype(np.int32)), near
