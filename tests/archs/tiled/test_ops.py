"""Random networks of every layer that the tiled engine carries out, on its RTL."""

from __future__ import annotations

import json
from pathlib import Path
from random import Random

import numpy as np

from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.archs.tiled.ends import input_bytes
from hwgen.archs.tiled.simulation import Job
from hwgen.flow.memory import Memory
from hwgen.ir import execute, graph_to_json
from hwgen.plan.tiled.plan import plan_tiled
from tests.helpers.tiled import need_verilator, outputs, tiled_package
from tests.helpers.tiled_graphs import random_tiled_graph

NETWORKS = 16


def test_random_networks_on_one_engine(tmp_path: Path) -> None:
    need_verilator()
    graphs = [random_tiled_graph(Random(100 + seed)) for seed in range(NETWORKS)]
    model = tmp_path / "random.json"
    model.write_text(json.dumps(graph_to_json(graphs[0])))
    package = tiled_package(model, tmp_path / "out")
    jobs, golden = [], []
    for seed, graph in enumerate(graphs):
        plan = plan_tiled(graph, package.plan.shape, 1 + seed % 3)
        x = graph.inputs[0]
        frames = np.random.default_rng(seed).integers(x.range[0], x.range[1] + 1, (1, *x.shape))
        golden.append(execute(graph, {x.name: frames})[graph.outputs[0]])
        jobs.append(Job(plan, input_bytes(plan, {x.name: frames})))
    runs = tiled_sim.run(package, jobs, Memory(gaps=3), None, lambda text: None).jobs
    for seed, (job, run, expected) in enumerate(zip(jobs, runs, golden, strict=True)):
        assert np.array_equal(outputs(job.plan, run), expected), f"seed {100 + seed}"
