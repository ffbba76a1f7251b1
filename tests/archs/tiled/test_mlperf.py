"""MLPerf Tiny's networks, one after the other on one default engine that is never reset.

The models are not shipped: see conftest.py.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

import hwgen
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.contract.isa import ErrorCode, Operand
from hwgen.flow.memory import Memory
from hwgen.plan.tiled.plan import TiledPlan
from tests.helpers.tiled import need_verilator, outputs, random_job, say

RESNET = "models/tflite/mlperf_tiny_ic_resnet8_int8.tflite"
DSCNN = "models/tflite/mlperf_tiny_kws_dscnn_int8.tflite"
VWW = "models/tflite/mlperf_tiny_vww_mobilenetv1_int8.tflite"
MOST_CYCLES, MOST_DEPTHWISE = 56_000, 8_500


def depthwise_steps(plan: TiledPlan) -> int:
    """Cycles of the array in depthwise layers."""
    own = [task.weights is not None and task.operand is not Operand.DENSE for task in plan.tasks]
    return sum(steps for steps, mine in zip(plan.steps, own, strict=True) if mine)


def test_networks_follow_each_other_without_a_reset(
    shared: Callable[[str], Path], tmp_path: Path
) -> None:
    need_verilator()
    resnet = hwgen.build(shared(RESNET), tmp_path / "resnet", arch="tiled")
    others = {name: hwgen.plan(hwgen.load(shared(name)), arch="tiled") for name in (DSCNN, VWW)}
    plans = [resnet.plan, others[DSCNN], resnet.plan, others[VWW], resnet.plan]
    jobs, golden = zip(*(random_job(plan, 1, n) for n, plan in enumerate(plans)), strict=True)
    runs = tiled_sim.run(resnet, list(jobs), Memory(), None, say).jobs
    for plan, run, expected in zip(plans, runs, golden, strict=True):
        assert run.errors() == [ErrorCode.NONE]
        assert np.array_equal(outputs(plan, run), expected)
        assert run.cycles == [plan.estimate().cycles]
    assert runs[0].cycles == runs[2].cycles == runs[4].cycles
    assert runs[0].cycles[0] <= MOST_CYCLES
    assert 0 < depthwise_steps(plans[3]) <= MOST_DEPTHWISE
