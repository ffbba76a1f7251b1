"""The RTL of an engine is made once for all networks that a process builds for it."""

from __future__ import annotations

import pytest

from hwgen.archs.tiled import files
from hwgen.archs.tiled.top import TiledTop
from hwgen.contract.engine import EngineShape
from hwgen.emit.verilog import VerilogDesign


def test_engines_are_kept_by_their_shape_and_not_too_many(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[EngineShape] = []

    def to_verilog(top: TiledTop, *_: object) -> VerilogDesign:
        made.append(top.shape)
        return VerilogDesign("top", {"top.v": str(top.shape)}, {})

    monkeypatch.setattr(files, "_designs", {})
    monkeypatch.setattr(files, "to_verilog", to_verilog)
    shapes = [EngineShape(4, 4, 4 << 10, 1 << n) for n in range(1, files.MOST_DESIGNS + 2)]
    for shape in [*shapes[:2], *shapes]:
        design = files.engine_design(TiledTop(shape, files.engine_hash(shape)), None)
        assert design.sources == {"top.v": str(shape)}
    assert made == shapes
    assert list(files._designs) == shapes[1:]
