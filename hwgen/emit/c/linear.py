"""Sums of products in C: each pixel's window is gathered once, then met by every output's weights.

Windows hold 16 bits an element and weights 8: with them four pixels and sixteen outputs are summed
at a time (see products.py). What is wider, or rounds within its accumulator, takes plain loops.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...ir.ops._matmul import add_bias, factor_range, subtracted
from ...numeric import ceil_div
from . import products
from .arith import check_bits
from .layer import Layer, storage
from .text import integer_type, loop, number


def conv(layer: Layer) -> list[str]:
    """Conv2D: grouped, dilated, padded."""
    op, x, y = layer.op, layer.x, layer.output
    per_group, outputs = op.weights.shape[2:]
    factors = factor_range(x, op.raw, [x.type.zero_point])
    if per_group == 1 and outputs == op.groups and op.accumulator is None:
        return _depthwise(layer, factors)
    weights = op.weights.transpose(3, 0, 1, 2).reshape(op.groups, outputs // op.groups, -1)
    sums = _Sums(layer, weights, factors)
    return [
        loop("oy", y.shape[0]) + " {",
        f"    for (int32_t ox = 0; ox < {y.shape[1]}; ox += {sums.pixels}) {{",
        *(f"        {line}" for line in sums.pixel_count(y.shape[1])),
        f"        {loop('g', op.groups)} {{",
        f"            {sums.factor} patch[{sums.pixels}][{sums.taps}];",
        "            for (int32_t n = 0; n < pixels; n++) {",
        *(f"                {line}" for line in _gather(layer, sums)),
        "            }",
        *(f"            {line}" for line in sums.text(f"(n * {op.groups} + g)")),
        "        }",
        f"        y += pixels * {outputs};",
        "    }",
        "}",
    ]


def _gather(layer: Layer, sums: _Sums) -> list[str]:
    """Copies the window of pixel ``n`` and group ``g``: row by row where no column is outside."""
    op, x = layer.op, layer.x
    (top, _), (left, _) = op.pads(x)
    rows, columns, channels = x.shape
    kernel_rows, kernel_columns, per_group, _ = op.weights.shape
    dy, dx = op.dilation
    zero = subtracted(x.type, op.raw)
    value = f"({sums.factor})({_less('q[c]', zero)})"
    fill = number(x.type.zero_point - zero)
    source = f"const {storage(x)} *q = x + (iy * {columns} + ix) * {channels} + g * {per_group};"
    text = [
        f"{sums.factor} *p = patch[n];",
        f"const int32_t left = (ox + n) * {op.stride[1]} - {left};",
        loop("ky", kernel_rows) + " {",
        f"    const int32_t iy = oy * {op.stride[0]} + ky * {dy} - {top};",
    ]
    if dx == 1 and op.groups == 1:
        run, last = kernel_columns * channels, columns - kernel_columns
        text += [
            f"    if (iy >= 0 && iy < {rows} && left >= 0 && left <= {last}) {{",
            f"        const {storage(x)} *q = x + (iy * {columns} + left) * {channels};",
            f"        {loop('c', run)} {{",
            f"            *p++ = {value};",
            "        }",
            "        continue;",
            "    }",
        ]
    return [
        *text,
        f"    {loop('kx', kernel_columns)} {{",
        f"        const int32_t ix = left + kx * {dx};",
        f"        if (iy >= 0 && iy < {rows} && ix >= 0 && ix < {columns}) {{",
        f"            {source}",
        f"            {loop('c', per_group)} {{",
        f"                *p++ = {value};",
        "            }",
        "        } else {",
        f"            {loop('c', per_group)} {{",
        f"                *p++ = {fill};",
        "            }",
        "        }",
        "    }",
        "}",
        *sums.filled("p"),
    ]


def _less(value: str, zero: int) -> str:
    return f"{value} - {number(zero)}" if zero else value


def _sum_type(factors: tuple[int, int], weights: Any) -> str:
    """The type of sums. Raises UserError beyond 64 bits."""
    bound = int(np.abs(weights.astype(object)).sum(axis=-1).max(initial=0))
    bound *= max(abs(f) for f in factors)
    check_bits(bound, "a sum of products")
    return "int32_t" if bound < 1 << 31 else "int64_t"


class _Sums:
    """The sums of a layer's windows, which lie in ``patch``.

    weights : (groups, outputs of a group, taps).
    factors : the range of a window's elements.
    """

    def __init__(self, layer: Layer, weights: Any, factors: tuple[int, int]) -> None:
        self.layer, self.weights = layer, weights
        self.total = _sum_type(factors, weights)
        small = factors[0] >= -(1 << 15) and factors[1] < 1 << 15
        self.factor = "int16_t" if small else integer_type(min(factors[0], -(1 << 16)), factors[1])
        self.blocks = (
            small and self.total == "int32_t" and layer.op.accumulator is None
            and weights.min() >= -128 and weights.max() <= 127
        )  # fmt: skip
        self.pixels = products.PIXELS if self.blocks and len(layer.output.shape) == 3 else 1
        self.taps = weights.shape[2] + (weights.shape[2] % 2 if self.blocks else 0)

    def pixel_count(self, columns: int) -> list[str]:
        """Declares ``pixels``, how many are summed together from ``ox`` on."""
        if columns % self.pixels == 0:
            return [f"const int32_t pixels = {self.pixels};"]
        return [f"const int32_t pixels = {columns} - ox < {self.pixels} ? {columns} - ox "
                f": {self.pixels};"]  # fmt: skip

    def filled(self, place: str) -> list[str]:
        """Completes the last pair of a window."""
        return [f"*{place} = 0;"] if self.taps > self.weights.shape[2] else []

    def text(self, pixel: str) -> list[str]:
        """Writes the sums of ``pixels`` windows; ``pixel`` counts them, with groups inside."""
        return self._in_blocks(pixel) if self.blocks else self._one_by_one(pixel)

    def _in_blocks(self, pixel: str) -> list[str]:
        layer, (_, part, _) = self.layer, self.weights.shape
        name = layer.table("weights", products.blocked(self.weights), "int8_t")
        lanes = products.LANES
        step = ceil_div(part, lanes) * lanes * self.taps
        value = _with_bias(layer, "sums[n][o]", f"(g * {part} + block + o)")
        count = str(lanes)
        head = []
        if part % lanes:
            head = [f"const int32_t left_over = {part} - block;"]
            count = f"left_over < {lanes} ? left_over : {lanes}"
        body = [
            f"int32_t sums[{self.pixels}][{lanes}];",
            *head,
            f"{products.function(layer.helpers, self.pixels)}(sums, patch[0], {self.taps}, "
            f"{name} + g * {step} + block * {self.taps});",
            "for (int32_t n = 0; n < pixels; n++) {",
            f"    for (int32_t o = 0; o < ({count}); o++) {{",
            f"        y[{pixel} * {part} + block + o] = ({storage(layer.output)})({value});",
            "    }",
            "}",
        ]
        return [f"for (int32_t block = 0; block < {part}; block += {lanes}) {{",
                *(f"    {line}" for line in body), "}"]  # fmt: skip

    def _one_by_one(self, pixel: str) -> list[str]:
        layer, (_, part, taps) = self.layer, self.weights.shape
        name = layer.table("weights", self.weights)
        kind = integer_type(int(self.weights.min()), int(self.weights.max()))
        lines = [f"const {kind} *w = {name} + (g * {part} + o) * {taps};"]
        if layer.op.accumulator is None:
            lines += [f"{self.total} sum = 0;", loop("t", taps) + " {",
                      f"    sum += ({self.total})patch[n][t] * w[t];", "}"]  # fmt: skip
        else:
            lines += _grouped_sum(layer, taps, self.total)
        value = _with_bias(layer, "sum", f"(g * {part} + o)")
        lines.append(f"y[{pixel} * {part} + o] = ({storage(layer.output)})({value});")
        return ["for (int32_t n = 0; n < pixels; n++) {", f"    {loop('o', part)} {{",
                *(f"        {line}" for line in lines), "    }", "}"]  # fmt: skip


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
        f"        wide += ({acc})patch[n][t] * w[t];",
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
    acc = _sum_type(factors, weights.T)
    zero = subtracted(x.type, op.raw)
    fill = x.type.zero_point - zero
    name = layer.table("weights", weights)
    kind = integer_type(int(weights.min()), int(weights.max()))
    outside = []
    if fill:
        outside = ["} else {", f"    {loop('c', channels)} {{",
                   f"        sum[c] += ({acc}){number(fill)} * w[c];", "    }"]  # fmt: skip
    taps = [
        f"const int32_t iy = oy * {op.stride[0]} + ky * {op.dilation[0]} - {top};",
        f"const int32_t ix = ox * {op.stride[1]} + kx * {op.dilation[1]} - {left};",
        f"const {kind} *w = {name} + (ky * {kernel_columns} + kx) * {channels};",
        f"if (iy >= 0 && iy < {rows} && ix >= 0 && ix < {columns}) {{",
        f"    const {storage(x)} *q = x + (iy * {columns} + ix) * {channels};",
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
        f"    y[c] = ({storage(y)})({_with_bias(layer, 'sum[c]', 'c')});", "}",
        f"y += {channels};",
    ]  # fmt: skip
    return [
        loop("oy", y.shape[0]) + " {", f"    {loop('ox', y.shape[1])} {{",
        *(f"        {line}" for line in body), "    }", "}",
    ]  # fmt: skip


def dense(layer: Layer) -> list[str]:
    """Dense."""
    op, x = layer.op, layer.x
    sums = _Sums(layer, op.weights.T[None], factor_range(x, op.raw))
    zero = subtracted(x.type, op.raw)
    return [
        "const int32_t pixels = 1, g = 0;",
        f"{sums.factor} patch[1][{sums.taps}];",
        f"{loop('t', x.size)} {{",
        f"    patch[0][t] = ({sums.factor})({_less('x[t]', zero)});",
        "}",
        *sums.filled(f"(patch[0] + {x.size})"),
        *sums.text("n"),
    ]
