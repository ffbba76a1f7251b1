"""TensorFlow Lite files all the way: the RTL's integers are those of the runtime."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import hwgen
from hwgen.cli import main
from hwgen.errors import UserError

FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"


def frozen(name: str) -> Any:
    return np.load(FIXTURES / f"{name}.npz")


@pytest.mark.parametrize("runtime", ["tflm", "reference"])
@pytest.mark.parametrize("name", ["tflite_adds", "tflite_sequence"])
def test_rtl_equals_the_runtime(name: str, runtime: str, tmp_path: Path) -> None:
    path = FIXTURES / f"{name}.tflite"
    try:
        package = hwgen.build(path, tmp_path / "p", multipliers=40, runtime=runtime)
    except UserError as error:
        # LiteRT's reference kernels round a product of doubles in fully connected layers.
        assert runtime == "reference" and "double_half_away" in str(error)
        return
    data = frozen(name)
    x = data["x0"][:4]
    shape = package.graph.inputs[0].shape
    result = hwgen.verify(package, "python", inputs=x.reshape(len(x), *shape).astype(np.int64))
    assert result.equal
    assert np.array_equal(result.outputs.reshape(-1), data[f"{runtime}.y0"][:4].reshape(-1))


def test_a_softmax_is_left_to_the_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path, out = FIXTURES / "tflite_residual.tflite", tmp_path / "p"
    command = ["build", str(path), "--out", str(out), "--multipliers", "40"]
    assert main(command) == 2
    assert "--tail host" in capsys.readouterr().err
    assert not out.exists()
    assert main([*command, "--tail", "host"]) == 0
    package = hwgen.flow.package_files.Package.open(out)
    graph = hwgen.load(path)
    assert package.graph.outputs == (graph.nodes[-1].inputs[0],)
    x = frozen("tflite_residual")["x0"][:2].reshape(2, 9, 8, 3).astype(np.int64)
    result = hwgen.verify(package, "python", inputs=x)
    logits = hwgen.run(graph, {"input": x}, edges=True)[package.graph.outputs[0]]
    assert result.equal and np.array_equal(result.outputs, logits)


def test_nothing_is_left_where_there_is_no_softmax(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = FIXTURES / "tflite_adds.tflite"
    assert main(["build", str(path), "--out", str(tmp_path / "p"), "--tail", "host"]) == 2
    assert "does not end in a softmax" in capsys.readouterr().err


def test_runtimes_are_named(capsys: pytest.CaptureFixture[str]) -> None:
    path = str(FIXTURES / "tflite_adds.tflite")
    assert main(["inspect", path, "--runtime", "xnnpack"]) == 0
    assert "xnnpack" in capsys.readouterr().out
    assert main(["inspect", str(FIXTURES / "avgpool.h5"), "--runtime", "tflm"]) == 2
    assert "a runtime was given" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["curves", "squeeze", "shapes", "two_heads", "depthwise"])
def test_what_has_no_unit_is_refused_by_name(kind: str, tmp_path: Path) -> None:
    reasons = {
        "curves": "no unit for mul",
        "squeeze": "no unit for mul",
        "shapes": "no unit for slice",
        "two_heads": "takes one input and one output",
        "depthwise": "windows of this average",
    }
    with pytest.raises(UserError) as caught:
        hwgen.build(FIXTURES / f"tflite_{kind}.tflite", tmp_path / "p")
    assert reasons[kind] in str(caught.value)
