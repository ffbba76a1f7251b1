"""Engines of other operands than bytes: what they are, what they refuse, and that they give golden
in the engine model."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

import hwgen
from hwgen.contract.engine import EngineShape
from hwgen.contract.identity import engine_hash
from hwgen.errors import UserError
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding, packed, unpacked
from hwgen.plan.tiled.network.widths import OtherWidths
from hwgen.plan.tiled.options import TiledOptions, buffer_sizes
from hwgen.plan.tiled.plan import TiledPlan, plan_tiled
from hwgen.plan.tiled.plan_file import tiled_from_json
from tests.helpers.tiled import MNIST, check_engine_model, softmax_network
from tests.helpers.tiled_graphs import random_tiled_graph

FIXTURES = Path(__file__).parents[2] / "importers" / "fixtures"
KIND = {"rounding": Rounding.HALF_UP, "overflow": Overflow.SATURATE}
NEEDED = {
    "int16.tflite": "16,8", "few_bits.h5": "8,2", "hgq_saturating.keras": "6,9",
    "qkeras_v3_pools.keras": "12,4", "apart.h5": "14,6", "signed_input.h5": "6,5",
}  # fmt: skip
"""The narrowest operands of networks that the tests have."""


def conv(x: QType, weights: np.ndarray, y: QType, shift: int) -> Graph:
    """A convolution of 1 x 1, and the requantization of its sums."""
    weight = QType(True, 16, 0, **KIND)
    nodes = (
        Node("conv", ops.Conv2D(weights, weight), ("x",)),
        Node("y", ops.Requantize.scaled(y, shift=shift), ("conv",)),
    )
    return Graph("one", (Tensor("x", (2, 3, weights.shape[2]), x),), nodes, ("y",))


def kind(width: int, signed: bool = True) -> QType:
    return QType(signed, width, 0, **KIND)


@pytest.mark.parametrize("bits", range(1, 17))
@pytest.mark.parametrize("signed", [True, False])
def test_integers_side_by_side(bits: int, signed: bool) -> None:
    qtype = kind(bits, signed)
    values = np.random.default_rng(bits).integers(qtype.min, qtype.max + 1, (3, 5))
    size = -(-5 * bits // 8)
    raw = packed(values, bits, size + 1)
    assert raw.shape == (3, size + 1)
    word = sum((int(v) % (1 << bits)) << n * bits for n, v in enumerate(values[0]))
    assert raw[0].tobytes() == word.to_bytes(size + 1, "little")
    assert np.array_equal(unpacked(raw, bits, signed)[:, :5], values)
    assert np.array_equal(packed(values, bits), raw[:, :size])


def test_memories_grow_and_shrink_with_the_operands() -> None:
    default = buffer_sizes(TiledOptions(array="8x8").engine()[0])
    for bits, features, weights, psums in (
        ("8,8", 1, 1, 1), ("8,4", 1, 1 / 2, 1), ("3,4", 1 / 2, 1 / 2, 1), ("1,1", 1 / 4, 1 / 8, 1),
        ("9,8", 2, 1, 1), ("16,8", 2, 1, 35 / 32), ("16,16", 2, 2, 43 / 32),
    ):  # fmt: skip
        shape, _ = TiledOptions(array="8x8", bits=bits).engine()
        sizes = buffer_sizes(shape)
        assert sizes["feature_bytes"] == features * default["feature_bytes"], bits
        assert sizes["weight_words"] == weights * default["weight_words"], bits
        assert sizes["psum_words"] == psums * default["psum_words"], bits
    assert TiledOptions(array="4x4", bits=(8, 16), mem_width=256).engine()[0].weight_bytes == 32


def test_an_engine_of_bytes_is_the_one_from_before_there_were_others() -> None:
    asked = TiledOptions(bits="8,8").engine()[0]
    assert asked == EngineShape() and engine_hash(asked) == engine_hash(EngineShape())
    hashes = {
        engine_hash(replace(asked, weight_bits=n, ifmap_bits=m)) for n in (4, 8) for m in (4, 8)
    }
    assert len(hashes) == 4


@pytest.mark.parametrize("seed", range(20))
def test_random_networks_of_random_widths(seed: int) -> None:
    """Each in the order of its program, with tensors on chip and all of them outside."""
    rng = Random(7000 + seed)
    bits = rng.randint(1, 16), rng.randint(1, 16)
    graph = random_tiled_graph(rng, bits)
    how = {"array": rng.choice(("4x4", "4x8", "8x8")), "tiles": rng.choice((1, 1, 2))}
    how |= {"mem_width": rng.choice((32, 128)), "requantizers": rng.choice((1, 4))}
    print(seed, bits, how)
    shape, resident = TiledOptions(bits=bits, buffer_kib=40, **how).engine()
    try:
        plan = plan_tiled(graph, shape, resident)
    except UserError as error:
        # Borders of more than a byte; averages of many results.
        assert bits[0] > 8 and ("a border of" in error.reason or "is sought" in error.reason), error
        return
    check_engine_model(plan)
    check_engine_model(plan.outside())


@pytest.mark.parametrize("name", NEEDED)
def test_a_network_says_what_it_needs_and_runs_on_it(name: str) -> None:
    graph = hwgen.load(FIXTURES / name)
    with pytest.raises(OtherWidths) as error:
        hwgen.plan(graph, arch="tiled", array="4x4", bits="1,1")
    assert str(error.value.hint) == f"give --bits {NEEDED[name]}"
    plan = hwgen.plan(graph, arch="tiled", array="4x4", bits=NEEDED[name])
    assert isinstance(plan, TiledPlan)
    check_engine_model(plan)


def test_elements_under_another_shape_are_those_of_the_same_bytes() -> None:
    """Pixels of 4-bit elements that fill their bytes, or as many channels of each, are; others are
    refused."""
    for shape, seen, fits in (
        ((2, 3, 4), (3, 4, 2), True), ((2, 3, 3), (3, 2, 3), True), ((2, 3, 4), (2, 4, 3), False),
        ((2, 4, 3), (2, 3, 4), False),
    ):  # fmt: skip
        nodes = (
            Node("again", ops.Reshape(seen), ("x",)),
            Node("pool", ops.MaxPool((2, 2), (1, 1), "same"), ("again",)),
        )
        graph = Graph("shapes", (Tensor("x", shape, kind(4)),), nodes, ("pool",))
        bits = "4,4"
        if not fits:
            with pytest.raises(UserError, match=r"'again'.*under another shape.*--bits 5,4$"):
                hwgen.plan(graph, arch="tiled", array="4x4", bits=bits)
            bits = "5,4"
        plan = hwgen.plan(graph, arch="tiled", array="4x4", bits=bits)
        assert isinstance(plan, TiledPlan)
        check_engine_model(plan)


def test_products_are_of_bytes() -> None:
    nodes = (
        Node("product", ops.Mul(), ("x", "z")),
        Node("y", ops.Requantize.scaled(kind(4), shift=3), ("product",)),
    )
    ends = (Tensor("x", (2, 3, 5), kind(4)), Tensor("z", (2, 3, 5), kind(4)))
    graph = Graph("product", ends, nodes, ("y",))
    with pytest.raises(UserError, match=r"a product of .*takes bytes.* 4 bits .*--bits 8,4$"):
        hwgen.plan(graph, arch="tiled", array="4x4", bits="4,4")
    with pytest.raises(
        UserError, match=r"takes bytes.* 16 bits in memory.*--bits 8,\d+ stores bytes"
    ):
        hwgen.plan(graph, arch="tiled", array="4x4", bits="9,4")
    plan = hwgen.plan(graph, arch="tiled", array="4x4", bits="5,4")
    assert isinstance(plan, TiledPlan)
    check_engine_model(plan)


def test_functions_of_wide_values_that_change_among_few() -> None:
    """A table of those, whatever the width of what it is looked up for."""
    steps = ops.MultiThreshold(np.array([-100, 1, 2, 40]), np.array([3, 0, 7, -8, 1]), kind(4))
    graph = Graph("few", (Tensor("x", (2, 3, 5), kind(12)),), (Node("y", steps, ("x",)),), ("y",))
    plan = hwgen.plan(graph, arch="tiled", array="4x4", bits="12,4")
    assert isinstance(plan, TiledPlan)
    check_engine_model(plan)


def test_results_of_tables_are_never_wide() -> None:
    """An output of 16 bits whose values are bytes: what comes from a table leaves as those."""
    steps = ops.MultiThreshold(np.arange(-4, 5), np.arange(10) ** 2, kind(16))
    graph = Graph("table", (Tensor("x", (2, 3, 5), kind(8)),), (Node("y", steps, ("x",)),), ("y",))
    plan = hwgen.plan(graph, arch="tiled", array="4x4")
    assert isinstance(plan, TiledPlan)
    assert plan.task_graph.tasks[-1].tables is not None
    assert plan.task_graph.stored["y"].bits == 8
    check_engine_model(plan)


def test_narrow_tensors_run_in_wider_elements() -> None:
    graph = random_tiled_graph(Random(3), (4, 3))
    for bits in ("4,3", "8,8", "16,16"):
        plan = hwgen.plan(graph, arch="tiled", array="8x8", bits=bits)
        assert isinstance(plan, TiledPlan)
        check_engine_model(plan)


@pytest.mark.parametrize(
    ("graph", "bits", "said"),
    [
        (conv(kind(8), np.ones((1, 1, 3, 2), int), kind(8), 2), "4,8",
         "layer 'x': the tiled architecture stores 4 bits, 'x' has 8; give --bits 8,8"),
        (conv(kind(4), np.full((1, 1, 3, 2), -9), kind(4), 2), "4,4",
         "layer 'conv': the tiled architecture has weights of 4 bits, these need 5; "
         "give --bits 4,5"),
        (conv(kind(16, False), np.full((1, 1, 2100, 2), 32767), kind(8), 30), "16,16",
         "sums of 44 bits, the engine has 43; use --arch dataflow"),
        (conv(kind(16), np.full((1, 1, 4200, 2), 127), kind(8), 20), "16,8",
         "sums of 36 bits, the engine has 35; give --bits 16,9"),
        (softmax_network(9), "9,8", "takes bytes; this engine's values have 16 bits"),
    ],
)  # fmt: skip
def test_what_operands_are_too_narrow_for(graph: Graph, bits: str, said: str) -> None:
    with pytest.raises(UserError) as error:
        hwgen.plan(graph, arch="tiled", array="4x4", bits=bits)
    assert said in str(error.value)


def test_parts_of_a_concatenation_begin_with_a_byte() -> None:
    x = Tensor("x", (4, 4, 3), kind(4))
    nodes = (
        Node("pool", ops.MaxPool((2, 2), (1, 1), "same"), ("x",)),
        Node("both", ops.Concat(), ("x", "pool")),
    )
    graph = Graph("parts", (x,), nodes, ("both",))
    with pytest.raises(UserError, match=r"'both'.*'pool' would begin within a byte.*--bits 5,4$"):
        hwgen.plan(graph, arch="tiled", array="4x4", bits="4,4")
    plan = hwgen.plan(graph, arch="tiled", array="4x4", bits="5,4")
    assert isinstance(plan, TiledPlan)
    check_engine_model(plan)


def test_a_border_that_descriptors_have_no_place_for() -> None:
    x = Tensor("x", (4, 4, 3), kind(12))
    for value, fits in ((-128, True), (127, True), (128, False), (-129, False)):
        pad = Node("pad", ops.Pad(((1, 0), (0, 2)), value), ("x",))
        graph = Graph("border", (x,), (pad,), ("pad",))
        if not fits:
            with pytest.raises(UserError, match=f"a border of {value}"):
                hwgen.plan(graph, arch="tiled", array="4x4", bits="12,8")
            continue
        plan = hwgen.plan(graph, arch="tiled", array="4x4", bits="12,8")
        assert isinstance(plan, TiledPlan)
        check_engine_model(plan)


def test_a_plan_file_states_the_operands() -> None:
    graph = hwgen.load(MNIST)
    plan = hwgen.plan(graph, arch="tiled", array="8x8", bits="8,6")
    assert isinstance(plan, TiledPlan)
    stated = json.loads(json.dumps(plan.to_json()))
    again = tiled_from_json(plan.graph, stated)
    assert again.shape == plan.shape and again.to_json() == plan.to_json()
    stated["engine"]["weight_bits"] = 5
    with pytest.raises(UserError, match=r"plan\.json.*engine: .*weight_bits 6$") as error:
        tiled_from_json(plan.graph, stated, file=Path("plan.json"))
    assert "state ifmap_bits 8 and weight_bits 6" in str(error.value)
    older = plan.to_json() | {
        "engine": {k: v for k, v in stated["engine"].items() if "bits" not in k}
    }
    del older["layers"], older["stays"]
    assert tiled_from_json(plan.graph, older).shape == replace(plan.shape, weight_bits=8)
