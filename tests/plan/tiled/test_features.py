"""Engines without what a network does not need: what is asked, refused, planned otherwise."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from random import Random

import numpy as np
import pytest

import hwgen
from hwgen.cli import main
from hwgen.contract.engine import EngineShape
from hwgen.contract.engine_model import EngineModel
from hwgen.contract.features import Feature, with_parts
from hwgen.contract.identity import engine_hash
from hwgen.contract.isa import COMPUTE, Opcode
from hwgen.contract.tile_walk import ProgramError
from hwgen.errors import OptionError, UserError
from hwgen.ir import Graph
from hwgen.plan.tiled.network.parts import needed
from hwgen.plan.tiled.options import TiledOptions
from hwgen.plan.tiled.plan import TiledPlan, plan_tiled
from hwgen.plan.tiled.plan_file import tiled_from_json
from tests.contract.test_features import ASKING
from tests.helpers.tiled import MNIST, RESNET, check_engine_model, softmax_network
from tests.helpers.tiled_graphs import random_tiled_graph
from tests.plan.tiled.test_operators import alone

NETWORKS = {
    "softmax": lambda: softmax_network(10),
    "product": lambda: alone("tflite_squeeze", "mul_5"),
    "second": lambda: hwgen.load(RESNET),
    "tables": lambda: alone("tflite_unit_activations", "t18"),
    "maxpool": lambda: hwgen.load(MNIST),
    "wide": lambda: hwgen.load(MNIST),
    "float": lambda: hwgen.load(RESNET, runtime="xnnpack"),
    "double": lambda: hwgen.load(RESNET),
}
"""A network that needs each feature that a plan can not do without."""


def planned(graph: Graph, **options: object) -> TiledPlan:
    plan = hwgen.plan(graph, arch="tiled", array="8x8", **options)
    assert isinstance(plan, TiledPlan)
    return plan


@pytest.mark.parametrize("name", NETWORKS)
def test_a_network_that_needs_it_is_refused_by_name_and_runs_without_all_else(name: str) -> None:
    graph, feature = NETWORKS[name](), Feature(name)
    text = f"needs {name}, which the engine is built without"
    with pytest.raises(UserError, match=text) as refusal:
        planned(graph, without=[name])
    assert refusal.value.layer
    hint = str(refusal.value.hint)
    assert hint.startswith("leave ") and name in hint and "--arch dataflow" in hint
    plan = planned(graph)
    assert feature in plan.needs and not set(plan.needs) & set(plan.could_leave_out)
    assert {*plan.needs, *plan.could_leave_out, *plan.shape.lacks} == set(Feature)
    assert plan.shape.lacks == (Feature.WINDOW,)  # 8 lanes are none for it
    less = planned(graph, without=plan.could_leave_out)
    assert (less.needs, less.could_leave_out) == (plan.needs, ())
    assert less.estimate() == plan.estimate()
    check_engine_model(less)
    stated = json.loads(json.dumps(less.to_json()))
    assert tiled_from_json(less.graph, stated).shape == less.shape
    stated["engine"]["without"].append(name)
    with pytest.raises(UserError, match=f"plan.json.*engine: .*{text}") as refusal:
        tiled_from_json(less.graph, stated, file=Path("plan.json"))
    assert name in str(refusal.value.hint)


def test_what_tasks_need_is_what_their_program_asks_for() -> None:
    """But windows and steps of several rows, which are the plan's choice."""
    shape = EngineShape(8, 16, 16 << 10, 64, 64, 8, 64)
    seen: set[Feature] = set()
    for seed in range(12):
        plan = plan_tiled(random_tiled_graph(Random(seed)), shape, 2)
        stored = plan.task_graph.stored
        of_tasks = set().union(*(needed(task, stored[task.y]) for task in plan.tasks))
        assert with_parts(of_tasks) == set(plan.needs) - {Feature.WINDOW, Feature.TAP_ROWS}
        seen |= set(plan.needs)
    assert {Feature.WINDOW, Feature.TAP_ROWS, Feature.SECOND, Feature.MAXPOOL} <= seen


@pytest.mark.parametrize("feature", [Feature.WINDOW, Feature.TAP_ROWS])
def test_windows_and_rows_are_planned_otherwise(feature: Feature) -> None:
    shape = EngineShape(8, 16, 16 << 10, 64, 64, 8, 64)
    used = 0
    for seed in range(8):
        graph = random_tiled_graph(Random(seed))
        whole = plan_tiled(graph, shape, 2)
        less = plan_tiled(graph, replace(shape, without=(feature,)), 2)
        assert feature not in less.needs
        if feature in whole.needs:
            used += 1
            check_engine_model(less)
            assert less.interval_bound > whole.interval_bound
    assert used > 1


@pytest.mark.parametrize("feature", Feature)
def test_descriptors_that_ask_for_it_are_none_of_the_engine(feature: Feature) -> None:
    plan = planned(hwgen.load(MNIST))
    tile = next(d for d in plan.program.descriptors if d["op"] == Opcode.COMPUTE)
    tile = COMPUTE.unpack(COMPUTE.pack(tile))
    shape = replace(plan.shape, without=(feature,))
    model = EngineModel(shape, plan.program.memory.copy())
    with pytest.raises(ProgramError, match=f"asks for {feature}"):
        model.compute(tile | ASKING[feature])
    if not shape.has(Feature.TABLES):
        load = {"op": Opcode.LOAD, "units": 1, "target": 3, "address": 0, "pitch": 0, "rows": 1,
                "bytes": 64, "base": 0, "word_beats": 1, "one_lane": 0}  # fmt: skip
        with pytest.raises(ProgramError, match="tables, which there are none of"):
            model.load(load)


def test_a_program_for_another_engine() -> None:
    plan = planned(hwgen.load(MNIST))
    other = replace(plan.shape, without=(Feature.FLOAT,))
    model = EngineModel(plan.shape, plan.program.memory.copy())
    with pytest.raises(ProgramError, match="made for another engine"):
        model.run(plan.program.start, made_for=engine_hash(other))
    assert np.array_equal(model.memory, plan.program.memory)
    model.run(plan.program.start, made_for=engine_hash(plan.shape))


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ("foo", "--without foo: there is no such feature"),
        ("float,Wide", "--without Wide: there is no such feature"),
        ("", "--without: a name is empty"),
        ("float,", "--without: a name is empty"),
        ("float,wide,float", "--without: float is named twice"),
        (["float", "float"], "--without: float is named twice"),
        ([3], r"--without \[3\]"),
        (5, "--without 5"),
    ],
)
def test_wrong_names(given: object, reason: str) -> None:
    with pytest.raises(OptionError, match=reason) as error:
        TiledOptions(without=given).engine()  # type: ignore[arg-type]
    if "twice" not in reason:
        assert all(feature in str(error.value.hint) for feature in Feature)


def test_names() -> None:
    assert TiledOptions(without=[]).engine()[0].without == ()
    for given in (" wide , float ", ["float", "wide"], (Feature.FLOAT, Feature.WIDE)):
        shape, _ = TiledOptions(without=given).engine()
        assert shape.without == (Feature.WIDE, Feature.FLOAT)


def test_the_command_line_refuses_and_leaves_nothing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "package"
    asked = ["build", str(MNIST), "--out", str(out), "--arch", "tiled", "--array", "8x8"]
    for names, said in (
        ("foo", "--without foo: there is no such feature; give some of softmax, product"),
        ("maxpool", "the largest of several values needs maxpool, which the engine is built "
         "without; leave maxpool out of --without, or use --arch dataflow"),
    ):  # fmt: skip
        assert main([*asked, "--without", names]) == 2
        assert said in capsys.readouterr().err
        assert not out.exists()


def test_inspect_says_what_the_network_needs(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["inspect", str(MNIST), "--plan", "--arch", "tiled", "--array", "8x8"]
    assert main(asked) == 0
    said = capsys.readouterr().out
    needs = "options that the network needs: maxpool, tap_rows, wide; not needed: --without softmax"
    assert needs in said
    assert main([*asked, "--json", "--without", "softmax,product"]) == 0
    value = json.loads(capsys.readouterr().out)["plan"]
    assert value["needs"] == ["maxpool", "tap_rows", "wide"]
    left = set(Feature) - {*value["needs"], "softmax", "product", "window"}  # of 9 lanes
    assert set(value["could_leave_out"]) == left
    assert value["engine"]["without"] == ["softmax", "product"]
