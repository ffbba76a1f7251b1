"""The RTL of an engine is made once for all networks that a process builds for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from hwgen.archs.tiled import files
from hwgen.contract.engine import EngineShape
from hwgen.emit.verilog import VerilogDesign
from tests.helpers.packages import tiny_model


def test_engines_are_kept_by_their_shape_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[EngineShape] = []

    def to_verilog(top: SimpleNamespace, *_: object) -> VerilogDesign:
        made.append(top.shape)
        return VerilogDesign("top", {"top.v": str(top.shape)}, {})

    monkeypatch.setattr(files, "_designs", {})
    monkeypatch.setattr(files, "TiledTop", lambda shape, _: SimpleNamespace(shape=shape))
    monkeypatch.setattr(files, "to_verilog", to_verilog)
    shapes = [EngineShape(4, 4, 4 << 10, 1 << n) for n in range(1, files.MOST_DESIGNS + 2)]
    for shape in [*shapes[:2], *shapes]:
        top, design = files.engine_design(shape, None)
        assert top.shape == shape and design.sources == {"top.v": str(shape)}
    assert made == shapes
    assert list(files._designs) == shapes[1:]


def test_a_second_network_warns_of_nothing(tmp_path: Path) -> None:
    """The engine that is kept is the one that was made: none is made in vain."""
    model = tiny_model(tmp_path)
    build = f"hwgen.build({str(model)!r}, {str(tmp_path)!r} + '/%s', arch='tiled', array='4x4')"
    code = "; ".join(["import hwgen", build % "a", build % "b"])
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
