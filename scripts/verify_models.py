#!/usr/bin/env python3
"""Builds real models, and shows that their RTL equals golden: one line each of a Markdown table.

The models are those of the folder given (README.md there says which); each is planned for about
150 multipliers and simulated with Verilator on random frames. ``--gaps`` goes through cocotb, with
beats that come and are taken at random times.

    scripts/verify_models.py ../shared/models
    scripts/verify_models.py ../shared/models --only resnet8 --gaps verilator
"""

from __future__ import annotations

import argparse
import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import hwgen  # noqa: E402
from hwgen.archs.package import Package  # noqa: E402
from hwgen.emit.packing import pack_all, unpack_all  # noqa: E402
from hwgen.ir import execute  # noqa: E402


@dataclass(frozen=True)
class Model:
    """A file and a budget."""

    file: str
    multipliers: int = 150


MODELS = {
    "resnet8": Model("tflite/mlperf_tiny_ic_resnet8_int8.tflite"),
    "dscnn": Model("tflite/mlperf_tiny_kws_dscnn_int8.tflite"),
    "autoencoder": Model("tflite/mlperf_tiny_ad_autoencoder_int8.tflite"),
    "micro_speech": Model("tflite/micro_speech_quantized.tflite", 64),
    "vww": Model("tflite/mlperf_tiny_vww_mobilenetv1_int8.tflite"),
    "tfc_2w2a": Model("qonnx/TFC_2W2A.onnx", 64),
    "rn07": Model("qkeras/mlperf_tiny_ic_rn07_8bit.h5"),
}
COLUMNS = (
    "network", "multipliers", "bound", "interval", "latency", "utilization", "build s",
    "verify s", "frames",
)  # fmt: skip


def random_frames(package: Package, frames: int) -> dict[str, np.ndarray]:
    """Seeded integers over each input's whole range."""
    print("seed 1", file=sys.stderr)
    generator = np.random.default_rng(1)
    return {
        x.name: generator.integers(x.range[0], x.range[1] + 1, (frames, *x.shape))
        for x in package.graph.inputs
    }


def with_gaps(package: Package, simulator: str, frames: int) -> tuple[bool, str, str]:
    """Whether cocotb's outputs are golden's, and what there is to say of cycles."""
    from hwgen_sim import network, streams  # pyright: ignore[reportMissingImports]

    graph, plan = package.graph, package.plan
    x = random_frames(package, frames)
    gaps = {f"{end}_gaps": streams.Gaps("random", n) for n, end in enumerate(("source", "sink"))}
    run = network.run_network(package.path, simulator, pack_all(x, plan.inputs), **gaps)
    got, golden = unpack_all(run.outputs, plan.outputs, graph), execute(graph, x)
    equal = all(np.array_equal(got[name], golden[name]) for name in graph.outputs)
    return equal, "with gaps", str(run.ends[0] - run.first[0] + 1)


def without_gaps(package: Package, frames: int) -> tuple[bool, str, str]:
    """The same of Verilator's batch harness."""
    result = hwgen.verify(package, "verilator", random=frames)
    return result.equal, f"{result.interval:,}", f"{result.latency:,}"


def line(name: str, folder: Path, frames: int, simulator: str | None) -> list[str]:
    """The cells of a model's line. Exits where RTL and golden differ."""
    model = MODELS[name]
    with tempfile.TemporaryDirectory(prefix="hwgen-") as out:
        start = time.monotonic()
        package = hwgen.build(folder / model.file, Path(out) / name, multipliers=model.multipliers)
        built = time.monotonic() - start
        start = time.monotonic()
        if simulator is None:
            equal, interval, latency = without_gaps(package, frames)
        else:
            equal, interval, latency = with_gaps(package, simulator, frames)
        verified = time.monotonic() - start
    if not equal:
        sys.exit(f"{name}: RTL and golden differ")
    plan = package.plan
    macs = sum(unit.macs for unit in plan.units)
    utilization = macs / (plan.multipliers * plan.timing().interval)
    return [
        name, str(plan.multipliers), f"{plan.interval_bound:,}", interval, latency,
        f"{utilization:.2f}", f"{built:.0f}", f"{verified:.0f}", f"{frames} equal",
    ]  # fmt: skip


def main() -> None:
    """The table, a line as soon as a model is done."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path)
    parser.add_argument("--only", action="append", choices=MODELS, help="one of the models")
    parser.add_argument("--frames", type=int, default=2)
    parser.add_argument("--gaps", choices=("verilator", "icarus"), help="cocotb on this simulator")
    arguments = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    for name in arguments.only or MODELS:
        cells = line(name, arguments.folder, arguments.frames, arguments.gaps)
        print("| " + " | ".join(cells) + " |", flush=True)
    own, children = (
        resource.getrusage(who).ru_maxrss / 1e6
        for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)
    )
    print(f"most memory: {own:.1f} GB here, {children:.1f} GB in a simulator's tools",
          file=sys.stderr)  # fmt: skip


if __name__ == "__main__":
    main()
