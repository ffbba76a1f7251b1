#!/usr/bin/env python3
"""Freezes what ONNX Runtime, or QONNX, computes with a model: ``NAME.onnx`` gives ``NAME.npz``.

``x`` are the inputs of tests/helpers/oracle_inputs.py in the file's order, as integers: real
inputs are ``x / 32``. ``y`` are the outputs. With ``--digests FOLDER`` the models of SHARED are
run instead, which the project does not ship, and digests of their sums are written. Needs the
extra ``oracle``.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx

Array = np.ndarray[Any, Any]
ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.helpers.oracle_inputs import FRAMES, SEED, digest, frames  # noqa: E402

REAL_UNIT = 32

SHARED = {
    "qonnx/TFC_2W2A.onnx": ("82", 0, 0, 255, 256),
    "qonnx/qkeras_jettagging.onnx": ("Add_3_out0", 11, -128, 127, 16),
}
"""Tensor before the arithmetic that is left out, its fractional bits; range and unit of inputs."""
DIGESTS = ROOT / "tests" / "importers" / "shared_onnx.json"


def runner(path: Path) -> Callable[[dict[str, Array]], Array]:
    """What gives the first output for one frame."""
    kinds = {node.op_type for node in onnx.load(path).graph.node}
    if kinds & {"Quant", "BipolarQuant", "Trunc"}:
        from qonnx.core.modelwrapper import ModelWrapper
        from qonnx.core.onnx_exec import execute_onnx
        from qonnx.transformation.infer_shapes import InferShapes

        model = ModelWrapper(str(path)).transform(InferShapes())
        output = model.graph.output[0].name
        return lambda inputs: execute_onnx(model, inputs)[output]
    import onnxruntime

    # On x86-64 int8 would else become uint8, and some operators would be left in float32.
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.qdqisint8allowed", "1")
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    return lambda inputs: session.run(None, inputs)[0]


def frozen(path: Path, count: int) -> dict[str, Array]:
    """The arrays of a model's file."""
    (described,) = onnx.load(path).graph.input
    shape = [d.dim_value for d in described.type.tensor_type.shape.dim]
    real = described.type.tensor_type.elem_type == onnx.TensorProto.FLOAT
    x = frames(shape, -128, 127, count, SEED)
    values = (x / REAL_UNIT).astype(np.float32) if real else x.astype(np.int8)
    run = runner(path)
    y = np.stack([run({described.name: frame}) for frame in values])
    return {"x": x.astype(np.int16), "y": y}


def digests(folder: Path) -> dict[str, str]:
    """Digests of the sums of models that are kept elsewhere."""
    from qonnx.core.modelwrapper import ModelWrapper
    from qonnx.core.onnx_exec import execute_onnx
    from qonnx.transformation.infer_shapes import InferShapes

    result = {}
    for name, (tensor, frac, low, high, unit) in SHARED.items():
        model = ModelWrapper(str(folder / name)).transform(InferShapes())
        described = model.graph.input[0]
        shape = [d.dim_value for d in described.type.tensor_type.shape.dim]
        x = (frames(shape, low, high, FRAMES, SEED) / unit).astype(np.float32)
        y = [execute_onnx(model, {described.name: f}, return_full_exec_context=True) for f in x]
        integers = np.rint(np.stack([r[tensor] for r in y]) * 2.0**frac).astype(np.int64)
        result[name] = digest([integers])
    return result


def main() -> None:
    """Freeze the models that are named."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("models", nargs="*", type=Path)
    parser.add_argument("--digests", type=Path)
    parser.add_argument("--frames", type=int, default=FRAMES)
    args = parser.parse_args()
    if args.digests:
        DIGESTS.write_text(json.dumps(digests(args.digests), indent=2) + "\n")
    for path in args.models:
        arrays = frozen(path, args.frames)
        np.savez_compressed(path.with_suffix(".npz"), **arrays)
        y = arrays["y"]
        print(f"{path.name}: {len(np.unique(y))} values from {y.min()} to {y.max()}")


if __name__ == "__main__":
    main()
