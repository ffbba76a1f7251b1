"""AXI4 masters: what requests are, and how they become bursts.

Data widths of 32 to 256 bits, addresses of 32, one ID (so no ID signals), INCR bursts, all bytes
of a beat wide. Bursts end at multiples of the longest burst, so that none crosses a page of 4 KiB
and all but a request's first and last are whole.
"""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Mux, Signal, unsigned
from amaranth.lib import data, stream, wiring
from amaranth.lib.wiring import In, Out

from ..common.counter import index_shape, reg

ADDRESS_BITS = 32
PAGE = 4096
"""Bytes of a page, which no burst crosses (AMBA AXI, A3.4.1)."""
MAX_BURST = 256
"""Beats of the longest burst that AXI4 has."""
LAYER_BITS = 12
INCR = 1
OKAY = 0

REQUEST = data.StructLayout(
    {"address": ADDRESS_BITS, "beats": 24, "layer": LAYER_BITS, "mark": 1},
)
"""Beats, at least one, from an address on that is a whole number of them and counts from the
master's ``base``. ``layer`` comes back with errors, ``mark`` when the request is carried out."""


def burst_layout(max_beats: int) -> data.StructLayout:
    """A burst: its address on the bus, its beats less one; whether its request ends with it."""
    return data.StructLayout(
        {
            "address": ADDRESS_BITS,
            "length": index_shape(max_beats),
            "last": 1,
            "layer": LAYER_BITS,
            "mark": 1,
        }
    )


def read_beat(bus_bytes: int) -> data.StructLayout:
    """A beat that was read. ``error`` : the memory says it is wrong; ``last`` of its request."""
    return data.StructLayout({"data": unsigned(8 * bus_bytes), "error": 1, "last": 1})


def write_beat(bus_bytes: int) -> data.StructLayout:
    """A beat to be written, those bytes whose strobe is 1."""
    return data.StructLayout({"data": unsigned(8 * bus_bytes), "strb": unsigned(bus_bytes)})


def checked_bus(bus_bytes: int, max_beats: int) -> None:
    """Raise ValueError unless AXI4 has such a bus and such bursts."""
    if bus_bytes not in (4, 8, 16, 32):
        raise ValueError(f"a bus of {bus_bytes} bytes: 4, 8, 16 or 32")
    if max_beats < 2 or max_beats & (max_beats - 1):
        raise ValueError(f"the longest burst must be a power of two from 2 on, got {max_beats}")
    if max_beats > min(MAX_BURST, PAGE // bus_bytes):
        raise ValueError(f"bursts of {max_beats} beats are longer than a page or AXI4 has them")


class BurstSplitter(wiring.Component):
    """Makes bursts of requests.

    Parameters
    ----------
    bus_bytes : of a beat. max_beats : of the longest burst, a power of two; bursts end at
    multiples of it. lowest : there is a lowest address; else that is 0.

    Members
    -------
    request (in stream), o (out stream of bursts). base, limit, lowest (in): a request must lie
    within lowest .. limit of its own addresses; base is added to them. outside, outside_layer
    (out): a request that does not is dropped whole. stop (in): requests are dropped, and nothing is
    offered from the next cycle on. busy (out): a request is inside.

    A request taken in t gives its first burst, or ``outside``, in t+LATENCY (``outside`` a cycle
    earlier); then one a cycle, also from request to request.
    """

    LATENCY = 3

    def __init__(self, bus_bytes: int, max_beats: int, lowest: bool) -> None:
        checked_bus(bus_bytes, max_beats)
        self.bus_bytes, self.max_beats, self.has_lowest = bus_bytes, max_beats, lowest
        super().__init__(
            {
                "request": In(stream.Signature(REQUEST)),
                "o": Out(stream.Signature(burst_layout(max_beats))),
                "base": In(ADDRESS_BITS),
                "limit": In(ADDRESS_BITS),
                "outside": Out(1),
                "outside_layer": Out(LAYER_BITS),
                "stop": In(1),
                "busy": Out(1),
            }
            | ({"lowest": In(ADDRESS_BITS)} if lowest else {})
        )

    def elaborate(self, platform):
        m = Module()
        placed, checked, active = (Signal(name=n) for n in ("placed", "checked", "active"))
        place_next, check_next, next_request = (
            Signal(name=n) for n in ("place_next", "check_next", "next_request")
        )
        m.d.comb += [
            place_next.eq(~placed | check_next),
            check_next.eq(~checked | self.outside | next_request),
            next_request.eq(~active | (self.o.ready & self.o.payload.last)),
            # As place_next, but for requests that are dropped: it is the end of a long way.
            self.request.ready.eq(
                ~(placed & checked & active) | (self.o.ready & self.o.payload.last)
            ),
            self.o.valid.eq(active),
            self.busy.eq(placed | checked | active),
        ]
        self._place(m, placed, place_next)
        self._check(m, placed, checked, check_next)
        self._step(m, checked, active, next_request)
        with m.If(self.stop):
            m.d.sync += [placed.eq(0), checked.eq(0), active.eq(0)]
        return m

    def _place(self, m: Module, placed: Signal, step: Signal) -> None:
        """Where the request begins on the bus and where it ends in the region."""
        request, lane_bits = self.request.payload, (self.bus_bytes - 1).bit_length()
        self._start = reg(ADDRESS_BITS, "start")
        self._end = reg(ADDRESS_BITS + 1, "end")
        self._below, self._beats = reg(1, "below"), reg(24, "beats")
        self._tag1 = reg(LAYER_BITS + 1, "placed_tag")
        with m.If(step):
            m.d.sync += placed.eq(self.request.valid & self.request.ready)
        with m.If(self.request.ready):
            m.d.sync += [
                self._start.eq(self.base + request.address),
                self._end.eq(request.address + request.beats.shift_left(lane_bits)),
                self._below.eq(request.address < self.lowest if self.has_lowest else 0),
                self._beats.eq(request.beats),
                self._tag1.eq(Cat(request.layer, request.mark)),
            ]

    def _check(self, m: Module, placed: Signal, checked: Signal, step: Signal) -> None:
        """Which blocks of ``max_beats`` beats it touches, and whether it may."""
        beat = (self.bus_bytes - 1).bit_length()
        block = beat + (self.max_beats - 1).bit_length()
        self._block = reg(ADDRESS_BITS - block, "block")
        self._first = reg(index_shape(self.max_beats), "first_beat")
        self._last = reg(25, "last_beat")
        self._tag2 = reg(LAYER_BITS + 1, "checked_tag")
        outside = reg(1, "is_outside")
        with m.If(step):
            m.d.sync += [
                checked.eq(placed),
                self._block.eq(self._start[block:]),
                self._first.eq(self._start[beat:block]),
                self._last.eq(self._start[beat:block] + self._beats - 1),
                self._tag2.eq(self._tag1),
                outside.eq(self._below | (self._end > self.limit)),
            ]
        m.d.comb += [
            self.outside.eq(checked & outside),
            self.outside_layer.eq(self._tag2[:LAYER_BITS]),
        ]

    def _step(self, m: Module, checked: Signal, active: Signal, step: Signal) -> None:
        """The bursts of a request, one for each block."""
        beats = (self.max_beats - 1).bit_length()
        block = reg(self._block.shape(), "burst_block")
        first = reg(index_shape(self.max_beats), "burst_first")
        left = reg(25 - beats, "blocks_left")
        last, single = reg(1, "last_block"), Signal(name="single_block")
        tail = reg(index_shape(self.max_beats), "tail")
        length = reg(index_shape(self.max_beats), "burst_length")
        tag = reg(LAYER_BITS + 1, "tag")
        burst = self.o.payload
        m.d.comb += [
            burst.address.eq(Cat(Const(0, (self.bus_bytes - 1).bit_length()), first, block)),
            burst.length.eq(length),
            burst.last.eq(last),
            burst.layer.eq(tag[:LAYER_BITS]),
            burst.mark.eq(tag[LAYER_BITS]),
            single.eq(self._last[beats:] == 0),
        ]
        with m.If(step):
            m.d.sync += [
                active.eq(checked & ~self.outside),
                block.eq(self._block),
                first.eq(self._first),
                left.eq(self._last[beats:]),
                last.eq(single),
                tail.eq(self._last[:beats]),
                length.eq(Mux(single, self._last[:beats], self.max_beats - 1) - self._first),
                tag.eq(self._tag2),
            ]
        with m.Elif(self.o.ready):
            m.d.sync += [
                block.eq(block + 1),
                first.eq(0),
                left.eq(left - 1),
                last.eq(left == 1),
                length.eq(Mux(left == 1, tail, self.max_beats - 1)),
            ]
