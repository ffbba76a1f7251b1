"""AXI4-Stream ports: the accelerator's ifmap and ofmap.

Each element of a beat occupies whole bytes of TDATA, lane 0 lowest, sign or zero extended.
Inside, counters are the truth; TLAST is checked at the input and made at the output.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Shape, Signal, signed, unsigned
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...numeric.division import ceil_div
from ..common.counter import Counter, index_shape
from ..common.fifo import CreditFifo
from ..common.streams import beat, connect, positive, stream_of


def lane_bytes(shape: Shape) -> int:
    """Bytes of TDATA that an element occupies."""
    return ceil_div(Shape.cast(shape).width, 8)


class InputPort(wiring.Component):
    """AXI4-Stream sink: frames of ``beats`` beats into the accelerator.

    Parameters
    ----------
    shape : of an element; lanes; beats : of a frame; fifo : beats held; pad : the element that
    completes a short frame.

    Members
    -------
    tdata, tvalid, tready, tlast. enable (in): low keeps the next frame out. o (out stream).
    started (out): the first beat of a frame is accepted. busy (out): within a frame.
    short, long (out): a frame was too short (completed with ``pad``) or too long (dropped up to
    its TLAST), for one cycle. level (out): beats held.
    """

    def __init__(self, shape: Shape, lanes: int, beats: int, fifo: int, pad: int = 0) -> None:
        positive(lanes=lanes, beats=beats, fifo=fifo)
        self.shape, self.lanes, self.beats, self.fifo, self.pad = shape, lanes, beats, fifo, pad
        super().__init__(
            {
                "tdata": In(8 * lane_bytes(shape) * lanes),
                "tvalid": In(1),
                "tready": Out(1),
                "tlast": In(1),
                "enable": In(1),
                "o": Out(stream_of(shape, lanes)),
                "started": Out(1),
                "busy": Out(1),
                "short": Out(1),
                "long": Out(1),
                "level": Out(index_shape(fifo + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.fifo = fifo = CreditFifo(beat(self.shape, self.lanes), self.fifo)
        connect(m, fifo.o, wiring.flipped(self.o))
        count = Counter(self.beats, "beat")
        push, accept = Signal(name="pushing"), Signal(name="accept")
        begins = count.value == 0
        m.d.comb += [
            accept.eq(self.tvalid & self.tready),
            fifo.take.eq(push),
            fifo.push.eq(push),
            self.level.eq(fifo.level),
            self.busy.eq(~begins),
        ]
        with m.If(push):
            count.step(m)
        with m.FSM(name="frame"):
            with m.State("PASS"):
                m.d.comb += [
                    self.tready.eq(fifo.room & (self.enable | ~begins)),
                    push.eq(accept),
                    self.started.eq(accept & begins),
                    fifo.data.eq(self._elements()),
                    self.short.eq(accept & self.tlast & ~count.last),
                    self.long.eq(accept & count.last & ~self.tlast),
                ]
                with m.If(self.short):
                    m.next = "FILL"
                with m.If(self.long):
                    m.next = "DROP"
            with m.State("FILL"):
                padding = Const(self.pad, self.shape)
                m.d.comb += [push.eq(fifo.room), fifo.data.eq(Cat(*[padding] * self.lanes))]
                with m.If(push & count.last):
                    m.next = "PASS"
            with m.State("DROP"):
                m.d.comb += self.tready.eq(1)
                with m.If(accept & self.tlast):
                    m.next = "PASS"
        return m

    def _elements(self):
        width, step = Shape.cast(self.shape).width, 8 * lane_bytes(self.shape)
        return Cat(*(self.tdata[lane * step : lane * step + width] for lane in range(self.lanes)))


class OutputPort(wiring.Component):
    """AXI4-Stream source: pixels of ``channels`` elements, TLAST after ``pixels`` of them.

    Members: i (in stream), tdata, tvalid, tready, tlast, tkeep, done (out): the last beat of a
    frame is taken. TKEEP is low for the unused lanes of a pixel's last beat. No latency.
    """

    def __init__(self, shape: Shape, lanes: int, pixels: int, channels: int) -> None:
        positive(lanes=lanes, pixels=pixels, channels=channels)
        self.shape, self.lanes, self.pixels, self.channels = shape, lanes, pixels, channels
        size = lane_bytes(shape)
        super().__init__(
            {
                "i": In(stream_of(shape, lanes)),
                "tdata": Out(8 * size * lanes),
                "tkeep": Out(size * lanes),
                "tvalid": Out(1),
                "tready": In(1),
                "tlast": Out(1),
                "done": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        size = lane_bytes(self.shape)
        count = Counter(ceil_div(self.channels, self.lanes), "beat")
        pixel = Counter(self.pixels, "pixel")
        taken = Signal(name="taken")
        extended = signed(8 * size) if Shape.cast(self.shape).signed else unsigned(8 * size)
        lanes = []
        for lane in range(self.lanes):
            value = Signal(extended, name=f"lane{lane}")
            m.d.comb += value.eq(self.i.payload[lane])
            lanes.append(value)
        full = (1 << (size * self.lanes)) - 1
        rest = self.channels % self.lanes
        partial = (1 << (size * rest)) - 1 if rest else full
        m.d.comb += [
            self.tdata.eq(Cat(*lanes)),
            self.tkeep.eq(Mux(count.last, partial, full)),
            self.tvalid.eq(self.i.valid),
            self.i.ready.eq(self.tready),
            self.tlast.eq(count.last & pixel.last),
            taken.eq(self.tvalid & self.tready),
            self.done.eq(taken & self.tlast),
        ]
        with m.If(taken):
            count.step(m)
            with m.If(count.last):
                pixel.step(m)
        return m
