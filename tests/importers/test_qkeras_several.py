"""Keras models with several inputs and outputs."""

from __future__ import annotations

from copy import deepcopy
from typing import Any

import numpy as np

import hwgen
from hwgen.importers import load
from hwgen.numeric import dequantize
from hwgen.plan.dataflow.plan import DataflowPlan


def branching(keras: Any, *outputs: str) -> Any:
    """Two quantized inputs that are added; a map, scores before and behind their quantizer, and
    another head."""
    model = keras.functional(
        keras.input(6, 6, 2, name="left"),
        keras.input(6, 6, 2, name="right"),
        keras.act("q_left", keras.relu(4, 1)),
        keras.act("q_right", keras.relu(5, 1)),
        keras.layer("Add", "both"),
        keras.act("q", keras.relu(4, 2)),
        keras.conv("conv", 3),
        keras.act("map", keras.relu(4, 1)),
        keras.pool("MaxPooling2D", "pool"),
        keras.layer("Flatten", "flat", data_format="channels_last"),
        keras.dense("fc", 5),
        keras.act("scores", keras.bits(6, 1)),
        keras.dense("other", 2),
        sources={"right": [], "q_left": ["left"], "q_right": ["right"],
                 "both": ["q_left", "q_right"], "other": ["flat"]},
    )  # fmt: skip
    model["config"]["input_layers"] = [["right", 0, 0], ["left", 0, 0]]
    model["config"]["output_layers"] = [[name, 0, 0] for name in outputs]
    return model


def pruned(model: Any) -> Any:
    """The model without layers that lead to none of its outputs."""
    model = deepcopy(model)
    entries = {entry["name"]: entry for entry in model["config"]["layers"]}
    wanted, todo = set(), [name for name, _, _ in model["config"]["output_layers"]]
    while todo:
        name = todo.pop()
        wanted.add(name)
        nodes = entries[name]["inbound_nodes"]
        todo += [source for node in nodes for source, *_ in node]
    model["config"]["layers"] = [e for n, e in entries.items() if n in wanted]
    return model


def weights(seed: int) -> Any:
    rng = np.random.default_rng(seed)
    shapes = {"conv": (3, 3, 2, 3), "fc": (27, 5), "other": (27, 2)}
    return {
        name: {
            "kernel": np.float32(rng.normal(0, 0.5, shape)),
            "bias": np.float32(rng.normal(0, 0.5, shape[-1])),
        }
        for name, shape in shapes.items()
    }


def test_outputs_are_those_of_models_with_one(keras: Any) -> None:
    """Each output equals that of the same layers with it alone, the others left out of the file."""
    outputs = ("fc", "map", "scores", "other")
    whole = load(keras.write(branching(keras, *outputs), weights(3), "whole.h5"))
    assert whole.outputs == outputs
    assert [str(x.type) for x in whole.inputs] == ["u5.4", "u4.3"], "in the order of input_layers"
    assert [x.name for x in whole.inputs] == ["right", "left"] and not whole.unstated
    rng = np.random.default_rng(4)
    x = {t.name: rng.integers(0, t.type.max + 1, (5, *t.shape)) for t in whole.inputs}
    got = hwgen.run(whole, x)
    for name in outputs:
        model = pruned(branching(keras, name))
        alone = load(keras.write(model, weights(3), f"{name}.h5"))
        assert alone.outputs == (name,)
        assert np.array_equal(hwgen.run(alone, x)[name], got[name]), name
        assert got[name].any(), "something was computed"
    plan = hwgen.plan(whole)
    assert isinstance(plan, DataflowPlan)
    assert [port.bus for port in plan.inputs] == ["s_axis_right", "s_axis_left"]
    assert [port.tensor for port in plan.outputs] == list(outputs)


def test_inputs_meet_in_a_layer(keras: Any) -> None:
    """Against real arithmetic, exact for these numbers; neither type is said by the model."""
    model = keras.functional(
        keras.input(4, name="a"),
        keras.input(4, name="b"),
        keras.layer("Add", "sum"),
        keras.dense("fc", 3),
        sources={"b": [], "sum": ["a", "b"]},
    )
    rng = np.random.default_rng(5)
    kernel = rng.integers(-8, 8, (4, 3)) / np.float32(8)
    bias = rng.integers(-100, 100, 3) / np.float32(64)
    path = keras.write(model, {"fc": {"kernel": np.float32(kernel), "bias": np.float32(bias)}})
    graph = load(path)
    assert graph.unstated == ("a", "b")
    x = {name: rng.integers(0, 256, (6, 4)) for name in ("a", "b")}
    got = dequantize(hwgen.run(graph, x)["fc"], graph.tensors["fc"].type)
    assert np.array_equal(got, (x["a"] + x["b"]) / 256 @ kernel + bias)
    typed = load(path, input_type=hwgen.load(path).inputs[0].type)
    assert [str(t.type) for t in typed.inputs] == ["u8.8", "u8.8"]


def test_a_softmax_that_is_left_out_and_what_other_layers_read(keras: Any) -> None:
    """A last softmax of one head; the other head reads what stands before it."""
    model = keras.functional(
        keras.input(4),
        keras.dense("fc", 3),
        keras.layer("Softmax", "soft", axis=-1),
        keras.act("q", keras.bits(6, 1)),
        keras.dense("head", 2),
        sources={"q": ["fc"]},
    )
    model["config"]["output_layers"] = [["soft", 0, 0], ["head", 0, 0]]
    graph = load(keras.save(model))
    assert graph.outputs == ("fc", "head")
    assert any("softmax at the end is left out" in note for note in graph.notes)
