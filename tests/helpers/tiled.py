"""A small tiled engine that tests build once: its compiled bench is shared by all of them."""

from __future__ import annotations

from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.archs.package import Package
from hwgen.archs.tiled.ends import input_area, input_bytes, outputs_of
from hwgen.archs.tiled.simulation import Job, JobRun
from hwgen.archs.tiled.stored import stored_differences
from hwgen.contract.engine_model import EngineModel
from hwgen.contract.isa import Opcode
from hwgen.flow import tools
from hwgen.ir import Graph, Node, Tensor, execute, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.tiled.external_traffic import ExternalTraffic
from hwgen.plan.tiled.mapping.buffer_traffic import BufferTraffic, traffic_of
from hwgen.plan.tiled.plan import TiledPlan

MODELS = Path(hwgen.__file__).parent / "models"
RESNET, MNIST = MODELS / "resnet_tiny_int8.tflite", MODELS / "mnist_cnn.h5"
SMALL: dict[str, Any] = {"arch": "tiled", "array": "8x8", "buffer_kib": 32}


def tiled_package(model: Path, folder: Path, **options: Any) -> Package:
    """Build it as ``folder``/NAME on the small engine."""
    return hwgen.build(model, folder / model.stem, **(SMALL | options))


def random_job(plan: TiledPlan, frames: int, seed: int = 1) -> tuple[Job, np.ndarray]:
    """Random frames, and what comes of them at the first output."""
    inputs = random_inputs(plan.graph, frames, seed)
    golden = execute(plan.graph, inputs)[plan.graph.outputs[0]]
    return Job(plan, input_bytes(plan, inputs)), golden


def random_inputs(graph: Graph, frames: int, seed: int = 1) -> dict[str, np.ndarray]:
    """Random frames of every input."""
    rng = np.random.default_rng(seed)
    return {
        x.name: rng.integers(x.range[0], x.range[1] + 1, (frames, *x.shape)) for x in graph.inputs
    }


def outputs(plan: TiledPlan, run: JobRun) -> np.ndarray:
    """The integers that a run gave at the first output."""
    return outputs_of(plan, run.output)[plan.graph.outputs[0]]


def traffic_is_as_planned(package: Package) -> None:
    """Every byte that the last verification moved, in every region of external memory."""
    plan, kept = package.plan, package.result("verify")
    assert kept is not None
    moved, planned = kept["bytes"], sum(plan.traffic, ExternalTraffic())
    tensors = plan.program.tensors
    borders = {"(borders)"} & moved.keys()
    assert moved.keys() == {"(constants)", "(program)", *tensors, *borders, "(outside)"}
    nothing = {"read": 0, "written": 0}
    assert moved["(outside)"] == nothing
    assert moved["(constants)"] == nothing | {"read": planned.weights + planned.parameters}
    assert moved["(program)"] == nothing | {"read": plan.program_bytes}
    assert sum(moved[name]["read"] for name in (*tensors, *borders)) == planned.ifmaps
    assert sum(moved[name]["written"] for name in (*tensors, *borders)) == planned.ofmaps
    for name in tensors:
        bytes_ = plan.task_graph.stored[name].bytes
        assert moved[name]["written"] == (0 if name in plan.task_graph.sources else bytes_), name
    assert (kept["beats"]["read"], kept["beats"]["written"]) == plan.beats


def verified_as_planned(package: Package, random: int = 3) -> dict[str, Any]:
    """Verify random frames: golden, in the cycles of the plan, those of each task too, and its
    bytes. Returns the results that were kept."""
    verified = hwgen.verify(package, random=random)
    assert verified.equal, verified.difference
    kept = package.result("verify")
    assert kept is not None
    assert kept["predicted"]["interval"] == kept["cycles"]["interval"]
    assert kept["predicted"]["busy"] == kept["busy"]
    traffic_is_as_planned(package)
    return kept


def tile_words(plan: TiledPlan) -> list[dict[str, list[int]]]:
    """Words that each tile of each unit moves between buffers and array, as planned."""
    computes = [d for d in plan.program.descriptors if d["op"] == Opcode.COMPUTE]
    of_units = []
    for unit in range(plan.shape.tiles):
        tiles = [asdict(traffic_of(d, plan.shape)) for d in computes if d["unit"] == unit]
        names = [field.name for field in fields(BufferTraffic)]
        of_units.append({name: [tile[name] for tile in tiles] for name in names})
    return of_units


def say(text: str) -> None:
    """Nobody listens."""


def need_verilator() -> None:
    """Skip where a tiled engine can not be simulated."""
    if not tools.can_compile():
        pytest.skip("Verilator, g++, make and perl are needed")


def check_engine_model(plan: TiledPlan) -> EngineModel:
    """Every tensor that a program stores is golden where the engine model carries it out."""
    inputs = random_inputs(plan.graph, 1, 2)
    golden = execute(plan.graph, inputs, list(plan.graph.tensors))
    engine_model = EngineModel(plan.shape, plan.program.memory.copy())
    data, (start, _) = input_bytes(plan, inputs)[0], input_area(plan)
    engine_model.memory[start : start + len(data)] = data
    engine_model.run(plan.program.start)
    found = dict(stored_differences(plan, engine_model.memory, golden))
    assert set(plan.task_graph.results) <= set(found)
    wrong = [str(difference) for difference in found.values() if difference is not None]
    assert not wrong, wrong
    return engine_model


def softmax_network(channels: int, seed: int = 1) -> Graph:
    """A convolution, a softmax of each pixel, a sum with what it normalized, a dense layer, and a
    softmax at the end."""
    rng = np.random.default_rng(seed)
    kind = {"rounding": Rounding.HALF_EVEN, "overflow": Overflow.SATURATE}
    byte, weight = QType(True, 8, 4, **kind), QType(True, 6, 5, **kind)
    parts = QType(False, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-8, 0)
    signed_parts = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-8, -128)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-32, 32, shape)

    nodes = [
        Node("conv", ops.Conv2D(weights(3, 3, 2, channels), weight, (1, 1), "same"), ("x",)),
        Node("conv_q", ops.Requantize.scaled(byte, shift=6), ("conv",)),
        Node("pixels", ops.Softmax(1_500_000_000, 22, parts), ("conv_q",)),
        Node("whole", ops.Requantize.scaled(byte, shift=4), ("pixels",)),
        Node("sum", ops.Add(), ("conv_q", "whole")),
        Node("sum_q", ops.Requantize.scaled(byte), ("sum",)),
        Node("flat", ops.Flatten(), ("sum_q",)),
        Node("dense", ops.Dense(weights(5 * 6 * channels, 2 * channels + 1), weight), ("flat",)),
        Node("dense_q", ops.Requantize.scaled(byte, shift=8), ("dense",)),
        Node("probabilities", ops.Softmax(1_200_000_000, 22, signed_parts), ("dense_q",)),
    ]
    return Graph("softmaxes", (Tensor("x", (5, 6, 2), byte),), tuple(nodes), ("probabilities",))
