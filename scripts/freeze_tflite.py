#!/usr/bin/env python3
"""Freezes what TensorFlow Lite's runtimes compute with a model: ``NAME.tflite`` gives ``NAME.npz``.

For each runtime that runs the file (tflm, xnnpack, reference) ``RUNTIME.y0``, ... are its outputs
for the inputs ``x0``, ... of tests/helpers/oracle_inputs.py. With ``--digests`` only a digest of
each runtime's outputs is written, for models that the project does not ship. Needs the extra
``oracle``. ``--labelled DATA`` instead runs the samples of LABELLED and writes how many each
runtime gets right, with a digest of its outputs; ``--digits`` runs a shipped model on the shipped
digits and writes ``NAME_oracle.npz`` with an array for each runtime.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.helpers.oracle_inputs import FRAMES, SEED, digest, frames  # noqa: E402

RUNTIMES = ("tflm", "xnnpack", "reference")
LABELLED: dict[str, dict[str, Any]] = {
    "mlperf_tiny_ic_resnet8_int8.tflite": {
        "data": "cifar10_test5k_train5k.npz", "inputs": "x_test", "labels": "y_test", "less": 128,
    },
    "mlperf_tiny_kws_dscnn_int8.tflite": {
        "data": "kws01_mfcc_int8_1000.npz", "inputs": "x", "labels": "y", "less": 0,
    },
}  # fmt: skip
"""Files of samples, their arrays, and what is taken from inputs to make them the model's."""
SCORES = ROOT / "tests" / "importers" / "shared_scores.json"


def inputs_for(details: Any, count: int, seed: int) -> Array:
    """Frames for one input; real numbers from -4 to 4 where it takes floats."""
    dtype = np.dtype(details["dtype"])
    if dtype.kind == "f":
        return (frames(details["shape"], -128, 127, count, seed) / 32.0).astype(dtype)
    limits = np.iinfo(dtype)
    return frames(details["shape"], limits.min, limits.max, count, seed).astype(dtype)


def interpreter(path: Path, runtime: str) -> Callable[[list[Array]], list[Array]]:
    """What runs one frame. Raises RuntimeError or ValueError where the runtime refuses the file."""
    if runtime == "tflm":
        from tflite_micro.python.tflite_micro import runtime as micro

        small = micro.Interpreter.from_file(str(path))
        outputs = len(lite(path, "xnnpack").get_output_details())

        def run_small(values: list[Array]) -> list[Array]:
            for index, value in enumerate(values):
                small.set_input(value, index)
            small.invoke()
            return [small.get_output(n).copy() for n in range(outputs)]

        return run_small
    large = lite(path, runtime)

    def run_large(values: list[Array]) -> list[Array]:
        for details, value in zip(large.get_input_details(), values, strict=True):
            large.set_tensor(details["index"], value)
        large.invoke()
        return [large.get_tensor(d["index"]) for d in large.get_output_details()]

    return run_large


def lite(path: Path, runtime: str) -> Any:
    """LiteRT's interpreter, by default or with its reference kernels."""
    from ai_edge_litert.interpreter import Interpreter, OpResolverType

    kind = OpResolverType.BUILTIN_REF if runtime == "reference" else OpResolverType.AUTO
    out = Interpreter(str(path), experimental_op_resolver_type=kind, num_threads=1)
    out.allocate_tensors()
    return out


def frozen(path: Path, count: int) -> dict[str, Array]:
    """The arrays of a model's file."""
    details = lite(path, "xnnpack").get_input_details()
    inputs = [inputs_for(d, count, SEED + n) for n, d in enumerate(details)]
    arrays = {f"x{n}": values for n, values in enumerate(inputs)}
    for runtime in RUNTIMES:
        try:
            run = interpreter(path, runtime)
        except (RuntimeError, ValueError) as error:
            print(f"{path.name}: {runtime} refuses it ({str(error).splitlines()[0]})")
            continue
        results = [run([values[n] for values in inputs]) for n in range(count)]
        for output, values in enumerate(zip(*results, strict=True)):
            arrays[f"{runtime}.y{output}"] = np.stack(values)
    return arrays


def digests(arrays: dict[str, Array]) -> dict[str, str]:
    """A digest of each runtime's outputs."""
    out = {}
    for runtime in RUNTIMES:
        names = sorted(name for name in arrays if name.startswith(f"{runtime}."))
        if names:
            out[runtime] = digest([arrays[name] for name in names])
    return out


def labelled(model: str, folder: Path) -> tuple[Array, Array]:
    """Integer inputs of a model, in the shape of the file, and labels."""
    entry = LABELLED[model]
    with np.load(folder / entry["data"]) as data:
        x, y = data[entry["inputs"]].astype(np.int16) - entry["less"], data[entry["labels"]]
    return x.astype(np.int8), y


def scores(path: Path, folder: Path) -> dict[str, Any]:
    """What each runtime scores with a model, and a digest of its outputs."""
    x, y = labelled(path.name, folder)
    shape = lite(path, "xnnpack").get_input_details()[0]["shape"]
    result = {}
    for runtime in RUNTIMES:
        run = interpreter(path, runtime)
        outputs = np.stack([run([frame.reshape(shape)])[0].reshape(-1) for frame in x])
        right = int((outputs.argmax(axis=1) == y).sum())
        result[runtime] = {"right": right, "of": len(y), "digest": digest([outputs])}
        print(f"{path.name}: {runtime} {right} of {len(y)}", flush=True)
    return LABELLED[path.name] | {"runtimes": result}


def of_digits(path: Path) -> dict[str, Array]:
    """Each runtime's integers for the shipped digits: pixels less 128."""
    with np.load(path.parent / "mnist_digits.npz") as data:
        x, y = (data["x"].astype(np.int16) - 128).astype(np.int8), data["y"]
    shape = lite(path, "xnnpack").get_input_details()[0]["shape"]
    arrays = {}
    for runtime in RUNTIMES:
        run = interpreter(path, runtime)
        arrays[runtime] = np.stack([run([frame.reshape(shape)])[0].reshape(-1) for frame in x])
        print(f"{runtime}: {(arrays[runtime].argmax(axis=1) == y).sum()} of {len(y)}")
    return arrays


def main() -> None:
    """Writes the .npz beside each model."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", nargs="+", type=Path)
    parser.add_argument("--frames", type=int, default=20)
    parser.add_argument("--out", type=Path, help="folder; default: beside each model")
    parser.add_argument("--digests", type=Path, help=f"only digests of {FRAMES} frames, as JSON")
    parser.add_argument("--labelled", type=Path, metavar="DATA", help="only scores, as JSON")
    parser.add_argument("--digits", action="store_true", help="the shipped digits instead")
    arguments = parser.parse_args()
    if arguments.digits:
        for path in arguments.models:
            np.savez_compressed(path.with_name(f"{path.stem}_oracle.npz"), **of_digits(path))
        return
    if arguments.labelled:
        table = {path.name: scores(path, arguments.labelled) for path in arguments.models}
        SCORES.write_text(json.dumps(table, indent=1) + "\n")
        return
    if arguments.digests:
        table = {path.name: digests(frozen(path, FRAMES)) for path in arguments.models}
        arguments.digests.write_text(json.dumps(table, indent=1) + "\n")
        return
    for path in arguments.models:
        folder = arguments.out or path.parent
        np.savez_compressed(folder / f"{path.stem}.npz", **frozen(path, arguments.frames))
        print(path.name, flush=True)


if __name__ == "__main__":
    main()
