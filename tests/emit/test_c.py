"""C code of networks: equal to golden on every bit, portable, free of undefined behaviour."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from hwgen import api
from hwgen.cli import main
from hwgen.emit.c import c_files
from hwgen.emit.c.layer import storage
from hwgen.emit.c.layers import LAYERS
from hwgen.errors import UserError
from hwgen.flow.c_engine import CEngine
from hwgen.importers import load
from hwgen.ir import Graph, Node, Tensor, execute, ops
from hwgen.ir.op import Op
from hwgen.numeric import Overflow, QType, Rounding, Scaling, multiplier_of
from tests.helpers.graphs import random_case
from tests.helpers.random_graphs import GRAPHS
from tests.numeric.test_scaling import defined

FIXTURES = Path(__file__).parent.parent / "importers" / "fixtures"
MODELS = sorted([*FIXTURES.glob("onnx_*.onnx"), *FIXTURES.glob("tflite_*.tflite")])
SHIPPED = Path(api.__file__).parent / "models" / "mnist_cnn.h5"

pytestmark = pytest.mark.skipif(
    not (shutil.which("cc") or shutil.which("gcc")), reason="no C compiler"
)


def frames(graph: Graph, count: int = 6, seed: int = 1) -> dict[str, np.ndarray]:
    """Random frames, and all smallest and all largest."""
    rng = np.random.default_rng(seed)
    result = {}
    for t in graph.inputs:
        low, high = t.type.min, t.type.max
        random = rng.integers(low, high + 1, (count, *t.shape))
        ends = [np.full((1, *t.shape), end) for end in (low, high)]
        result[t.name] = np.concatenate([random, *ends])
    return result


def assert_equal(graph: Graph) -> None:
    inputs = frames(graph)
    wanted, got = execute(graph, inputs), CEngine(graph).execute(inputs)
    for name in graph.outputs:
        assert np.array_equal(got[name], wanted[name])


@pytest.mark.parametrize("kind", sorted(GRAPHS))
def test_random_networks(kind: str) -> None:
    for seed in range(900, 912):
        case = random_case(seed, kind)
        for graph in {id(g): g for g in (case.graph, case.plan.graph)}.values():
            assert_equal(graph)


@pytest.mark.parametrize("path", MODELS, ids=lambda path: path.stem)
def test_model_files(path: Path) -> None:
    assert_equal(load(path))


@pytest.mark.parametrize("runtime", ["xnnpack", "reference"])
def test_rules_of_other_runtimes(runtime: str) -> None:
    assert_equal(load(FIXTURES / "tflite_residual.tflite", runtime=runtime))


def one(op: Op, x: Tensor) -> Graph:
    return Graph("one", (x,), (Node("y", op, ("x",)),), ("y",)).verify()


WIDE = Tensor("x", (4096,), QType(True, 24, 0, Rounding.FLOOR, Overflow.WRAP))
BYTE = QType(True, 8, 0, Rounding.FLOOR, Overflow.SATURATE)


@pytest.mark.parametrize("scaling", list(Scaling))
def test_scaling_rules_near_their_ties(scaling: Scaling) -> None:
    rng = np.random.default_rng(17)
    for _ in range(6):
        real = float(np.float32(2.0 ** rng.uniform(-20, -14)))
        mult, shift = multiplier_of(real, scaling)
        graph = one(ops.Rescale(scaling, np.array([mult]), np.array([shift]), BYTE, offset=3), WIDE)
        # Sums whose scaled value lies around half an integer.
        ties = (rng.integers(-128, 128, 4096) + 0.5) / real
        x = np.clip(np.rint(ties) + rng.integers(-1, 2, 4096), -(1 << 23), (1 << 23) - 1)
        inputs = {"x": x.astype(np.int64).reshape(1, -1)}
        wanted, got = execute(graph, inputs)["y"], CEngine(graph).execute(inputs)["y"]
        assert np.array_equal(got, wanted) and len(np.unique(wanted)) > 30


ENDS = [-(1 << 31), 1 - (1 << 31), -(10**6), -2048, -1, 0, 1, 2047, 2048, 10**6, (1 << 31) - 1]


def scales(scaling: Scaling, count: int) -> list[float]:
    """Numbers from 2**-60 on to the largest that the rule takes, that one first."""
    rng = np.random.default_rng(60)
    top = 1.0 if scaling.fixed_point else 2.0**scaling.precision
    most = top * (1 - 2.0**-scaling.precision)
    reals = [most, top / 2, *(2.0 ** rng.uniform(-60, np.log2(most), count - 2))]
    single = scaling is Scaling.FP32_HALF_EVEN
    return [float(np.float32(r)) if single else float(r) for r in reals]


@pytest.mark.parametrize("scaling", list(Scaling))
def test_scaling_rules_at_every_scale(scaling: Scaling, tmp_path: Path) -> None:
    """Also where a result has more than 64 bits; no conversion is undefined."""
    pairs = [multiplier_of(real, scaling) for real in scales(scaling, 48)]
    mult, shift = np.array(pairs).T
    values = [v >> 1 for v in ENDS] if scaling.fixed_point else ENDS
    x = Tensor("x", (48,), QType(True, 32, 0, Rounding.FLOOR, Overflow.WRAP),
               min(values), max(values))  # fmt: skip
    inputs = {"x": np.repeat(np.array(values)[:, None], 48, 1)}
    exact = [[defined(v, m, s, scaling) - 3 for m, s in pairs] for v in values]
    kinds = [QType(True, width, 0, Rounding.FLOOR, overflow) for width in (8, 32)
             for overflow in (Overflow.SATURATE, Overflow.SATURATE_ZERO)]  # fmt: skip
    layers = {str(n): ops.Rescale(scaling, mult, shift, kind, offset=-3)
              for n, kind in enumerate(kinds)}  # fmt: skip
    nodes = tuple(Node(name, op, ("x",)) for name, op in layers.items())
    graph = Graph("all", (x,), nodes, tuple(layers)).verify()
    golden, c = execute(graph, inputs), CEngine(graph).execute(inputs)
    for name, kind in zip(layers, kinds, strict=True):
        assert golden[name].tolist() == [[fitted(v, kind) for v in row] for row in exact], kind
        assert np.array_equal(c[name], golden[name]), kind
    sanitized(one(layers["2"], x), inputs, tmp_path, [])


def fitted(value: int, kind: QType) -> int:
    """A value in a type that saturates, or makes zero of what does not fit."""
    inside = min(max(value, kind.min), kind.max)
    return 0 if kind.overflow is Overflow.SATURATE_ZERO and inside != value else inside


def test_results_of_more_than_64_bits_that_wrap_are_refused() -> None:
    kind = QType(True, 8, 0, Rounding.FLOOR, Overflow.WRAP)
    x = Tensor("x", (4,), QType(True, 32, 0, Rounding.FLOOR, Overflow.WRAP))
    for shift, fits in ((0, False), (40, True)):
        op = ops.Rescale(Scaling.DOUBLE_HALF_AWAY, np.array([1 << 52]), np.array([shift]), kind)
        if fits:
            assert_equal(one(op, x))
            continue
        with pytest.raises(UserError, match="'y': what wraps takes 85 bits, the C code has 64"):
            c_files(one(op, x))


def test_types_of_more_than_64_bits_are_refused() -> None:
    wide, narrow = (QType(True, 8, frac, Rounding.FLOOR, Overflow.SATURATE) for frac in (0, 100))
    x = Tensor("x", (4,), wide)
    nodes = (Node("cast", ops.Cast((wide, narrow), np.array([0, 1, 0, 1])), ("x",)),
             Node("y", ops.Requantize.scaled(BYTE, 1, 0, 100), ("cast",)))  # fmt: skip
    graph = Graph("wide", (x,), nodes, ("y",)).verify()
    values = np.array([[-128, 5, 127, -5]])
    wanted = [[-128, 0, 127, -1]]  # 5 and -5 saturate in units of 2**-100, and are rounded down
    assert execute(graph, {"x": values})["y"].tolist() == wanted
    with pytest.raises(UserError, match="'cast': a cast's result takes 108 bits"):
        c_files(graph)


@pytest.mark.parametrize("rounding", list(Rounding))
@pytest.mark.parametrize("overflow", list(Overflow))
def test_every_rounding_and_overflow(rounding: Rounding, overflow: Overflow) -> None:
    x = Tensor("x", (1024,), QType(True, 10, 0, Rounding.FLOOR, Overflow.WRAP))
    for signed, shift in ((True, 1), (False, 2), (True, 5)):
        op = ops.Requantize.scaled(QType(signed, 5, 0, rounding, overflow), 3, -7, shift)
        graph = one(op, x)
        inputs = {"x": np.arange(-512, 512).reshape(1, -1)}
        assert np.array_equal(CEngine(graph).execute(inputs)["y"], execute(graph, inputs)["y"])


@pytest.mark.parametrize("rounding", list(Rounding))
def test_every_rounding_of_an_average(rounding: Rounding) -> None:
    x = Tensor("x", (9, 8, 2), QType(True, 8, 3, Rounding.FLOOR, Overflow.WRAP))
    for frac in (1, 3, 6):
        kind = QType(True, 7, frac, rounding, Overflow.SATURATE)
        assert_equal(one(ops.AvgPool((3, 2), (2, 1), "same", type=kind), x))


@pytest.mark.parametrize("signed", [True, False])
def test_softmax_from_a_table(signed: bool) -> None:
    """Few channels and small steps: results close to half an integer."""
    kind = QType(signed, 8, 0, Rounding.FLOOR, Overflow.SATURATE, scale=2.0**-8,
                 zero_point=-128 if signed else 0)  # fmt: skip
    powers = np.exp(-0.01 * np.arange(256)).astype(np.float32)
    x = Tensor("x", (64, 4, 3), QType(signed, 8, 0, Rounding.FLOOR, Overflow.WRAP))
    assert_equal(one(ops.SoftmaxTable(powers, kind), x))


def test_every_op_has_a_form() -> None:
    folded = {ops.BatchNorm, ops.Flatten, ops.Reshape}
    assert set(LAYERS) | folded == {op for op in vars(ops).values() if _is_op(op)}


def _is_op(value: object) -> bool:
    return isinstance(value, type) and issubclass(value, Op) and hasattr(value, "op_name")


def test_too_wide_numbers_are_refused() -> None:
    wide = QType(True, 32, 0, Rounding.FLOOR, Overflow.WRAP)
    x = Tensor("x", (4,), wide)
    sums = ops.Dense(np.full((4, 2), wide.max), wide)
    last = ops.Requantize.scaled(BYTE, 1, 0, 60)
    graph = Graph("wide", (x,), (Node("w", sums, ("x",)), Node("y", last, ("w",))), ("y",))
    with pytest.raises(UserError, match="'w': a sum of products takes 65 bits, the C code has 64"):
        c_files(graph.verify())


@pytest.mark.parametrize("name", ["tflite_residual.tflite", "onnx_qonnx_scaled.onnx"])
def test_strict_and_sanitized(name: str, tmp_path: Path) -> None:
    """C99 without extensions, freestanding; no undefined behaviour on random frames."""
    graph = load(FIXTURES / name)
    for file, text in c_files(graph, "net").items():
        (tmp_path / file).write_text(text)
    assert "malloc" not in (tmp_path / "net.c").read_text()
    strict = ["-std=c99", "-pedantic-errors", "-Wall", "-Wextra", "-Wconversion", "-Werror"]
    cc = shutil.which("cc") or "gcc"
    net = str(tmp_path / "net.c")
    subprocess.run(
        [cc, *strict, "-Wno-conversion", "-ffreestanding", "-c", net, "-o", str(tmp_path / "n.o")],
        check=True,
    )
    for target in vector_flags():
        sanitized(graph, frames(graph, 3), tmp_path, target)


def sanitized(graph: Graph, inputs: dict[str, np.ndarray], folder: Path, target: list[str]) -> None:
    """Golden equals the code of one input and one output, which does nothing undefined."""
    for file, text in c_files(graph, "net").items():
        (folder / file).write_text(text)
    x, y = graph.inputs[0], graph.tensors[graph.outputs[0]]
    (folder / "main.c").write_text(_driver(inputs[x.name], x, y))
    sanitize = ["-fsanitize=undefined,address,float-cast-overflow", "-fno-sanitize-recover=all"]
    binary, sources = str(folder / "run"), [str(folder / name) for name in ("net.c", "main.c")]
    command = [shutil.which("cc") or "gcc", "-std=c99", "-g", *target, *sanitize, *sources]
    subprocess.run([*command, "-o", binary], check=True)
    out = subprocess.run([binary], check=True, capture_output=True, text=True).stdout
    wanted = execute(graph, inputs)[y.name]
    assert np.array_equal(np.array(out.split(), int), wanted.reshape(-1)), target


def vector_flags() -> list[list[str]]:
    """Compiler flags for each form of the inner loop that this machine can run."""
    try:
        have = Path("/proc/cpuinfo").read_text()
    except OSError:
        have = ""
    kinds = {"avx2": ["avx2"], "avx512bw": ["avx512bw"], "avx512_vnni": ["avx512bw", "avx512vnni"]}
    found = [[f"-m{name}" for name in names] for flag, names in kinds.items() if flag in have]
    return [[], *found, *([*target, "-DHWGEN_PORTABLE"] for target in found[-1:])]


def _driver(values: np.ndarray, x: Tensor, y: Tensor) -> str:
    numbers = ", ".join(f"INT64_C({v})" for v in values.reshape(-1).tolist())
    return f"""
#include <stdio.h>
#include "net.h"
static const {storage(x)} x[] = {{{numbers}}};
static int64_t workspace[(NET_WORKSPACE_BYTES + 7) / 8];
int main(void)
{{
    {storage(y)} y[{y.size}];
    for (int n = 0; n < {len(values)}; n++) {{
        net_run(x + n * NET_INPUT_0_SIZE, y, workspace);
        for (int i = 0; i < {y.size}; i++) {{
            printf("%lld\\n", (long long)y[i]);
        }}
    }}
    return 0;
}}
"""


def test_commands(tmp_path: Path) -> None:
    package = tmp_path / "package"
    assert main(["build", str(SHIPPED), "--out", str(package), "--multipliers", "16", "--c"]) == 0
    assert {p.name for p in (package / "c").iterdir()} == {"mnist_cnn.c", "mnist_cnn.h"}
    x = np.random.default_rng(5).integers(0, 256, (7, 28, 28, 1))
    np.save(tmp_path / "x.npy", x)
    for engine in ("golden", "c"):
        arguments = ["--input", str(tmp_path / "x.npy"), "--engine", engine]
        target = str(tmp_path / f"{engine}.npy")
        assert main(["run", str(SHIPPED), *arguments, "--output", target]) == 0
    golden, c = (np.load(tmp_path / f"{engine}.npy") for engine in ("golden", "c"))
    assert np.array_equal(golden, c) and golden.shape == (7, 10)


def doubled(name: str, inputs: tuple[str, ...]) -> Graph:
    """A sum of inputs with these names."""
    edges = tuple(Tensor(edge, (3,), BYTE) for edge in inputs)
    return Graph(name, edges, (Node("sum", ops.Add(), inputs),), ("sum",)).verify()


@pytest.mark.parametrize(
    "inputs", [("float", "bytes"), ("workspace", "in0_x"), ("a-b", "a_b"), ("", "0")]
)
def test_names_that_c_could_take_amiss(inputs: tuple[str, str]) -> None:
    """Keywords, the code's own names, names that differ in what C does not know."""
    assert_equal(doubled("*/ int main(void) { } /*", inputs))


def test_inputs_that_golden_refuses() -> None:
    graph = doubled("sum", ("a", "b"))
    engine, good = CEngine(graph), np.zeros((4, 3), np.int64)
    for bad in (good.astype(np.float32), good[:2], np.full((4, 3), 999), good[:, :2]):
        messages = []
        for run in (engine.execute, lambda x: execute(graph, x)):
            with pytest.raises(UserError) as error:
                run({"a": good, "b": bad})
            messages.append(str(error.value))
        assert messages[0] == messages[1]
