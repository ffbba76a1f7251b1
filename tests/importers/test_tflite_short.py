"""TensorFlow Lite's curves of int16: every integer, and what is refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from hwgen import api
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


def prelu(folder: Path, slopes: int, dtype: str = "INT8") -> Path:
    """A file of one PRELU of int16, with one slope for all or one a channel."""
    file, rng = TfFile(), np.random.default_rng(4)
    x, shape = file.input((1, 4, 8, 8), "INT16", scale=1 / 1024), (1, 1, slopes)
    w = file.tensor(shape, dtype, scale=0.01, data=rng.integers(-120, 121, slopes))
    file.operator("PRELU", [x, w], file.tensor((1, 4, 8, 8), "INT16", scale=0.0009))
    return file.write(folder / "prelu.tflite")


SLOPES = {
    1: "b12873507a7d2d22434d29f91cf9a28cda6d4f7f166368eec99392665de83cfb",
    8: "e8d1bd99aa4362264ab3b6cf6ee53cf565544c6757e8b8910af8d6a9dd1c6d04",
}
"""What TFLM gives for all 65,536 integers; LiteRT has no PRELU of int16."""


@pytest.mark.parametrize("slopes", SLOPES)
def test_every_integer_of_slopes(slopes: int, tmp_path: Path) -> None:
    graph = load(prelu(tmp_path, slopes))
    x = {graph.inputs[0].name: CODES.reshape(-1, *graph.inputs[0].shape)}
    assert digest([execute(graph, x)[graph.outputs[0]]]) == SLOPES[slopes]


@pytest.mark.oracle
@pytest.mark.parametrize("slopes", SLOPES)
def test_what_tflm_gives_today(slopes: int, tmp_path: Path) -> None:
    micro = pytest.importorskip("tflite_micro.python.tflite_micro").runtime
    run = micro.Interpreter.from_file(str(prelu(tmp_path, slopes)))
    rows = []
    for row in CODES.astype(np.int16).reshape(-1, 1, 4, 8, 8):
        run.set_input(row, 0)
        run.invoke()
        rows.append(run.get_output(0)[0].copy())
    assert digest([np.stack(rows)]) == SLOPES[slopes]


def test_rtl_of_slopes_equals_golden(tmp_path: Path) -> None:
    file = TfFile()
    x, y = (file.tensor((1, 2, 2, 3), "INT16", scale=scale) for scale in (1 / 1024, 7 / 8192))
    file.inputs.append(x)
    file.operator("LEAKY_RELU", [x], y, "LeakyReluOptions", Alpha=-0.7)
    package = api.build(file.write(tmp_path / "leak.tflite"), tmp_path / "p")
    assert api.verify(package, "python", random=2).equal


@pytest.mark.parametrize("name", ["short_curves", "short_chain", "short_ends"])
def test_c_code_equals_golden(name: str) -> None:
    if not tools.c_compiler().found:
        pytest.skip("no C compiler")
    path = FIXTURES / f"tflite_unit_{name}.tflite"
    graph, frozen = load(path), np.load(path.with_suffix(".npz"))
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


def test_a_softmax_from_bytes_has_one_type_of_int16(tmp_path: Path) -> None:
    file = TfFile()
    x, y = file.input((1, 6), scale=0.07), file.tensor((1, 6), "INT16", scale=2.0**-15)
    file.operator("SOFTMAX", [x], y, "SoftmaxOptions", version=3, Beta=1)
    text = refusal(file.write(tmp_path / "s.tflite"))
    assert "a scale of 1/65536 and a zero point of -32768, the file says 3.05176e-05 and 0" in text


def test_slopes_that_a_runtime_does_not_take(tmp_path: Path) -> None:
    for runtime in ("xnnpack", "reference"):
        assert "LiteRT has no PRELU of int16" in refusal(prelu(tmp_path, 8), runtime)
    assert "are int16" in refusal(prelu(tmp_path, 8, "INT16"))


def test_scales_that_leave_the_bits_of_the_kernels(tmp_path: Path) -> None:
    assert "leaves the runtime's 16 bits" in refusal(curve(tmp_path, "TANH", 3.0))
    assert "do not fit the 32 bits" in refusal(curve(tmp_path, "SOFTMAX", 20.0))
