"""AXI4-Stream ports: packing, frames of wrong length, gaps."""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Shape, signed, unsigned

from hwgen.gateware.bus.axis import InputPort, OutputPort, lane_bytes
from tests.helpers.pysim import pattern
from tests.helpers.streams import beats, join, pixels, run, split

SHAPES = [signed(1), unsigned(3), signed(8), unsigned(9), signed(16), signed(20), unsigned(32)]


@dataclass
class Seen:
    """What came out of an InputPort, and how often each event did."""

    words: list[int] = field(default_factory=list)
    started: int = 0
    short: int = 0
    long: int = 0


def receive(
    port: InputPort, frames: list[list[int]], wanted: int, kinds: tuple[str, str], seed: int = 0
) -> Seen:
    """Offer frames of any length, TLAST on the last beat of each; take ``wanted`` beats."""
    offered = [(v, n == len(f) - 1) for f in frames for n, v in enumerate(f)]
    source, sink = pattern(kinds[0], seed), pattern(kinds[1], seed + 1)
    seen = Seen()

    async def process(ctx: Any) -> None:
        ctx.set(port.enable, 1)
        sent, waiting, cycle, held = 0, False, 0, None
        while sent < len(offered) or len(seen.words) < wanted:
            waiting = sent < len(offered) and (waiting or next(source))
            ready = next(sink)
            ctx.set(port.tvalid, waiting)
            if waiting:
                ctx.set(port.tdata, offered[sent][0])
                ctx.set(port.tlast, offered[sent][1])
            ctx.set(port.o.ready, ready)
            _, _, taken, valid, word, started, short, long, busy, level = (
                await ctx.tick().sample(
                    port.tready, port.o.valid, port.o.payload.as_value(), port.started,
                    port.short, port.long, port.busy, port.level,
                )
            )  # fmt: skip
            assert busy == ((len(seen.words) + level) % port.beats != 0), f"cycle {cycle}"
            assert level <= port.fifo
            if held is not None:
                assert valid and word == held, f"cycle {cycle}: the payload was not kept"
            held = word if valid and not ready else None
            if started:
                assert waiting and taken
            seen.started += started
            seen.short += short
            seen.long += long
            if waiting and taken:
                sent, waiting = sent + 1, False
            if valid and ready:
                seen.words.append(word)
            cycle += 1
            assert cycle < 20_000, f"stuck at {sent}, {len(seen.words)} of {wanted}"

    run(port, process)
    return seen


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("lanes", [1, 3])
def test_input_unpacks_whole_bytes(shape: Shape, lanes: int) -> None:
    """Bits of TDATA beyond an element's width do not matter."""
    rng = Random(shape.width)
    step = 8 * lane_bytes(shape)
    frames = [[rng.getrandbits(step * lanes) for _ in range(4)] for _ in range(3)]
    port = InputPort(shape, lanes, 4, 2)
    seen = receive(port, frames, 12, ("always", "always"))
    mask = (1 << shape.width) - 1
    want = [
        join([beat >> (step * lane) & mask for lane in range(lanes)], shape.width)
        for frame in frames
        for beat in frame
    ]
    assert seen.words == want
    assert (seen.started, seen.short, seen.long) == (3, 0, 0)


@pytest.mark.parametrize("seed", range(20))
def test_input_mends_frames_of_wrong_length(seed: int) -> None:
    """A short frame is completed with ``pad``, a long one dropped up to its TLAST."""
    rng = Random(seed)
    length, pad = rng.randint(1, 6), rng.randint(-8, 7)
    port = InputPort(signed(4), 2, length, rng.randint(1, 3), pad)
    sizes = [rng.choice([length, length, rng.randint(1, length), length + rng.randint(1, 4)])
             for _ in range(12)]  # fmt: skip
    frames = [[rng.getrandbits(16) for _ in range(size)] for size in sizes]
    kinds = (rng.choice(["always", "random", "bursty"]), rng.choice(["always", "random", "bursty"]))
    seen = receive(port, frames, 12 * length, kinds, seed)
    want = []
    for frame in frames:
        whole = [[beat & 15, beat >> 8 & 15] for beat in frame[:length]]
        whole += [[pad, pad]] * (length - len(whole))
        want += [join(beat, 4) for beat in whole]
    assert seen.words == want
    assert seen.started == 12
    assert seen.short == sum(size < length for size in sizes)
    assert seen.long == sum(size > length for size in sizes)


@pytest.mark.parametrize("fifo", [1, 2, 3])
def test_input_takes_a_beat_a_cycle_with_two_entries(fifo: int) -> None:
    port = InputPort(unsigned(8), 1, 10, fifo)
    taken = 0

    async def process(ctx: Any) -> None:
        nonlocal taken
        ctx.set(port.enable, 1)
        ctx.set(port.tvalid, 1)
        ctx.set(port.o.ready, 1)
        for cycle in range(40):
            ctx.set(port.tlast, taken % 10 == 9)
            taken += ctx.get(port.tready)
            await ctx.tick()
            assert cycle > 0 or ctx.get(port.o.valid)

    run(port, process)
    assert taken == (20 if fifo == 1 else 40)


def test_enable_acts_between_frames() -> None:
    """Low keeps the next frame out; a frame that has begun goes on."""
    port = InputPort(unsigned(8), 1, 3, 4)

    async def process(ctx: Any) -> None:
        ctx.set(port.o.ready, 1)
        ctx.set(port.tvalid, 1)
        for enable, beat, ready in (
            (0, 0, 0), (0, 0, 0), (1, 0, 1), (0, 1, 1), (0, 2, 1), (0, 0, 0), (1, 0, 1), (1, 1, 1)
        ):  # fmt: skip
            ctx.set(port.enable, enable)
            ctx.set(port.tlast, beat == 2)
            assert ctx.get(port.tready) == ready
            await ctx.tick()

    run(port, process)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize(("channels", "lanes"), [(1, 1), (3, 2), (4, 4), (5, 3)])
def test_output_packs_and_marks(shape: Shape, channels: int, lanes: int) -> None:
    """Elements are extended to whole bytes; TKEEP and TLAST of every beat; done once a frame."""
    rng = Random(channels)
    low = -(1 << shape.width - 1) if shape.signed else 0
    high = low + (1 << shape.width) - 1
    frame = [[rng.choice([low, high, 0]) for _ in range(channels)] for _ in range(3)]
    words = beats(frame * 4, lanes, shape.width)
    port = OutputPort(shape, lanes, 3, channels)
    size, count = lane_bytes(shape), -(-channels // lanes)
    extended = signed(8 * size) if shape.signed else unsigned(8 * size)
    sink = pattern("random", 5)
    data: list[int] = []

    async def process(ctx: Any) -> None:
        done = 0
        while len(data) < len(words):
            n = len(data)
            ready = next(sink)
            ctx.set(port.i.valid, 1)
            ctx.set(port.i.payload.as_value(), words[n])
            ctx.set(port.tready, ready)
            assert ctx.get(port.tvalid) and ctx.get(port.i.ready) == ready
            used = channels - (count - 1) * lanes if n % count == count - 1 else lanes
            assert ctx.get(port.tkeep) == (1 << used * size) - 1
            assert ctx.get(port.tlast) == (n % (3 * count) == 3 * count - 1)
            done += ctx.get(port.done)
            if ready:
                data.append(ctx.get(port.tdata))
            await ctx.tick()
        assert done == 4

    run(port, process)
    got = [split(word, extended, lanes) for word in data]
    want = [split(word, shape, lanes) for word in words]
    assert got == want
    assert pixels(words, channels, lanes, shape) == frame * 4


def test_ports_refuse_nothing() -> None:
    with pytest.raises(ValueError, match="beats must be at least 1"):
        InputPort(signed(8), 1, 0, 1)
    with pytest.raises(ValueError, match="lanes must be at least 1"):
        InputPort(signed(8), 0, 1, 1)
    with pytest.raises(ValueError, match="pixels must be at least 1"):
        OutputPort(signed(8), 1, 0, 1)
