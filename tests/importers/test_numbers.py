"""Numbers of a file that become no integer: infinite, none at all, beyond a type, or a fraction.

A conversion of them gives any integer whatever, without a word; they are refused by name.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from hwgen.errors import UserError
from hwgen.importers import load
from hwgen.importers.hgq.quantizers import Fixed
from hwgen.importers.keras.architecture import KerasLayer
from hwgen.importers.keras.functions import curve, sigmoid64, tanh64
from hwgen.importers.tflite.elementwise import _real_curve
from hwgen.importers.tflite.file import TfTensor
from hwgen.numeric import Overflow, Rounding
from tests.helpers.tflite_files import TfFile

NODE = helper.make_node
NAN, INF = np.float32(np.nan), np.float32(np.inf)
CONSTANTS: dict[str, Any] = {
    "s": np.float32(0.05), "z": np.int8(3), "zero": np.float32(0), "nan": NAN, "inf": INF,
    "one": np.float32(1), "eight": np.float32(8), "half": np.float32(2.5),
    "tiny": np.float32(1e-38), "large": np.float32(1e37), "k": np.ones((4, 1, 1), np.float32),
    "endless": np.array([1.0, np.inf], np.float32), "beyond": np.array([3e9], np.float32),
    "pads": np.zeros(8, np.int64), "cut": np.array([1, 4, 4, 3.5], np.float32),
    "wide": np.array([1 << 62]), "mul": np.array([(1 << 53) + 1]),
}  # fmt: skip


def qdq(x: str, out: str, scale: str = "s") -> list[Any]:
    return [NODE("QuantizeLinear", [x, scale, "z"], [f"{out}_q"], f"q_{out}"),
            NODE("DequantizeLinear", [f"{out}_q", scale, "z"], [out], f"dq_{out}")]  # fmt: skip


def onnx_file(path: Path, nodes: list[Any]) -> Path:
    """A file of nodes from ``x`` to ``y``, with the constants that they read."""
    used = {name for node in nodes for name in node.input}
    stored = [numpy_helper.from_array(np.asarray(v), n) for n, v in CONSTANTS.items() if n in used]
    inputs, outputs = ([helper.make_tensor_value_info(n, TensorProto.FLOAT, shape)]
            for n, shape in (("x", (1, 4, 4, 4)), ("y", None)))  # fmt: skip
    graph = helper.make_graph(nodes, "made", inputs, outputs, stored)
    opsets = [helper.make_opsetid("", 21), helper.make_opsetid("qonnx.custom_op.general", 1)]
    onnx.save(helper.make_model(graph, opset_imports=opsets, ir_version=10), path)
    return path


def quant(x: str, scale: str, bits: str, out: str = "y", kind: str = "Quant") -> Any:
    return NODE(kind, [x, scale, "zero", bits], [out], "quant", domain="qonnx.custom_op.general")


def shift(mul: str, add: str, **more: Any) -> Any:
    given = {"div": 16, "n_levels": 256, "signed": 1} | more
    return NODE("RequantShift", ["x", mul, add], ["y"], "shift", **given)


ONNX: dict[str, tuple[list[Any], str]] = {
    "bits of the input": ([quant("x", "s", "nan")], "a bit width of nan is not supported"),
    "bits": ([*qdq("x", "a"), quant("a", "s", "inf")], "a bit width of inf is not supported"),
    "bits to cut": (
        [*qdq("x", "a"), NODE("Trunc", ["a", "s", "zero", "half", "one"], ["y"], "cut",
                              domain="qonnx.custom_op.general")],
        "layer 'cut': input 3 is 2.5, a whole number is needed",
    ),
    "scale of a cut": (
        [*qdq("x", "a"), NODE("Trunc", ["a", "nan", "zero", "eight", "s", "one"], ["y"], "cut",
                              domain="qonnx.custom_op.general")],
        "layer 'cut': scales nan and 0.05 must be positive numbers",
    ),
    "scale of a constant": (
        [NODE("QuantizeLinear", ["k", "nan", "z"], ["k_q"], "q_k"),
         NODE("DequantizeLinear", ["k_q", "s", "z"], ["c"]), *qdq("x", "a"),
         NODE("Add", ["a", "c"], ["r"]), *qdq("r", "y")],
        "layer 'q_k': scales of constants must be positive numbers",
    ),
    "cast of infinity": (
        [NODE("Cast", ["endless"], ["n"], "to", to=TensorProto.INT64), *qdq("x", "y"),
         NODE("Reshape", ["y", "n"], ["v"])],
        "layer 'to': a cast of numbers that are no int64",
    ),
    "cast beyond a type": (
        [NODE("Cast", ["beyond"], ["n"], "to", to=TensorProto.INT32), *qdq("x", "y"),
         NODE("Reshape", ["y", "n"], ["v"])],
        "layer 'to': a cast of numbers that are no int32",
    ),
    "border": (
        [*qdq("x", "a"), NODE("Pad", ["a", "pads", "inf"], ["y"], "pad")],
        "layer 'pad': padding with inf is no integer of the input's type",
    ),
    "shape": (
        [*qdq("x", "a"), NODE("Reshape", ["a", "cut"], ["y"], "move")],
        "layer 'move': input 1 is 3.5, a whole number is needed",
    ),
    "factor": ([shift("endless", "zero")], "layer 'shift': input 1 is inf, a whole number"),
    "summand": ([shift("one", "wide")], "layer 'shift': input 2 holds integers of more than 62"),
    "division": ([shift("one", "zero", div=float("nan"))], "attribute div is nan, a whole number"),
    "sum of far scales": (
        [*qdq("x", "a", "large"), *qdq("a", "b", "large"), NODE("Add", ["a", "b"], ["r"]),
         *qdq("r", "y", "tiny")],
        "layer 'q_y': a sum of scales 1e+37 and 1e+37 to 1e-38: they are too far apart",
    ),
    "infinity less infinity": (
        [*qdq("x", "a", "large"), NODE("Mul", ["a", "eight"], ["b"]),
         NODE("Mul", ["b", "eight"], ["c"]), NODE("Sub", ["c", "inf"], ["r"], "less"),
         *qdq("r", "y")],
        "layer 'less': a constant that is zero or not finite",
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ONNX)
def test_onnx(name: str, tmp_path: Path) -> None:
    nodes, reason = ONNX[name]
    with pytest.raises(UserError) as caught:
        load(onnx_file(tmp_path / "m.onnx", nodes))
    assert reason in str(caught.value)


def test_factors_of_more_than_53_bits_are_kept(tmp_path: Path) -> None:
    graph = load(onnx_file(tmp_path / "m.onnx", [shift("mul", "zero")]))
    assert graph.nodes[-1].op.mult.tolist() == [(1 << 53) + 1]  # type: ignore[attr-defined]


def tflite(
    path: Path, kind: str, scales: tuple[float, float], runtime: str, inputs: int = 1, **more: Any
) -> Any:
    file = TfFile()
    sources = [file.input((1, 4), scale=scales[0]) for _ in range(inputs)]
    y = file.tensor((1, 4), scale=scales[1], zero=more.pop("zero", 0))
    file.operator(kind, sources, y, more.pop("table", ""), **more)
    return load(file.write(path), runtime=runtime)


@pytest.mark.parametrize(
    ("kind", "scales", "runtime", "more", "reason"),
    [
        ("ADD", (1e30, 1e-30), "xnnpack", {"inputs": 2, "table": "AddOptions"}, "XNNPACK adds"),
        ("ADD", (1e-30, 1e30), "xnnpack", {"inputs": 2, "table": "AddOptions"}, "XNNPACK adds"),
        ("ADD", (1.0, 1e-3), "xnnpack", {"inputs": 2, "table": "AddOptions"}, "XNNPACK adds"),
        ("RELU6", (1e-40, 1e-40), "xnnpack", {}, "6 at a scale of 9.99995e-41 leaves"),
        ("SOFTMAX", (10.0, 2.0**-8), "xnnpack",
         {"table": "SoftmaxOptions", "zero": -128, "Beta": -1.0}, "a beta of -1 must be"),
        ("QUANTIZE", (1e30, 1e-30), "tflm", {}, "too large"),
        ("QUANTIZE", (1e4, 1e-4), "xnnpack", {}, "after a shift by 27"),
    ],
)  # fmt: skip
def test_tensorflow_lite(
    kind: str, scales: tuple[float, float], runtime: str, more: Any, reason: str, tmp_path: Path
) -> None:
    with pytest.raises(UserError) as caught:
        tflite(tmp_path / "m.tflite", kind, scales, runtime, **more)
    assert reason in str(caught.value) and f"layer '{kind.lower()}_0'" in str(caught.value)


@pytest.mark.parametrize("scale", [10.0, 1e30, 3e38])
def test_a_logistic_of_large_numbers(scale: float, tmp_path: Path) -> None:
    """exp() of them is infinite."""
    graph = tflite(tmp_path / "m.tflite", "LOGISTIC", (scale, 2.0**-8), "xnnpack", zero=-128)
    values = graph.nodes[0].op.values
    assert values[[0, 127, 129, -1]].tolist() == [-128, -128, 127, 127]


def test_a_curve_at_a_tiny_scale_saturates() -> None:
    out = TfTensor(0, "y", (4,), "INT8", (1e-45,), (5,), 0, None)
    with np.errstate(over="ignore"):
        got = _real_curve(np.array([-1, 0, 1]), 1.0, lambda x: x, out)
    assert got.tolist() == [5 - (1 << 31), 5, 5 + (1 << 31)]


LAYER = KerasLayer("QDense", "dense", {}, ())


def fixed(k: Any, i: Any, f: Any, overflow: Overflow = Overflow.SATURATE) -> Fixed:
    k, i, f = (np.asarray(v, np.int64) for v in (k, i, f))
    return Fixed(LAYER, k, i, f, Rounding.HALF_UP, overflow, True)


@pytest.mark.parametrize("apart", [1, 31, 32, 33, 40, 64])
def test_fractions_of_hgq_far_apart(apart: int) -> None:
    """Integers at a common fraction, beyond 64 bits where they need them."""
    codes, frac = fixed(1, 8, [0, apart]).values(np.array([3.0, 2.0**-apart], np.float32))
    assert (codes.tolist(), frac) == ([3 << apart, 1], apart)


@pytest.mark.parametrize("bits", [30, 33, 40, 61, 62, 64])
@pytest.mark.parametrize("overflow", [Overflow.SATURATE, Overflow.WRAP])
def test_wide_integers_of_hgq(bits: int, overflow: Overflow) -> None:
    codes, frac = fixed(1, bits, 0, overflow).values(np.array([2.0**35, 1e30, -3.0], np.float32))
    wide = [1 << 35, int(np.float32(1e30)), -3]
    span, low, high = 2 << bits, -(1 << bits), (1 << bits) - 1
    wanted = [(v - low) % span + low if overflow is Overflow.WRAP else min(max(v, low), high)
              for v in wide]  # fmt: skip
    assert (codes.tolist(), frac) == (wanted, 0)


def test_numbers_of_hgq_beyond_float32() -> None:
    with pytest.raises(UserError, match="layer 'dense': its weights with 128 fractional bits"):
        fixed(1, -64, 128).values(np.array([0.0, 1.0], np.float32))


def test_weights_too_large_for_a_scale_of_their_own(keras: Any) -> None:
    for bits in (keras.bits(alpha="auto", integer=-64), keras.bits(alpha="auto_po2", integer=-64)):
        model = keras.sequential(keras.input(4), keras.dense("fc", 3, bits))
        weights = keras.random_weights(model, np.random.default_rng(0))
        weights["fc"]["kernel"] = np.full((4, 3), 1e20, np.float32)
        with pytest.raises(UserError, match=r"layer 'fc': quantized_bits: numbers of 1\.8"):
            load(keras.write(model, weights, "large.h5"))


@pytest.mark.parametrize("size", [700, 10**6, 1 << 127, 10**40, 10**400])
def test_curves_of_any_number(size: int) -> None:
    for sign in (1, -1):
        x = Fraction(sign * size)
        assert tanh64(x) == sign
        assert sigmoid64(x) in (1, Fraction(1 / (1 + np.exp(700.0))))
        for whose in ("keras2", "keras3", "qkeras"):
            hard = curve("hard_sigmoid", {"whose": whose})
            assert hard is not None and hard.value(x) == (sign + 1) // 2
        leaky = curve("leaky_relu", {"slope": 0.5})
        assert leaky is not None
        largest = Fraction(float(np.finfo(np.float32).max))
        bent = max(x, -largest) / 2
        assert leaky.value(x) == (x if sign > 0 else Fraction(float(np.float32(float(bent)))))
