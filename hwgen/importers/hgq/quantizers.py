"""HGQ's fixed-point quantizers: a type for each element.

The rules are those of quantizers/fixed_point in HGQ2 0.2: ``k`` sign, ``i`` integer bits without
the sign, ``f`` fractional bits, each rounded half to even from what was trained; elements with
``k + i + f <= 0`` are 0.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ...numeric import (
    Overflow,
    QType,
    Rounding,
    int_array,
    magnitude,
    to_integers,
    type_for_range,
)
from ..keras.architecture import KerasLayer
from ..keras.archive import Variables
from ..keras.quantizer import ActivationQuantizer, Kernel
from ..keras.steps import Casting, Quantize, Step

ROUNDINGS = {
    "TRN": Rounding.FLOOR,
    "RND": Rounding.HALF_UP,
    "RND_CONV": Rounding.HALF_EVEN,
    "TRN_ZERO": Rounding.TO_ZERO,
    "RND_ZERO": Rounding.HALF_TO_ZERO,
    "RND_MIN_INF": Rounding.HALF_DOWN,
    "RND_INF": Rounding.HALF_AWAY,
}
OVERFLOWS = {
    "WRAP": Overflow.WRAP,
    "SAT": Overflow.SATURATE,
    "SAT_SYM": Overflow.SATURATE_SYMMETRIC,
}
_LIMIT = 64

IntArray = np.ndarray[Any, Any]
FloatArray = np.ndarray[Any, Any]


@dataclass(frozen=True)
class Fixed:
    """A quantizer with its bits, arrays that broadcast to what it quantizes.

    bounded : values beyond the range are brought into it (HGQ only rounds weights that wrap: their
    range follows them).
    """

    layer: KerasLayer
    k: IntArray
    i: IntArray
    f: IntArray
    rounding: Rounding
    overflow: Overflow
    bounded: bool

    @classmethod
    def of(cls, layer: KerasLayer, config: Any, variables: Variables, place: str) -> Fixed | None:
        """The quantizer at a place of a layer; None for one that does nothing. Raises UserError."""
        what = place.split("/")[0]
        fields = config.get("config") if isinstance(config, dict) else None
        if not isinstance(fields, dict):
            raise layer.error(f"its quantizer {what} has no configuration")
        kind = fields.get("q_type")
        if kind == "dummy":
            return None
        if kind not in ("kbi", "kif"):
            raise layer.error(f"{what} is of type {kind!r}, only kbi and kif are supported")
        for key in ("scaler", "affine", "bw_mapper"):
            if fields.get(key) is not None:
                raise layer.error(f"{what} has a {key}, which is not supported")
        rounding = str(fields.get("round_mode")).removeprefix("S_")
        overflow = str(fields.get("overflow_mode"))
        if rounding not in ROUNDINGS or overflow not in OVERFLOWS:
            raise layer.error(f"{what} has modes {rounding}, {overflow}, which are not supported")
        # Trainable variables come first; the integer bits of a quantizer that wraps are not.
        wraps = overflow == "WRAP"
        second = {"kbi": "b", "kif": "f"}[kind]
        if wraps:
            order = [second, "k", "i"]
        else:
            order = ["b", "i", "k"] if kind == "kbi" else ["i", "f", "k"]
        arrays = variables.get(place, [])
        if len(arrays) != len(order) + wraps or len({a.shape for a in arrays[:3]}) > 1:
            raise layer.error(
                f"the variables of {what} are not those of a {kind} quantizer", "save it again"
            )
        bits = dict(zip(order, (_integers(layer, what, a) for a in arrays), strict=False))
        if kind == "kbi":
            bits["f"] = bits["b"] - bits["i"]
        adapts = wraps and bool(fields.get("is_weight")) and bool(fields.get("trainable", True))
        if kind == "kbi" and rounding != "RND":
            adapts = False
        return cls(
            layer, bits["k"], bits["i"], bits["f"],
            ROUNDINGS[rounding], OVERFLOWS[overflow], not adapts,
        )  # fmt: skip

    def step(self, suffix: str | None = None) -> Step:
        """What it does to activations, whose first axis is that of the frames.

        The edge is named after the layer, with a suffix where that has more than one.
        """
        name = f"{self.layer.name}_{suffix}" if suffix else self.layer.name
        layer = replace(self.layer, name=name)
        formats = np.stack(np.broadcast_arrays(self.k, self.i, self.f), -1)[0]
        flat = formats.reshape(-1, 3)
        distinct, index = np.unique(flat, axis=0, return_inverse=True)
        types: list[QType] = []
        numbers = []
        for k, i, f in distinct.tolist():
            if k + i + f <= 0:
                numbers.append(-1)
                continue
            numbers.append(len(types))
            types.append(QType(bool(k), k + i + f, f, self.rounding, self.overflow))
        if not types:
            raise self.layer.error("every element of its quantizer has no bits: all of them are 0")
        if len(types) == 1 and -1 not in numbers:
            return Quantize(layer, ActivationQuantizer(types[0], types[0].frac))
        chosen = np.array(numbers)[index.reshape(formats.shape[:-1])]
        return Casting(layer, tuple(types), chosen)

    def values(self, x: FloatArray) -> tuple[IntArray, int]:
        """Quantized float32 numbers: integers, and their common fractional bits.

        In the float32 operations of HGQ: rounding adds 0.5 there, which can round up.
        """
        k, i, f = (np.broadcast_to(a, x.shape) for a in (self.k, self.i, self.f))
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (x * np.exp2(f.astype(np.float32))).astype(np.float32)
        if not np.all(np.isfinite(scaled)):
            raise self.layer.error(f"its weights with {f.max()} fractional bits leave float32")
        codes = _round(scaled, self.rounding)
        frac = int(f[k + i + f > 0].max(initial=0))
        if self.bounded:
            codes = self._bring_into_range(codes, k, i, f)
            codes = np.where(k + i + f > 0, codes, 0)
        else:
            frac = int(f.max(initial=0))
        shifts = np.where(codes != 0, frac - f, 0)
        if shifts.min(initial=0) < 0 or shifts.max(initial=0) > _LIMIT:
            raise self.layer.error("its weights' fractional bits lie too far apart")
        return int_array(codes, magnitude(codes) << int(shifts.max(initial=0))) << shifts, frac

    def _bring_into_range(self, codes: IntArray, k: IntArray, i: IntArray, f: IntArray) -> IntArray:
        width = np.clip(i + f, 0, None)
        # Of 63 bits and more the largest integer is none of int64's.
        width = width if width.max(initial=0) < _LIMIT - 2 else width.astype(object)
        high = (1 << width) - 1
        low = -k * (high + (self.overflow is not Overflow.SATURATE_SYMMETRIC))
        if self.overflow is Overflow.WRAP:
            return (codes - low) % (high - low + 1) + low
        return np.clip(codes, low, high)


def _integers(layer: KerasLayer, what: str, array: FloatArray) -> IntArray:
    if array.dtype.kind not in "uif" or not np.all(np.isfinite(array)):
        raise layer.error(f"the bits of {what} are not numbers")
    rounded = np.rint(array.astype(np.float64))
    if np.any(np.abs(rounded) > _LIMIT):
        raise layer.error(f"the bits of {what} are beyond {_LIMIT}")
    return rounded.astype(np.int64)


def _round(x: FloatArray, rounding: Rounding) -> IntArray:
    half = np.float32(0.5)
    sign, size = np.sign(x), np.abs(x)
    result = {
        Rounding.FLOOR: lambda: np.floor(x),
        Rounding.HALF_UP: lambda: np.floor(x + half),
        Rounding.HALF_EVEN: lambda: np.rint(x),
        Rounding.TO_ZERO: lambda: np.floor(size) * sign,
        Rounding.HALF_TO_ZERO: lambda: -np.floor(-size + half) * sign,
        Rounding.HALF_DOWN: lambda: -np.floor(-x + half),
        Rounding.HALF_AWAY: lambda: np.floor(size + half) * sign,
    }[rounding]()
    return to_integers(result)


def quantize_kernel(quantizer: Fixed, x: FloatArray) -> Kernel:
    """A kernel's codes, at the finest fraction that they need."""
    codes, frac = quantizer.values(x)
    while frac > -_LIMIT and np.any(codes) and not np.any(codes & 1):
        codes, frac = codes >> 1, frac - 1
    qtype = type_for_range(int(codes.min(initial=0)), int(codes.max(initial=0)), frac)
    if qtype.width > _LIMIT // 2:
        raise quantizer.layer.error(f"its weights take {qtype.width} bits, at most 32 can be")
    return Kernel(int_array(codes, qtype.max), qtype, (Fraction(1),) * x.shape[-1])


def quantize_vector(quantizer: Fixed, x: FloatArray) -> tuple[Fraction, ...]:
    """A bias or a batch norm's factors."""
    codes, frac = quantizer.values(x)
    return tuple(Fraction(code) / Fraction(2) ** frac for code in codes.tolist())
