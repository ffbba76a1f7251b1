"""AXI4 masters keep the bus's rules and stay in their region, whatever is asked and answered.

That bursts cover a request exactly, stay in its region and cross no page is proven for runs of any
length, by induction over the splitter's stages. The masters are searched to a depth, with any
bursts that the splitter could give in its place.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.hdl import (
    Assert,
    Assume,
    Cat,
    Const,
    Elaboratable,
    Fragment,
    Module,
    Mux,
    Signal,
    Value,
)  # fmt: skip

from hwgen.gateware.bus import axi
from hwgen.gateware.bus.axi import BurstSplitter
from hwgen.gateware.bus.read_master import ReadMaster
from hwgen.gateware.bus.write_master import WriteMaster

from .prover import prove, signals_of
from .watched import watching

BUS, BURST = 4, 4
WIDE = 36
"""Bits in which no sum of this proof overflows."""


def region(m: Module, dut, ports: list[Signal], lowest: bool) -> tuple[Signal, Signal, Value]:
    """A region that stays as it is and ends within 32 bits of address."""
    base, limit = Signal(32, name="free_base"), Signal(32, name="free_limit")
    low: Value = Const(0, 32)
    kept = [base, limit]
    if lowest:
        low = Signal(32, name="free_lowest")
        kept.append(low)
        m.d.comb += dut.lowest.eq(low)
    begun = Signal(name="begun")
    m.d.sync += begun.eq(1)
    for signal in kept:
        before = Signal.like(signal, name=f"{signal.name}_before")
        m.d.sync += before.eq(signal)
        with m.If(begun):
            m.d.comb += Assume(signal == before)
    ports += kept
    m.d.comb += [
        dut.base.eq(base),
        dut.limit.eq(limit),
        Assume(base[:2] == 0),
        Assume((base + limit)[:33] <= (1 << 32)),
    ]
    return base, limit, low


def asks(m: Module, port, ports: list[Signal], name: str) -> None:
    """Requests of any length at any place, which stay until they are taken."""
    valid = Signal(name=f"{name}_valid")
    address, beats = Signal(32, name=f"{name}_address"), Signal(24, name=f"{name}_beats")
    waits, before = Signal(name=f"{name}_waits"), Signal(56, name=f"{name}_before")
    ports += [valid, address, beats]
    m.d.comb += [
        port.valid.eq(valid),
        port.payload.address.eq(address),
        port.payload.beats.eq(beats),
        port.payload.mark.eq(address[31]),
        Assume((beats != 0) & (address[:2] == 0)),
    ]
    m.d.sync += [waits.eq(valid & ~port.ready), before.eq(Cat(address, beats))]
    with m.If(waits):
        m.d.comb += Assume(valid & (Cat(address, beats) == before))


def free(ports: list[Signal], m: Module, value: Value, name: str) -> Signal:
    signal = Signal(len(Value.cast(value)), name=f"free_{name}")
    ports.append(signal)
    m.d.comb += Value.cast(value).eq(signal)
    return signal


def stays(m: Module, valid: Value, ready: Value, payload: Value, name: str) -> None:
    """What is offered stays until it is taken."""
    waits = Signal(name=f"{name}_offered")
    before = Signal(len(payload), name=f"{name}_payload_before")
    m.d.sync += [waits.eq(valid & ~ready), before.eq(payload)]
    with m.If(waits):
        m.d.comb += [Assert(valid), Assert(payload == before)]


def allowed(m: Module, valid: Value, address: Value, length: Value, where) -> None:
    """A burst of ``length`` + 1 beats is a legal one and within the region."""
    base, limit, low = where
    begin, end = Signal(WIDE, name="burst_begin"), Signal(WIDE, name="burst_end")
    m.d.comb += [begin.eq(address), end.eq(address + (length + 1) * BUS)]
    with m.If(valid):
        m.d.comb += [
            Assert(length < BURST),
            Assert(address[:2] == 0),
            # Within a multiple of the longest burst, which a page is.
            Assert(address[2:4] + length < BURST),
            Assert(begin >= base + low),
            Assert(end <= base + limit),
        ]


class SplitterProof(Elaboratable):
    """A splitter and, beside each of its stages, what request is in it."""

    def __init__(self) -> None:
        self.ports: list[Signal] = []

    def elaborate(self, platform):
        m = Module()
        dut = BurstSplitter(BUS, BURST, lowest=True)
        m.submodules.dut = fragment = Fragment.get(dut, None)
        state = signals_of(fragment)
        base, limit, low = where = region(m, dut, self.ports, lowest=True)
        asks(m, dut.request, self.ports, "request")
        free(self.ports, m, dut.o.ready, "ready")
        free(self.ports, m, dut.stop, "stop")
        burst = dut.o.payload
        allowed(m, dut.o.valid, burst.address, burst.length, where)
        waits, before = Signal(name="waits"), Signal(len(burst.as_value()), name="before")
        stopped = Signal(name="stopped")
        m.d.sync += [
            waits.eq(dut.o.valid & ~dut.o.ready & ~dut.stop),
            before.eq(burst),
            stopped.eq(dut.stop),
        ]
        with m.If(stopped):
            m.d.comb += Assert(~dut.o.valid & ~dut.busy)
        with m.If(waits):
            m.d.comb += Assert(dut.o.valid & (burst.as_value() == before))

        # Begin and end, as offsets, of what is in each stage.
        offsets = {
            name: (Signal(WIDE, name=f"{name}_begin"), Signal(WIDE, name=f"{name}_end"))
            for name in ("placed", "checked", "active")
        }
        request = dut.request.payload
        with m.If(state["place_next"]):
            m.d.sync += [
                offsets["placed"][0].eq(request.address),
                offsets["placed"][1].eq(request.address + request.beats * BUS),
            ]
        for name, source, step in (
            ("checked", "placed", "check_next"), ("active", "checked", "next_request")
        ):  # fmt: skip
            with m.If(state[step]):
                for mine, theirs in zip(offsets[name], offsets[source], strict=True):
                    m.d.sync += mine.eq(theirs)
        self._stages(m, state, offsets, base, limit, low)
        return m

    def _stages(self, m: Module, state, offsets, base, limit, low) -> None:
        for name, (begin, end) in offsets.items():
            with m.If(state[name]):
                m.d.comb += [Assert(begin < end), Assert(begin[:2] == 0), Assert(end[:2] == 0)]
        begin, end = offsets["placed"]
        with m.If(state["placed"]):
            m.d.comb += [
                Assert(state["start"] == (base + begin)[:32]),
                Assert(state["end"] == end),
                Assert(state["below"] == (begin < low)),
                Assert(begin + state["beats"] * BUS == end),
                Assert(begin < (1 << 32)),
            ]
        begin, end = offsets["checked"]
        first = Signal(32, name="first_address")
        m.d.comb += first.eq(Cat(Const(0, 2), state["first_beat"], state["block"]))
        with m.If(state["checked"]):
            m.d.comb += [
                Assert(first == (base + begin)[:32]),
                Assert(begin < (1 << 32)),
                Assert(state["is_outside"] == ((begin < low) | (end > limit))),
                # first + beats - 1, as an address
                Assert(
                    begin + (state["last_beat"] + 1 - state["first_beat"]).as_unsigned()[:26] * BUS
                    == end
                ),
                Assert(state["last_beat"] >= state["first_beat"]),
            ]
        begin, end = offsets["active"]
        now = Signal(WIDE, name="now")
        left, tail = state["blocks_left"], state["tail"]
        m.d.comb += now.eq(Cat(Const(0, 2), state["burst_first"], state["burst_block"]))
        whole = Signal(WIDE, name="rest_end")
        burst_end = Signal(2, name="burst_last_beat")
        m.d.comb += burst_end.eq(state["burst_length"] + state["burst_first"])
        m.d.comb += whole.eq(
            Cat(Const(0, 4), state["burst_block"]) + left * (BURST * BUS) + (tail + 1) * BUS
        )
        with m.If(state["active"]):
            m.d.comb += [
                Assert(begin >= low),
                Assert(end <= limit),
                Assert(now >= base + begin),
                Assert(whole == base + end),
                Assert(state["last_block"] == (left == 0)),
                Assert((left != 0) | (tail >= state["burst_first"])),
                Assert(burst_end == Mux(state["last_block"], tail, BURST - 1)),
            ]


class Bursts:
    """Stands for splitters: any burst that they could give, held until it is taken or stopped.

    The region is one of two addresses without an offset: sums are the splitter's own matter.
    """

    def __init__(self, ports: list[Signal]) -> None:
        self.ports = ports
        self.low, self.high = Signal(32, name="free_low"), Signal(32, name="free_high")
        self.made = 0
        ports += [self.low, self.high]

    def __call__(self, splitter: BurstSplitter, platform: object) -> Module:
        m, burst = Module(), splitter.o.payload
        name = f"splitter{self.made}"
        self.made += 1
        valid = free(self.ports, m, splitter.busy, f"{name}_valid")
        free(self.ports, m, splitter.request.ready, f"{name}_ready")
        payload = free(self.ports, m, burst, f"{name}_burst")
        m.d.comb += [splitter.o.valid.eq(valid)]
        waits, before = Signal(name="waits"), Signal.like(payload, name="payload_before")
        stopped = Signal(name="stopped")
        m.d.sync += [
            waits.eq(splitter.o.valid & ~splitter.o.ready & ~splitter.stop),
            before.eq(payload),
            stopped.eq(splitter.stop),
        ]
        with m.If(stopped):
            m.d.comb += Assume(~valid)
        with m.If(waits):
            m.d.comb += Assume(valid & (payload == before))
        m.d.comb += self.holds(burst.address, burst.length, Assume)
        return m

    def holds(self, address: Value, length: Value, claim) -> list:
        """What is said of a burst, here and there."""
        return [
            claim(address[:2] == 0),
            claim(address[2:4] + length < BURST),
            claim((address >= self.low) & (address <= self.high)),
        ]

    def keep(self, m: Module) -> None:
        """The region stays as it is."""
        before = Signal(64, name="region_before")
        begun = Signal(name="region_known")
        m.d.sync += [before.eq(Cat(self.low, self.high)), begun.eq(1)]
        with m.If(begun):
            m.d.comb += Assume(before == Cat(self.low, self.high))


class ReadProof(Elaboratable):
    """A read master of two owners whose memory and owners are free."""

    def __init__(self) -> None:
        self.ports: list[Signal] = []

    def elaborate(self, platform):
        m = Module()
        dut = ReadMaster(BUS, outstanding=2, max_beats=BURST, buffer=2 * BURST)
        bursts = Bursts(self.ports)
        bursts.keep(m)
        with watching(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(BurstSplitter, "elaborate", lambda part, _: bursts(part, _))
            m.submodules.dut = Fragment.get(dut, None)
        for owner in range(2):
            free(self.ports, m, dut.data[owner].ready, f"data_ready{owner}")
        for name in ("arready", "rvalid", "rlast", "rresp", "stop"):
            free(self.ports, m, getattr(dut, name), name)
        with m.If(dut.arvalid):
            m.d.comb += bursts.holds(dut.araddr, dut.arlen, Assert)
        address = Cat(dut.araddr, dut.arlen, dut.arsize, dut.arburst)
        stays(m, dut.arvalid, dut.arready, address, "ar")
        m.d.comb += [Assert(dut.rready), Assert(dut.arburst == 1), Assert(dut.arsize == 2)]
        # While stopped nothing begins: what waits at the port is all there was.
        taken, begun = Signal(name="taken"), Signal(2, name="begun")
        m.d.comb += taken.eq(dut.arvalid & dut.arready)
        with m.If(~dut.stop):
            m.d.sync += begun.eq(0)
        with m.Else():
            m.d.sync += begun.eq(begun + taken)
        m.d.comb += Assert(begun <= 2)
        with m.If(dut.idle):
            m.d.comb += Assert(~dut.arvalid)
        return m


class WriteProof(Elaboratable):
    """A write master; ``wrong`` : a slave that counts a beat less than it should."""

    def __init__(self, wrong: bool = False) -> None:
        self.wrong = wrong
        self.ports: list[Signal] = []

    def elaborate(self, platform):
        m = Module()
        dut = WriteMaster(BUS, outstanding=2, max_beats=BURST, buffer=BURST + 1)
        bursts = Bursts(self.ports)
        bursts.keep(m)
        with watching(), pytest.MonkeyPatch.context() as patch:
            patch.setattr(BurstSplitter, "elaborate", lambda part, _: bursts(part, _))
            m.submodules.dut = Fragment.get(dut, None)
        free(self.ports, m, dut.data.valid, "data_valid")
        word = free(self.ports, m, dut.data.payload, "data")
        waits, before = Signal(name="data_waits"), Signal.like(word, name="data_before")
        m.d.sync += [waits.eq(dut.data.valid & ~dut.data.ready), before.eq(word)]
        with m.If(waits):
            m.d.comb += Assume(dut.data.valid & (word == before))
        for name in ("awready", "wready", "bvalid", "bresp", "stop"):
            free(self.ports, m, getattr(dut, name), name)
        with m.If(dut.awvalid):
            m.d.comb += bursts.holds(dut.awaddr, dut.awlen, Assert)
        address = Cat(dut.awaddr, dut.awlen, dut.awsize, dut.awburst)
        stays(m, dut.awvalid, dut.awready, address, "aw")
        stays(m, dut.wvalid, dut.wready, Cat(dut.wdata, dut.wstrb, dut.wlast), "w")
        m.d.comb += Assert(dut.bready)
        self._answers(m, dut)
        self._lengths(m, dut)
        return m

    def _answers(self, m: Module, dut: WriteMaster) -> None:
        """An answer comes only to what was sent whole."""
        sent, owed = Signal(name="sent"), Signal(3, name="owed")
        addressed = Signal(3, name="addressed")
        m.d.comb += sent.eq(dut.wvalid & dut.wready & dut.wlast)
        answered = dut.bvalid & dut.bready
        m.d.sync += [
            owed.eq(owed + sent - answered),
            addressed.eq(addressed + (dut.awvalid & dut.awready) - answered),
        ]
        with m.If(dut.bvalid):
            m.d.comb += Assume((owed != 0) & (addressed != 0))
        with m.If(dut.idle):
            m.d.comb += [Assert(owed == 0), Assert(~dut.wvalid)]

    def _lengths(self, m: Module, dut: WriteMaster) -> None:
        """The n-th burst of beats is as long as the n-th address says, for every n."""
        n = Signal(2, name="chosen_burst")
        before = Signal(2, name="chosen_before")
        begun = Signal(name="chosen")
        self.ports.append(n)
        m.d.sync += [before.eq(n), begun.eq(1)]
        with m.If(begun):
            m.d.comb += Assume(n == before)
        addresses, bursts = Signal(4, name="addresses"), Signal(4, name="bursts")
        length, beats = Signal(8, name="length"), Signal(8, name="beats")
        told, counted = Signal(name="told"), Signal(name="counted")
        with m.If(dut.awvalid & dut.awready):
            m.d.sync += addresses.eq(addresses + 1)
            with m.If(addresses == n):
                m.d.sync += [length.eq(dut.awlen), told.eq(1)]
        with m.If(dut.wvalid & dut.wready):
            with m.If(dut.wlast):
                m.d.sync += bursts.eq(bursts + 1)
            with m.If(bursts == n):
                m.d.sync += [beats.eq(beats + 1), counted.eq(dut.wlast)]
        with m.If(told & counted):
            m.d.comb += Assert(length + Mux(self.wrong, 0, 1) == beats)
        with m.If(told):
            m.d.comb += Assert(beats <= length + 1)


def test_bursts_cover_requests_within_the_region(tmp_path: Path) -> None:
    proof = SplitterProof()
    assert prove(proof, proof.ports, 2, tmp_path, "prove") == "PASS"


def test_the_read_master_keeps_the_rules(tmp_path: Path) -> None:
    proof = ReadProof()
    assert prove(proof, proof.ports, 14, tmp_path, "bmc") == "PASS"


def test_the_write_master_keeps_the_rules(tmp_path: Path) -> None:
    proof = WriteProof()
    assert prove(proof, proof.ports, 12, tmp_path, "bmc") == "PASS"


def test_a_wrong_count_is_found(tmp_path: Path) -> None:
    proof = WriteProof(wrong=True)
    assert prove(proof, proof.ports, 12, tmp_path, "bmc") == "FAIL"


def test_a_page_that_is_crossed_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A splitter that forgets where in a block a request begins fails."""
    original = BurstSplitter._step

    def forgetful(self: BurstSplitter, m: Module, *rest) -> None:
        original(self, m, *rest)
        m.d.comb += self.o.payload.length.eq(axi.MAX_BURST - 1)

    monkeypatch.setattr(BurstSplitter, "_step", forgetful)
    proof = SplitterProof()
    assert prove(proof, proof.ports, 8, tmp_path, "bmc") == "FAIL"
