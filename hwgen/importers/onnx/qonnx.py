"""Quantizers of QONNX, and Deeploy's RequantShift."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Requantize
from ...numeric import Overflow, QType, Rounding, to_integers
from ..limits import check_elements
from . import joins
from .file import OxNode
from .linear import common_fraction
from .real import Quantizer
from .work import ONE, Codes, Const, Joined, OnnxImport, Value, check_finite, whole

_ROUNDINGS = {
    "ROUND": Rounding.HALF_EVEN,
    "HALF_EVEN": Rounding.HALF_EVEN,
    "CEIL": Rounding.CEIL,
    "FLOOR": Rounding.FLOOR,
    "UP": Rounding.FROM_ZERO,
    "DOWN": Rounding.TO_ZERO,
    "HALF_UP": Rounding.HALF_AWAY,
    "HALF_DOWN": Rounding.HALF_TO_ZERO,
}
"""QONNX's names; its "half up" is away from zero."""

_MAX_BITS = 32


def quant(work: OnnxImport, node: OxNode) -> None:
    """QONNX Quant (IntQuant): any width, rounding and scale."""
    bits = float(work.number(node, 3))
    if not bits.is_integer() or not 1 <= bits <= _MAX_BITS:
        raise UserError(f"a bit width of {bits:g} is not supported, whole numbers up to 32 are")
    signed, narrow = bool(node.get("signed", 1)), bool(node.get("narrow", 0))
    mode = str(node.get("rounding_mode", "ROUND")).upper()
    if mode not in _ROUNDINGS:
        raise UserError(f"rounding_mode {mode!r} is not known")
    if bits == 1 and signed:
        _give_quantized(work, node, _bipolar)
        return
    scales, zeros = work.const(node, 1).array, work.const(node, 2).array
    low, high = integer_bounds(int(bits), signed, narrow)
    rounding, width = _ROUNDINGS[mode], int(bits)

    def codes(values: Array, scale: Array, zero: Array) -> Array:
        x = values / scale + zero
        return rounded(np.clip(x, np.float32(low), np.float32(high)), rounding)

    symmetric = narrow and signed
    overflow = Overflow.SATURATE_SYMMETRIC if symmetric else Overflow.SATURATE
    base = QType(signed, width, 0, rounding, overflow)
    _give_quantized(work, node, codes, base, scales, zeros, high)


def bipolar_quant(work: OnnxImport, node: OxNode) -> None:
    """QONNX BipolarQuant: +1 where x >= 0, else -1, times the scale."""
    _give_quantized(work, node, _bipolar)


def _bipolar(values: Array, scale: Array, zero: Array) -> Array:
    return np.where(values / scale >= 0, 1, -1)


_SIGNS = QType(True, 2, 0, Rounding.HALF_EVEN, Overflow.SATURATE_SYMMETRIC)


def _give_quantized(
    work: OnnxImport,
    node: OxNode,
    codes: Callable[[Array, Array, Array], Array],
    base: QType = _SIGNS,
    scales: Array | None = None,
    zeros: Array | None = None,
    high: int | None = None,
) -> None:
    scales = work.const(node, 1).array if scales is None else scales
    zeros = np.zeros((), np.float32) if zeros is None else zeros
    integral = np.all((zeros == np.rint(zeros)) & (np.abs(zeros) < 1 << 31))
    if not np.all((scales > 0) & np.isfinite(scales)) or not integral:
        raise UserError("scales must be positive and zero points whole numbers")
    scales, zeros = np.asarray(scales, np.float32), np.asarray(zeros, np.float32)
    found = work.get(node, 0)
    if isinstance(found, Const):
        check_finite(found)
        shapes = (found.array.shape, scales.shape, zeros.shape)
        check_elements(np.broadcast_shapes(*shapes), "a constant")
        integers = to_integers(codes(found.array.astype(np.float32), scales, zeros))
        real = (integers.astype(np.float32) - zeros) * scales
        zero = zeros.astype(np.int64)
        work.give(node, Const(real, Codes(integers, scales, zero, base)))
        return
    if scales.size != 1 or zeros.size != 1:
        raise UserError("a scale for each channel is supported in weights only")
    scale, zero = scales.reshape(-1), int(zeros.reshape(-1)[0])
    qtype = _typed(base, scale, zero)
    value = joins.summed(work, node.name, found) if isinstance(found, Joined) else found
    by = Quantizer(
        qtype, lambda x: to_integers(codes(x, scale, zeros.reshape(-1))), base is not _SIGNS
    )
    edge = _input_as(work, value, qtype)
    if edge is None:
        edge = work.quantize(node.name, value, by)
        if high is not None and high < qtype.max and edge.range[1] > high:
            clip = (qtype.low, high)
            edge = work.add(f"{node.name}_narrow", Requantize.identity(edge, clip), edge)
    work.give(node, Value(edge, value.where, scale, zero))


def _input_as(work: OnnxImport, value: Value, qtype: QType) -> Tensor | None:
    """The model's input, where it is still free to have a quantizer's type."""
    free = value.plain and value.edge in work.inputs and value.edge.type == qtype
    return value.edge if free else None


def _typed(base: QType, scale: Array, zero: int) -> QType:
    frac = common_fraction(scale)
    if frac is not None and zero == 0:
        return replace(base, frac=frac)
    try:
        return replace(base, scale=float(scale[0]), zero_point=zero)
    except ValueError as error:
        raise UserError(str(error)) from None


def integer_bounds(bits: int, signed: bool, narrow: bool) -> tuple[int, int]:
    """Smallest and largest integer of a QONNX quantizer."""
    if signed:
        return -(1 << (bits - 1)) + narrow, (1 << (bits - 1)) - 1
    return 0, (1 << bits) - 1 - narrow


def rounded(x: Array, rounding: Rounding) -> Array:
    """Real numbers to whole ones by a rounding of QONNX."""
    size = np.abs(x)
    return {
        Rounding.HALF_EVEN: lambda: np.round(x),
        Rounding.CEIL: lambda: np.ceil(x),
        Rounding.FLOOR: lambda: np.floor(x),
        Rounding.FROM_ZERO: lambda: np.sign(x) * np.ceil(size),
        Rounding.TO_ZERO: lambda: np.trunc(x),
        Rounding.HALF_AWAY: lambda: np.sign(x) * np.floor(size + np.float32(0.5)),
        Rounding.HALF_TO_ZERO: lambda: np.sign(x) * np.ceil(size - np.float32(0.5)),
    }[rounding]()


def trunc(work: OnnxImport, node: OxNode) -> None:
    """QONNX Trunc: the low bits of integers are taken away (5 inputs, or 6 with a scale)."""
    scale = np.float32(work.number(node, 1))
    zero = float(work.number(node, 2))
    last = len(node.inputs) - 1
    bits_in, bits_out = work.whole(node, 3), work.whole(node, last)
    mode = str(node.get("rounding_mode", "FLOOR")).upper()
    if mode not in _ROUNDINGS or zero or not 1 <= bits_out <= bits_in <= _MAX_BITS:
        raise UserError(f"rounding_mode {mode!r}, zero point {zero:g} or {bits_in} to {bits_out} "
                        "bits are not supported")  # fmt: skip
    signed, narrow = bool(node.get("signed", 1)), bool(node.get("narrow", 0))
    out = scale
    divisor = np.float32(2.0 ** (bits_in - bits_out))
    value = work.value(node)
    if last == 5:
        out = np.float32(work.number(node, 4))
        if not (0 < scale < np.inf and 0 < out < np.inf):
            raise UserError(f"scales {scale:g} and {out:g} must be positive numbers")
        divisor = np.float32(2.0 ** np.round(np.log2(out / scale)))
        low, high = integer_bounds(bits_out, signed, narrow)
    else:
        signed = value.edge.range[0] < 0
        low, high = integer_bounds(bits_in, signed, False)
        bits_out = bits_in
    overflow = Overflow.SATURATE_SYMMETRIC if narrow and signed else Overflow.SATURATE
    base = QType(signed, bits_out, 0, _ROUNDINGS[mode], overflow)
    qtype = _typed(base, out.reshape(1), 0)

    def codes(values: Array) -> Array:
        cut = np.round(values / scale) / divisor
        limits = np.float32(low), np.float32(high)
        return to_integers(rounded(np.clip(cut, *limits), base.rounding))

    edge = work.quantize(node.name, value, Quantizer(qtype, codes, exact=False))
    work.give(node, Value(edge, value.where, out.reshape(1)))


def requant_shift(work: OnnxImport, node: OxNode) -> None:
    """Deeploy's RequantShift: ``clip((x * mul + add + div / 2) // div)``."""
    value = work.value(node)
    if value.steps:
        value = work.settled(node.name, value)
    if np.any(value.scale != 1) or value.zero:
        raise UserError("takes integers only")
    mul, add = (_integers(work, node, position, value) for position in (1, 2))
    div = _attribute_number(node, "div")
    levels = _attribute_number(node, "n_levels_out", _attribute_number(node, "n_levels", 256))
    signed = bool(_attribute_number(node, "signed", 1))
    if div < 1 or div & (div - 1):
        raise UserError(f"div {div} is no power of two")
    if levels < 2 or levels & (levels - 1):
        raise UserError(f"{levels} levels are no power of two")
    qtype = QType(signed, levels.bit_length() - 1, 0, Rounding.FLOOR, Overflow.SATURATE)
    op = Requantize.scaled(qtype, mul, add + div // 2, div.bit_length() - 1)
    work.give(node, Value(work.add(node.name, op, value.edge), value.where, ONE))


def _integers(work: OnnxImport, node: OxNode, position: int, value: Value) -> Array:
    numbers, channels = work.wholes(node, position), value.edge.channels
    if len(numbers) not in (1, channels):
        raise UserError(f"input {position} must be whole numbers, one or {channels}")
    if max(abs(number) for number in numbers) >= 1 << 62:
        raise UserError(f"input {position} holds integers of more than 62 bits")
    return np.array(numbers, np.int64)


def _attribute_number(node: OxNode, key: str, default: int | None = None) -> int:
    found = node.get(key, default)
    if found is None:
        raise UserError(f"attribute {key} is missing")
    array = np.asarray(found)
    if array.size != 1:
        raise UserError(f"attribute {key} must be one whole number")
    return whole(array.reshape(-1)[0], f"attribute {key}")


def _described(work: OnnxImport, node: OxNode) -> QType | None:
    """The type that a Quant gives, where it is one for the whole tensor."""
    scales, zeros = work.const(node, 1).array, work.const(node, 2).array
    bits, mode = float(work.number(node, 3)), str(node.get("rounding_mode", "ROUND")).upper()
    signed, narrow = bool(node.get("signed", 1)), bool(node.get("narrow", 0))
    if scales.size != 1 or zeros.size != 1 or mode not in _ROUNDINGS or not bits.is_integer():
        return None
    if not np.all((scales > 0) & np.isfinite(scales)) or not np.all(np.isfinite(zeros)):
        return None
    if not 2 - (not signed) <= bits <= _MAX_BITS or (narrow and not signed):
        return None
    overflow = Overflow.SATURATE_SYMMETRIC if narrow else Overflow.SATURATE
    base = QType(signed, int(bits), 0, _ROUNDINGS[mode], overflow)
    return _typed(base, np.asarray(scales, np.float32).reshape(-1), int(zeros.reshape(-1)[0]))


QUANTIZERS = {"Quant": _described, "IntQuant": _described}
"""Operators whose type an input may take."""
