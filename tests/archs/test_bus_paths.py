"""No output of a bus follows an input without a register between (AMBA AXI, A3.1.1).

AXI4 and AXI4-Lite demand it. AXI4-Stream does not; the accelerators keep to it at their ports all
the same. Between units READY may follow READY and VALID, but what a unit offers follows neither its
own READY nor, in the same cycle, anything that its consumer does.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

import pytest
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.archs.dataflow.top import DataflowTop
from hwgen.archs.tiled.top import TiledTop
from hwgen.contract.engine import EngineShape
from hwgen.plan.dataflow.planner import plan_dataflow
from tests.archs.dataflow.test_ports import small_network
from tests.helpers.netlist import combinational_paths
from tests.helpers.several import several

NO_STREAMS = ("ports", "memory", "compute", "result")
"""Families whose components offer something else."""
units = pytest.importorskip("hwgen_sim.units", reason="hwgen_sim is not installed")


def nothing_passes(top: wiring.Component, *buses: str) -> None:
    paths = combinational_paths(top)
    assert {name: inputs for name, inputs in paths.items() if inputs} == {}
    for bus in buses:
        assert any(name.startswith(bus) for name in paths)


def test_dataflow() -> None:
    top = DataflowTop(plan_dataflow(small_network(), multipliers=12), 1)
    nothing_passes(top, "s_axis_", "m_axis_", "s_axi_")


def test_dataflow_with_several_streams() -> None:
    plan = plan_dataflow(several(), multipliers=12)
    buses = [f"{port.bus}_" for port in (*plan.inputs, *plan.outputs)]
    nothing_passes(DataflowTop(plan, 1), *buses, "s_axi_")


def test_tiled() -> None:
    shape = EngineShape(4, 4, 8 << 10, 32, 16, 8, 64, tiles=1)
    nothing_passes(TiledTop(shape, 1), "s_axi_", "m_axi_", "irq")


@pytest.mark.parametrize("family", units.FAMILIES)
def test_what_units_offer(family: str) -> None:
    """So that it holds for every network, whichever unit is the last."""
    seen = 0
    for name, part in import_module(f"hwgen_sim.bench_{family}").parts().items():
        for output, inputs in combinational_paths(part).items():
            stream, _, signal = output.rpartition("__")
            if stream and signal in ("valid", "payload"):
                assert f"{stream}__ready" not in inputs, (name, output)
                seen += 1
    assert bool(seen) == (family not in NO_STREAMS)


class Follower(wiring.Component):
    """One bit by each way that leads without a register, one by a register, one by a memory."""

    def __init__(self) -> None:
        self.ways: dict[str, Any] = {
            "wire": lambda a, b: a[0], "gate": lambda a, b: a[0] & b[0], "sum": lambda a, b: a + b,
            "choice": lambda a, b: b.bit_select(a, 1),
        }  # fmt: skip
        super().__init__(
            {"a": In(2), "b": In(2), "kept": Out(1), "part": Out(2)}
            | {name: Out(1) for name in self.ways}
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.d.sync += self.kept.eq(self.a[0] ^ self.b[0])
        m.d.comb += self.part.eq(~self.a)
        with m.If(self.b[1]):
            m.d.comb += self.part[0].eq(0)
        for name, way in self.ways.items():
            m.d.comb += getattr(self, name).eq(way(self.a, self.b))
        return m


def test_paths_are_found() -> None:
    both = {"a", "b"}
    assert combinational_paths(Follower()) == {
        "kept": set(), "part": both, "wire": {"a"}, "gate": both, "sum": both, "choice": both,
    }  # fmt: skip
