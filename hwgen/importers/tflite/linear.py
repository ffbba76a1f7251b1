"""Convolutions and fully connected layers."""

from __future__ import annotations

from math import prod

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import Conv2D, Dense, Flatten
from ...numeric import Overflow, QType, Rounding, type_for_range
from ..moves import viewed
from . import meaning
from .file import TfOperator, TfTensor, enumerated, options
from .meaning import Runtime
from .work import TfliteImport, padding, shape_for

_SIGNED_WIDTHS = {"INT4": 4, "INT8": 8}
_STRIDES = ("StrideH", "StrideW", "DilationHFactor", "DilationWFactor", "Padding")


def convolution(work: TfliteImport, op: TfOperator) -> None:
    """CONV_2D, grouped where the weights take fewer channels than there are."""
    chosen = options(op, "Conv2DOptions", *_STRIDES, "FusedActivationFunction")
    weights = work.constant(op, 1)
    # (outputs, rows, columns, inputs of a group)
    codes, qtype = filters_of(weights, axis=0)
    codes = codes.transpose(1, 2, 3, 0)
    x = work.edge(op, 0)
    if x.channels % codes.shape[2]:
        raise UserError(f"weights take {codes.shape[2]} channels, the input has {x.channels}")
    groups = x.channels // codes.shape[2]
    _convolve(work, op, chosen, weights, codes, qtype, groups)


def depthwise(work: TfliteImport, op: TfOperator) -> None:
    """DEPTHWISE_CONV_2D, with any depth multiplier."""
    chosen = options(op, "DepthwiseConv2DOptions", *_STRIDES, "FusedActivationFunction")
    weights = work.constant(op, 1)
    # (1, rows, columns, outputs)
    codes, qtype = filters_of(weights, axis=3)
    codes = codes.transpose(1, 2, 0, 3)
    _convolve(work, op, chosen, weights, codes, qtype, work.edge(op, 0).channels)


def filters_of(weights: TfTensor, axis: int) -> tuple[np.ndarray, QType]:
    """Weights of a convolution: signed ones have no zero point. Raises UserError.

    LiteRT refuses it or leaves it out, TFLM leaves it out.
    """
    if weights.dtype in _SIGNED_WIDTHS and any(weights.zero_points):
        kind = weights.dtype.lower()
        raise UserError(
            f"weights {weights.name!r} have a zero point, which {kind} ones can not have"
        )
    return _weights(weights, rank=4, axis=axis)


def _convolve(
    work: TfliteImport,
    op: TfOperator,
    chosen,
    weights: TfTensor,
    codes: np.ndarray,
    qtype: QType,
    groups: int,
) -> None:
    x, out = work.edge(op, 0), work.output(op)
    check_kinds(work, op, weights, 0)
    bias = bias_of(work, op, codes.shape[-1])
    conv = Conv2D(
        codes,
        qtype,
        (chosen.StrideH, chosen.StrideW),
        padding(chosen.Padding),
        bias,
        dilation=(chosen.DilationHFactor, chosen.DilationWFactor),
        groups=groups,
    )
    if min(*conv.stride, *conv.dilation) < 1:
        raise UserError(f"stride {conv.stride} and dilation {conv.dilation} must be positive")
    acc = work.add(f"{op.name}_mac", conv, x)
    runtime = work.runtime
    if weights.dtype == "INT4" and runtime is Runtime.XNNPACK:
        # XNNPACK leaves these to LiteRT's optimized kernels, of which the depthwise one rounds as
        # the reference does.
        runtime = Runtime.REFERENCE if op.kind == "DEPTHWISE_CONV_2D" else None
    by = (
        meaning.convolution_of_16_bits(_scale(x), weights.scales, out.scale, _bias_type(work, op))
        if out.dtype == "INT16"
        else meaning.convolution(runtime, _scale(x), weights.scales, out.scale)
    )
    activation = enumerated("ActivationFunctionType", chosen.FusedActivationFunction)
    work.give(op, work.rescale(op.name, acc, by, out, activation))


def fully_connected(work: TfliteImport, op: TfOperator) -> None:
    """FULLY_CONNECTED: of a vector, or of each row or pixel."""
    chosen = options(
        op, "FullyConnectedOptions",
        "FusedActivationFunction", "WeightsFormat", "KeepNumDims", "QuantizedBiasType",
    )  # fmt: skip
    if chosen.WeightsFormat:
        raise UserError("weights in a shuffled format are not supported")
    weights, out = work.constant(op, 1), work.output(op)
    check_kinds(work, op, weights, 0)
    codes, qtype = _weights(weights, rank=2, axis=0)
    codes = codes.T
    bias = bias_of(work, op, codes.shape[1])
    if weights.dtype == "INT4" and len(weights.scales) > 1 and work.runtime is Runtime.TFLM:
        raise UserError(
            "TensorFlow Lite Micro has no fully connected layer of int4 weights with a scale for "
            "each output",
            hint="use --runtime reference or xnnpack",
        )
    x, codes = _in_storage_order(work, op, codes)
    shape = shape_for(op, out)
    if len(shape) > 1 and not x.size % codes.shape[0]:
        acc = _of_each_pixel(work, op, x, codes, qtype, bias)
    else:
        if len(x.shape) > 1:
            x = work.add(f"{op.name}_flat", Flatten(), x)
        acc = work.add(f"{op.name}_mac", Dense(codes, qtype, bias), x)
    scales = (_scale(x), weights.scales, out.scale)
    said = enumerated("TensorType", chosen.QuantizedBiasType)
    wide = "INT64" in (said, _bias_type(work, op))
    by = (
        meaning.fully_connected_of_16_bits(work.runtime, *scales, wide)
        if out.dtype == "INT16"
        else meaning.fully_connected(work.runtime, *scales)
    )
    activation = enumerated("ActivationFunctionType", chosen.FusedActivationFunction)
    if prod(shape) != acc.size:
        shape = acc.shape  # which the file does not say, and so is refused
    name = op.name if shape == acc.shape else f"{op.name}_image"
    result = work.rescale(name, acc, by, out, activation)
    work.give(op, viewed(work.add, op.name, result, shape))


def _in_storage_order(
    work: TfliteImport, op: TfOperator, codes: np.ndarray
) -> tuple[Tensor, np.ndarray]:
    """The input and the weights' rows in its order, which is not the file's where a TRANSPOSE
    stands before a vector."""
    moved = work.moved.get(op.inputs[0])
    if moved is None or moved.x.size != codes.shape[0]:
        return work.edge(op, 0), codes
    rows = np.empty_like(codes)
    rows[moved.order] = codes
    return moved.x, rows


def _of_each_pixel(
    work: TfliteImport, op: TfOperator, x: Tensor, codes: np.ndarray, qtype: QType, bias
) -> Tensor:
    """A dense layer of each row of as many elements as the weights take: a 1x1 convolution."""
    inputs = codes.shape[0]
    image = x.hwc if x.channels == inputs else (1, x.size // inputs, inputs)
    x = viewed(work.add, f"{op.name}_pixels", x, image)
    conv = Conv2D(codes[np.newaxis, np.newaxis], qtype, bias=bias)
    return work.add(f"{op.name}_mac", conv, x)


def _scale(x: Tensor) -> float:
    if not isinstance(x.type.scale, float):
        raise UserError("the input has no scale")
    return x.type.scale


def _weights(tensor: TfTensor, rank: int, axis: int) -> tuple[np.ndarray, QType]:
    """Weights less their zero point, and their type. Raises UserError."""
    data = tensor.data
    if tensor.dtype not in (*_SIGNED_WIDTHS, "UINT8") or data is None:
        raise UserError(
            f"weights {tensor.name!r} are {tensor.dtype.lower()}; int4, int8 and uint8 are "
            "supported",
            hint="quantize inputs and weights to int8",
        )
    if data.ndim != rank or 0 in data.shape:
        raise UserError(f"weights {tensor.name!r} have shape {list(data.shape)}")
    scales = len(tensor.scales)
    if scales not in (1, data.shape[axis]) or (scales > 1 and tensor.axis != axis):
        raise UserError(
            f"weights {tensor.name!r} have {scales} scales along axis {tensor.axis}; one, or "
            f"{data.shape[axis]} along axis {axis} are needed"
        )
    zeros = np.array(tensor.zero_points, np.int64)
    if scales > 1:
        zeros = zeros.reshape([-1 if n == axis else 1 for n in range(rank)])
    codes = data.astype(np.int64) - zeros
    scale = tensor.scales if scales > 1 else tensor.scale
    plain = QType(
        True, _SIGNED_WIDTHS.get(tensor.dtype, 8), 0, Rounding.HALF_AWAY, Overflow.SATURATE, scale
    )
    if codes.min() < plain.min or codes.max() > plain.max:
        width = type_for_range(int(codes.min()), int(codes.max())).width + int(codes.min() >= 0)
        plain = QType(True, width, 0, Rounding.HALF_AWAY, Overflow.SATURATE, scale)
    return codes, plain


def check_kinds(work: TfliteImport, op: TfOperator, weights: TfTensor, position: int) -> None:
    """Raises UserError where one of weights and input is unsigned and the other is not: runtimes
    refuse that, or take the one's bits for the other's."""
    dtype = work.model.tensors[op.inputs[position]].dtype
    if (dtype == "UINT8") != (weights.dtype == "UINT8"):
        raise UserError(
            f"weights {weights.name!r} are {weights.dtype.lower()}, the input is {dtype.lower()}",
            hint="convert the model again, with one kind of integers",
        )


def _bias_type(work: TfliteImport, op: TfOperator) -> str | None:
    tensor = work.optional(op, 2)
    return None if tensor is None else tensor.dtype


def bias_of(
    work: TfliteImport, op: TfOperator, outputs: int, position: int = 2
) -> np.ndarray | None:
    """The bias of each output channel, None where there is none. Raises UserError."""
    tensor = work.optional(op, position)
    if tensor is None:
        return None
    assert tensor.data is not None
    wide = work.output(op).dtype == "INT16"
    if tensor.dtype not in (("INT32", "INT64") if wide else ("INT32",)):
        raise UserError(f"bias {tensor.name!r} is {tensor.dtype.lower()}, int32 is supported")
    if wide and tensor.dtype == "INT32" and work.runtime is not Runtime.TFLM:
        raise UserError(
            f"bias {tensor.name!r} is int32: LiteRT takes int64 with activations of int16",
            hint="use --runtime tflm, or convert the model again",
        )
    if tensor.data.shape != (outputs,):
        raise UserError(f"bias has shape {tensor.data.shape}, ({outputs},) is needed")
    return tensor.data.astype(np.int64)
