"""The tiled architecture on the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hwgen.cli import main
from tests.cli.test_refusals import refused
from tests.helpers.tiled import MNIST, RESNET, tiled_package


def test_inspect_explains_every_layer(capsys: pytest.CaptureFixture[str]) -> None:
    command = ["inspect", str(RESNET), "--plan", "--arch", "tiled", "--array", "8x8"]
    assert main(command) == 0
    shown = capsys.readouterr().out
    assert main([*command, "--json"]) == 0
    plan = json.loads(capsys.readouterr().out)["plan"]
    assert plan["arch"] == "tiled" and plan["engine"]["pe"] == 8
    for layer in plan["layers"]:
        assert layer["name"] in shown
        tile = layer["tile"]
        assert f"{tile['rows']}x{tile['columns']}x{tile['outputs']}" in shown
        assert str(layer["bytes"]["weights"] + layer["bytes"]["parameters"]) in shown
        assert layer["stationary"] in shown
        assert all(str(moved) in shown for moved in layer["buffer_bytes"].values())
    assert plan["interval_estimate"] >= plan["interval_bound"]


def test_refusals(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "out"
    build = ("build", MNIST, "--out", out, "--arch", "tiled")
    for options, said in (
        (("--array", "5x5"), "PExSIMD"),
        (("--array", "8x8", "--multipliers", 64), "one of"),
        (("--interval", 100), "--interval"),
        (("--tiles", 3), "--tiles 3: give 1, 2, 4, 8"),
        (("--resident", 0), "--resident 0"),
        (("--buffer-kib", 2), "--buffer-kib 2"),
        (("--mem-width", 65), "--mem-width 65"),
        (("--bits", "8,17"), "--bits 8,17: give IFMAP,WEIGHT, each from 1 to 16, as in 8,8"),
        (("--bits", "0,8"), "--bits 0,8"),
        (("--bits", "8"), "--bits 8: give"),
        (("--bits", "4,x"), "--bits 4,x"),
        (("--bits", "4,8"), "stores 4 bits, 'image' has 8; give --bits 8,8"),
        (("--bits", "8,4"), "has weights of 4 bits, these need 6; give --bits 8,6"),
        (("--multipliers", 3), "smallest array"),
        (("--order", "row"), "--order"),
        (("--buffer-kib", "many"), "many"),
    ):
        assert said in refused(capsys, *build, *options)
    assert "for --arch tiled" in refused(capsys, "build", MNIST, "--out", out, "--array", "8x8")
    assert "systolic" in refused(capsys, "build", MNIST, "--out", out, "--arch", "systolic")
    assert not out.exists()


def test_a_layer_that_does_not_fit_names_it_and_says_what_to_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    text = refused(
        capsys, "build", RESNET, "--out", tmp_path / "out", "--arch", "tiled",
        "--array", "4x4", "--buffer-kib", 2,
    )  # fmt: skip
    assert "--buffer-kib" in text


def test_verify_refuses_what_it_can_not_do(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    package = tiled_package(RESNET, tmp_path)
    for options, said in (
        (("--sim", "python"), "is not one of verilator, icarus"),
        (("--mem-gaps", -1), "--mem-gaps -1"),
        (("--mem-latency", 0), "--mem-latency 0"),
        (("--mem-rate", 1.5), "--mem-rate 1.5"),
        (("--random", 0), "--random 0"),
    ):
        assert said in refused(capsys, "verify", package.path, *options)
    plan = package.path / "plan.json"
    out = tmp_path / "again"
    assert main(["build", str(RESNET), "--out", str(out), "--plan", str(plan), "--json"]) == 0
    report = json.loads(capsys.readouterr().out)
    assert report["arch"] == "tiled" and report["engine"]["pe"] == 8
    assert (out / "mem" / "image.hex").read_bytes() == (
        package.path / "mem" / "image.hex"
    ).read_bytes()
    options = ("--plan", plan, "--arch", "dataflow")
    assert "is a plan of the tiled architecture" in refused(
        capsys, "build", RESNET, "--out", tmp_path / "x", *options
    )


def test_memory_options_are_for_tiled_packages(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    from tests.helpers.packages import tiny_package

    package = tiny_package(tmp_path)
    text = refused(capsys, "verify", package.path, "--mem-latency", 5)
    assert "no external memory" in text
