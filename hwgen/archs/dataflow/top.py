"""The whole accelerator: ports, control and status, units in stream order."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In

from ...gateware.bus.axis import InputPort, OutputPort
from ...gateware.common.streams import connect, element
from ...gateware.stream.csr import ControlStatus
from ...plan.dataflow.network import INPUT_FIFO
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.stages import INPUT
from ...plan.dataflow.units import ForkUnit, RegroupUnit, Unit
from ..ports import AXI_LITE
from .lower import lower_unit


class DataflowTop(wiring.Component):
    """AXI4-Stream in and out, AXI4-Lite control and status, one unit after the other.

    Parameters: the plan; ``model_hash`` (64 bits) for the identity registers.

    Members: s_axis_*, m_axis_*, s_axi_* as flat signals.
    """

    def __init__(self, plan: DataflowPlan, model_hash: int) -> None:
        self.plan = plan
        graph = plan.graph
        last = plan.output
        source, result = graph.inputs[0].type, graph.tensors[graph.outputs[0]].type
        self.input_port = InputPort(
            element(source), plan.input.lanes, plan.input.beats, INPUT_FIFO, source.zero_point
        )
        self.output_port = OutputPort(element(result), last.lanes, last.pixels, last.channels)
        self.control = ControlStatus(model_hash)
        members = {}
        for prefix, port, names in (
            ("s_axis", self.input_port, ("tdata", "tvalid", "tready", "tlast")),
            ("m_axis", self.output_port, ("tdata", "tkeep", "tvalid", "tready", "tlast")),
            ("s_axi", self.control, tuple(AXI_LITE)),
        ):
            for name in names:
                members[f"{prefix}_{name}"] = port.signature.members[name]
        self.units = self._lower()
        super().__init__(members)

    def _lower(self) -> dict[str, wiring.Component]:
        units: dict[str, wiring.Component] = {}
        shapes = {INPUT: element(self.plan.graph.inputs[0].type)}
        for unit in self.plan.units:
            component = lower_unit(unit, self.plan.graph, *(shapes[s] for s in unit.sources))
            units[unit.name] = component
            for name in unit.streams:
                shapes[name] = component.o.payload.shape().elem_shape
        return units

    def elaborate(self, platform):
        m = Module()
        m.submodules.input_port = source = self.input_port
        m.submodules.output_port = sink = self.output_port
        m.submodules.control = control = self.control
        for prefix, port in (("s_axis", source), ("m_axis", sink), ("s_axi", control)):
            for name, member in self.signature.members.items():
                if name.startswith(prefix + "_"):
                    ours, theirs = getattr(self, name), getattr(port, name[len(prefix) + 1 :])
                    pair = (theirs, ours) if member.flow == In else (ours, theirs)
                    m.d.comb += pair[0].eq(pair[1])
        m.d.comb += [
            source.enable.eq(control.enable),
            control.started.eq(source.started),
            control.done.eq(sink.done),
            control.short.eq(source.short),
            control.long.eq(source.long),
        ]
        streams = {INPUT: source.o}
        for unit in self.plan.units:
            component = self.units[unit.name]
            m.submodules[f"unit_{unit.name}"] = component
            for name, port in zip(unit.sources, _ports(component, "i", unit.sources), strict=True):
                connect(m, streams[name], port)
            streams.update(zip(unit.streams, _ports(component, "o", unit.streams), strict=True))
        connect(m, streams[self.plan.result], sink.i)
        for name, value in self._observed():
            probe = Signal.like(Value.cast(value), name=name)
            m.d.comb += probe.eq(value)
        return m

    def beat_bits(self) -> dict[str, int]:
        """Bits of each unit's output beat."""
        return {name: unit.o.payload.shape().size for name, unit in self.units.items()}

    def _observed(self) -> Iterator[tuple[str, Value]]:
        """What benches watch, under names that are the same in every simulator.

        Nothing reads these signals, so synthesis drops them.
        """
        yield "probe_level_input_fifo", self.input_port.level
        for unit, name in zip(self.plan.units, self.units, strict=True):
            component = self.units[name]
            yield f"probe_work_{name}", component.issue
            yield f"probe_beat_{name}", component.o.valid & component.o.ready
            yield f"probe_data_{name}", Value.cast(component.o.payload)
            for level, member in level_members(unit).items():
                yield f"probe_level_{level.replace('.', '_')}", getattr(component, member)


def _ports(component: wiring.Component, kind: str, names: tuple[str, ...]) -> list[Any]:
    """Streams of a component: i or o, and i0, i1, ... or o0, o1, ... where it has several."""
    if len(names) == 1:
        return [getattr(component, kind)]
    return [getattr(component, f"{kind}{n}") for n in range(len(names))]


def level_members(unit: Unit) -> dict[str, str]:
    """The event model's names of a unit's levels, and the gateware members that show them."""
    if isinstance(unit, RegroupUnit):
        return {f"{unit.name}.elements": "level"}
    if isinstance(unit, ForkUnit):
        return {f"{unit.name}.{field}": field.replace("fifo", "level") for field in unit.capacities}
    names = {f"{unit.name}.fifo": "level"}
    if "rows" in unit.capacities:
        names[f"{unit.name}.ring"] = "ring_level"
    if "windows" in unit.capacities:
        names[f"{unit.name}.windows"] = "window_level"
    if "shadow" in unit.capacities:
        names[f"{unit.name}.shadow"] = "shadow_level"
    return names
