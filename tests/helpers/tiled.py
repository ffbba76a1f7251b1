"""A small tiled engine that tests build once: its compiled bench is shared by all of them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.emit.tiled_files import to_bytes
from hwgen.flow import tools
from hwgen.flow.package_files import Package
from hwgen.flow.tiled_verify import stored_differences
from hwgen.ir import execute
from hwgen.plan.tiled.machine import Machine
from hwgen.plan.tiled.plan import TiledPlan

MODELS = Path(hwgen.__file__).parent / "models"
RESNET, MNIST = MODELS / "resnet_tiny_int8.tflite", MODELS / "mnist_cnn.h5"
SMALL: dict[str, Any] = {"arch": "tiled", "array": "8x8", "buffer_kib": 32}


def tiled_package(model: Path, folder: Path, **options: Any) -> Package:
    """Build it as ``folder``/NAME on the small engine."""
    return hwgen.build(model, folder / model.stem, **(SMALL | options))


def need_verilator() -> None:
    """Skip where a tiled engine can not be simulated."""
    if not tools.can_compile():
        pytest.skip("Verilator, g++, make and perl are needed")


def check_machine(plan: TiledPlan) -> Machine:
    """Every tensor that a program stores is golden where the machine carries it out."""
    edge = plan.graph.inputs[0]
    x = np.random.default_rng(2).integers(edge.range[0], edge.range[1] + 1, (1, *edge.shape))
    golden = execute(plan.graph, {edge.name: x}, list(plan.graph.tensors))
    machine = Machine(plan.shape, plan.program.memory.copy())
    start = plan.program.tensors[plan.work.source]
    data = to_bytes(x, plan.work.stored[plan.work.source])[0]
    machine.memory[start : start + len(data)] = data
    machine.run(plan.program.start)
    found = dict(stored_differences(plan, machine.memory, golden))
    assert plan.work.result in found
    wrong = [str(difference) for difference in found.values() if difference is not None]
    assert not wrong, wrong
    return machine
