"""A package's certificate holds, by its own script; and every kind of fault in it is found."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hwgen import api
from hwgen.emit.certificate import check_script
from hwgen.ir import OPS, legal

FIXTURES = Path(__file__).parents[1] / "importers" / "fixtures"


def checked(package: Path) -> tuple[int, str]:
    # -S and -I: nothing that is installed helps.
    command = [sys.executable, "-I", "-S", "check.py"]
    done = subprocess.run(command, cwd=package, capture_output=True, text=True, timeout=120)
    assert not done.stderr, done.stderr
    return done.returncode, done.stdout


@pytest.fixture(scope="module")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Batch norms with real parameters, a dense layer, a pool."""
    return api.build(FIXTURES / "bn_conv.h5", tmp_path_factory.mktemp("c") / "p").path


NETWORKS = ["avgpool.h5", "apart.h5", "borders.h5", "few_auto.h5", "curves.h5"]
NETWORKS += ["hgq_channels.keras", "hgq_functions.keras", "tflite_sequence.tflite"]
NETWORKS += ["tflite_adds.tflite", "tflite_residual.tflite"]
NETWORKS += ["tflite_curves.tflite", "onnx_qdq_residual.onnx", "onnx_qonnx_scaled.onnx"]
NETWORKS += ["onnx_unit_classes.onnx"]


@pytest.mark.parametrize("name", NETWORKS)
def test_certificates_hold(name: str, tmp_path: Path) -> None:
    made = api.build(FIXTURES / name, tmp_path / "p").path
    code, text = checked(made)
    assert code == 0 and text.count("ok ") == 4, text


def test_every_op_of_a_package_is_known() -> None:
    """The script has a rule for each op, but for those that no package has."""
    gone = {op.op_name for op in legal.REPLACED}
    unknown = [name for name in OPS if name not in gone and f'"{name}"' not in check_script()]
    assert not unknown


def test_channels_are_counted(package: Path) -> None:
    code, text = checked(package)
    assert code == 0 and "10 replaced channels" in text
    counts = json.loads((package / "report.json").read_text())["requantizations"]
    assert counts["proven"] == 10 and counts["multiply"] == 10 and counts["staircase"] == 0


def _multiplier(c: Any, plan: Any) -> None:
    requant = c["replacements"][0]["after"][-1]
    requant["mult"][1] += max(1, abs(requant["mult"][1]) // 8)


def _accumulator(c: Any, plan: Any) -> None:
    edge = next(e for e in c["edges"] if e["name"].endswith("_mac") or "conv" in e["name"])
    edge["range"][1] //= 2


def _type(c: Any, plan: Any) -> None:
    c["edges"][1]["type"]["width"] -= 4


def _capacity(c: Any, plan: Any) -> None:
    unit = next(u for u in plan["units"] if u.get("windows", 0) > 0)
    unit["windows"] = 0


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (_multiplier, "differs at"),
        (_accumulator, "possible"),
        (_type, "does not fit its type"),
        (_capacity, "entries in the event model"),
    ],
)
def test_faults_are_found(
    package: Path, fault: Callable[[Any, Any], None], said: str, tmp_path: Path
) -> None:
    copy = tmp_path / "p"
    shutil.copytree(package, copy)
    files = {
        name: json.loads((copy / name).read_text()) for name in ("certificate.json", "plan.json")
    }
    fault(*files.values())
    for name, value in files.items():
        (copy / name).write_text(json.dumps(value))
    code, text = checked(copy)
    assert code == 1 and said in text and "was changed" in text, text


def test_queues_of_forks_count(tmp_path: Path) -> None:
    made = api.build(FIXTURES / "joined.h5", tmp_path / "p").path
    assert checked(made)[0] == 0
    plan = json.loads((made / "plan.json").read_text())
    fork = next(unit for unit in plan["units"] if unit["kind"] == "fork")
    fork["fifo1"] = 0
    (made / "plan.json").write_text(json.dumps(plan))
    assert f"{fork['name']}.fifo1: " in checked(made)[1]
    del fork["fifo1"]
    (made / "plan.json").write_text(json.dumps(plan))
    assert "does not say its capacity" in checked(made)[1]


def test_a_missing_file_is_found(package: Path, tmp_path: Path) -> None:
    copy = tmp_path / "p"
    shutil.copytree(package, copy)
    (copy / "rtl" / "top.v").unlink()
    code, text = checked(copy)
    assert code == 1 and "rtl/top.v is missing" in text
