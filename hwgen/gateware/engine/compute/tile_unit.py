"""The compute unit of the tiled engine: array, feature memory, results, and what guards them."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import BANKS, EngineShape
from ....contract.features import Feature, asks
from ....contract.isa import (
    COMPUTE,
    LEVELS,
    OUTPUT_LEVELS,
    SOFTMAX_CHANNELS,
    Operand,
    row_lanes,
)
from ...bus.axi import LAYER_BITS
from ...common.counter import delay_line
from ...common.streams import connect
from ..fetch.descriptor_layout import layout
from ..memory.feature_memory import FeatureMemory
from ..memory.feature_ports import read_port, write_port
from ..result.combine import table_port
from ..result.parameters import parameter_port
from ..result.result import ResultStage
from .tile_array import EVENTS, TileArray
from .weights import weight_port

QUIET = 1 << 12
"""Cycles without a step, a result or work of a softmax after which a tile can not end: nothing here
waits longer."""


class TileUnit(wiring.Component):
    """Carries out COMPUTE descriptors on the feature memory, which it holds.

    Parameters: the engine's shape.

    Members
    -------
    command (in stream): COMPUTE records. finished (out): one is finished, for a cycle. fault (out):
    one can not be carried out: loops of no steps, rings that are none, a softmax of more bytes than
    there can be, features that the engine lacks, or a number of results that its sums do not have;
    fault_layer (out): its layer. After a fault the unit is to be reset.
    load, store : clients of the feature memory. weight_write, parameter_write, table_write (in).
    issue (out): the array is given work in this cycle. begins, events (out): see TileArray.

    Latencies are those of TileArray and ResultStage.
    """

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        self.memory, self.array = FeatureMemory(shape), TileArray(shape)
        self.results = ResultStage(shape)
        super().__init__(
            {
                "command": In(stream.Signature(layout(COMPUTE))),
                "finished": Out(1),
                "fault": Out(1),
                "fault_layer": Out(LAYER_BITS),
                "load": In(write_port(shape, stalls=True)),
                "store": In(read_port(shape)),
                "weight_write": In(weight_port(shape)),
                "parameter_write": In(parameter_port(shape)),
                "table_write": In(table_port(shape)),
                "issue": Out(1),
                "begins": Out(1),
                "events": Out(EVENTS),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.memory, m.submodules.array = self.memory, self.array
        m.submodules.result_stage = self.results
        memory, array, results = self.memory, self.array, self.results
        connect(m, array.result_command, results.command)
        wiring.connect(m, results.second, memory.second)
        wiring.connect(m, results.result, memory.result)
        wiring.connect(m, wiring.flipped(self.load), memory.load)
        wiring.connect(m, wiring.flipped(self.store), memory.store)
        wiring.connect(m, wiring.flipped(self.weight_write), array.weight_write)
        wiring.connect(m, wiring.flipped(self.parameter_write), results.parameter_write)
        wiring.connect(m, wiring.flipped(self.table_write), results.table_write)
        m.d.comb += [
            memory.taps_en.eq(array.taps_en),
            memory.taps_addr.eq(array.taps_addr),
            array.taps_data.eq(memory.taps_data),
            results.take.eq(array.take),
            array.room.eq(results.room),
            results.push.eq(array.push),
            results.acc.eq(array.acc),
            array.results_idle.eq(results.command.ready),
            array.second_reading.eq(results.reading),
            self.finished.eq(results.finished | array.held),
            self.issue.eq(array.issue),
            self.begins.eq(array.begins),
            self.events.eq(array.events),
        ]
        self._guard(m)
        return m

    def _guard(self, m: Module) -> None:
        """Notices descriptors that can not be carried out, before their first step, and those that
        never end."""
        array, results = self.array, self.results
        held = array.result_command.payload
        connect(m, wiring.flipped(self.command), array.command)
        with m.If(array.begins):
            m.d.sync += self.fault_layer.eq(held.layer)
        quiet = Signal(range(QUIET + 1), name="quiet")
        working = ~array.idle | ~results.command.ready
        moving = array.issue | results.result.en | results.issue | ~working
        m.d.sync += quiet.eq(quiet + 1)
        with m.If(moving):
            m.d.sync += quiet.eq(0)
        begun = delay_line(m, array.begins, 2, "begun")
        found = delay_line(m, Cat(_wrong(held, self.shape)), 1, "wrong", data=True)
        impossible = delay_line(m, found.any(), 1, "impossible", data=True)
        m.d.sync += self.fault.eq((begun & impossible) | (quiet == QUIET))


def _wrong(given, shape: EngineShape) -> list[Value]:
    """What is not as it must be: loops have steps and rings are some: whole banks' worth, and begun
    inside; a softmax has vectors that its lane can take, and a product its second factor."""
    counts = [given[f"loop{n}_count"] for n in range(LEVELS)]
    results = [given[f"out{n}_count"] for n in range(OUTPUT_LEVELS)]
    with_results = ~given.no_writeback
    rings = {
        "x": ~given.softmax,
        "y": with_results,
        "second": with_results & (given.softmax | (given.second & (given.tables | given.product))),
    }
    if not shape.has(Feature.SECOND):
        del rings["second"]
    wrong = [~Cat(count.any() for count in counts).all()]
    wrong.append(with_results & ~Cat(count.any() for count in results).all())
    for name, used in rings.items():
        ring, first = given[f"{name}_ring"], given[f"{name}_first"]
        low = (BANKS - 1).bit_length()
        wrong.append(used & (ring[:low].any() | (first >= ring)))
    vector = [
        given.out0_group & (given.out0_count == given.groups),
        ~given.out1_group & ~given.out2_group,
        (given.groups != 0) & (given.groups <= SOFTMAX_CHANNELS // shape.pe),
        (given.lanes != 0) & (given.lanes <= shape.pe),
        ~given.no_writeback & ~given.tables & ~given.wide,
    ]
    wrong.append(given.softmax & ~Cat(vector).all())
    wrong.append(given.product & (given.softmax | ~given.second))
    wrong.append(given.tap_rows.any() & (given.operand != Operand.DENSE))
    for tap_rows in range(1, BANKS):
        if row_lanes(shape.simd, tap_rows) * shape.stored_bits % 8:
            wrong.append(given.tap_rows == tap_rows)
    wrong += [asks(given, feature) for feature in shape.lacks]
    return wrong
