"""Bursts of AXI4; what masters are made of is checked."""

from __future__ import annotations

import pytest

from hwgen.gateware.bus.axi import BurstSplitter
from hwgen.gateware.bus.read_master import ReadMaster
from hwgen.gateware.bus.write_master import WriteMaster


def test_parameters_are_checked() -> None:
    for bus, longest in ((2, 16), (12, 16), (64, 16), (8, 1), (8, 48), (32, 256), (4, 512)):
        with pytest.raises(ValueError):
            BurstSplitter(bus, longest, lowest=True)
    with pytest.raises(ValueError, match="two bursts"):
        ReadMaster(8, max_beats=64, buffer=100)
    with pytest.raises(ValueError, match="less than a burst"):
        WriteMaster(8, max_beats=64, buffer=63)
    with pytest.raises(ValueError, match="outstanding"):
        WriteMaster(8, outstanding=0)
