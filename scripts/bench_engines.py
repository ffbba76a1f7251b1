#!/usr/bin/env python3
"""Frames a second of golden and of the C engine, beside the runtimes of the same TFLite file.

One core for everybody: golden against TensorFlow Lite Micro, which is meant to be read as golden
is, and C against LiteRT, which is meant to be quick. Needs the extra ``oracle``.

    scripts/bench_engines.py resnet8.tflite
"""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

for variable in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
    os.environ[variable] = "1"

import numpy as np  # noqa: E402

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "scripts")]

from freeze_tflite import inputs_for, interpreter, lite  # noqa: E402

import hwgen  # noqa: E402
from hwgen import ir  # noqa: E402
from hwgen.flow.c_engine import CEngine  # noqa: E402

Array = np.ndarray[Any, Any]
Engine = Callable[[Array], Array]


def engines(path: Path) -> dict[str, Engine]:
    """What runs a batch of frames, by name; ``default`` is LiteRT's own choice of kernels."""
    graph = hwgen.load(path)
    (edge,), (out,) = graph.inputs, graph.outputs

    def ours(execute: Callable[[dict[str, Array]], dict[str, Array]]) -> Engine:
        return lambda x: execute({edge.name: x.reshape(-1, *edge.shape)})[out].reshape(len(x), -1)

    def theirs(runtime: str) -> Engine:
        one = interpreter(path, runtime)
        return lambda x: np.stack([one([frame])[0].reshape(-1) for frame in x])

    return {
        "golden": ours(partial(ir.execute, graph)),
        "tflm": theirs("tflm"),
        "c": ours(CEngine(graph).execute),
        "default": theirs("xnnpack"),
    }


def speed(engine: Engine, x: Array, seconds: float) -> float:
    """Frames a second: the best of the repetitions that fit into the time."""
    engine(x[:2])
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        begin = time.perf_counter()
        engine(x)
        best = max(best, len(x) / (time.perf_counter() - begin))
    return best


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("--seconds", type=float, default=6.0)
    parser.add_argument("--frames", type=int, default=256)
    args = parser.parse_args()
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    (details,) = lite(args.model, "xnnpack").get_input_details()
    x = inputs_for(details, args.frames, 1)
    made = engines(args.model)
    if not np.array_equal(made["golden"](x[:32]), made["tflm"](x[:32])):
        sys.exit("golden and TensorFlow Lite Micro differ")
    if not np.array_equal(made["golden"](x[:32]), made["c"](x[:32])):
        sys.exit("golden and the C code differ")
    rates = {name: speed(engine, x, args.seconds) for name, engine in made.items()}
    for name, rate in rates.items():
        print(f"{name:8} {rate:10.1f} frames/s")
    print(f"golden / tflm: {rates['golden'] / rates['tflm']:.2f} (at least 1)")
    print(f"default / c:   {rates['default'] / rates['c']:.2f} (at most 5)")


if __name__ == "__main__":
    main()
