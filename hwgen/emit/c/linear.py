"""Sums of products in C: each pixel's window is gathered once, then met by every output's weights.

The gathered values and the weights are as narrow as they can be, so that compilers find their
multiply-and-add instructions.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir import Tensor
from ...ir.ops._matmul import add_bias, factor_range, subtracted
from .arith import check_bits
from .layer import Layer
from .text import integer_type, loop, number

WEIGHTS_TYPE = "weight_t"
WEIGHTS = f"""\
#ifdef HWGEN_WIDE_WEIGHTS
typedef int16_t {WEIGHTS_TYPE}; /* twice the memory, quicker on processors with wide vectors */
#else
typedef int8_t {WEIGHTS_TYPE};
#endif
"""


def conv(layer: Layer) -> list[str]:
    """Conv2D: grouped, dilated, padded."""
    op, x, y = layer.op, layer.x, layer.output
    (top, _), (left, _) = op.pads(x)
    rows, columns, channels = x.shape
    kernel_rows, kernel_columns, per_group, outputs = op.weights.shape
    padded = factor_range(x, op.raw, [x.type.zero_point])
    if per_group == 1 and outputs == op.groups and op.accumulator is None:
        return _depthwise(layer, padded)
    weights = op.weights.transpose(3, 0, 1, 2).reshape(outputs, -1)
    factor, acc = _types(layer, padded, weights)
    zero = subtracted(x.type, op.raw)
    fill = number(x.type.zero_point - zero)
    taps = weights.shape[1]
    part = outputs // op.groups
    dy, dx = op.dilation
    gather = [
        f"{factor} patch[{taps}];",
        f"{factor} *p = patch;",
        loop("ky", kernel_rows) + " {",
        *_inside("iy", f"oy * {op.stride[0]} + ky * {dy} - {top}"),
        f"    {loop('kx', kernel_columns)} {{",
        *_inside("ix", f"ox * {op.stride[1]} + kx * {dx} - {left}", "    "),
        f"        if (iy >= 0 && iy < {rows} && ix >= 0 && ix < {columns}) {{",
        f"            const {layer_type(x)} *q = x + (iy * {columns} + ix) * {channels}"
        f" + g * {per_group};",
        f"            {loop('c', per_group)} {{",
        f"                *p++ = ({factor})({_less('q[c]', zero)});",
        "            }",
        "        } else {",
        f"            {loop('c', per_group)} {{",
        f"                *p++ = {fill};",
        "            }",
        "        }",
        "    }",
        "}",
    ]
    body = [*gather, loop("o", part) + " {",
            *_dot(layer, weights, factor, acc, f"(g * {part} + o)"), "}"]  # fmt: skip
    return [
        loop("oy", y.shape[0]) + " {",
        f"    {loop('ox', y.shape[1])} {{",
        f"        {loop('g', op.groups)} {{",
        *(f"            {line}" for line in body),
        "        }",
        f"        y += {outputs};",
        "    }",
        "}",
    ]


def _inside(name: str, expression: str, indent: str = "") -> list[str]:
    return [f"{indent}    const int32_t {name} = {expression};"]


def layer_type(x: Tensor) -> str:
    """The C type of an edge's elements."""
    from .layer import storage

    return storage(x)


def _less(value: str, zero: int) -> str:
    return f"{value} - {number(zero)}" if zero else value


def _types(layer: Layer, factors: tuple[int, int], weights: Any) -> tuple[str, str]:
    """The types of gathered values and of sums. Raises UserError beyond 64 bits."""
    size = max(abs(f) for f in factors)
    sums = int(np.abs(weights.astype(object)).sum(axis=1).max(initial=0)) * size
    check_bits(sums, "a sum of products")
    narrow = factors[0] >= -(1 << 15) and factors[1] < 1 << 15
    factor = "int16_t" if narrow else integer_type(min(factors[0], -(1 << 16)), factors[1])
    return factor, "int32_t" if sums < 1 << 31 and factor != "int64_t" else "int64_t"


def _dot(layer: Layer, weights: Any, factor: str, acc: str, output: str) -> list[str]:
    """One output's sum of the window in ``patch``."""
    op, taps = layer.op, weights.shape[1]
    name, kind = _weights(layer, weights)
    lines = [f"const {kind} *w = {name} + {output} * {taps};"]
    if op.accumulator is None:
        lines += [f"{acc} sum = 0;", loop("t", taps) + " {",
                  f"    sum += ({acc})patch[t] * w[t];", "}"]  # fmt: skip
    else:
        lines += _grouped_sum(layer, taps, acc)
    total = _with_bias(layer, "sum", output)
    lines.append(f"y[{output}] = ({layer_type(layer.output)})({total});")
    return [f"    {line}" for line in lines]


def _weights(layer: Layer, weights: Any) -> tuple[str, str]:
    """The weights' array and its type: compilers multiply 16 bits by 16 best, so that those of 8
    bits may be stored so (see WEIGHTS_TYPE)."""
    low, high = int(weights.min()), int(weights.max())
    kind = WEIGHTS_TYPE if low >= -128 and high <= 127 else integer_type(low, high)
    return layer.table("weights", weights, kind), kind


def _grouped_sum(layer: Layer, taps: int, acc: str) -> list[str]:
    """Products in an accumulator that rounds and overflows after every group of them."""
    given, x = layer.op.accumulator, layer.x.type
    drop = x.frac + layer.op.weight_type.frac - given.type.frac
    check_bits(1 << (given.type.width + drop + 1), "an accumulator")
    shift = layer.helpers.shift(given.type.rounding)
    value = layer.helpers.overflow("wide", given.type)
    return [
        "int64_t sum = 0;",
        f"for (int32_t t = 0; t < {taps};) {{",
        f"    const int32_t end = t + {given.group} < {taps} ? t + {given.group} : {taps};",
        f"    int64_t wide = sum * (INT64_C(1) << {drop});",
        "    for (; t < end; t++) {",
        f"        wide += ({acc})patch[t] * w[t];",
        "    }",
        f"    wide = {shift}(wide, {drop});",
        f"    sum = {value};",
        "}",
    ]


def _with_bias(layer: Layer, total: str, output: str) -> str:
    op = layer.op
    if op.bias is None:
        return total
    bare = op._accumulated("bare", layer.x)
    _, up_sum, up_bias = add_bias(bare, op.bias, op.bias_frac)
    bias = op.bias.astype(object) << up_bias
    check_bits(max(abs(end) for end in (*layer.output.range, *(int(b) for b in bias))), "a sum")
    wide = f"(int64_t){total}"
    scaled = f"{wide} * {number(1 << up_sum)}" if up_sum else wide
    return f"{scaled} + {layer.per_channel('bias', bias, output)}"


def _depthwise(layer: Layer, factors: tuple[int, int]) -> list[str]:
    """A kernel for each channel: the channels of one pixel side by side."""
    op, x, y = layer.op, layer.x, layer.output
    (top, _), (left, _) = op.pads(x)
    rows, columns, channels = x.shape
    kernel_rows, kernel_columns = op.kernel
    weights = op.weights[:, :, 0, :].reshape(-1, channels)
    _, acc = _types(layer, factors, weights.T)
    zero = subtracted(x.type, op.raw)
    fill = x.type.zero_point - zero
    name, kind = _weights(layer, weights)
    outside = []
    if fill:
        outside = ["} else {", f"    {loop('c', channels)} {{",
                   f"        sum[c] += ({acc}){number(fill)} * w[c];", "    }"]  # fmt: skip
    taps = [
        f"const int32_t iy = oy * {op.stride[0]} + ky * {op.dilation[0]} - {top};",
        f"const int32_t ix = ox * {op.stride[1]} + kx * {op.dilation[1]} - {left};",
        f"const {kind} *w = {name} + (ky * {kernel_columns} + kx) * {channels};",
        f"if (iy >= 0 && iy < {rows} && ix >= 0 && ix < {columns}) {{",
        f"    const {layer_type(x)} *q = x + (iy * {columns} + ix) * {channels};",
        f"    {loop('c', channels)} {{",
        f"        sum[c] += ({acc})({_less('q[c]', zero)}) * w[c];",
        "    }",
        *outside,
        "}",
    ]
    body = [
        f"{acc} sum[{channels}];",
        f"{loop('c', channels)} {{", "    sum[c] = 0;", "}",
        loop("ky", kernel_rows) + " {", f"    {loop('kx', kernel_columns)} {{",
        *(f"        {line}" for line in taps), "    }", "}",
        f"{loop('c', channels)} {{",
        f"    y[c] = ({layer_type(y)})({_with_bias(layer, 'sum[c]', 'c')});", "}",
        f"y += {channels};",
    ]  # fmt: skip
    return [
        loop("oy", y.shape[0]) + " {", f"    {loop('ox', y.shape[1])} {{",
        *(f"        {line}" for line in body), "    }", "}",
    ]  # fmt: skip


def dense(layer: Layer) -> list[str]:
    """Dense."""
    op, x = layer.op, layer.x
    factors = factor_range(x, op.raw)
    weights = op.weights.T
    factor, acc = _types(layer, factors, weights)
    zero = subtracted(x.type, op.raw)
    return [
        f"{factor} patch[{x.size}];",
        f"{loop('t', x.size)} {{",
        f"    patch[t] = ({factor})({_less('x[t]', zero)});",
        "}",
        f"{loop('o', weights.shape[0])} {{",
        *_dot(layer, weights, factor, acc, "o"),
        "}",
    ]
