#!/usr/bin/env python3
"""The steps of scripts/demo, on the Python API.

python scripts/demo_steps.py [--multipliers N] [--digits N] [--sim SIMULATOR]
"""

from __future__ import annotations

import argparse
import sys
import time
from importlib import resources
from pathlib import Path

import numpy as np

import hwgen
from hwgen.archs.dataflow.simulators import ENGINES, default_simulator
from hwgen.archs.reporting import write_report
from hwgen.console import Output

MODEL = "mnist_cnn.h5"
DIGITS = "mnist_digits.npz"
PYTHON_DIGITS = 3
"""Digits that Amaranth's simulator runs: it makes about a thousand cycles a second."""


def main() -> int:
    """Import, build, simulate, compare, report. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--multipliers", type=int, default=64)
    parser.add_argument("--digits", type=int, default=200)
    parser.add_argument("--sim", choices=list(ENGINES))
    arguments = parser.parse_args()
    output, begin = Output(False), time.monotonic()
    models = resources.files("hwgen") / "models"
    with resources.as_file(models / MODEL) as model, resources.as_file(models / DIGITS) as digits:
        with np.load(digits) as data:
            x, y = data["x"].reshape(-1, 28, 28, 1), data["y"]
        simulator = arguments.sim or default_simulator()
        count = min(arguments.digits, len(x))
        if simulator == "python":
            count = min(count, PYTHON_DIGITS)
            output.say(
                "No C++ compiler with make and perl: simulating in Amaranth's own simulator, "
                f"{count} digits only. (With them: apt-get install g++ make perl)"
            )
        graph = hwgen.load(model)
        output.say(f"{model.name}: {graph.macs:,} MACs, {len(graph.nodes)} layers")
        for note in graph.notes:
            output.say(f"  {note}")
        scores = hwgen.run(graph, {graph.inputs[0].name: x})[graph.outputs[0]]
        golden = (scores.argmax(axis=1) == y).mean()
        output.say(f"golden model: {100 * golden:.2f} % of {len(y)} digits right")

        out = Path("rtl_out") / "mnist_cnn"
        with output.steps() as say:
            package = hwgen.build(model, out, multipliers=arguments.multipliers, progress=say)
            output.say(f"built {out} in {time.monotonic() - begin:.0f} s")
            result = hwgen.verify(package, simulator, inputs=x[:count], progress=say)
    accuracy = float((result.outputs.argmax(axis=1) == y[:count]).mean())
    package.write_result("accuracy", {"accuracy": accuracy, "samples": count, "source": "RTL"})
    report = write_report(package)
    if not result.equal:
        output.say(f"RTL DIFFERS from golden: {result.difference}")
        return 1
    cycles = report["cycles"]
    rows = [
        ["digits compared, every bit equal", f"{count} ({simulator})"],
        ["accuracy of the RTL on them", f"{100 * accuracy:.2f} %"],
        ["cycles between frames", f"{cycles['interval_measured']}"],
        ["  estimated, lower bound", f"{cycles['interval_estimate']}, {cycles['interval_bound']}"],
        ["latency in cycles", f"{cycles['latency_measured']}"],
        ["multipliers", f"{report['multipliers']} (budget {arguments.multipliers})"],
        ["multiplier utilization", f"{100 * report['utilization']:.1f} %"],
        ["package", str(out)],
        ["report", str(out / "report.html")],
        ["time", f"{time.monotonic() - begin:.0f} s"],
    ]
    output.table("result", ["", ""], rows)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except hwgen.UserError as error:
        sys.exit(f"error: {error}")
