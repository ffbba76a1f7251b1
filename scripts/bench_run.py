#!/usr/bin/env python3
"""Measures the bench's problems and compares them with the committed baseline.

python scripts/bench_run.py [--json] [--only PROBLEM] [--write-baseline]

Every problem is built, simulated on its own frames and compared bit by bit, synthesized, placed
and routed. A placement depends on its seed like a throw of dice, so the clock is the best of
three. Larger networks are only planned for the dataflow architecture (--only planning: nothing
else), which is to take seconds, or built and verified from their file (--only verifying), which is
to take minutes; those that are outside files are left out where they are not.
Results go to scripts/bench_results.json; a figure that is more than 5 % worse than in
scripts/bench_baseline.json ends in exit code 1.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from bench_problems import PROBLEMS, Problem, network_files, networks

import hwgen
from hwgen.console import Output
from hwgen.errors import ToolError, UserError
from hwgen.plan.dataflow.events.simulation import FRAMES
from hwgen.plan.dataflow.plan import DataflowPlan

FOLDER = Path(__file__).parent
BASELINE = FOLDER / "bench_baseline.json"
RESULTS = FOLDER / "bench_results.json"
LOSS = 0.05
"""Part of a figure that may be lost."""
TRIES = 3
DEVICE = "ecp5-85k-6"
LOSS_OF_SECONDS = 0.5
"""The same of processor seconds, which differ by more from one run to the next."""
SECONDS = ("plan_seconds", "verify_seconds", "verify_wall_seconds")
LESS_IS_BETTER = (
    "interval", "latency", "lut", "ff", "dsp", "bram", "memory_bits", *SECONDS,
)  # fmt: skip
MORE_IS_BETTER = ("fmax_mhz",)


@dataclass(frozen=True)
class Case:
    """A problem with a budget of multipliers, on a device."""

    problem: str
    budget: int
    device: str = DEVICE


CASES = (Case("nngen_mnistcnn", 12), Case("nngen_mnistcnn", 148), Case("mnist", 64))
PLANNING = "planning"
BUDGETS = {"resnet8": 150, "mobilenet_v1_vww": 256, "mobilenet_v2_160": 256}
"""Multipliers with which larger networks are planned."""
VERIFYING = "verifying"
VERIFIED = ("mobilenet_v1_vww",)
"""Larger networks that are verified as well."""


def measure(case: Case, problem: Problem, folder: Path, output: Output) -> dict[str, Any]:
    """One row: the figures of a case."""
    with output.steps() as say:
        package = hwgen.build(
            problem.model, folder / "package", multipliers=case.budget, progress=say
        )
        verified = hwgen.verify(package, inputs=problem.x, progress=say)
        exact = verified.equal
        if problem.y is not None:
            exact &= np.array_equal(verified.outputs.reshape(problem.y.shape), problem.y)
        routed = hwgen.synthesize(package, case.device, tries=TRIES, progress=say)
    return {
        "problem": case.problem,
        "device": case.device,
        "budget": case.budget,
        "multipliers": package.plan.multipliers,
        "interval": verified.interval,
        "latency": verified.latency,
        **{name: routed[name] for name in ("lut", "ff", "dsp", "bram", "fmax_mhz")},
        "fmax_mhz_of_seeds": routed["fmax_mhz_of_seeds"],
        "exact": bool(exact),
        "substitute": problem.substitute,
    }


def planned(name: str, model: hwgen.ir.Graph) -> dict[str, Any]:
    """One row: the figures of a network that is planned only.

    A small one is planned before, so that the seconds hold no compilation of the event model.
    """
    budget = BUDGETS[name]
    hwgen.plan(hwgen.load(PROBLEMS["mnist"](FOLDER).model), multipliers=64)
    begin = time.process_time()
    plan = hwgen.plan(model, multipliers=budget)
    seconds = time.process_time() - begin
    assert isinstance(plan, DataflowPlan)
    return {
        "problem": name,
        "device": None,
        "budget": budget,
        "multipliers": plan.multipliers,
        "interval": plan.interval(FRAMES),
        "memory_bits": plan.memory_bits,
        "plan_seconds": round(seconds, 1),
        "substitute": False,
    }


def verified(name: str, file: Path, folder: Path, output: Output) -> dict[str, Any]:
    """One row: from a network's file to its verified hardware, nothing of it compiled before.

    verify_seconds : of all processors, in this process and those that it starts.
    verify_wall_seconds : by the clock, which says something on a machine that does nothing else.
    """
    budget = BUDGETS[name]
    small = hwgen.build(PROBLEMS["mnist"](FOLDER).model, folder / "small", multipliers=64)
    hwgen.verify(small, random=1)  # what every design shares is compiled by now
    # Caches of the tools stay where they are; designs that hwgen has compiled are not found.
    usual = os.environ.get("XDG_CACHE_HOME", os.path.expanduser("~/.cache"))
    os.environ.setdefault("CCACHE_DIR", f"{usual}/ccache")
    os.environ.setdefault("YOWASP_CACHE_DIR", f"{usual}/YoWASP")
    os.environ["XDG_CACHE_HOME"] = str(folder / "cache")
    begin = os.times()
    with output.steps() as say:
        package = hwgen.build(file, folder / "package", multipliers=budget, progress=say)
        result = hwgen.verify(package, random=1, progress=say)
    took = [after - before for before, after in zip(begin, os.times(), strict=True)]
    return {
        "problem": f"{name} verified",
        "device": None,
        "budget": budget,
        "multipliers": package.plan.multipliers,
        "interval": result.interval,
        "latency": result.latency,
        "verify_seconds": round(sum(took[:4])),
        "verify_wall_seconds": round(took[4]),
        "exact": bool(result.equal),
        "substitute": False,
    }


def losses(row: dict[str, Any], baseline: list[dict[str, Any]]) -> Iterator[str]:
    """What is worse than the baseline's row of the same case, in words."""
    name = f"{row['problem']}, {row['budget']} multipliers"
    if not row.get("exact", True):
        yield f"{name}: the outputs differ"
    keys = ("problem", "device", "budget", "substitute")
    before = [old for old in baseline if all(old[key] == row[key] for key in keys)]
    for old in before:
        for figure in (*LESS_IS_BETTER, *MORE_IS_BETTER):
            if figure not in old:
                continue
            gain = row[figure] - old[figure]
            if figure in LESS_IS_BETTER:
                gain = -gain
            loss = LOSS_OF_SECONDS if figure in SECONDS else LOSS
            if gain < -loss * old[figure]:
                yield f"{name}: {figure} {row[figure]}, the baseline has {old[figure]}"


def main() -> int:
    """Measure, print, compare. Returns the exit code."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--json", action="store_true", help="print the rows as a JSON array only")
    parser.add_argument(
        "--only", choices=[*PROBLEMS, PLANNING, VERIFYING], help="this problem alone"
    )
    parser.add_argument(
        "--write-baseline", action="store_true", help="make the rows the new baseline"
    )
    arguments = parser.parse_args()
    output = Output(arguments.json)
    rows = []
    for case in CASES:
        if arguments.only not in (None, case.problem):
            continue
        output.say(f"{case.problem} with {case.budget} multipliers on {case.device}")
        with tempfile.TemporaryDirectory(prefix="hwgen-bench-") as name:
            folder = Path(name)
            rows.append(measure(case, PROBLEMS[case.problem](folder), folder, output))
        RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.only in (None, PLANNING):
        for name, model in networks().items():
            output.say(f"the plan of {name} with {BUDGETS[name]} multipliers")
            rows.append(planned(name, model))
            RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    if arguments.only in (None, VERIFYING):
        for name, file in network_files().items():
            if name in VERIFIED:
                output.say(f"{name} with {BUDGETS[name]} multipliers, from file to verified")
                with tempfile.TemporaryDirectory(prefix="hwgen-bench-") as folder:
                    rows.append(verified(name, file, Path(folder), output))
                RESULTS.write_text(json.dumps(rows, indent=1) + "\n")
    baseline = json.loads(BASELINE.read_text()) if BASELINE.is_file() else []
    if arguments.write_baseline:
        measured = {row["problem"] for row in rows}
        kept = [old for old in baseline if old["problem"] not in measured]
        BASELINE.write_text(json.dumps(kept + rows, indent=1) + "\n")
        baseline = kept + rows
    figures = (
        "interval",
        "latency",
        "multipliers",
        "lut",
        "ff",
        "dsp",
        "bram",
        "fmax_mhz",
        "memory_bits",
        *SECONDS,
        "exact",
    )
    table = [
        [f"{row['problem']} {row['budget']}", *(str(row.get(f, "")) for f in figures)]
        for row in rows
    ]
    output.table("bench", ["case", *figures], table)
    output.json(rows)
    found = [text for row in rows for text in losses(row, baseline)]
    for text in found:
        print(f"bench: {text}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (ToolError, UserError) as error:
        print(f"bench: {error}", file=sys.stderr)
        sys.exit(2)
