#!/usr/bin/env python3
"""Makes TensorFlow Lite test models of single operators, whose scales meet many ties.

They need no TensorFlow. What the runtimes compute with them is frozen by freeze_tflite.py, which
needs the extra ``oracle``: ``python scripts/freeze_tflite.py FIXTURES/tflite_unit*.tflite``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from tests.helpers.tflite_files import TfFile  # noqa: E402

SEED = 31
FIXTURES = ROOT / "tests" / "importers" / "fixtures"


def activations(file: TfFile, rng: np.random.Generator) -> None:
    """RELU, RELU6 and QUANTIZE from one scale to another, also to uint8."""
    shape = (1, 8, 8, 1)
    x = file.input(shape, scale=3 / 32, zero=-9)
    for kind in ("RELU", "RELU6", "QUANTIZE"):
        table = "QuantizeOptions" if kind == "QUANTIZE" else ""
        for numerator in (2, 3, 4, 5, 7):
            zero = int(rng.integers(-90, 60))
            y = file.tensor(shape, scale=numerator / 32, zero=zero)
            file.outputs.append(file.operator(kind, [x], y, table))
    for numerator in (3, 4, 7):
        y = file.tensor(shape, "UINT8", scale=numerator / 32, zero=int(rng.integers(90, 160)))
        file.outputs.append(file.operator("QUANTIZE", [x], y, "QuantizeOptions"))


def means(file: TfFile, rng: np.random.Generator) -> None:
    """MEAN where sums of zero points are not exact in float32."""
    x = file.input((1, 4, 7, 16), scale=0.25, zero=-85)
    for number, numerator in enumerate((6, 7, 8, 9, 10, 12, 15)):
        shape = (1, 16) if number % 2 else (1, 1, 1, 16)
        y = file.tensor(shape, scale=numerator / 32, zero=int(rng.integers(-128, -80)) | 1)
        axes = file.integers([1, 2])
        keeps = not number % 2
        file.outputs.append(file.operator("MEAN", [x, axes], y, "ReducerOptions", KeepDims=keeps))


def constants(file: TfFile, rng: np.random.Generator) -> None:
    """ADD, SUB and MUL with one constant, and with one for each channel, on either side."""
    shape = (1, 3, 4, 8)
    x = file.input(shape, scale=3 / 32, zero=12)
    for kind in ("ADD", "SUB", "MUL"):
        for sizes in ((8,), (1, 1, 1, 8), (1,), ()):
            values = rng.integers(-60, 60, sizes)
            scale = float(rng.integers(1, 9)) / (8 if kind == "MUL" else 32)
            c = file.tensor(sizes, scale=scale, zero=int(rng.integers(-20, 20)), data=values)
            out = 2 if kind == "MUL" else 5 / 32
            y = file.tensor(shape, scale=out, zero=int(rng.integers(-30, 30)))
            sides = [c, x] if len(file.outputs) % 2 else [x, c]
            fused = {"FusedActivationFunction": int(len(sizes) == 4)}
            table = f"{kind.capitalize()}Options"
            file.outputs.append(file.operator(kind, sides, y, table, **fused))


def slices(file: TfFile, rng: np.random.Generator) -> None:
    """STRIDED_SLICE where masks overrule begins and ends, also of axes that vanish."""
    x = file.input((1, 6, 5, 4), scale=0.05, zero=3)
    for begin, end, stride, masks, shape in (
        ((0, 3, 1, 0), (1, 6, 4, 4), (1, 1, 1, 1), (2, 0, 2), (1, 3, 4)),
        ((0, 3, -2, 0), (1, 6, 4, 4), (1, 1, 1, 1), (4, 0, 4), (1, 3, 4)),
        ((0, -4, 2, 1), (1, -1, 3, 3), (1, 2, 1, 1), (4, 8, 0), (1, 2, 3, 3)),
    ):
        bounds = [file.integers(v) for v in (begin, end, stride)]
        y = file.tensor(shape, scale=0.05, zero=3)
        begins, ends, shrinks = masks
        file.outputs.append(file.operator(
            "STRIDED_SLICE", [x, *bounds], y, "StridedSliceOptions",
            BeginMask=begins, EndMask=ends, ShrinkAxisMask=shrinks,
        ))  # fmt: skip


def chain(file: TfFile, rng: np.random.Generator) -> None:
    """Constants, activations and a mean in a row, with one output that can be built."""
    shape = (1, 4, 7, 6)
    x = file.input(shape, scale=3 / 32, zero=12)
    for kind, scale, out in (("MUL", 1 / 32, 0.25), ("SUB", 3 / 32, 0.25), ("ADD", 1 / 8, 5 / 32)):
        values = rng.integers(-60, 60, 6)
        c = file.tensor((6,), scale=scale, zero=7, data=values)
        y = file.tensor(shape, scale=out, zero=int(rng.integers(-20, 20)))
        x = file.operator(
            kind, [x, c] if kind != "SUB" else [c, x], y, f"{kind.capitalize()}Options"
        )
    x = file.operator("RELU6", [x], file.tensor(shape, scale=3 / 64, zero=-101))
    y = file.tensor(shape, scale=1 / 16, zero=-99)
    x = file.operator("QUANTIZE", [x], y, "QuantizeOptions")
    y = file.tensor((1, 6), scale=1 / 16, zero=-77)
    file.operator("MEAN", [x, file.integers([1, 2])], y, "ReducerOptions", KeepDims=False)


UNITS: tuple[Callable[[TfFile, np.random.Generator], None], ...] = (
    activations, means, constants, slices, chain,
)  # fmt: skip


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--out", type=Path, default=FIXTURES)
    arguments = parser.parse_args()
    for unit in UNITS:
        file = TfFile()
        unit(file, np.random.default_rng(SEED))
        print(file.write(arguments.out / f"tflite_unit_{unit.__name__}.tflite").name)


if __name__ == "__main__":
    main()
