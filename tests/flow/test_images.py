"""A memory image that is not read whole is an error of its own, never a wrong design."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

import hwgen
from hwgen.archs.dataflow.simulators import icarus as icarus_sim
from hwgen.archs.dataflow.simulators import verilator as verilator_sim
from hwgen.archs.package import Package
from hwgen.emit.packing import pack_all
from hwgen.errors import ToolError
from hwgen.flow import tools
from hwgen.flow.fpga import synthesize
from tests.helpers.images import DAMAGES, damage, refused
from tests.helpers.packages import tiny_package
from tests.helpers.tiled import say


@pytest.fixture(scope="module")
def dataflow(tmp_path_factory: pytest.TempPathFactory) -> Package:
    return tiny_package(tmp_path_factory.mktemp("dataflow"))


def copied(package: Package, folder: Path) -> Package:
    return Package.open(Path(shutil.copytree(package.path, folder / "copy")))


@pytest.mark.parametrize("kind", DAMAGES)
def test_damaged_images_are_named(dataflow: Package, tmp_path: Path, kind: str) -> None:
    images = [name for name in dataflow.manifest["files"] if name.startswith("mem/")]
    assert len(images) == 4
    for number, name in enumerate(images):
        package = copied(dataflow, tmp_path / str(number))
        damage(package.path / name, kind)
        for simulator in ("verilator", "icarus", "python"):
            refused(
                lambda package=package, simulator=simulator: hwgen.verify(package, simulator),
                package.path / name, DAMAGES[kind][1],
            )  # fmt: skip
        assert package.result("verify") is None


def test_a_missing_image_is_named(dataflow: Package, tmp_path: Path) -> None:
    package = copied(dataflow, tmp_path)
    image = package.path / "mem" / "conv_requant.hex"
    image.unlink()
    refused(lambda: hwgen.verify(package), image, "is missing")


def test_nothing_is_synthesized_from_a_damaged_image(dataflow: Package, tmp_path: Path) -> None:
    if not (tools.yosys().found and tools.nextpnr("ecp5").found):
        pytest.skip("Yosys and nextpnr are needed")
    package = copied(dataflow, tmp_path)
    image = package.path / "mem" / "conv_weights.hex"
    damage(image, "truncated")
    refused(lambda: synthesize(package, "ecp5-25k-6"), image, DAMAGES["truncated"][1])


SIMULATORS = {
    "icarus": (icarus_sim.run, lambda: tools.icarus().found),
    "verilator": (verilator_sim.run, tools.can_compile),
}


@pytest.mark.parametrize("kind", [None, "truncated", "no digits"])
@pytest.mark.parametrize("simulator", SIMULATORS)
def test_what_a_simulator_does_not_read_is_its_error(
    dataflow: Package, tmp_path: Path, simulator: str, kind: str | None
) -> None:
    """Whatever it is that keeps it from reading: here nobody looks at the images before."""
    run, there = SIMULATORS[simulator]
    if not there():
        pytest.skip(f"{simulator} or what it needs is not installed")
    package = copied(dataflow, tmp_path)
    image = package.path / "mem" / "scores_weights.hex"
    if kind is None:
        image.unlink()
    else:
        damage(image, kind)
    inputs = package.plan.inputs
    beats = pack_all({inputs[0].tensor: np.zeros((1, 4, 4, 1), np.int64)}, inputs)
    with pytest.raises(ToolError, match=r"scores_weights\.hex"):
        run(package, beats, False, None, say)
