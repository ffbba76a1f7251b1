"""Golden arithmetic of the ops against plain loops over Python integers."""

from __future__ import annotations

import itertools
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import (
    Accumulator,
    Graph,
    Node,
    Tensor,
    execute,
    graph_from_json,
    graph_to_json,
    ops,
)
from hwgen.ir.ops._matmul import exact_matmul
from hwgen.numeric import Overflow, QType, Rounding


def qtype(signed: bool, width: int, frac: int = 0, **modes: Any) -> QType:
    rounding = modes.get("rounding", Rounding.HALF_EVEN)
    return QType(signed, width, frac, rounding, modes.get("overflow", Overflow.SATURATE))


def run(op: Any, x: Tensor, values: Any) -> Any:
    graph = Graph("one", (x,), (Node("y", op, (x.name,)),), ("y",)).verify()
    again = graph_from_json(graph_to_json(graph))
    result = execute(graph, {x.name: values})["y"]
    assert np.array_equal(result, execute(again, {x.name: values})["y"]), "JSON changed the op"
    low, high = graph.tensors["y"].range
    assert result.min() >= low and result.max() <= high
    return result


def pads_of(padding: Any, kernel: Any, stride: Any, size: Any) -> Any:
    if padding == "valid":
        return (0, 0), (0, 0)
    if padding == "same":
        totals = [
            max(0, (-(-n // s) - 1) * s + k - n)
            for n, k, s in zip(size, kernel, stride, strict=True)
        ]
        return tuple((t // 2, t - t // 2) for t in totals)
    return padding


def convolved(
    x: Any, w: Any, stride: Any, pads: Any, each: Any, dilation: Any = (1, 1), groups: int = 1
) -> Any:
    """Calls ``each`` with the ordered products of every output."""
    frames, height, width, _ = x.shape
    kh, kw, cin, cout = w.shape
    dy, dx = dilation
    oh = (height + sum(pads[0]) - (kh - 1) * dy - 1) // stride[0] + 1
    ow = (width + sum(pads[1]) - (kw - 1) * dx - 1) // stride[1] + 1
    out = np.zeros((frames, oh, ow, cout), object)
    for f, i, j, o in itertools.product(range(frames), range(oh), range(ow), range(cout)):
        products = []
        for ky, kx, c in itertools.product(range(kh), range(kw), range(cin)):
            row = i * stride[0] + ky * dy - pads[0][0]
            column = j * stride[1] + kx * dx - pads[1][0]
            real = 0 <= row < height and 0 <= column < width
            channel = o * groups // cout * cin + c
            products.append(int(x[f, row, column, channel]) * int(w[ky, kx, c, o]) if real else 0)
        out[f, i, j, o] = each(products, o)
    return out


@pytest.mark.parametrize("groups", [1, 2, 4])
@pytest.mark.parametrize("dilation", [(1, 1), (2, 1), (1, 3)])
def test_groups_and_dilation(groups: int, dilation: Any) -> None:
    rng = np.random.default_rng(groups)
    x = Tensor("x", (6, 7, 4), qtype(True, 5, 2))
    values = rng.integers(-16, 16, (2, 6, 7, 4))
    weights = rng.integers(-8, 8, (2, 3, 4 // groups, 8))
    for padding in ("valid", "same"):
        reach = [(k - 1) * d + 1 for k, d in zip((2, 3), dilation, strict=True)]
        pads = pads_of(padding, reach, (2, 1), (6, 7))
        op = ops.Conv2D(
            weights, qtype(True, 4, 3), (2, 1), padding, dilation=dilation, groups=groups
        )
        expected = convolved(values, weights, (2, 1), pads, lambda p, o: sum(p), dilation, groups)
        assert np.array_equal(run(op, x, values), expected)


PADDINGS = [((1, 1), "valid"), ((1, 1), "same")] + [
    (kernel, padding)
    for kernel in ((2, 3), (3, 3))
    for padding in ("valid", "same", ((1, 0), (0, 2)))
]
"""Kernels, and padding that is smaller."""


@pytest.mark.parametrize(("kernel", "padding"), PADDINGS)
@pytest.mark.parametrize("stride", [(1, 1), (2, 1), (3, 2)])
def test_convolution(padding: Any, stride: Any, kernel: Any) -> None:
    rng = np.random.default_rng(1)
    x = Tensor("x", (5, 4, 2), qtype(True, 5, 2))
    values = rng.integers(-16, 16, (2, 5, 4, 2))
    weights, bias = rng.integers(-8, 8, (*kernel, 2, 3)), rng.integers(-50, 50, 3)
    pads = pads_of(padding, kernel, stride, (5, 4))
    for bias_frac in (None, 3, 7):
        op = ops.Conv2D(weights, qtype(True, 4, 3), stride, padding, bias, bias_frac)
        up = 0 if bias_frac is None else max(0, bias_frac - 5)
        bias_up = 0 if bias_frac is None else max(0, 5 - bias_frac)
        got = run(op, x, values)
        each = lambda p, o, a=up, b=bias_up: (sum(p) << a) + (int(bias[o]) << b)  # noqa: E731
        assert np.array_equal(got, convolved(values, weights, stride, pads, each))


@pytest.mark.parametrize("overflow", [Overflow.SATURATE, Overflow.WRAP])
@pytest.mark.parametrize("group", [1, 2, 5, 18])
@pytest.mark.parametrize("frac", [5, 3])
def test_given_accumulators(overflow: Overflow, group: int, frac: int) -> None:
    """Products of a group are summed exactly, then added, rounded, brought into range."""
    rng = np.random.default_rng(group)
    x = Tensor("x", (4, 4, 2), qtype(True, 5, 2))
    values = rng.integers(-16, 16, (3, 4, 4, 2))
    weights = rng.integers(-8, 8, (3, 3, 2, 2))
    acc = qtype(True, 8, frac, rounding=Rounding.HALF_UP, overflow=overflow)
    op = ops.Conv2D(weights, qtype(True, 4, 3), accumulator=Accumulator(acc, group))

    def each(products: list[int], _: int) -> int:
        total = 0
        for start in range(0, len(products), group):
            exact = Fraction(total * 2 ** (5 - frac) + sum(products[start : start + group]))
            total = int((exact / 2 ** (5 - frac) + Fraction(1, 2)) // 1)
            if overflow is Overflow.WRAP:
                total = (total + 128) % 256 - 128
            total = min(max(total, -128), 127)
        return total

    expected = convolved(values, weights, (1, 1), ((0, 0), (0, 0)), each)
    assert np.array_equal(run(op, x, values), expected)


def test_dense() -> None:
    rng = np.random.default_rng(3)
    x = Tensor("x", (7,), qtype(False, 6, 6))
    values, weights = rng.integers(0, 64, (4, 7)), rng.integers(-8, 8, (7, 3))
    bias = np.array([5, -6, 7])
    got = run(ops.Dense(weights, qtype(True, 4, 2), bias, 8), x, values)
    expected = [
        [sum(int(a) * int(b) for a, b in zip(v, weights[:, o], strict=True)) + int(bias[o])
         for o in range(3)]
        for v in values
    ]  # fmt: skip
    assert got.tolist() == expected


@pytest.mark.parametrize("padding", ["valid", "same"])
@pytest.mark.parametrize(
    ("kernel", "stride"), [((2, 2), (2, 2)), ((3, 2), (1, 2)), ((2, 3), (3, 1))]
)
def test_pools(padding: str, kernel: Any, stride: Any) -> None:
    rng = np.random.default_rng(4)
    x = Tensor("x", (5, 6, 2), qtype(True, 5, 1))
    values = rng.integers(-16, 16, (2, 5, 6, 2))
    pads = pads_of(padding, kernel, stride, (5, 6))

    def windows() -> Any:
        oh = (5 + sum(pads[0]) - kernel[0]) // stride[0] + 1
        ow = (6 + sum(pads[1]) - kernel[1]) // stride[1] + 1
        for f, i, j, c in itertools.product(range(2), range(oh), range(ow), range(2)):
            rows = range(i * stride[0] - pads[0][0], i * stride[0] - pads[0][0] + kernel[0])
            columns = range(j * stride[1] - pads[1][0], j * stride[1] - pads[1][0] + kernel[1])
            yield [
                int(values[f, r, k, c]) for r in rows for k in columns if 0 <= r < 5 and 0 <= k < 6
            ]

    got = run(ops.MaxPool(kernel, stride, padding), x, values)
    assert got.reshape(-1).tolist() == [max(w) for w in windows()]
    got = run(ops.SumPool(kernel, stride, padding), x, values)
    assert got.reshape(-1).tolist() == [sum(w) for w in windows()]
    out = qtype(True, 7, 3, rounding=Rounding.HALF_AWAY)
    for count_padding in (False, True):
        op = ops.AvgPool(kernel, stride, padding, type=out, count_padding=count_padding)
        got = run(op, x, values).reshape(-1).tolist()
        for value, window in zip(got, windows(), strict=True):
            count = kernel[0] * kernel[1] if count_padding else len(window)
            exact = Fraction(4 * sum(window), count)
            away = (abs(exact) + Fraction(1, 2)) // 1
            expected = int(away if exact >= 0 else -away)
            assert value == min(max(expected, -64), 63)


def test_argmax_takes_the_first_of_equals() -> None:
    x = Tensor("x", (4,), qtype(True, 4))
    got = run(ops.ArgMax(), x, np.array([[1, 3, 3, 0], [-8, -8, -8, -8], [0, 1, 2, 3]]))
    assert got.tolist() == [[1], [0], [3]]


@pytest.mark.parametrize("bits", [23, 24, 25, 52, 53, 54, 61, 62, 63, 70])
def test_products_are_exact_at_the_borders_of_every_arithmetic(bits: int) -> None:
    high = (1 << (bits // 2)) - 1
    rest = (1 << (bits - bits // 2)) - 1
    x = np.array([[high, high, -1]], dtype=object)
    w = np.array([[rest], [rest], [1]], dtype=object)
    assert exact_matmul(x, w, high).tolist() == [[2 * high * rest - 1]]


def description() -> dict[str, Any]:
    x = Tensor("x", (3, 3, 1), qtype(True, 4, 3))
    conv = ops.Conv2D(np.ones((2, 2, 1, 2), np.int64), qtype(True, 2))
    return graph_to_json(Graph("net", (x,), (Node("c", conv, ("x",)),), ("c",)))


@pytest.mark.parametrize(
    ("path", "value", "said"),
    [
        (("format",), "x", "format"),
        (("schema",), 9, "schema"),
        (("extra",), 1, "extra"),
        (("name",), "", "name"),
        (("inputs",), 3, "inputs"),
        (("inputs", 0, "shape"), [3, 0, 1], "inputs[0].shape"),
        (("inputs", 0, "type", "width"), 0, "inputs[0].type"),
        (("inputs", 0, "type", "rounding"), "up", "inputs[0].type.rounding: "),
        (("inputs", 0, "type", "overflow"), None, "inputs[0].type.overflow: "),
        (("layers", 0, "op"), "conv9d", "layers[0].op"),
        (("layers", 0, "inputs"), ["nobody"], "nobody"),
        (("layers", 0, "weights"), [[1], [1, 2]], "layers[0].weights"),
        (("layers", 0, "weights"), [1.5], "layers[0].weights"),
        (("layers", 0, "weights"), {"dtype": "int8", "shape": [4], "base64": "AA=="}, "weights"),
        (("layers", 0, "weights"), [[[[9, 9]], [[0, 0]]], [[[0, 0]], [[0, 0]]]], "outside"),
        (("layers", 0, "stride"), 0, "layers[0].stride"),
        (("layers", 0, "padding"), "some", "layers[0].padding"),
        (("layers", 0, "padding"), [[2, 2], [2, 2]], "padding"),
        (("layers", 0, "bias"), [1, 2, 3], "bias has shape"),
        (("layers", 0, "accumulator"), {"width": 8}, "layers[0].accumulator"),
        (("layers", 0, "dilatation"), 2, "layers[0].dilatation"),
        (("layers", 0, "dilation"), 0, "layers[0].dilation"),
        (("layers", 0, "groups"), 3, "3 groups"),
        (("outputs",), ["z"], "'z'"),
    ],
)
def test_a_fault_in_a_description_is_named(path: Any, value: Any, said: str) -> None:
    model = description()
    place: Any = model
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    with pytest.raises(UserError) as error:
        graph_from_json(model)
    assert said in str(error.value)
