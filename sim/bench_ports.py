"""AXI4-Stream ports with the control and status registers: frames of every length, all events."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import cocotb
from amaranth.hdl import Module, signed
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import RisingEdge

from hwgen.gateware.bus.axis import InputPort, OutputPort
from hwgen.gateware.common.streams import connect
from hwgen.gateware.stream.csr import MAGIC, REGISTERS, VERSION, ControlStatus

from .streams import ALWAYS, AxiLite, Gaps, Sink, Source, axis, check_equal, reset, stream
from .units import GAPS, QUIET_LIMIT, TAIL, Pair, clock_of

MODEL_HASH = 0x0123456789ABCDEF
ADDRESS = {register.name: register.offset for register in REGISTERS}

BITS, LANES, PIXELS, CHANNELS, FIFO, PAD = 10, 2, 3, 3, 3, -5
BEATS = PIXELS * -(-CHANNELS // LANES)
STEP = 16
"""Bits of TDATA that an element occupies."""

Frame = list[int]
"""TDATA of its beats."""


class Ports(wiring.Component):
    """Both ports back to back, with the registers that control and watch them."""

    def __init__(self) -> None:
        shape = signed(BITS)
        self.source = InputPort(shape, LANES, BEATS, FIFO, PAD)
        self.sink = OutputPort(shape, LANES, PIXELS, CHANNELS)
        self.control = ControlStatus(MODEL_HASH)
        self.sides = (
            ("s_axis", self.source, ("tdata", "tvalid", "tready", "tlast")),
            ("m_axis", self.sink, ("tdata", "tkeep", "tvalid", "tready", "tlast")),
            ("s_axi", self.control, (*AxiLite.INPUTS, *AxiLite.OUTPUTS)),
        )
        super().__init__(
            {
                f"{prefix}_{name}": side.signature.members[name]
                for prefix, side, names in self.sides
                for name in names
            }
        )

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        for prefix, side, names in self.sides:
            m.submodules[prefix] = side
            for name in names:
                ours, theirs = getattr(self, f"{prefix}_{name}"), getattr(side, name)
                inward = side.signature.members[name].flow == In
                m.d.comb += theirs.eq(ours) if inward else ours.eq(theirs)
        connect(m, self.source.o, self.sink.i)
        m.d.comb += [
            self.source.enable.eq(self.control.enable),
            self.control.started.eq(self.source.started),
            self.control.done.eq(self.sink.done),
            self.control.short.eq(self.source.short),
            self.control.long.eq(self.source.long),
        ]
        return m


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return {"ports": Ports()}


def extended(value: int) -> int:
    """An element in its bytes."""
    return value % (1 << STEP)


def word(values: Sequence[int]) -> int:
    """TDATA of these elements."""
    return sum(extended(value) << (STEP * lane) for lane, value in enumerate(values))


def random_frame(rng: Random, beats: int) -> Frame:
    """Any elements, sign extended."""
    half = 1 << BITS - 1
    return [word([rng.randrange(-half, half) for _ in range(LANES)]) for _ in range(beats)]


def passed_on(frame: Frame) -> Frame:
    """What comes out: a short frame filled up, a long one cut."""
    return (frame + [word([PAD] * LANES)] * BEATS)[:BEATS]


class Bench:
    """The ports of one test, after reset."""

    def __init__(self, dut: Any, gaps: Pair) -> None:
        self.gaps = gaps
        self.clk, self.rst = clock_of(dut, "ports")
        self.control = AxiLite(dut, self.clk, "ports__s_axi", gaps[0])
        self.inputs = axis(dut, "ports__s_axis", ("tdata", "tlast"))
        self.outputs = axis(dut, "ports__m_axis", ("tdata", "tkeep", "tlast"))

    async def reset(self) -> None:
        """Reset with all inputs low."""
        idle = [self.inputs[0], *self.inputs[2], self.outputs[1], *self.control.idle]
        await reset(self.clk, self.rst, idle)

    async def send(self, frames: Sequence[Frame], tail: int = 0) -> tuple[list[int], list[int]]:
        """Frames through the ports; cycles of first beats in and last beats out."""
        source_gaps, sink_gaps = self.gaps
        beats = [(beat, int(n == len(f) - 1)) for f in frames for n, beat in enumerate(f)]
        source = Source(*self.inputs, beats, source_gaps)
        sink = Sink(*self.outputs, BEATS * len(frames), sink_gaps, "m_axis")
        await stream(self.clk, [source], [sink], QUIET_LIMIT, tail=tail)
        want = [beat for frame in frames for beat in passed_on(frame)]
        per_pixel = -(-CHANNELS // LANES)
        lanes = [LANES if n % per_pixel < per_pixel - 1 else 1 for n in range(len(want))]
        masks = [(1 << (STEP * used)) - 1 for used in lanes]
        check_equal(sink.rows[0], want, STEP * LANES, masks)
        size = STEP // 8
        check_equal(sink.rows[1], [(1 << size * used) - 1 for used in lanes], size * LANES)
        check_equal(sink.rows[2], [int(n % BEATS == BEATS - 1) for n in range(len(want))], 1)
        starts, position = [], 0
        for frame in frames:
            starts.append(source.taken[position])
            position += len(frame)
        return starts, sink.times[BEATS - 1 :: BEATS]

    async def expect(self, **registers: int) -> None:
        """Registers have these values."""
        for name, want in registers.items():
            got = await self.control.read(ADDRESS[name])
            assert got == want, f"{name} is {got:#x}, expected {want:#x}"


@cocotb.test()
@cocotb.parametrize(gaps=GAPS)
async def frames_of_any_length(dut: Any, gaps: Pair) -> None:
    """Right, short and long frames in any order; each mistake is seen, and cleared."""
    bench = Bench(dut, gaps)
    rng = Random(gaps[0].seed)
    await bench.reset()
    await bench.expect(ID=MAGIC, VERSION=VERSION, HASH_LO=MODEL_HASH & 0xFFFFFFFF,
                       HASH_HI=MODEL_HASH >> 32, CONTROL=1, STATUS=1, FRAMES=0)  # fmt: skip
    await bench.send([random_frame(rng, BEATS) for _ in range(4)], TAIL)
    await bench.expect(STATUS=1, FRAMES=4)
    await bench.send([random_frame(rng, BEATS - 1), random_frame(rng, BEATS)], TAIL)
    await bench.expect(STATUS=1 | 1 << 8, FRAMES=6)
    await bench.send([random_frame(rng, BEATS + 3), random_frame(rng, BEATS)], TAIL)
    await bench.expect(STATUS=1 | 1 << 8 | 1 << 9)
    await bench.control.write(ADDRESS["CONTROL"], 0b11)
    await bench.expect(STATUS=1, CONTROL=1)
    lengths = [rng.choice([1, 2, BEATS - 1, BEATS, BEATS, BEATS + 1, 2 * BEATS]) for _ in range(15)]
    await bench.send([random_frame(rng, length) for length in lengths], TAIL)
    short, long = any(n < BEATS for n in lengths), any(n > BEATS for n in lengths)
    await bench.expect(STATUS=1 | short << 8 | long << 9, FRAMES=8 + len(lengths))


@cocotb.test()
@cocotb.parametrize(gaps=GAPS)
async def counters_say_what_was_seen(dut: Any, gaps: Pair) -> None:
    """LATENCY is that of a frame measured, INTERVAL that of the last two."""
    bench = Bench(dut, gaps)
    rng = Random(10 + gaps[0].seed)
    await bench.reset()
    for count in (1, 2, 5):
        frames = [random_frame(rng, BEATS) for _ in range(count)]
        starts, ends = await bench.send(frames, TAIL)
        took = [end - start + 1 for start, end in zip(starts, ends, strict=True)]
        latency = await bench.control.read(ADDRESS["LATENCY"])
        assert latency in took, f"LATENCY is {latency}, the frames took {took}"
        if count > 1:
            await bench.expect(INTERVAL=ends[-1] - ends[-2])


@cocotb.test()
async def a_beat_a_cycle(dut: Any) -> None:
    """Without gaps frames follow back to back, and a beat is held for one cycle."""
    bench = Bench(dut, (ALWAYS, ALWAYS))
    await bench.reset()
    starts, ends = await bench.send([random_frame(Random(3), BEATS) for _ in range(5)])
    assert starts == [BEATS * n for n in range(5)]
    assert ends == [start + BEATS for start in starts]


@cocotb.test()
async def disabled_no_frame_begins(dut: Any) -> None:
    """ENABLE low in the middle of a frame lets it finish and keeps the next one out."""
    bench = Bench(dut, (ALWAYS, ALWAYS))
    rng = Random(4)
    await bench.reset()
    valid, ready, (data, last) = bench.inputs
    frame = random_frame(rng, BEATS)
    valid.value, bench.outputs[1].value = 1, 1
    writing = None
    taken = 0
    for cycle in range(60):
        data.value, last.value = frame[taken % BEATS], int(taken % BEATS == BEATS - 1)
        if cycle == 1:
            writing = cocotb.start_soon(bench.control.write(ADDRESS["CONTROL"], 0))
        await RisingEdge(bench.clk)
        taken += bool(ready.value)
    assert writing is not None
    await writing
    assert taken == BEATS, f"{taken} beats were taken, a frame has {BEATS}"
    await bench.expect(CONTROL=0, STATUS=1, FRAMES=1)
    # Strobes: a write to other bytes changes nothing.
    await bench.control.write(ADDRESS["CONTROL"], 0xFFFFFFFF, strobes=0xE)
    await bench.expect(CONTROL=0)
    await bench.control.write(ADDRESS["CONTROL"], 1)
    valid.value = 0
    await RisingEdge(bench.clk)
    await bench.expect(CONTROL=1)


@cocotb.test()
async def registers_hold(dut: Any) -> None:
    """Writes to read-only registers and beyond the map change nothing; there 0 is read."""
    bench = Bench(dut, (ALWAYS, ALWAYS))
    bench.control = AxiLite(dut, bench.clk, "ports__s_axi", Gaps("random", 9))
    await bench.reset()
    names = [name for name in ADDRESS if name not in ("CONTROL", "INTERVAL")]
    before = [await bench.control.read(ADDRESS[name]) for name in names]
    beyond = range(max(ADDRESS.values()) + 4, 0x40, 4)
    for address in [*(ADDRESS[name] for name in names), *beyond]:
        await bench.control.write(address, 0xFFFFFFFF)
    assert [await bench.control.read(ADDRESS[name]) for name in names] == before
    for address in beyond:
        assert await bench.control.read(address) == 0
