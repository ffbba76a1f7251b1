"""Networks of users' operators on the RTL: golden, in the cycles and words of the plan."""

from __future__ import annotations

from pathlib import Path

import numpy as np

import hwgen
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.archs.tiled.ends import input_bytes, outputs_of
from hwgen.archs.tiled.simulation import Job
from hwgen.contract.isa import ErrorCode
from hwgen.flow.memory import Memory
from hwgen.ir import execute
from hwgen.passes import legalize
from hwgen.plan.tiled.network.requant import CARRIED_OUT
from hwgen.plan.tiled.plan import plan_tiled
from tests.helpers.tiled import (
    need_verilator,
    random_inputs,
    say,
    tile_words,
    tiled_package,
)

FIXTURES = Path(__file__).parents[2] / "importers" / "fixtures"
NETWORKS = (
    # Several inputs and outputs.
    "qkeras_v3_nested.keras", "tflite_two_heads.tflite", "tflite_unit_hard_swishes.tflite",
    # Tensors under other shapes: rows joined, axes exchanged, images repeated and interpolated.
    "onnx_unit_odd.onnx", "onnx_unit_parts.onnx", "onnx_unit_space.onnx", "residual.h5",
    "tflite_shapes.tflite", "tflite_unit_transposed.tflite",
    # Steps with numbers of each channel, behind sums and of bytes.
    "onnx_qdq_channels.onnx", "onnx_qdq_rows.onnx", "tflite_unit_constants.tflite",
    # Products of tensors: of two images, of an image with numbers a channel, with itself.
    "onnx_qdq_residual.onnx", "tflite_squeeze.tflite",
    "tflite_unit_dense_pixels.tflite",
)  # fmt: skip


def test_networks_are_golden_in_the_cycles_of_the_plan(tmp_path: Path) -> None:
    need_verilator()
    package = tiled_package(FIXTURES / NETWORKS[0], tmp_path)
    jobs, golden = [], []
    for seed, name in enumerate(NETWORKS):
        graph = legalize(hwgen.load(FIXTURES / name), CARRIED_OUT)
        plan = plan_tiled(graph, package.plan.shape, 2)
        inputs = random_inputs(graph, 2, seed)
        jobs.append(Job(plan, input_bytes(plan, inputs)))
        golden.append(execute(graph, inputs))
    runs = tiled_sim.run(package, jobs, Memory(), None, say).jobs
    for name, job, run, expected in zip(NETWORKS, jobs, runs, golden, strict=True):
        plan, got = job.plan, outputs_of(job.plan, run.output)
        assert run.errors() == [ErrorCode.NONE] * 2, name
        for output in plan.graph.outputs:
            assert np.array_equal(got[output], expected[output]), (name, output)
        assert run.cycles == [plan.estimate().cycles] * 2, name
        assert run.words == tile_words(plan), name
