"""Execution: its chunks, its checks of the input, the edges it gives back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, check_input, execute, graph, ops
from hwgen.numeric import Overflow, QType, Rounding

S4 = QType(True, 4, 0, Rounding.HALF_EVEN, Overflow.SATURATE)
W3 = QType(True, 3, 0, Rounding.HALF_EVEN, Overflow.SATURATE)


def network() -> Graph:
    rng = np.random.default_rng(5)
    x = Tensor("x", (4, 5, 2), S4)
    nodes = (
        Node("c", ops.Conv2D(rng.integers(-4, 4, (3, 2, 2, 3)), W3, padding="same"), ("x",)),
        Node("q", ops.Requantize.scaled(S4, shift=3), ("c",)),
        Node("f", ops.Flatten(), ("q",)),
        Node("d", ops.Dense(rng.integers(-4, 4, (60, 2)), W3), ("f",)),
    )
    return Graph("net", (x,), nodes, ("d", "q")).verify()


@pytest.mark.parametrize("frames", [0, 1, 2, 6, 7])
@pytest.mark.parametrize("elements", [1, 60, 121, 180, 10**9])
def test_chunks_change_nothing(frames: int, elements: int, monkeypatch: Any) -> None:
    net, seen = network(), []
    values = np.random.default_rng(frames).integers(-8, 8, (frames, 4, 5, 2))
    whole = execute(net, {"x": values})
    monkeypatch.setattr(graph, "CHUNK_ELEMENTS", elements)
    parts = execute(net, {"x": values}, progress=lambda done, total: seen.append((done, total)))
    assert list(parts) == ["d", "q"]
    for name, array in whole.items():
        assert array.shape == (frames, *net.tensors[name].shape)
        assert np.array_equal(parts[name], array)
        assert parts[name].dtype == np.int64
    step = max(1, elements // 60)  # the widest edge has 60 elements
    assert seen == [(min(n + step, frames), frames) for n in range(0, frames, step)]


def test_frames_do_not_touch_each_other() -> None:
    net = network()
    values = np.random.default_rng(8).integers(-8, 8, (5, 4, 5, 2))
    together = execute(net, {"x": values})["d"]
    for value, expected in zip(values, together, strict=True):
        assert np.array_equal(execute(net, {"x": value})["d"], expected[None])


def test_any_edge_can_be_had_and_once() -> None:
    net = network()
    values = np.random.default_rng(9).integers(-8, 8, (3, 4, 5, 2))
    edges = execute(net, {"x": values}, ["f", "x", "f", "c"])
    assert list(edges) == ["f", "x", "c"]
    assert np.array_equal(edges["x"], values)
    assert edges["f"].shape == (3, 60)
    with pytest.raises(UserError, match="'z' is not an edge"):
        execute(net, {"x": values}, ["z"])


def test_inputs_are_not_written() -> None:
    values = np.random.default_rng(10).integers(-8, 8, (3, 4, 5, 2))
    kept = values.copy()
    values.flags.writeable = False
    execute(network(), {"x": values})
    assert np.array_equal(values, kept)


@pytest.mark.parametrize(
    ("array", "said"),
    [
        (None, "no array given for input 'x'"),
        (np.zeros((4, 5), int), "shape (4, 5)"),
        (np.zeros((2, 5, 4, 2), int), "(frames, 4, 5, 2)"),
        (np.zeros((), int), "shape ()"),
        (np.zeros((1, 4, 5, 2)), "float64"),
        (np.zeros((1, 4, 5, 2), bool), "bool"),
        (np.zeros((1, 4, 5, 2), object), "object"),
        (np.full((1, 4, 5, 2), 8), "8..8"),
        (np.full((1, 4, 5, 2), -9), "-8..7"),
        (np.full((1, 4, 5, 2), 2**64 - 1, np.uint64), "18446744073709551615"),
    ],
)
def test_faults_of_an_input(array: Any, said: str) -> None:
    with pytest.raises(UserError) as error:
        execute(network(), {"x": array})
    assert said in str(error.value)
    assert "'x'" in str(error.value)


@pytest.mark.parametrize(
    ("given", "shape", "taken"),
    [
        ((5, 4, 6), (4, 6), (5, 4, 6)),
        ((4, 6), (4, 6), (1, 4, 6)),
        ((5, 4, 6), (4, 6, 1), (5, 4, 6, 1)),
        ((5, 4, 6), (1, 4, 6), (5, 1, 4, 6)),
        ((5, 1, 4, 1, 6), (4, 6), (5, 4, 6)),
        ((1, 4, 6), (1, 4, 6), (1, 1, 4, 6)),
        ((5,), (1, 1), (5, 1, 1)),
        ((5, 1), (1,), (5, 1)),
        ((0, 4, 6), (4, 6), (0, 4, 6)),
        ((5, 6, 4), (4, 6), None),
        ((5, 24), (4, 6), None),
        ((5, 4, 6), (24,), None),
        ((5, 6, 6, 3), (3, 6, 6), None),
        ((5, 1, 3, 3), (3, 1, 3), None),
        ((5, 1, 4, 6), (4, 6, 1), None),
        ((4, 6), (4, 6, 1), None),
        ((24,), (4, 6), None),
        ((), (1,), None),
    ],
)
def test_axes_of_length_1_alone_may_be_left_out_or_added(
    given: tuple[int, ...], shape: tuple[int, ...], taken: tuple[int, ...] | None
) -> None:
    values = np.arange(np.prod(given, dtype=int)).reshape(given)
    if taken is None:
        with pytest.raises(UserError) as error:
            graph.with_frames("x", values, shape)
        assert f"has shape {given}; give (frames, {', '.join(map(str, shape))})" in str(error.value)
    else:
        got = graph.with_frames("x", values, shape)
        assert got.shape == taken
        assert np.array_equal(got.reshape(-1), values.reshape(-1))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int16, np.int32, np.uint64, np.int64])
def test_any_integers_will_do(dtype: Any) -> None:
    got = check_input(Tensor("x", (2, 2, 1), S4), np.array([[[1], [2]], [[3], [7]]], dtype))
    assert got.dtype == np.int64
    assert got.tolist() == [[[[1], [2]], [[3], [7]]]]


def test_every_pattern_of_the_input_is_reckoned_with() -> None:
    """A symmetric type still has the bits of -max - 1, which may arrive on an input."""
    symmetric = QType(True, 4, 0, Rounding.HALF_EVEN, Overflow.SATURATE_SYMMETRIC)
    dense = Node("d", ops.Dense(np.array([[-4], [-4]]), W3), ("x",))
    net = Graph("net", (Tensor("x", (2,), symmetric),), (dense,), ("d",)).verify()
    assert net.tensors["d"].range == (-56, 64)
    assert execute(net, {"x": np.array([-8, -8])})["d"].tolist() == [[64]]


def test_inputs_have_the_same_number_of_frames() -> None:
    edges = (Tensor("x", (2,), S4), Tensor("y", (2,), S4))
    net = Graph("net", edges, (Node("m", ops.ArgMax(), ("x",)),), ("m", "y")).verify()
    values = {"x": np.zeros((2, 2), int), "y": np.zeros((3, 2), int)}
    with pytest.raises(UserError, match="different numbers of frames"):
        execute(net, values)


def test_faults_of_a_graph() -> None:
    x, node = Tensor("x", (2,), S4), Node("m", ops.ArgMax(), ("x",))
    two = QType(True, 4, 0, Rounding.FLOOR, Overflow.WRAP, scale=(1.0, 1.0, 1.0))
    for faulty, said in (
        (Graph("n", (), (node,), ("m",)), "at least one input"),
        (Graph("n", (x,), (), ("x",)), "no layers"),
        (Graph("n", (x,), (node,), ()), "at least one input and one output"),
        (Graph("n", (x,), (node,), ("z",)), "output 'z'"),
        (Graph("n", (x,), (node,), ("m", "m")), "named twice"),
        (Graph("n", (x,), (node, node), ("m",)), "two edges"),
        (Graph("n", (x, x), (node,), ("m",)), "two edges"),
        (Graph("n", (x,), (Node("m", ops.ArgMax(), ("k",)),), ("m",)), "'k' is not an edge"),
        (Graph("n", (x,), (Node("m", ops.ArgMax(), ("x", "x")),), ("m",)), "takes one input"),
        (Graph("n", (Tensor("x", (2,), two),), (node,), ("x",)), "3 scales for 2 channels"),
    ):
        with pytest.raises(UserError, match=said):
            faulty.verify()
