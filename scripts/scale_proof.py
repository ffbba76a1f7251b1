#!/usr/bin/env python3
"""Shows that MobileNetV2 at full size is planned, emitted and equal to golden, layer by layer.

The network is that of scripts/mobilenet.py, of random weights. A program that stores every tensor
runs on the RTL of its package in Verilator, and each tensor is compared; then the package's own
program, whose cycles are shown beside their bound. Exits with 1 where anything differs.

    scripts/scale_proof.py                             # 224x224, minutes of simulation
    scripts/scale_proof.py --size 48 --width 0.25      # a small one
    scripts/scale_proof.py --no-rtl                    # plan and package alone
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from mobilenet import mobilenet_v2
from script import run

import hwgen
from hwgen.archs.package import Package, files_of
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.archs.tiled.ends import input_bytes, output_bytes
from hwgen.archs.tiled.simulation import Job
from hwgen.archs.tiled.stored import stored_differences
from hwgen.emit.package import Source, manifest, write_package
from hwgen.flow.memory import Memory
from hwgen.ir import execute
from hwgen.plan.tiled.plan import TiledPlan

COLUMNS = (
    "layer", "operand", "tile", "tiles", "bound", "estimate", "cycles", "weights", "ifmaps",
    "ofmaps", "equal",
)  # fmt: skip


@contextmanager
def measured(what: str) -> Iterator[None]:
    """Says how long something took, and the most memory that the process has had until then."""
    wall, cpu = time.monotonic(), time.process_time()
    yield
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    wall, cpu = time.monotonic() - wall, time.process_time() - cpu
    print(f"{what}: {wall:.1f} s ({cpu:.1f} s of this process's CPU time), {most:.2f} GB at most",
          flush=True)  # fmt: skip


def packaged(plan: TiledPlan, graph: hwgen.ir.Graph, folder: Path) -> Package:
    """The package of a plan, written and opened."""
    files = files_of(graph, plan)
    source = Source("mobilenet.py", "", {"arch": "tiled"})
    write_package(folder, files, manifest(files, source, graph.name))
    return Package.open(folder)


def simulated(package: Package, memory: Memory) -> tuple[dict[str, bool], tuple[int, ...]]:
    """Whether each stored tensor is golden, and each task's cycles in the package's program."""
    graph, plan = package.graph, package.plan
    x = graph.inputs[0]
    frame = np.random.default_rng(1).integers(x.type.min, x.type.max + 1, (1, *x.shape))
    golden = execute(graph, {x.name: frame}, list(graph.tensors))
    data = input_bytes(plan, {x.name: frame})
    outside = plan.outside()
    jobs = [Job(plan, data, package.path / "mem" / "image.hex"), Job(outside, data)]
    runs = tiled_sim.run(package, jobs, memory, None, lambda text: print(text, file=sys.stderr))
    ordinary, every = runs.jobs
    if any(code for run in runs.jobs for code in run.errors()):
        sys.exit(f"the engine stopped: {[run.errors() for run in runs.jobs]}")
    cycles = ordinary.cycles[0], every.cycles[0]
    print(f"simulation: {cycles[0]:,} cycles, with every tensor outside {cycles[1]:,}, in "
          f"{runs.seconds:.0f} s: {sum(cycles) / runs.seconds:,.0f} cycles a second")  # fmt: skip
    found = dict(stored_differences(outside, runs.memory, golden))
    for difference in found.values():
        if difference is not None:
            print(difference)
    result = graph.outputs[0]
    right = np.array_equal(ordinary.output, output_bytes(plan, golden))
    print(f"the package's own program: {'equal' if right else 'WRONG'}")
    equal = {name: difference is None for name, difference in found.items()}
    equal[result] &= right
    return equal, plan.task_cycles(ordinary.tiles)


def table(plan: TiledPlan, equal: dict[str, bool], cycles: tuple[int, ...]) -> Iterator[str]:
    """A line for each task, in Markdown."""
    yield "| " + " | ".join(COLUMNS) + " |"
    yield "|---" * len(COLUMNS) + "|"
    for n, (task, row) in enumerate(zip(plan.tasks, plan.layers(), strict=True)):
        tile, moved = row["tile"], row["bytes"]
        cells = [
            task.name, row["operand"], f"{tile['rows']}x{tile['columns']}x{tile['outputs']}",
            f"{row['tiles']:,}", f"{row['interval_bound']:,}", f"{row['interval_estimate']:,}",
            f"{cycles[n]:,}" if cycles else "", *(f"{moved[k]:,}" for k in COLUMNS[7:10]),
            {True: "yes", False: "NO", None: ""}[equal.get(task.y)],
        ]  # fmt: skip
        yield "| " + " | ".join(cells) + " |"


def main() -> None:
    """Plan, emit, simulate, and say how it went."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--size", type=int, default=224, help="rows and columns of the frame")
    parser.add_argument("--width", type=float, default=1.0, help="of the channels")
    parser.add_argument("--array", help="see hwgen build --help, as for the two that follow")
    parser.add_argument("--buffer-kib", type=int)
    parser.add_argument("--mem-width", type=int)
    parser.add_argument("--mem-latency", type=int, default=Memory.latency)
    parser.add_argument("--mem-rate", type=float, default=Memory.rate)
    parser.add_argument("--no-rtl", action="store_true", help="no simulation")
    arguments = parser.parse_args()
    options = {
        name: getattr(arguments, name)
        for name in ("array", "buffer_kib", "mem_width")
        if getattr(arguments, name) is not None
    }
    with measured("the network"):
        graph = mobilenet_v2(arguments.size, arguments.width)
    print(f"{graph.macs:,} multiply-accumulates, {graph.parameters_bits // 8:,} bytes")
    with measured("the plan"):
        plan = hwgen.plan(graph, arch="tiled", **options)
        assert isinstance(plan, TiledPlan)
        print(json.dumps({"descriptors": len(plan.program.descriptors),
                          "memory": len(plan.program.memory)}))  # fmt: skip
    equal: dict[str, bool] = {}
    cycles: tuple[int, ...] = ()
    with tempfile.TemporaryDirectory(prefix="hwgen-") as folder:
        with measured("the package"):
            package = packaged(plan, graph, Path(folder) / "package")
        if not arguments.no_rtl:
            with measured("the verification"):
                memory = Memory(arguments.mem_latency, arguments.mem_rate)
                equal, cycles = simulated(package, memory)
    print("\n".join(table(plan, equal, cycles)))
    estimate, bound = plan.estimate().cycles, plan.interval_bound
    print(f"estimate {estimate:,} cycles, bound {bound:,}, {len(plan.tasks)} tasks")
    if equal:
        print(f"{sum(equal.values())} of {len(plan.tasks)} layers equal")
        sys.exit(0 if all(equal.values()) and len(equal) == len(plan.tasks) else 1)


if __name__ == "__main__":
    run(main)
