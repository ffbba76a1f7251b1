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
from ...gateware.stream.frames import any_of, first_of, last_of
from ...plan.dataflow.network import INPUT_FIFO
from ...plan.dataflow.plan import DataflowPlan
from ...plan.dataflow.ports import Port
from ...plan.dataflow.units import ForkUnit, RegroupUnit, Unit
from ..ports import AXI_LITE
from .lower import lower_unit

_SOURCE = ("tdata", "tvalid", "tready", "tlast")
_SINK = ("tdata", "tkeep", "tvalid", "tready", "tlast")
"""Signals of an AXI4-Stream in and out."""


class DataflowTop(wiring.Component):
    """An AXI4-Stream for each input and output, AXI4-Lite control and status, one unit after the
    other.

    Parameters: the plan; ``model_hash`` (64 bits) for the identity registers.

    Members: s_axis_*, m_axis_*, s_axi_* as flat signals; of several streams in or out each has its
    ``Port.bus`` instead of s_axis or m_axis.
    """

    def __init__(self, plan: DataflowPlan, model_hash: int) -> None:
        self.plan = plan
        self.sources = [self._source(port) for port in plan.inputs]
        self.sinks = [self._sink(port) for port in plan.outputs]
        self.control = ControlStatus(model_hash)
        members = {
            name: component.signature.members[inner] for name, component, inner in self._outside()
        }
        self.units = self._lower()
        super().__init__(members)

    def _source(self, port: Port) -> InputPort:
        shape, qtype = port.shape, self.plan.graph.tensors[port.tensor].type
        return InputPort(
            element(qtype), shape.lanes, shape.beats, INPUT_FIFO, qtype.zero_point
        )  # fmt: skip

    def _sink(self, port: Port) -> OutputPort:
        shape, qtype = port.shape, self.plan.graph.tensors[port.tensor].type
        return OutputPort(element(qtype), shape.lanes, shape.pixels, shape.channels)

    def _outside(self) -> Iterator[tuple[str, wiring.Component, str]]:
        """The flat signals: the name of each, the component it belongs to, and its name there."""
        plan = self.plan
        ports = [
            *((p.bus, c, _SOURCE) for p, c in zip(plan.inputs, self.sources, strict=True)),
            *((p.bus, c, _SINK) for p, c in zip(plan.outputs, self.sinks, strict=True)),
            ("s_axi", self.control, tuple(AXI_LITE)),
        ]
        for bus, component, names in ports:
            for name in names:
                yield f"{bus}_{name}", component, name

    def _lower(self) -> dict[str, wiring.Component]:
        units: dict[str, wiring.Component] = {}
        tensors = self.plan.graph.tensors
        shapes = {port.stream: element(tensors[port.tensor].type) for port in self.plan.inputs}
        for unit in self.plan.units:
            component = lower_unit(unit, self.plan.graph, *(shapes[s] for s in unit.sources))
            units[unit.name] = component
            for name in unit.streams:
                shapes[name] = component.o.payload.shape().elem_shape
        return units

    def elaborate(self, platform):
        m = Module()
        for port, source in zip(self.plan.inputs, self.sources, strict=True):
            m.submodules[f"input_port{port.suffix}"] = source
        for port, sink in zip(self.plan.outputs, self.sinks, strict=True):
            m.submodules[f"output_port{port.suffix}"] = sink
        m.submodules.control = self.control
        for name, component, inner in self._outside():
            ours, theirs = getattr(self, name), getattr(component, inner)
            taken = self.signature.members[name].flow == In
            m.d.comb += theirs.eq(ours) if taken else ours.eq(theirs)
        self._control(m)
        self._connect(m)
        for name, value in self._observed():
            probe = Signal.like(Value.cast(value), name=name)
            m.d.comb += probe.eq(value)
        return m

    def _control(self, m: Module) -> None:
        """Connect control and status with the ports."""
        control, sources = self.control, self.sources
        started, behind = first_of(m, [source.started for source in sources], "input")
        # What one input has begun the others may finish.
        enables = [control.enable | late for late in behind] or [control.enable]
        m.d.comb += [s.enable.eq(enable) for s, enable in zip(sources, enables, strict=True)]
        m.d.comb += [
            control.started.eq(started),
            control.done.eq(last_of(m, [sink.done for sink in self.sinks], "output")),
            control.short.eq(any_of([source.short for source in sources])),
            control.long.eq(any_of([source.long for source in sources])),
        ]

    def _connect(self, m: Module) -> None:
        """Connect the ports and the units with each other."""
        ports = zip(self.plan.inputs, self.sources, strict=True)
        streams = {port.stream: source.o for port, source in ports}
        for unit in self.plan.units:
            component = self.units[unit.name]
            m.submodules[f"unit_{unit.name}"] = component
            for name, port in zip(unit.sources, _ports(component, "i", unit.sources), strict=True):
                connect(m, streams[name], port)
            streams.update(zip(unit.streams, _ports(component, "o", unit.streams), strict=True))
        for port, sink in zip(self.plan.outputs, self.sinks, strict=True):
            connect(m, streams[port.stream], sink.i)

    def beat_bits(self) -> dict[str, int]:
        """Bits of each unit's output beat."""
        return {name: unit.o.payload.shape().size for name, unit in self.units.items()}

    def _observed(self) -> Iterator[tuple[str, Value]]:
        """What benches watch, under names that are the same in every simulator.

        Nothing reads these signals, so synthesis drops them.
        """
        for port, source in zip(self.plan.inputs, self.sources, strict=True):
            yield f"probe_level_{port.name}_fifo", source.level
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
