"""Tile units side by side: tiles to each of them, and their ends in the order of the program."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from ....contract.isa import COMPUTE
from ...bus.axi import LAYER_BITS
from ...common.counter import delay_line, index_shape, reg
from ...common.fifo import FEW, CreditFifo
from ...common.streams import connect
from ..fetch.descriptor_layout import layout
from ..memory.broadcast import WriteBroadcast
from ..memory.feature_ports import READ_LATENCY, read_port, write_port
from ..result.combine import table_port
from ..result.parameters import parameter_port
from .tile_array import EVENTS
from .tile_unit import TileUnit
from .weights import weight_port

UNDER_WAY = 4
"""Tiles that a unit may have begun or been given: one waits, one is in the array, one among the
results, and one is finished while an earlier one of another unit is not."""


class Retirement(wiring.Component):
    """Tells of finished tiles in the order in which they were given out.

    Parameters
    ----------
    tiles : tile units, at least 2.

    Members
    -------
    begins (in), unit (in): a tile is given to a unit, for a cycle in which ``room`` (out) is high.
    ends (in): units that finish their oldest tile, a bit for each, for a cycle. finished (out): the
    oldest tile of all that are not told of yet is finished, for a cycle.

    One tile a cycle; a tile that is the oldest and ends in t is told of in t+1. At most ``depth``
    tiles are not told of.
    """

    def __init__(self, tiles: int) -> None:
        if tiles < 2:
            raise ValueError(f"{tiles} units have no order")
        self.tiles, self.depth = tiles, min(FEW, UNDER_WAY * tiles)
        super().__init__(
            {
                "begins": In(1),
                "unit": In(index_shape(tiles)),
                "room": Out(1),
                "ends": In(tiles),
                "finished": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.order = order = CreditFifo(self.unit.shape(), self.depth)
        m.d.comb += [
            self.room.eq(order.room),
            order.take.eq(self.begins),
            order.push.eq(self.begins),
            order.data.eq(self.unit),
            order.o.ready.eq(self.finished),
        ]
        ended = []
        for n in range(self.tiles):
            count = Signal(range(self.depth + 1), name=f"ended{n}")
            some, told = Signal(name=f"some{n}"), Signal(name=f"told{n}")
            m.d.comb += told.eq(self.finished & (order.o.payload == n))
            with m.If(self.ends[n] != told):
                m.d.sync += [
                    count.eq(Mux(told, count - 1, count + 1)),
                    some.eq(~told | (count != 1)),
                ]
            ended.append(some & (order.o.payload == n))
        m.d.comb += self.finished.eq(order.o.valid & Cat(ended).any())
        return m


class TileUnits(wiring.Component):
    """The tile units of an engine, behind the ports of one.

    Parameters: the engine's shape.

    Members
    -------
    Those of TileUnit, but: command goes to the unit that it names; finished tells of all units'
    tiles in the order of their commands; fault (out): too where a command names no unit that there
    is. load and the *_write ports write in all units of load_units (in), store reads in that of
    store_units (in), a bit for each unit; issue, begins, events (out): those of all units, the
    first one's lowest.

    Where there are several units a tile waits at its unit while that is busy, so that tiles of the
    others pass; it begins a cycle later, and is told of a cycle later.
    """

    def __init__(self, shape: EngineShape) -> None:
        self.shape = shape
        self.units = [TileUnit(shape) for _ in range(shape.tiles)]
        super().__init__(
            {
                "command": In(stream.Signature(layout(COMPUTE))),
                "finished": Out(1),
                "fault": Out(1),
                "fault_layer": Out(LAYER_BITS),
                "load": In(write_port(shape, stalls=True)),
                "load_units": In(shape.tiles),
                "store": In(read_port(shape)),
                "store_units": In(shape.tiles),
                "weight_write": In(weight_port(shape)),
                "parameter_write": In(parameter_port(shape)),
                "table_write": In(table_port(shape)),
                "issue": Out(shape.tiles),
                "begins": Out(shape.tiles),
                "events": Out(shape.tiles * EVENTS.size),
            }
        )

    def elaborate(self, platform):
        m = Module()
        for n, unit in enumerate(self.units):
            m.submodules[f"unit{n}"] = unit
        known, wrong = Signal(name="known"), Signal(name="wrong")
        layer = reg(LAYER_BITS, "wrong_layer")
        m.d.comb += known.eq(self.command.payload.unit < self.shape.tiles)
        m.d.sync += [
            wrong.eq(self.command.valid & ~known),
            layer.eq(self.command.payload.layer),
        ]
        self._faults(m, wrong, layer)
        if self.shape.tiles == 1:
            (unit,) = self.units
            m.d.comb += [
                unit.command.payload.eq(self.command.payload),
                unit.command.valid.eq(self.command.valid & known),
                self.command.ready.eq(unit.command.ready & known),
                self.finished.eq(unit.finished),
            ]
        else:
            self._deal(m, known)
        for name in ("issue", "begins", "events"):
            of_units = Cat(Value.cast(getattr(unit, name)) for unit in self.units)
            m.d.comb += getattr(self, name).eq(of_units)
        self._loads(m)
        self._stores(m)
        return m

    def _faults(self, m: Module, wrong: Value, layer: Value) -> None:
        m.d.sync += self.fault.eq(wrong | Cat(unit.fault for unit in self.units).any())
        m.d.sync += self.fault_layer.eq(layer)
        for unit in reversed(self.units):
            with m.If(unit.fault):
                m.d.sync += self.fault_layer.eq(unit.fault_layer)

    def _deal(self, m: Module, known: Value) -> None:
        """Commands to their units, and the ends of all in the order in which they came."""
        m.submodules.retirement = retirement = Retirement(self.shape.tiles)
        number = self.command.payload.unit[: len(retirement.unit)]
        room, begins = Signal(name="room"), Signal(name="begins")
        for n, unit in enumerate(self.units):
            waiting = CreditFifo(layout(COMPUTE), 1)
            m.submodules[f"waiting{n}"] = waiting
            connect(m, waiting.o, unit.command)
            mine = number == n
            with m.If(mine):
                m.d.comb += room.eq(waiting.room)
            m.d.comb += [
                waiting.take.eq(begins & mine),
                waiting.push.eq(begins & mine),
                waiting.data.eq(self.command.payload),
                retirement.ends[n].eq(unit.finished),
            ]
        m.d.comb += [
            self.command.ready.eq(known & room & retirement.room),
            begins.eq(self.command.valid & self.command.ready),
            retirement.begins.eq(begins),
            retirement.unit.eq(number),
            self.finished.eq(retirement.finished),
        ]

    def _loads(self, m: Module) -> None:
        m.submodules.broadcast = broadcast = WriteBroadcast(self.shape)
        m.d.comb += broadcast.units.eq(self.load_units)
        wiring.connect(m, wiring.flipped(self.load), broadcast.i)
        for n, unit in enumerate(self.units):
            wiring.connect(m, broadcast.o[n], unit.load)
            for name in ("weight_write", "parameter_write", "table_write"):
                ours, theirs = getattr(self, name), getattr(unit, name)
                for field in theirs.signature.members:
                    m.d.comb += getattr(theirs, field).eq(getattr(ours, field))
                m.d.comb += theirs.en.eq(ours.en & self.load_units[n])

    def _stores(self, m: Module) -> None:
        store, ready, word = self.store, [], Const(0, len(self.store.data))
        came = delay_line(m, self.store_units, READ_LATENCY, "store_units", data=True)
        for n, unit in enumerate(self.units):
            m.d.comb += [
                unit.store.en.eq(store.en & self.store_units[n]),
                unit.store.bank.eq(store.bank),
                unit.store.addr.eq(store.addr),
            ]
            ready.append(unit.store.ready & self.store_units[n])
            word = word | Mux(came[n], unit.store.data, 0)
        m.d.comb += [store.ready.eq(Cat(ready).any()), store.data.eq(word)]
