"""TensorFlow Lite's curves of int16: every integer, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen.errors import UserError
from hwgen.flow import tools
from hwgen.flow.c_engine import CEngine
from hwgen.importers import load
from hwgen.ir import execute
from tests.helpers.oracle_inputs import digest
from tests.helpers.tflite_files import TfFile

FIXTURES = Path(__file__).parent / "fixtures"
CODES = np.arange(-(1 << 15), 1 << 15)
CURVES = {
    ("LOGISTIC", 2.0**-12): "1cd2dc4c70e2d4a84e35303c43233dbe4f8889464506b05ba4388f81d8d6040a",
    (
        "LOGISTIC",
        2.0**-12 * 1.0004,
    ): "1cd2dc4c70e2d4a84e35303c43233dbe4f8889464506b05ba4388f81d8d6040a",
    (
        "LOGISTIC",
        2.0**-12 * 1.001,
    ): "b7117ccb321a9d7d8c1097bfc916855642757e3f7d4fa2d9fc26e1ba95f90efe",
    ("LOGISTIC", 3 / 65536): "9ed61bda260645cfaee1cf95ce1ff08bb26234f89b5b78e14d56d9c6b8e8b087",
    ("LOGISTIC", 1.3): "7517edcf3dcc376b2e5d77bb739930b16d673b076476ca834920033ee3d72715",
    ("TANH", 2.0**-11): "07e54435b3076a9e93d6384caead5ba083cdeac2e5cab867557bfe86a89cfdb9",
    ("TANH", 2.0**-12 * 1.0004): "1f5eea126a25dd703f73535e1dc23cfcc05de3631a5c426ace7fbe1745020c9b",
    ("TANH", 2.0**-13): "46ffc9b5a03b46a7f6d5d806a0c7d048c4ec13e9c5a73fe631e2c8c07abf35c2",
    ("TANH", 3 / 65536): "090734891a4da2afe747ab6860d6b2ba269f0cd66440a96478826c317e6291fd",
    ("TANH", 1.3): "af1bb6a868f9f8d72d546782c2b9d854d1e098cc92843f8cad9387cf2f3ec408",
}
"""What LiteRT's reference kernels give for all 65,536 integers, at input scales that they call a
power of two and at others."""


def curve(folder: Path, kind: str, scale: float, out: float = 2.0**-15, zero: int = 0) -> Path:
    """A file of one operator on vectors of 256."""
    file = TfFile()
    x = file.input((1, 256), "INT16", scale=scale)
    table = {"table": "SoftmaxOptions", "Beta": 1.0} if kind == "SOFTMAX" else {}
    y = file.tensor((1, 256), "INT8" if zero else "INT16", scale=out, zero=zero)
    file.operator(kind, [x], y, version=3, **table)
    return file.write(folder / "curve.tflite")


@pytest.mark.parametrize(("kind", "scale"), CURVES)
def test_every_integer_of_a_curve(kind: str, scale: float, tmp_path: Path) -> None:
    graph = load(curve(tmp_path, kind, scale), runtime="reference")
    x = {graph.inputs[0].name: CODES.reshape(-1, 256)}
    assert digest([execute(graph, x)[graph.outputs[0]]]) == CURVES[kind, scale]


@pytest.mark.oracle
@pytest.mark.parametrize(("kind", "scale"), CURVES)
def test_what_the_reference_kernels_give_today(kind: str, scale: float, tmp_path: Path) -> None:
    pytest.importorskip("ai_edge_litert")
    from scripts.freeze_tflite import interpreter

    run = interpreter(curve(tmp_path, kind, scale), "reference")
    rows = CODES.astype(np.int16).reshape(-1, 1, 256)
    assert digest([np.stack([run([row])[0] for row in rows])]) == CURVES[kind, scale]


@pytest.mark.parametrize("name", ["tflite_unit_short_curves", "tflite_unit_short_chain"])
def test_c_code_equals_golden(name: str) -> None:
    if not tools.c_compiler().found:
        pytest.skip("no C compiler")
    graph, frozen = load(FIXTURES / f"{name}.tflite"), np.load(FIXTURES / f"{name}.npz")
    x = {
        t.name: frozen[f"x{n}"].reshape(-1, *t.shape).astype(np.int64)
        for n, t in enumerate(graph.inputs)
    }
    golden, c = execute(graph, x), CEngine(graph).execute(x)
    assert all(np.array_equal(golden[out], c[out]) for out in graph.outputs)


def refusal(path: Path, runtime: str = "tflm") -> str:
    with pytest.raises(UserError) as caught:
        load(path, runtime=runtime)
    return str(caught.value)


def test_scales_of_powers_of_two_are_another_function_by_default(tmp_path: Path) -> None:
    for kind, scale in (("LOGISTIC", 2.0**-12), ("TANH", 2.0**-12), ("TANH", 2.0**-11)):
        path = curve(tmp_path, kind, scale)
        text = refusal(path, "xnnpack")
        assert f"layer '{kind.lower()}_0'" in text and "power of two" in text
        assert "--runtime tflm or reference" in text
        assert load(path, runtime="tflm").outputs and load(path, runtime="reference").outputs
    assert load(curve(tmp_path, "LOGISTIC", 2.0**-11), runtime="xnnpack").outputs


@pytest.mark.parametrize("kind", ["LOGISTIC", "TANH", "SOFTMAX"])
def test_types_that_the_kernels_do_not_take(kind: str, tmp_path: Path) -> None:
    assert "scale must be 1/32768" in refusal(curve(tmp_path, kind, 0.001, out=2.0**-14))
    assert "int16 in and int8 out" in refusal(curve(tmp_path, kind, 0.001, zero=-128))


def test_scales_that_leave_the_bits_of_the_kernels(tmp_path: Path) -> None:
    assert "leaves the runtime's 16 bits" in refusal(curve(tmp_path, "TANH", 3.0))
    assert "do not fit the 32 bits" in refusal(curve(tmp_path, "SOFTMAX", 20.0))
