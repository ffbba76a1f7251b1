"""Every other layer in C."""

from __future__ import annotations

from collections.abc import Callable
from math import prod
from typing import Any

import numpy as np

from ...ir import ops
from ...numeric import Overflow, Scaling, magnitude
from ...numeric.scaling import FIXED_FRAC
from . import linear
from .arith import MAX_SHIFT, SAFE_BITS, check_bits
from .layer import Layer, storage
from .softmax import gemmlowp_softmax
from .text import loop, number


def _each(layer: Layer, lines: list[str], channel: bool = True) -> list[str]:
    """A loop over pixels and channels: ``i`` counts elements, ``c`` channels."""
    size, channels = layer.output.size, layer.output.channels
    if not channel:
        return [loop("i", size) + " {", *(f"    {line}" for line in lines), "}"]
    return [
        f"for (int32_t i = 0; i < {size};) {{",
        f"    for (int32_t c = 0; c < {channels}; c++, i++) {{",
        *(f"        {line}" for line in lines),
        "    }",
        "}",
    ]


def _each_scaled(layer: Layer, lines: list[str], value: str, bits: int) -> list[str]:
    """A loop over pixels and channels for ``x[c]``: a line of results of ``bits`` bits first, which
    then becomes narrow; compilers turn each of the two into vectors, but not both at once."""
    op, channels = layer.op, layer.output.channels
    uniform = all(np.size(getattr(op, name)) == 1 for name in ("mult", "shift", "bias"))
    size = layer.output.size
    run = max(n for n in range(1, 257) if size % n == 0) if uniform else channels
    if op.clip is not None:
        value = layer.helpers.clamp(value, *op.clip, bits=bits)
    return [
        f"for (int32_t i = 0; i < {size // run}; i++) {{",
        f"    int{bits}_t wide[{run}];",
        f"    {loop('c', run)} {{",
        *(f"        {line}" for line in lines),
        f"        wide[c] = {value};",
        "    }",
        f"    {loop('c', run)} {{",
        f"        y[c] = ({storage(layer.output)})wide[c];",
        "    }",
        f"    x += {run};",
        f"    y += {run};",
        "}",
    ]


def _stored(layer: Layer, value: str) -> str:
    return f"y[i] = ({storage(layer.output)})({value});"


def requantize(layer: Layer) -> list[str]:
    """Multiply, add, shift, overflow, clip; one bias or one on each side of a pivot."""
    op, helpers = layer.op, layer.helpers
    biases = [op.bias] if op.below is None else [op.bias, op.below]
    size = max(abs(end) for end in layer.x.range)
    mult = max(abs(int(m)) for m in op.mult)
    check_bits(size * mult + max(abs(int(b)) for part in biases for b in part), "a requantization")
    shift = np.minimum(op.shift, MAX_SHIFT)
    bias = layer.per_channel("bias", op.bias, "c")
    if op.pivot is not None:
        pivot, below = (layer.per_channel(n, getattr(op, n), "c") for n in ("pivot", "below"))
        bias = f"(x[c] >= {pivot} ? (int64_t){bias} : (int64_t){below})"
    product = f"(int64_t)x[c] * {layer.per_channel('mult', op.mult, 'c')} + {bias}"
    rounded = f"{helpers.shift(op.type.rounding)}({product}, " \
              f"{layer.per_channel('shift', shift, 'c')})"  # fmt: skip
    lines = [f"const int64_t v = {rounded};"]
    return _each_scaled(layer, lines, helpers.overflow("v", op.type), 64)


def rescale(layer: Layer) -> list[str]:
    """A runtime's own rule."""
    op, helpers = layer.op, layer.helpers
    value = f"((int64_t)x[c] + {layer.per_channel('before', op.bias, 'c')})"
    shift, bits = op.shift, 64
    if op.scaling is Scaling.DOUBLE_HALF_AWAY:
        reals = np.ldexp(op.mult.astype(np.float64), -op.shift)
        mult = layer.reals("mult", reals, "double")
        mult += "[0]" if len(reals) == 1 else "[c]"
    else:
        mult = layer.per_channel("mult", op.mult, "c")
    if op.scaling.fixed_point:
        left = 1 << np.maximum(FIXED_FRAC - shift, 0)
        if left.max() > 1:
            value += f" * {layer.per_channel('up', left, 'c')}"
        shift = np.clip(shift - FIXED_FRAC, 0, MAX_SHIFT)
        bits = _rescaled_bits(layer, left, shift)
    shifts = layer.per_channel("shift", shift, "c")
    scaled = helpers.scaled(op.scaling, value, mult, shifts, bits, _leaves_64_bits(layer))
    lines = [f"const int{bits}_t v = {scaled} + {number(op.offset)};"]
    return _each_scaled(layer, lines, helpers.overflow("v", op.type, bits), bits)


def _leaves_64_bits(layer: Layer) -> bool:
    """Whether results before overflow may need more; raises UserError where such ones wrap."""
    op, x = layer.op, layer.x
    ends = op.unclipped(np.array([[end] * x.channels for end in x.range]))
    if magnitude(ends).bit_length() <= SAFE_BITS:
        return False
    if op.type.overflow is Overflow.WRAP:
        check_bits(magnitude(ends), "what wraps")
    return True


def _rescaled_bits(layer: Layer, left: Any, shift: Any) -> int:
    """32 where the rounding after a product of 32 bits, and the offset, stay within them."""
    op = layer.op
    if op.type.overflow is not Overflow.SATURATE or int(shift.max()) > 30:
        return 64
    size = max(abs(end) for end in layer.x.range) + int(np.abs(op.bias).max())
    product = (size * (left.astype(object) * op.mult) >> FIXED_FRAC) + 1
    most = int((product + (1 << shift.astype(object))).max()) + abs(op.offset)
    return 32 if most < 1 << 31 else 64


def relu(layer: Layer) -> list[str]:
    """A clip."""
    clipped = layer.helpers.clamp("x[i]", *layer.op.bounds(layer.x))
    return _each(layer, [_stored(layer, clipped)], False)


def multi_threshold(layer: Layer) -> list[str]:
    """The number of thresholds reached, by bisection, and its value."""
    op = layer.op
    steps = op.rows.shape[1]
    low, high = layer.x.range
    thresholds = layer.table("steps", np.clip(op.rows, low, high + 1))
    values = layer.table("values", op.values)
    row = f" + c * {steps}" if len(op.rows) > 1 else ""
    lines = [
        f"int32_t low = 0, high = {steps};",
        "while (low < high) {",
        "    const int32_t middle = (low + high) / 2;",
        f"    if ((int64_t)x[i] >= ({thresholds}{row})[middle]) {{",
        "        low = middle + 1;",
        "    } else {",
        "        high = middle;",
        "    }",
        "}",
        _stored(layer, f"{values}[low]"),
    ]
    return _each(layer, lines)


def cast(layer: Layer) -> list[str]:
    """Each element to a type of its own."""
    op, x, helpers = layer.op, layer.x, layer.helpers
    index = np.broadcast_to(op.index, x.shape)
    name = layer.table("kind", index)
    lines = ["int64_t v = 0;", f"switch ({name}[i]) {{"]
    for n, qtype in enumerate(op.types):
        up = max(0, qtype.frac - x.type.frac)
        down = max(0, x.type.frac - qtype.frac)
        check_bits(max(abs(end) for end in x.range) << up, "a cast")
        check_bits(max(abs(op.type.min), op.type.max) >> 1, "a cast's result")
        value = f"(int64_t)x[i] * {number(1 << up)}"
        lines += [
            f"case {n}:",
            f"    v = {helpers.shift(qtype.rounding)}({value}, {min(down, MAX_SHIFT)});",
            f"    v = {helpers.overflow('v', qtype)} * {number(1 << (op.type.frac - qtype.frac))};",
            "    break;",
        ]
    lines += ["default:", "    break;", "}", _stored(layer, "v")]
    return _each(layer, lines, False)


def _windows(layer: Layer, first: str, each: str, last: list[str]) -> list[str]:
    """Loops over windows: ``v`` starts as ``first``, takes every real element, and is used."""
    op, x, y = layer.op, layer.x, layer.output
    (top, _), (left, _) = op.pads(x)
    rows, columns, channels = x.shape
    return [
        "int32_t i = 0;",
        loop("oy", y.shape[0]) + " {",
        f"    {loop('ox', y.shape[1])} {{",
        f"        for (int32_t c = 0; c < {channels}; c++, i++) {{",
        f"            int64_t v = {first};",
        f"            {loop('ky', op.kernel[0])} {{",
        f"                {loop('kx', op.kernel[1])} {{",
        f"                    const int32_t iy = oy * {op.stride[0]} + ky - {top};",
        f"                    const int32_t ix = ox * {op.stride[1]} + kx - {left};",
        f"                    if (iy < 0 || iy >= {rows} || ix < 0 || ix >= {columns}) {{",
        "                        continue;",
        "                    }",
        f"                    const int64_t e = x[(iy * {columns} + ix) * {channels} + c];",
        f"                    {each}",
        "                }",
        "            }",
        *(f"            {line}" for line in last),
        "        }",
        "    }",
        "}",
    ]


def max_pool(layer: Layer) -> list[str]:
    """The largest real element of each window."""
    low = number(layer.x.type.min)
    return _windows(layer, low, "v = e > v ? e : v;", [_stored(layer, "v")])


def sum_pool(layer: Layer) -> list[str]:
    """The sum of each window."""
    return _windows(layer, "0", "v += e;", [_stored(layer, "v")])


def avg_pool(layer: Layer) -> list[str]:
    """The mean of each window, rounded once."""
    op, x = layer.op, layer.x
    up = op.type.frac - x.type.frac
    left, right = max(0, up), max(0, -up)
    taps = prod(op.kernel)
    check_bits((max(abs(end) for end in x.range) * taps) << (left + 1), "an average")
    check_bits(taps << (right + 1), "an average")
    divisors = op.divisors(x).astype(object) << right
    divisor = number(int(divisors.reshape(-1)[0]))
    if len(set(divisors.reshape(-1).tolist())) > 1:
        name = layer.table("divisors", divisors)
        divisor = f"{name}[oy * {layer.output.shape[1]} + ox]"
    divide = layer.helpers.divide(op.type.rounding)
    last = [f"v = {divide}(v * {number(1 << left)}, {divisor});",
            _stored(layer, layer.helpers.overflow("v", op.type))]  # fmt: skip
    return _windows(layer, "0", "v += e;", last)


def add(layer: Layer) -> list[str]:
    """The sum of all inputs, their fractions aligned."""
    shifts = layer.op.shifts(layer.inputs)
    check_bits(max(abs(end) for end in layer.output.range), "a sum")
    terms = [f"(int64_t)x{n}[i] * {number(1 << s)}" for n, s in enumerate(shifts)]
    return _each(layer, [_stored(layer, " + ".join(terms))], False)


def mul(layer: Layer) -> list[str]:
    """The product of two inputs, each less its zero point."""
    check_bits(max(abs(end) for end in layer.output.range), "a product")
    second = "i" if layer.inputs[0].shape == layer.inputs[1].shape else "c"
    a, b = (number(x.type.zero_point) for x in layer.inputs)
    return _each(layer, [_stored(layer, f"((int64_t)x0[i] - {a}) * ((int64_t)x1[{second}] - {b})")])


def concat(layer: Layer) -> list[str]:
    """The channels of the inputs, one input after the other."""
    lines = []
    for n, x in enumerate(layer.inputs):
        lines += [f"for (int32_t c = 0; c < {x.channels}; c++) {{",
                  f"    *y++ = ({storage(layer.output)})*x{n}++;", "}"]  # fmt: skip
    pixels = layer.output.size // layer.output.channels
    return [loop("pixel", pixels) + " {", *(f"    {line}" for line in lines), "}"]


def gather(layer: Layer) -> list[str]:
    """Slices, borders and repetitions: where each element comes from."""
    x, golden = layer.x, layer.op.golden
    places = golden([np.arange(x.size).reshape(1, *x.shape)], [x])[0]
    name = layer.table("from", places)
    return _each(layer, [_stored(layer, f"x[{name}[i]]")], False)


def pad(layer: Layer) -> list[str]:
    """A border of one value."""
    (top, _), (left, _) = layer.op.pads
    rows, columns, channels = layer.x.shape
    _, wide, _ = layer.output.shape
    kind = storage(layer.output)
    return [
        loop("i", layer.output.size) + " {",
        f"    y[i] = ({kind}){number(layer.op.value)};",
        "}",
        loop("row", rows) + " {",
        f"    {loop('i', columns * channels)} {{",
        f"        y[((row + {top}) * {wide} + {left}) * {channels} + i] = "
        f"x[row * {columns * channels} + i];",
        "    }",
        "}",
    ]


def argmax(layer: Layer) -> list[str]:
    """The index of the largest channel, the first of equals."""
    channels = layer.x.channels
    return [
        loop("i", layer.output.size) + " {",
        "    int32_t best = 0;",
        f"    for (int32_t c = 1; c < {channels}; c++) {{",
        f"        best = x[i * {channels} + c] > x[i * {channels} + best] ? c : best;",
        "    }",
        f"    y[i] = ({storage(layer.output)})best;",
        "}",
    ]


def softmax(layer: Layer) -> list[str]:
    """gemmlowp's softmax of each pixel."""
    op, channels = layer.op, layer.x.channels
    name = gemmlowp_softmax(layer.helpers)
    pixels = layer.x.size // channels
    source, kind = storage(layer.x), storage(layer.output)
    return [
        f"{loop('pixel', pixels)} {{",
        f"    int32_t values[{channels}];",
        f"    {loop('c', channels)} {{",
        f"        values[c] = ((const {source} *)x)[pixel * {channels} + c];",
        "    }",
        f"    {name}(values, {channels}, {number(op.mult)}, {op.shift}, {op.type.width});",
        f"    {loop('c', channels)} {{",
        f"        y[pixel * {channels} + c] = ({kind})"
        f"{layer.helpers.clamp(f'values[c] + {number(op.type.min)}', op.type.min, op.type.max)};",
        "    }",
        "}",
    ]


def softmax_table(layer: Layer) -> list[str]:
    """Softmax of each pixel in float32, from a table of exponentials."""
    op, channels = layer.op, layer.x.channels
    powers = layer.reals("powers", op.powers, "float")
    last = _quotient(layer, powers) if op.steps is not None else _inverse(layer, powers)
    return [
        f"for (int32_t i = 0; i < {layer.x.size // channels}; i++) {{",
        "    int32_t most = x[0];",
        "    float total = 0.0f;",
        f"    {loop('c', channels)} {{",
        "        most = x[c] > most ? x[c] : most;",
        "    }",
        f"    {loop('c', channels)} {{",
        f"        total += {powers}[most - x[c]];",
        "    }",
        *(f"    {line}" for line in last),
        f"    x += {channels};",
        f"    y += {channels};",
        "}",
    ]


def _quotient(layer: Layer, powers: str) -> list[str]:
    """Each exponential times the steps of the output, divided by their sum: ties to even."""
    op = layer.op
    value = layer.helpers.clamp(f"code + {number(op.type.zero_point)}", op.type.min, op.type.max)
    return [
        f"{loop('c', layer.x.channels)} {{",
        f"    const double p = (double){powers}[most - x[c]] * {op.steps}.0 / (double)total;",
        "    int32_t code = (int32_t)p;",
        "    const double rest = p - (double)code;",
        "    code += rest > 0.5 || (rest == 0.5 && (code & 1));",
        f"    y[c] = ({storage(layer.output)})({value});",
        "}",
    ]


def _inverse(layer: Layer, powers: str) -> list[str]:
    """Each exponential times the inverse of their sum."""
    op = layer.op
    half = "(p - (float)whole >= 0.5f)" if op.type.signed else "0"
    added = "" if op.type.signed else " + 0.5f"
    value = layer.helpers.clamp(f"whole + {half} + {number(op.type.min)}", op.type.min, op.type.max)
    return [
        f"const float inverse = 1.0f / (total * {float(2.0**-op.type.width).hex()}f);",
        f"{loop('c', layer.x.channels)} {{",
        f"    const volatile float product = {powers}[most - x[c]] * inverse;",
        f"    const float p = product{added};",
        "    const int32_t whole = (int32_t)p;",
        f"    y[c] = ({storage(layer.output)})({value});",
        "}",
    ]


LAYERS: dict[type, Callable[[Layer], list[str]]] = {
    ops.Add: add,
    ops.ArgMax: argmax,
    ops.AvgPool: avg_pool,
    ops.Cast: cast,
    ops.Concat: concat,
    ops.Conv2D: linear.conv,
    ops.Dense: linear.dense,
    ops.MaxPool: max_pool,
    ops.Mul: mul,
    ops.Pad: pad,
    ops.Relu: relu,
    ops.Requantize: requantize,
    ops.Rescale: rescale,
    ops.Slice: gather,
    ops.Softmax: softmax,
    ops.SoftmaxTable: softmax_table,
    ops.MultiThreshold: multi_threshold,
    ops.SumPool: sum_pool,
    ops.Upsample: gather,
}
"""How each op becomes C. Reshape and Flatten move nothing; batch norms are folded before."""
