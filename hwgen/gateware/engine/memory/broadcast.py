"""One write for the feature-map memories of several tile units."""

from __future__ import annotations

from amaranth.hdl import Cat, Module, Signal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ....contract.engine import EngineShape
from .feature_ports import write_port


class WriteBroadcast(wiring.Component):
    """Gives a write to some of the tile units, each of which may let it wait.

    Parameters
    ----------
    shape : of the engine.

    Members
    -------
    i : write client's port, see write_port. units (in): the units that it goes to, a bit for each,
    one at least. o : a write port for each unit.

    Each unit takes a write once: one that did is not asked again while others let it wait. The
    client sees ``ready`` in the cycle in which the last one takes it. Latency 0 cycles, initiation
    interval 1 where no unit lets it wait.
    """

    def __init__(self, shape: EngineShape) -> None:
        self.tiles = shape.tiles
        super().__init__(
            {
                "i": In(write_port(shape, stalls=True)),
                "units": In(shape.tiles),
                "o": Out(write_port(shape, stalls=True)).array(shape.tiles),
            }
        )

    def elaborate(self, platform):
        m = Module()
        took = Signal(self.tiles, name="took")
        takes = Signal(self.tiles, name="takes")
        for n, port in enumerate(self.o):
            m.d.comb += [
                port.en.eq(self.i.en & self.units[n] & ~took[n]),
                *(
                    getattr(port, name).eq(getattr(self.i, name))
                    for name in ("bank", "addr", "data", "mask")
                ),
            ]
        m.d.comb += [
            takes.eq(Cat(port.en & port.ready for port in self.o)),
            self.i.ready.eq((~self.units | took | Cat(port.ready for port in self.o)).all()),
        ]
        if self.tiles > 1:
            with m.If(self.i.en):
                m.d.sync += took.eq(took | takes)
                with m.If(self.i.ready):
                    m.d.sync += took.eq(0)
        return m
