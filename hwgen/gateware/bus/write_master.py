"""AXI4 write master: requests and their data become bursts, whose answers are counted."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.counter import index_shape, reg
from ..common.fifo import CreditFifo
from ..common.streams import connect, positive
from .axi import (
    ADDRESS_BITS,
    INCR,
    LAYER_BITS,
    OKAY,
    REQUEST,
    BurstSplitter,
    burst_layout,
    checked_bus,
    write_beat,
)

LEAVING = 2
"""Beats that stand between the buffer and W."""


class WriteMaster(wiring.Component):
    """Writes external memory.

    Parameters
    ----------
    bus_bytes : of a beat. outstanding : bursts that wait for their answer. max_beats : of the
    longest burst, a power of two. buffer : beats that are held, at least one burst; two let one
    gather while the one before leaves.

    Members
    -------
    aw*, w*, b* : AXI4, flat. request (in stream of REQUEST), data (in stream of write_beat): the
    requests' beats in order. base, limit, lowest (in): requests lie within lowest .. limit, base is
    added. outside, outside_layer (out): a request did not and was dropped, for one cycle; its
    data are not: whoever sees it stops. stop (in): from the next cycle on no burst begins;
    requests are dropped, bursts that have begun end properly. error, error_layer (out): a burst's
    answer is not OKAY. finished (out): the last burst of a request with ``mark`` is answered. idle
    (out): no request is inside and all answers are back. beat (out): a beat leaves.

    A burst begins when all its data are here: a bus is never held by a burst without data, and
    nothing is left to be done for one when the engine stops. A request taken in t is at AW in
    t+LATENCY if its data are there by t+LATENCY-1, and its first beat at W a cycle later; a beat a
    cycle, also from burst to burst. An answer in t gives ``finished`` in t+1.
    """

    LATENCY = BurstSplitter.LATENCY + 2

    def __init__(
        self, bus_bytes: int, outstanding: int = 16, max_beats: int = 64, buffer: int = 128
    ) -> None:
        checked_bus(bus_bytes, max_beats)
        positive(outstanding=outstanding)
        if buffer < max_beats:
            raise ValueError(f"a buffer of {buffer} beats is less than a burst of {max_beats}")
        self.bus_bytes, self.outstanding = bus_bytes, outstanding
        self.max_beats, self.buffer = max_beats, buffer
        super().__init__(
            {
                "awaddr": Out(ADDRESS_BITS), "awlen": Out(8), "awsize": Out(3),
                "awburst": Out(2), "awvalid": Out(1), "awready": In(1),
                "wdata": Out(8 * bus_bytes), "wstrb": Out(bus_bytes), "wlast": Out(1),
                "wvalid": Out(1), "wready": In(1),
                "bresp": In(2), "bvalid": In(1), "bready": Out(1),
                "request": In(stream.Signature(REQUEST)),
                "data": In(stream.Signature(write_beat(bus_bytes))),
                "base": In(ADDRESS_BITS), "limit": In(ADDRESS_BITS), "lowest": In(ADDRESS_BITS),
                "outside": Out(1), "outside_layer": Out(LAYER_BITS),
                "error": Out(1), "error_layer": Out(LAYER_BITS), "finished": Out(1),
                "stop": In(1), "idle": Out(1), "beat": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        splitter = BurstSplitter(self.bus_bytes, self.max_beats, lowest=True)
        m.submodules.splitter = splitter
        connect(m, wiring.flipped(self.request), splitter.request)
        # Two entries, so that AWREADY ends here.
        m.submodules.addresses = addresses = CreditFifo(burst_layout(self.max_beats), 2)
        m.submodules.bursts = bursts = CreditFifo(
            index_shape(self.max_beats), self.outstanding, registered=True
        )
        tag = data.StructLayout({"layer": LAYER_BITS, "mark": 1})
        m.submodules.answers = answers = CreditFifo(tag, self.outstanding)
        # The next burst waits here for its data, which it has been promised.
        offered, burst = Signal(name="offered"), reg(burst_layout(self.max_beats), "burst")
        issue, complete = Signal(name="issue"), Signal(name="data_complete")
        promise = Signal(name="promise")
        m.d.comb += [
            splitter.base.eq(self.base),
            splitter.limit.eq(self.limit),
            splitter.lowest.eq(self.lowest),
            splitter.stop.eq(self.stop),
            self.outside.eq(splitter.outside),
            self.outside_layer.eq(splitter.outside_layer),
            splitter.o.ready.eq(~offered | issue),
            promise.eq(splitter.o.valid & splitter.o.ready),
            # Of the bursts that wait for their answer some wait for their beats: there is room for
            # these where there is for those.
            issue.eq(offered & complete & addresses.room & answers.room),
            addresses.data.eq(burst),
            bursts.data.eq(burst.length),
            answers.data.layer.eq(burst.layer),
            answers.data.mark.eq(burst.mark & burst.last),
            self.awvalid.eq(addresses.o.valid),
            addresses.o.ready.eq(self.awready),
            self.awaddr.eq(addresses.o.payload.address),
            self.awlen.eq(addresses.o.payload.length),
            self.awsize.eq((self.bus_bytes - 1).bit_length()),
            self.awburst.eq(INCR),
            self.idle.eq(~answers.o.valid & ~self.awvalid & ~splitter.busy & ~offered),
        ]
        m.d.sync += offered.eq((promise | (offered & ~issue)) & ~self.stop)
        with m.If(splitter.o.ready):
            m.d.sync += burst.eq(splitter.o.payload)
        for fifo in (addresses, bursts, answers):
            m.d.comb += [fifo.take.eq(issue), fifo.push.eq(issue)]
        self._send(m, bursts, promise, splitter.o.payload.length, complete)
        self._answer(m, answers)
        return m

    def _send(self, m: Module, bursts: CreditFifo, promise, length, complete: Signal) -> None:
        m.submodules.beats = beats = CreditFifo(write_beat(self.bus_bytes), self.buffer)
        # So that WREADY ends here.
        last_of = data.StructLayout({"beat": write_beat(self.bus_bytes), "last": 1})
        m.submodules.leaving = leaving = CreditFifo(last_of, LEAVING)
        push, leaves, ends = (Signal(name=name) for name in ("push", "leaves", "burst_ends"))
        number = Signal(index_shape(self.max_beats), name="beat_of_burst")
        # Beats that no burst has been promised; below 0, so many that the last one still lacks.
        waiting = Signal(range(-self.max_beats, self.buffer + 1), name="waiting")
        m.d.comb += [
            self.data.ready.eq(beats.room),
            push.eq(self.data.valid & beats.room),
            beats.take.eq(push),
            beats.push.eq(push),
            beats.data.eq(self.data.payload),
            complete.eq(waiting >= 0),
            leaves.eq(bursts.o.valid & beats.o.valid & leaving.room),
            leaving.take.eq(leaves),
            leaving.push.eq(leaves),
            leaving.data.beat.eq(beats.o.payload),
            leaving.data.last.eq(ends),
            ends.eq(number == bursts.o.payload),
            beats.o.ready.eq(bursts.o.valid & leaving.room),
            bursts.o.ready.eq(leaves & ends),
            self.wvalid.eq(leaving.o.valid),
            self.wdata.eq(leaving.o.payload.beat.data),
            self.wstrb.eq(leaving.o.payload.beat.strb),
            self.wlast.eq(leaving.o.payload.last),
            leaving.o.ready.eq(self.wready),
            self.beat.eq(self.wvalid & self.wready),
        ]
        m.d.sync += waiting.eq(waiting + push - Mux(promise, length + 1, 0))
        with m.If(leaves):
            m.d.sync += number.eq(Mux(ends, 0, number + 1))

    def _answer(self, m: Module, answers: CreditFifo) -> None:
        answered = Signal(name="answered")
        m.d.comb += [
            self.bready.eq(1),
            answered.eq(self.bvalid & answers.o.valid),
            answers.o.ready.eq(answered),
        ]
        m.d.sync += [
            self.finished.eq(answered & answers.o.payload.mark),
            self.error.eq(answered & (self.bresp != OKAY)),
            self.error_layer.eq(answers.o.payload.layer),
        ]
