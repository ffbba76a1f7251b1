#!/usr/bin/env python3
"""Makes TensorFlow Lite test models of single operators, whose scales meet many ties.

They need no TensorFlow. What the runtimes compute with them is frozen by freeze_tflite.py, which
needs the extra ``oracle``: ``python scripts/freeze_tflite.py FIXTURES/tflite_unit*.tflite``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tflite_short_units import short_chain, short_curves, short_ends, sixteen  # noqa: E402

from tests.helpers.tflite_files import TfFile  # noqa: E402

SEED = 31
FIXTURES = ROOT / "tests" / "importers" / "fixtures"


def activations(file: TfFile, rng: np.random.Generator) -> None:
    """RELU, RELU6 and QUANTIZE from one scale to another, also to uint8."""
    shape = (1, 8, 8, 1)
    x = file.input(shape, scale=3 / 32, zero=-9)
    for kind in ("RELU", "RELU6", "QUANTIZE"):
        table = "QuantizeOptions" if kind == "QUANTIZE" else ""
        for numerator in (2, 3, 4, 5, 7):
            zero = int(rng.integers(-90, 60))
            y = file.tensor(shape, scale=numerator / 32, zero=zero)
            file.outputs.append(file.operator(kind, [x], y, table))
    for numerator in (3, 4, 7):
        y = file.tensor(shape, "UINT8", scale=numerator / 32, zero=int(rng.integers(90, 160)))
        file.outputs.append(file.operator("QUANTIZE", [x], y, "QuantizeOptions"))


def means(file: TfFile, rng: np.random.Generator) -> None:
    """MEAN where sums of zero points are not exact in float32."""
    x = file.input((1, 4, 7, 16), scale=0.25, zero=-85)
    for number, numerator in enumerate((6, 7, 8, 9, 10, 12, 15)):
        shape = (1, 16) if number % 2 else (1, 1, 1, 16)
        y = file.tensor(shape, scale=numerator / 32, zero=int(rng.integers(-128, -80)) | 1)
        axes = file.integers([1, 2])
        keeps = not number % 2
        file.outputs.append(file.operator("MEAN", [x, axes], y, "ReducerOptions", KeepDims=keeps))
    x, axes = file.input((1, 9, 16), scale=0.25, zero=-85), file.integers([1])
    y = file.tensor((1, 1, 16), scale=7 / 32, zero=-99)
    file.outputs.append(file.operator("MEAN", [x, axes], y, "ReducerOptions", KeepDims=True))


def constants(file: TfFile, rng: np.random.Generator) -> None:
    """ADD, SUB and MUL with one constant, and with one for each channel, on either side."""
    shape = (1, 3, 4, 8)
    x = file.input(shape, scale=3 / 32, zero=12)
    for kind in ("ADD", "SUB", "MUL"):
        for sizes in ((8,), (1, 1, 1, 8), (1,), ()):
            values = rng.integers(-60, 60, sizes)
            scale = float(rng.integers(1, 9)) / (8 if kind == "MUL" else 32)
            c = file.tensor(sizes, scale=scale, zero=int(rng.integers(-20, 20)), data=values)
            out = 2 if kind == "MUL" else 5 / 32
            y = file.tensor(shape, scale=out, zero=int(rng.integers(-30, 30)))
            sides = [c, x] if len(file.outputs) % 2 else [x, c]
            fused = {"FusedActivationFunction": int(len(sizes) == 4)}
            table = f"{kind.capitalize()}Options"
            file.outputs.append(file.operator(kind, sides, y, table, **fused))


def slices(file: TfFile, rng: np.random.Generator) -> None:
    """STRIDED_SLICE where masks overrule begins and ends, also of axes that vanish."""
    x = file.input((1, 6, 5, 4), scale=0.05, zero=3)
    for begin, end, stride, masks, shape in (
        ((0, 3, 1, 0), (1, 6, 4, 4), (1, 1, 1, 1), (2, 0, 2), (1, 3, 4)),
        ((0, 3, -2, 0), (1, 6, 4, 4), (1, 1, 1, 1), (4, 0, 4), (1, 3, 4)),
        ((0, -4, 2, 1), (1, -1, 3, 3), (1, 2, 1, 1), (4, 8, 0), (1, 2, 3, 3)),
    ):
        bounds = [file.integers(v) for v in (begin, end, stride)]
        y = file.tensor(shape, scale=0.05, zero=3)
        begins, ends, shrinks = masks
        file.outputs.append(file.operator(
            "STRIDED_SLICE", [x, *bounds], y, "StridedSliceOptions",
            BeginMask=begins, EndMask=ends, ShrinkAxisMask=shrinks,
        ))  # fmt: skip


def chain(file: TfFile, rng: np.random.Generator) -> None:
    """Constants, activations and a mean in a row, with one output that can be built."""
    shape = (1, 4, 7, 6)
    x = file.input(shape, scale=3 / 32, zero=12)
    for kind, scale, out in (("MUL", 1 / 32, 0.25), ("SUB", 3 / 32, 0.25), ("ADD", 1 / 8, 5 / 32)):
        values = rng.integers(-60, 60, 6)
        c = file.tensor((6,), scale=scale, zero=7, data=values)
        y = file.tensor(shape, scale=out, zero=int(rng.integers(-20, 20)))
        x = file.operator(
            kind, [x, c] if kind != "SUB" else [c, x], y, f"{kind.capitalize()}Options"
        )
    x = file.operator("RELU6", [x], file.tensor(shape, scale=3 / 64, zero=-101))
    y = file.tensor(shape, scale=1 / 16, zero=-99)
    x = file.operator("QUANTIZE", [x], y, "QuantizeOptions")
    y = file.tensor((1, 6), scale=1 / 16, zero=-77)
    file.operator("MEAN", [x, file.integers([1, 2])], y, "ReducerOptions", KeepDims=False)


def hard_swishes(file: TfFile, rng: np.random.Generator) -> None:
    """HARD_SWISH from and to scales of any size; with the last ones TFLM's doubles count."""
    shape = (1, 9, 9, 1)
    for scale, out, zero in (
        (3 / 32, 0.05, -9), (0.013, 0.0131, 40), (0.07, 0.02, -128),
        (0.05743199214339256, 0.04432976618409157, 0),
    ):  # fmt: skip
        x = file.input(shape, scale=scale, zero=zero)
        y = file.tensor(shape, scale=out, zero=int(rng.integers(-120, 0)))
        file.outputs.append(file.operator("HARD_SWISH", [x], y, version=1))


def leaks(file: TfFile, rng: np.random.Generator) -> None:
    """LEAKY_RELU, and PRELU with a slope for each channel, also negative ones."""
    shape = (1, 4, 8, 3)
    for scale, out, zero in ((3 / 32, 1 / 16, -9), (0.013, 0.0131, 40), (0.05, 0.15, 3)):
        x = file.input(shape, scale=scale, zero=zero)
        for alpha in (0.1, 0.25, 0.01, 1.5, -0.3):
            y = file.tensor(shape, scale=out, zero=int(rng.integers(-60, 60)))
            file.outputs.append(
                file.operator("LEAKY_RELU", [x], y, "LeakyReluOptions", Alpha=alpha)
            )
        for sizes in ((1, 1, 3), (3,), (1, 1, 1)):
            values = rng.integers(-60, 128, sizes)
            alphas = file.tensor(sizes, scale=0.004, zero=int(rng.integers(-30, 30)), data=values)
            y = file.tensor(shape, scale=out, zero=int(rng.integers(-60, 60)))
            file.outputs.append(file.operator("PRELU", [x, alphas], y, version=1))


def bilinear(file: TfFile, rng: np.random.Generator) -> None:
    """RESIZE_BILINEAR with and without pixels' middles, and to sizes that are no multiple."""
    x = file.input((1, 3, 4, 2), scale=0.05, zero=-9)
    for size, corners, middles in (
        ((6, 8), 0, 1), ((6, 8), 0, 0), ((12, 4), 0, 1), ((5, 7), 1, 0), ((2, 6), 0, 1),
    ):  # fmt: skip
        y = file.tensor((1, *size, 2), scale=0.05, zero=-9)
        file.outputs.append(file.operator(
            "RESIZE_BILINEAR", [x, file.integers(size)], y, "ResizeBilinearOptions", version=3,
            AlignCorners=corners, HalfPixelCenters=middles,
        ))  # fmt: skip


def moves(file: TfFile, rng: np.random.Generator) -> None:
    """Operators that only move elements, along every axis."""
    shape, kind = (1, 4, 6, 5), {"scale": 0.05, "zero": 3}
    x = file.input(shape, **kind)

    def give(operator: str, inputs: list[int], wanted: tuple, table: str, **more: int) -> None:
        y = file.tensor(wanted, **kind)
        file.outputs.append(file.operator(operator, [x, *inputs], y, table, **more))

    for axis, wanted in ((1, (1, 8, 6, 5)), (2, (1, 4, 12, 5)), (-1, (1, 4, 6, 10))):
        give("CONCATENATION", [x], wanted, "ConcatenationOptions", Axis=axis)
    for order in ((0, 3, 1, 2), (0, 2, 3, 1), (0, 2, 1, 3), (0, 1, 3, 2), (0, 3, 2, 1)):
        wanted = tuple(shape[n] for n in order)
        give("TRANSPOSE", [file.integers(order)], wanted, "TransposeOptions")
    for pads in (((0, 0), (1, 2), (0, 0), (3, 0)), ((0, 0), (0, 0), (0, 1), (0, 2))):
        wanted = tuple(n + sum(p) for n, p in zip(shape, pads, strict=True))
        give("PAD", [file.integers(pads)], wanted, "PadOptions")
    give("SLICE", [file.integers((0, 1, 2, 0)), file.integers((1, 2, -1, 3))], (1, 2, 4, 3),
         "SliceOptions")  # fmt: skip
    for axis, count, wanted in ((2, 3, (1, 4, 2, 5)), (1, 2, (1, 2, 6, 5))):
        parts = [file.tensor(wanted, **kind) for _ in range(count)]
        file.operator("SPLIT", [file.integers(axis), x], parts, "SplitOptions", NumSplits=count)
        file.outputs += parts
    sizes = (1, 3, 1)
    parts = [file.tensor((1, 4, 6, n), **kind) for n in sizes]
    file.operator("SPLIT_V", [x, file.integers(sizes), file.integers(-1)], parts, "SplitVOptions",
                  NumSplits=3)  # fmt: skip
    file.outputs += parts
    parts = [file.tensor((1, 4, 5), **kind) for _ in range(6)]
    file.operator("UNPACK", [x], parts, "UnpackOptions", Num=6, Axis=2)
    y = file.tensor((1, 4, 5, 3), **kind)
    file.outputs.append(file.operator("PACK", parts[:3], y, "PackOptions", ValuesCount=3, Axis=3))


def extremes(file: TfFile, rng: np.random.Generator) -> None:
    """ARG_MAX over channels, and the largest element of rows and columns."""
    x = file.input((1, 4, 3, 20), scale=0.05, zero=3)
    y = file.tensor((1, 4, 3), "INT32")
    file.outputs.append(
        file.operator("ARG_MAX", [x, file.integers(3)], y, "ArgMaxOptions", OutputType=2)
    )
    for keeps in (True, False):
        y = file.tensor((1, 1, 1, 20) if keeps else (1, 20), scale=0.05, zero=3)
        file.outputs.append(file.operator(
            "REDUCE_MAX", [x, file.integers([1, 2])], y, "ReducerOptions", KeepDims=keeps
        ))  # fmt: skip


def largest(file: TfFile, rng: np.random.Generator) -> None:
    """TOPK_V2 of one element: the number and its place, of channels, of rows and of a vector."""
    for shape, dtype, both in (
        ((1, 4, 3, 20), "INT8", True), ((1, 300), "INT8", False), ((1, 5, 19), "INT16", True),
        ((1, 6, 40), "FLOAT32", False),
    ):  # fmt: skip
        kind = {"scale": 0.05, "dtype": dtype if dtype == "INT16" else "INT8"}
        x = file.input(shape, **kind)
        if dtype == "FLOAT32":
            kind = {"dtype": dtype}
            x = file.operator("DEQUANTIZE", [x], file.tensor(shape, dtype), "DequantizeOptions")
        one = (*shape[:-1], 1)
        outputs = [file.tensor(one, **kind), file.tensor(one, "INT32")]
        file.operator("TOPK_V2", [x, file.integers(1)], outputs, "TopKV2Options")
        file.outputs += outputs if both else outputs[1:]


def transposed(file: TfFile, rng: np.random.Generator) -> None:
    """TRANSPOSE_CONV of every kind of border."""
    x = file.input((1, 5, 4, 3), scale=0.05, zero=-9)
    for (rows, columns), stride, padding, bias in (
        ((3, 3), (2, 2), 0, True), ((2, 2), (2, 2), 1, True), ((4, 3), (2, 1), 0, False),
        ((3, 5), (1, 2), 1, True), ((2, 1), (2, 2), 0, True), ((5, 4), (3, 2), 0, False),
    ):  # fmt: skip
        filters = rng.integers(-127, 128, (4, rows, columns, 3))
        scales = 0.004 * rng.uniform(0.5, 1.5, 4)
        w = file.tensor(filters.shape, scale=scales, data=filters)
        size = [
            n * s if padding == 0 else (n - 1) * s + max(k, s) * (padding == 1)
            for n, s, k in zip((5, 4), stride, (rows, columns), strict=True)
        ]
        inputs = [file.integers([1, *size, 4]), w, x]
        if bias:
            b = file.tensor((4,), "INT32", 0.05 * scales, data=rng.integers(-3000, 3000, 4))
            inputs.append(b)
        y = file.tensor((1, *size, 4), scale=0.04, zero=int(rng.integers(-20, 20)))
        file.outputs.append(file.operator(
            "TRANSPOSE_CONV", inputs, y, "TransposeConvOptions", version=3 if bias else 2,
            Padding=padding, StrideH=stride[0], StrideW=stride[1],
        ))  # fmt: skip


def broadcasts(file: TfFile, rng: np.random.Generator) -> None:
    """ADD, SUB and MUL with constants of every shape, and of tensors of which one is repeated."""
    shape = (1, 3, 4, 5)
    x = file.input(shape, scale=3 / 32, zero=12)
    others = [(1, 1, 1, 5), (1, 3, 4, 1), (1, 1, 4, 1)]
    inputs = {sizes: file.input(sizes, scale=1 / 16, zero=-7) for sizes in others}
    for kind in ("ADD", "SUB", "MUL"):
        for sizes in ((3, 4, 5), (1, 3, 1, 1), (4, 1), *others):
            if sizes in inputs:
                c = inputs[sizes]
            else:
                values = rng.integers(-60, 60, sizes)
                c = file.tensor(sizes, scale=1 / 16, zero=int(rng.integers(-20, 20)), data=values)
            out = 0.5 if kind == "MUL" else 5 / 32
            y = file.tensor(shape, scale=out, zero=int(rng.integers(-30, 30)))
            sides = [c, x] if len(file.outputs) % 2 else [x, c]
            file.outputs.append(file.operator(kind, sides, y, f"{kind.capitalize()}Options"))


def reals(file: TfFile, rng: np.random.Generator) -> None:
    """DEQUANTIZE, what only moves real numbers, and QUANTIZE of them, with many ties."""
    for scale, out in ((3 / 32, 1 / 8), (0.1, 0.2), (0.25, 1 / 8), (0.03, 0.045)):
        x = file.input((1, 8, 8), scale=scale, zero=int(rng.integers(-50, 50)))
        real = file.tensor((1, 8, 8), "FLOAT32")
        file.operator("DEQUANTIZE", [x], real)
        flat = file.tensor((1, 64), "FLOAT32")
        size = file.integers((1, 64))
        file.operator("RESHAPE", [real, size], flat, "ReshapeOptions", version=1)
        y = file.tensor((1, 64), scale=out, zero=int(rng.integers(-50, 50)))
        file.outputs.append(file.operator("QUANTIZE", [flat], y, "QuantizeOptions", version=1))


def floats(file: TfFile, rng: np.random.Generator) -> None:
    """QUANTIZE of the model's inputs, where many are ties that float32 meets or misses."""
    shape = (1, 4, 5, 3)
    for dtype, scale, zero in (("INT8", 1 / 48, 5), ("INT8", 1 / 80, -9), ("INT16", 1 / 112, 0)):
        kind = {"dtype": dtype, "scale": scale, "zero": zero}
        x = file.input(shape, "FLOAT32")
        x = file.operator("QUANTIZE", [x], file.tensor(shape, **kind), "QuantizeOptions")
        x = file.operator("RELU", [x], file.tensor(shape, **kind))
        y = file.tensor(shape, "FLOAT32")
        file.outputs.append(file.operator("DEQUANTIZE", [x], y, "DequantizeOptions"))


def rows(file: TfFile, rng: np.random.Generator) -> None:
    """FULLY_CONNECTED with a scale for each output, where many sums are ties."""
    x = file.input((1, 12), scale=1 / 16, zero=-9)
    for _ in range(2):
        scales = 2.0 ** rng.integers(-6, -3, 10)
        w = file.tensor((10, 12), scale=scales, data=rng.integers(-20, 21, (10, 12)))
        y = file.tensor((1, 10), scale=0.5, zero=int(rng.integers(-20, 20)))
        file.outputs.append(
            file.operator("FULLY_CONNECTED", [x, w, -1], y, "FullyConnectedOptions", version=12)
        )


def nibbles(file: TfFile, rng: np.random.Generator) -> None:
    """CONV_2D, DEPTHWISE_CONV_2D and FULLY_CONNECTED whose weights have four bits."""
    x = file.input((1, 5, 4, 3), scale=0.05, zero=-9)
    scales = 0.03 * rng.uniform(0.5, 1.5, 6)
    bias = file.tensor((6,), "INT32", 0.05 * scales, data=rng.integers(-300, 300, 6))
    for kind, sizes, axis in (("CONV_2D", (6, 3, 3, 3), 0), ("DEPTHWISE_CONV_2D", (1, 3, 3, 6), 3)):
        codes = rng.integers(-7, 8, sizes)
        w = file.tensor(sizes, "INT4", scales, data=codes, axis=axis)
        y = file.tensor((1, 5, 4, 6), scale=0.04, zero=int(rng.integers(-20, 20)))
        table = "Conv2DOptions" if axis == 0 else "DepthwiseConv2DOptions"
        more = {"DepthMultiplier": 2} if axis else {}
        file.outputs.append(file.operator(
            kind, [x, w, bias], y, table, version=5, Padding=0, StrideH=1, StrideW=1,
            DilationHFactor=1, DilationWFactor=1, **more,
        ))  # fmt: skip
    w = file.tensor((5, 60), "INT4", 0.03, data=rng.integers(-7, 8, (5, 60)))
    bias = file.tensor((5,), "INT32", 0.05 * 0.03, data=rng.integers(-300, 300, 5))
    y = file.tensor((1, 5), scale=0.12, zero=-3)
    file.outputs.append(
        file.operator("FULLY_CONNECTED", [x, w, bias], y, "FullyConnectedOptions", version=10)
    )


def network(file: TfFile, rng: np.random.Generator) -> None:
    """Slopes, resizing, moves and a transposed convolution in a row, with one output."""
    x = file.input((1, 3, 2, 3), scale=3 / 32, zero=-9)
    x = file.operator("HARD_SWISH", [x], file.tensor((1, 3, 2, 3), scale=0.05, zero=-20), version=1)
    alphas = file.tensor((1, 1, 3), scale=0.004, zero=5, data=(-60, 90, 25))
    y = file.tensor((1, 3, 2, 3), scale=0.06, zero=7)
    x = file.operator("PRELU", [x, alphas], y, version=1)
    kind = {"scale": 0.06, "zero": 7}
    x = file.operator(
        "RESIZE_BILINEAR", [x, file.integers((6, 4))], file.tensor((1, 6, 4, 3), **kind),
        "ResizeBilinearOptions", version=3, AlignCorners=False, HalfPixelCenters=True,
    )  # fmt: skip
    parts = [file.tensor((1, 3, 4, 3), **kind) for _ in range(2)]
    file.operator("SPLIT", [file.integers(1), x], parts, "SplitOptions", NumSplits=2)
    fixed = file.tensor((1, 1, 4, 3), data=rng.integers(-128, 128, 12), **kind)
    y = file.tensor((1, 7, 4, 3), **kind)
    x = file.operator(
        "CONCATENATION", [parts[1], fixed, parts[0]], y, "ConcatenationOptions", Axis=1
    )
    order = file.integers((0, 3, 1, 2))
    x = file.operator(
        "TRANSPOSE", [x, order], file.tensor((1, 3, 7, 4), **kind), "TransposeOptions"
    )
    pads = file.integers([[0, 0], [1, 0], [0, 0], [0, 1]])
    x = file.operator("PAD", [x, pads], file.tensor((1, 4, 7, 5), **kind), "PadOptions")
    scales = 0.004 * rng.uniform(0.5, 1.5, 2)
    w = file.tensor((2, 3, 3, 5), scale=scales, data=rng.integers(-127, 128, (2, 3, 3, 5)))
    y = file.tensor((1, 8, 14, 2), scale=0.05, zero=4)
    x = file.operator(
        "TRANSPOSE_CONV", [file.integers([1, 8, 14, 2]), w, x], y, "TransposeConvOptions",
        Padding=0, StrideH=2, StrideW=2,
    )  # fmt: skip
    axes, y = file.integers([1]), file.tensor((1, 14, 2), scale=0.05, zero=4)
    x = file.operator("REDUCE_MAX", [x, axes], y, "ReducerOptions", KeepDims=False)
    y = file.tensor((1, 2, 14), scale=0.05, zero=4)
    x = file.operator("TRANSPOSE", [x, file.integers((0, 2, 1))], y, "TransposeOptions")
    y = file.tensor((1, 28), scale=0.05, zero=4)
    x = file.operator("RESHAPE", [x, file.integers((1, 28))], y, "ReshapeOptions", version=1)
    w = file.tensor((9, 28), scale=0.01, data=rng.integers(-127, 128, (9, 28)))
    y = file.tensor((1, 9), scale=0.12, zero=-3)
    file.operator("FULLY_CONNECTED", [x, w, -1], y, "FullyConnectedOptions")


def dense_pixels(file: TfFile, rng: np.random.Generator) -> None:
    """FULLY_CONNECTED of one pixel (squeeze and excitation), then of rows that stand in the batch's
    place, in a row with one output."""
    x = file.input((1, 4, 3, 6), scale=3 / 32, zero=-9)

    def dense(x: int, inputs: int, shape: tuple[int, ...], scale: float, zero: int, **more) -> int:
        codes = rng.integers(-127, 128, (shape[-1], inputs))
        w = file.tensor(codes.shape, scale=0.012, data=codes)
        y = file.tensor(shape, scale=scale, zero=zero)
        return file.operator("FULLY_CONNECTED", [x, w, -1], y, "FullyConnectedOptions", **more)

    y = file.tensor((1, 1, 1, 6), scale=1 / 32, zero=-9)
    axes = file.integers([1, 2])
    gate = file.operator("MEAN", [x, axes], y, "ReducerOptions", KeepDims=True)
    relu = {"FusedActivationFunction": 1, "KeepNumDims": True, "version": 5}
    gate = dense(gate, 6, (1, 1, 1, 3), 1 / 16, -128, **relu)
    gate = dense(gate, 3, (1, 1, 1, 6), 1 / 12, 5, KeepNumDims=True, version=5)
    y = file.tensor((1, 1, 1, 6), scale=1 / 256, zero=-128)
    gate = file.operator("LOGISTIC", [gate], y, version=1)
    y = file.tensor((1, 4, 3, 6), scale=1 / 16, zero=2)
    x = file.operator("MUL", [x, gate], y, "MulOptions")
    x = dense(x, 6, (12, 4), 0.2, -7)  # each pixel a row
    x = dense(x, 8, (6, 8), 0.6, 11)  # two of them
    y = file.tensor((3, 16), scale=0.6, zero=11)
    x = file.operator("RESHAPE", [x, file.integers((3, 16))], y, "ReshapeOptions", version=1)
    x = dense(x, 16, (3, 3), 2.5, 3)
    y = file.tensor((1, 3, 3), scale=2.5, zero=3)
    file.operator("RESHAPE", [x, file.integers((1, 3, 3))], y, "ReshapeOptions", version=1)


UNITS: tuple[Callable[[TfFile, np.random.Generator], None], ...] = (
    activations, means, constants, slices, chain, hard_swishes, leaks, bilinear, moves, extremes,
    transposed, broadcasts, reals, floats, rows, nibbles, sixteen, short_curves, short_chain,
    short_ends, network, dense_pixels, largest,
)  # fmt: skip


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=FIXTURES)
    parser.add_argument("--only", nargs="+", help="names of units; default: all")
    arguments = parser.parse_args()
    for unit in UNITS:
        if arguments.only and unit.__name__ not in arguments.only:
            continue
        file = TfFile()
        unit(file, np.random.default_rng(SEED))
        print(file.write(arguments.out / f"tflite_unit_{unit.__name__}.tflite").name)


if __name__ == "__main__":
    main()
