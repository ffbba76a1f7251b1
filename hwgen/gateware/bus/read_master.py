"""AXI4 read master: several users' requests become bursts; their data come back in order."""

from __future__ import annotations

from amaranth.hdl import Module, Mux, Signal
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.counter import index_shape
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
    read_beat,
)

OWNERS = 2


class ReadMaster(wiring.Component):
    """Reads external memory for two owners; owner 1 goes first, a burst at a time.

    Parameters
    ----------
    bus_bytes : of a beat. outstanding : bursts under way. max_beats : of the longest burst, a
    power of two. buffer : beats that are held, at least twice that.

    Members
    -------
    ar*, r* : AXI4, flat. request[owner] (in streams of REQUEST), data[owner] (out streams of
    read_beat). base, limit (in): requests lie within 0 .. limit, base is added; the host sees to it
    that base + limit is at most 2**32. outside[owner], outside_layer[owner] (out): a request did
    not and was dropped, for one cycle. stop (in): from the next cycle on no burst begins; requests
    are dropped. idle (out): no request is inside and no burst under way; data may still be in the
    buffer. beat (out): a beat came.

    A burst begins when the buffer has room for all of it, so RREADY is always high. A request that
    is taken in t is at AR in t+LATENCY; a burst a cycle. A beat that comes in t is at ``data`` in
    t+1, one beat a cycle. An owner that does not take its data holds up the other: it asks for what
    it has room for. A beat whose RRESP is not OKAY or whose RLAST is not where it should be has
    ``error``.
    """

    LATENCY = BurstSplitter.LATENCY + 1

    def __init__(
        self, bus_bytes: int, outstanding: int = 16, max_beats: int = 64, buffer: int = 512
    ) -> None:
        checked_bus(bus_bytes, max_beats)
        positive(outstanding=outstanding)
        if buffer < 2 * max_beats:
            raise ValueError(f"a buffer of {buffer} beats is less than two bursts of {max_beats}")
        self.bus_bytes, self.outstanding = bus_bytes, outstanding
        self.max_beats, self.buffer = max_beats, buffer
        super().__init__(
            {
                "araddr": Out(ADDRESS_BITS), "arlen": Out(8), "arsize": Out(3),
                "arburst": Out(2), "arvalid": Out(1), "arready": In(1),
                "rdata": In(8 * bus_bytes), "rresp": In(2), "rlast": In(1),
                "rvalid": In(1), "rready": Out(1),
                "request": In(stream.Signature(REQUEST)).array(OWNERS),
                "data": Out(stream.Signature(read_beat(bus_bytes))).array(OWNERS),
                "base": In(ADDRESS_BITS), "limit": In(ADDRESS_BITS),
                "outside": Out(1).array(OWNERS),
                "outside_layer": Out(LAYER_BITS).array(OWNERS),
                "stop": In(1), "idle": Out(1), "beat": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        splitters = []
        for owner in range(OWNERS):
            splitter = BurstSplitter(self.bus_bytes, self.max_beats, lowest=False)
            m.submodules[f"splitter{owner}"] = splitter
            connect(m, wiring.flipped(self.request[owner]), splitter.request)
            m.d.comb += [
                splitter.base.eq(self.base),
                splitter.limit.eq(self.limit),
                splitter.stop.eq(self.stop),
                self.outside[owner].eq(splitter.outside),
                self.outside_layer[owner].eq(splitter.outside_layer),
            ]
            splitters.append(splitter)
        # Two entries, so that ARREADY ends here.
        m.submodules.addresses = addresses = CreditFifo(burst_layout(self.max_beats), 2)
        tag = data.StructLayout({"length": index_shape(self.max_beats), "owner": 1, "last": 1})
        m.submodules.bursts = bursts = CreditFifo(tag, self.outstanding, registered=True)
        issue, room = Signal(name="issue"), Signal(name="buffer_has_room")
        second = splitters[1].o.valid
        chosen = Signal(burst_layout(self.max_beats), name="chosen")
        willing = addresses.room & bursts.room & room
        m.d.comb += [
            issue.eq((splitters[0].o.valid | second) & willing),
            splitters[0].o.ready.eq(willing & ~second),
            splitters[1].o.ready.eq(willing),
            chosen.eq(Mux(second, splitters[1].o.payload, splitters[0].o.payload)),
            bursts.data.length.eq(chosen.length),
            bursts.data.owner.eq(second),
            bursts.data.last.eq(chosen.last),
            addresses.data.eq(chosen),
        ]
        for fifo in (addresses, bursts):
            m.d.comb += [fifo.take.eq(issue), fifo.push.eq(issue)]
        m.d.comb += [
            self.arvalid.eq(addresses.o.valid),
            addresses.o.ready.eq(self.arready),
            self.araddr.eq(addresses.o.payload.address),
            self.arlen.eq(addresses.o.payload.length),
            self.arsize.eq((self.bus_bytes - 1).bit_length()),
            self.arburst.eq(INCR),
            self.idle.eq(~bursts.o.valid & ~self.arvalid & ~splitters[0].busy & ~splitters[1].busy),
        ]
        popped = self._receive(m, bursts)
        self._reserve(m, issue, chosen.length, popped, room)
        return m

    def _receive(self, m: Module, bursts: CreditFifo) -> Signal:
        """Beats into the buffer and out to their owners."""
        entry = data.StructLayout({"beat": read_beat(self.bus_bytes), "owner": 1})
        # Whose a beat is decides who takes it, and so whether there is room for the next burst.
        m.submodules.beats = beats = CreditFifo(entry, self.buffer, registered=True)
        number = Signal(index_shape(self.max_beats), name="beat_of_burst")
        ends, push, popped = (Signal(name=n) for n in ("burst_ends", "push", "popped"))
        burst = bursts.o.payload
        m.d.comb += [
            self.rready.eq(1),
            push.eq(self.rvalid & bursts.o.valid),
            self.beat.eq(push),
            ends.eq(number == burst.length),
            bursts.o.ready.eq(push & ends),
            beats.take.eq(push),
            beats.push.eq(push),
            beats.data.owner.eq(burst.owner),
            beats.data.beat.data.eq(self.rdata),
            beats.data.beat.error.eq((self.rresp != OKAY) | (self.rlast != ends)),
            beats.data.beat.last.eq(burst.last & ends),
        ]
        with m.If(push):
            m.d.sync += number.eq(Mux(ends, 0, number + 1))
        for owner in range(OWNERS):
            mine = beats.o.payload.owner == owner
            m.d.comb += [
                self.data[owner].valid.eq(beats.o.valid & mine),
                self.data[owner].payload.eq(beats.o.payload.beat),
            ]
        m.d.comb += [
            beats.o.ready.eq(Mux(beats.o.payload.owner, self.data[1].ready, self.data[0].ready)),
            popped.eq(beats.o.valid & beats.o.ready),
        ]
        return popped

    def _reserve(self, m: Module, issue, length, popped, room: Signal) -> None:
        """Room for a whole burst, though one may have begun since it was looked at."""
        free = Signal(range(self.buffer + 1), name="free", init=self.buffer)
        m.d.sync += [
            free.eq(free - Mux(issue, length + 1, 0) + popped),
            room.eq(free >= 2 * self.max_beats),
        ]
