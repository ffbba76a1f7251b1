#!/usr/bin/env python3
"""Shows that tiled engines equal golden: networks x engines x external memories, a line each.

Every network is planned for every engine asked for and simulated with Verilator on random frames;
the beats that pass must be exactly those of the plan, and the cycles of no layer may be off those
that the plan predicts by more than 3 % (``model off`` : of the layer that is off most). With
``--buffers small`` an engine has the smallest buffers for which the network can be planned, so that
every loop is tiled. A last softmax is left to the host where the engine has no unit for it.
Refusals and differences are lines of the table too; differences give exit code 1.

    scripts/verify_tiled.py ../shared/models
    scripts/verify_tiled.py ../shared/models --array 8x8 --tiles 4 --resident 2 --mem-width 64
    scripts/verify_tiled.py ../shared/models --only resnet8 --array 8x8 --buffers small \\
        --resident 1 --mem-width 32 --memory 100:0.25
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from script import ROOT, run
from verify_models import MODELS

import hwgen
from hwgen.archs.package import Package
from hwgen.errors import UserError
from hwgen.flow.memory import Memory
from hwgen.ir import Graph
from hwgen.plan.tiled.options import buffer_bytes

OWN = {"mnist_cnn": ROOT / "hwgen" / "models" / "mnist_cnn.h5"}
NETWORKS = ("mnist_cnn", "resnet8", "dscnn", "vww", "rn07")
KIB = [k << n for n in range(14) for k in (2, 3)]
"""Buffers that are tried, from the smallest on."""
MOST_OFF = 0.03
"""Of a layer's cycles, by which those that the plan predicts may be off."""
COLUMNS = (
    "network", "array", "tiles", "KiB", "resident", "width", "latency", "rate", "cycles", "bound",
    "utilization", "bytes", "model off", "build s", "verify s", "result",
)  # fmt: skip


@dataclass(frozen=True)
class Engine:
    """One engine, as options of a build. small : its buffers are the smallest."""

    array: str
    tiles: int
    resident: int
    mem_width: int
    small: bool


REFUSED = "refused: "
"""Begins what a line says of a network that the engine does not take."""


def loaded(name: str, folder: Path) -> tuple[Graph, str | None]:
    """A network, and what is done with its tail so that it can be planned."""
    graph = hwgen.load(OWN[name] if name in OWN else folder / MODELS[name].file)
    try:
        hwgen.plan(graph, arch="tiled")
    except UserError as error:
        if "softmax" in str(error):
            return graph, "host"
    return graph, None


def smallest(graph: Graph, tail: str | None, options: dict[str, Any]) -> int:
    """KiB of the smallest buffers with which a network can be planned. Raises UserError."""
    refused: UserError | None = None
    for kib in KIB:
        try:
            hwgen.plan(graph, tail=tail, arch="tiled", buffer_kib=kib, **options)
        except UserError as error:
            refused = error
            continue
        return kib
    assert refused is not None
    raise refused


def lines(
    name: str, folder: Path, engine: Engine, memories: list[Memory], frames: int
) -> Iterator[tuple[bool, list[str]]]:
    """For each memory whether nothing differs, and the cells of the line."""
    options = {"array": engine.array, "tiles": engine.tiles, "resident": engine.resident}
    options["mem_width"] = engine.mem_width
    head = [name, engine.array, str(engine.tiles), "small" if engine.small else "default"]
    head += [str(engine.resident), str(engine.mem_width)]
    try:
        graph, tail = loaded(name, folder)
        if engine.small:
            options["buffer_kib"] = smallest(graph, tail, options)
        with tempfile.TemporaryDirectory(prefix="hwgen-") as out:
            start = time.monotonic()
            path = OWN[name] if name in OWN else folder / MODELS[name].file
            package = hwgen.build(path, Path(out) / name, tail=tail, arch="tiled", **options)
            built = f"{time.monotonic() - start:.0f}"
            head[3] = f"{engine.tiles * buffer_bytes(package.plan.shape) / 1024:g}"
            for memory in memories:
                good, cells = verified(package, memory, frames)
                cells[-2:-2] = [built]
                yield good, [*head, f"{memory.latency}", f"{memory.rate:g}", *cells]
    except UserError as error:
        yield True, [*head, *[""] * 9, f"{REFUSED}{error}"]


def verified(package: Package, memory: Memory, frames: int) -> tuple[bool, list[str]]:
    """Whether RTL, golden and plan agree, and the cells from the cycles on."""
    plan, start = package.plan, time.monotonic()
    result = hwgen.verify(package, random=frames, memory=memory)
    seconds = f"{time.monotonic() - start:.0f}"
    kept = package.result("verify")
    if result.difference is not None or kept is None or result.interval is None:
        return False, ["", f"{plan.interval_bound:,}", "", "", "", seconds, str(result.difference)]
    beats = kept["beats"]["read"], kept["beats"]["written"]
    moved = sum(sum(region.values()) for region in kept["bytes"].values())
    used = plan.graph.macs / (result.interval * plan.multipliers)
    expected, busy = kept["predicted"]["busy"], kept["busy"]
    off = max(abs(expected[name] - n) / max(n, 1) for name, n in busy.items())
    said = f"{frames} equal" if beats == plan.beats else f"beats {beats}, planned {plan.beats}"
    return beats == plan.beats and off <= MOST_OFF, [
        f"{result.interval:,}", f"{plan.interval_bound:,}", f"{used:.3f}", f"{moved:,}",
        f"{off:.2%}", seconds, said,
    ]  # fmt: skip


def memory_of(text: str) -> Memory:
    """LATENCY:RATE."""
    latency, _, rate = text.partition(":")
    return Memory(int(latency), float(rate or 1))


def main() -> None:
    """The table, a line as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    add = parser.add_argument
    add("folder", type=Path, help="of the models, as for verify_models.py")
    add("--only", action="append", choices=sorted({*OWN, *MODELS}), help="one of the networks")
    add("--array", nargs="+", default=["8x8", "16x16"])
    add("--tiles", nargs="+", type=int, default=[1], help="tile units side by side")
    add("--buffers", nargs="+", choices=("default", "small"), default=["default", "small"])
    add("--resident", nargs="+", type=int, default=[1, 2])
    add("--mem-width", nargs="+", type=int, default=[32, 64, 128, 256])
    add("--memory", nargs="+", type=memory_of, default=[Memory(), Memory(100, 0.25)])
    add("--frames", type=int, default=1)
    given = parser.parse_args()
    print("| " + " | ".join(COLUMNS) + " |\n" + "|---" * len(COLUMNS) + "|", flush=True)
    sizes = [size == "small" for size in given.buffers]
    engines = product(given.array, given.tiles, given.resident, given.mem_width, sizes)
    wrong = done = 0
    for options, name in product(engines, given.only or NETWORKS):
        engine = Engine(*options)
        for good, cells in lines(name, given.folder, engine, given.memory, given.frames):
            print("| " + " | ".join(cells) + " |", flush=True)
            wrong += not good
            done += not cells[-1].startswith(REFUSED)
    if wrong:
        sys.exit(f"{wrong} differ")
    if not done:
        sys.exit("nothing was verified: all is refused")


if __name__ == "__main__":
    run(main)
