"""AXI4 masters against a memory that checks them."""

from __future__ import annotations

from itertools import chain, repeat
from random import Random
from typing import Any

import pytest

from hwgen.gateware.bus.axi import BurstSplitter
from hwgen.gateware.bus.read_master import ReadMaster
from hwgen.gateware.bus.write_master import WriteMaster
from tests.helpers.axi import AxiMemory
from tests.helpers.pysim import pattern
from tests.helpers.streams import run

Request = tuple[int, int]
"""Offset and beats."""
BASE = 0x8000_0040
SIZE = 1 << 16
LAYER = 77


def filled(rng: Random, size: int = SIZE) -> bytearray:
    return bytearray(rng.randbytes(size))


def some_requests(rng: Random, bus: int, count: int, longest: int = 150) -> list[Request]:
    """Short and long ones, many at pages' ends and at those of the memory."""
    requests = []
    for _ in range(count):
        beats = rng.choice((1, 2, rng.randint(1, 20), rng.randint(1, longest)))
        end = rng.choice((SIZE, rng.randrange(1, 16) * 4096, rng.randrange(beats * bus, SIZE)))
        before = rng.randint(1, beats) if end < SIZE else beats
        offset = max(0, min((end - before * bus) // bus * bus, SIZE - beats * bus))
        requests.append((offset, beats))
    return requests


async def offer(ctx: Any, port: Any, beat: dict[str, int], limit: int = 30_000) -> None:
    """One beat of a stream whose payload is a struct."""
    ctx.set(port.payload, beat)
    ctx.set(port.valid, 1)
    for _ in range(limit):
        _, _, taken = await ctx.tick().sample(port.ready)
        if taken:
            ctx.set(port.valid, 0)
            return
    raise AssertionError("nobody took it")


def requester(port: Any, requests: list[Request], gaps: str, marked: bool = False) -> Any:
    async def process(ctx: Any) -> None:
        willing = pattern(gaps, len(requests))
        for offset, beats in requests:
            while not next(willing):
                await ctx.tick()
            mark = int(marked)
            await offer(
                ctx, port, {"address": offset, "beats": beats, "layer": LAYER, "mark": mark}
            )

    return process


class Collector:
    """Takes the data of an owner."""

    def __init__(self, port: Any, gaps: str) -> None:
        self.port, self.willing = port, pattern(gaps, 5)
        self.words: list[int] = []
        self.ends: list[int] = []
        self.errors: list[int] = []
        self.times: list[int] = []

    async def process(self, ctx: Any) -> None:
        cycle, payload = 0, self.port.payload
        while True:
            ready = next(self.willing)
            ctx.set(self.port.ready, ready)
            _, _, valid, word, last, error = await ctx.tick().sample(
                self.port.valid, payload.data, payload.last, payload.error
            )
            if valid and ready:
                self.words.append(word)
                self.times.append(cycle)
                if last:
                    self.ends.append(len(self.words))
                if error:
                    self.errors.append(len(self.words) - 1)
            cycle += 1


def wanted(data: bytearray, requests: list[Request], bus: int) -> list[int]:
    return [
        int.from_bytes(data[offset + n * bus : offset + (n + 1) * bus], "little")
        for offset, beats in requests
        for n in range(beats)
    ]


async def until(ctx: Any, done: Any, limit: int = 20_000) -> int:
    """Cycles until it is."""
    for cycle in range(limit):
        if done():
            return cycle
        await ctx.tick()
    raise AssertionError(f"not done after {limit} cycles")


@pytest.mark.parametrize("gaps", ("always", "random", "bursty"))
@pytest.mark.parametrize(("bus", "max_beats"), ((4, 64), (8, 16), (32, 128)))
def test_reads_of_two_owners(bus: int, max_beats: int, gaps: str) -> None:
    rng = Random(f"{bus} {gaps}")
    data = filled(rng)
    dut = ReadMaster(bus, outstanding=5, max_beats=max_beats, buffer=2 * max_beats + 10)
    memory = AxiMemory(
        dut, data, bus, BASE, 11, max_beats,
        rates={c: pattern(gaps, n) for n, c in enumerate(("ar", "r"))},
    )  # fmt: skip
    requests = [some_requests(rng, bus, 25), some_requests(rng, bus, 25, 16)]
    owners = [Collector(dut.data[n], gaps) for n in range(2)]

    async def process(ctx: Any) -> None:
        ctx.set(dut.base, BASE)
        ctx.set(dut.limit, SIZE)
        totals = [sum(beats for _, beats in r) for r in requests]
        await until(ctx, lambda: [len(o.words) for o in owners] == totals)
        assert ctx.get(dut.idle) and memory.quiet

    run(
        dut, process, memory.process, *(o.process for o in owners),
        *(requester(dut.request[n], r, gaps) for n, r in enumerate(requests)),
    )  # fmt: skip
    for owner, asked in zip(owners, requests, strict=True):
        assert owner.words == wanted(data, asked, bus)
        ends = [sum(beats for _, beats in asked[: n + 1]) for n in range(len(asked))]
        assert owner.ends == ends and owner.errors == []


def test_reads_run_at_a_beat_a_cycle() -> None:
    """Requests of a few beats, as rows are, while the memory takes 40 cycles; and the latency."""
    bus, rows, beats = 8, 60, 5
    data = filled(Random(1))
    dut = ReadMaster(bus)
    memory = AxiMemory(dut, data, bus, 0, 40)
    requests = [(n * 64 + 8 * (n % 4), beats) for n in range(rows)]
    owner = Collector(dut.data[0], "always")

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        await until(ctx, lambda: len(owner.words) == rows * beats)

    run(dut, process, memory.process, owner.process, requester(dut.request[0], requests, "always"))
    assert owner.words == wanted(data, requests, bus)
    # The first request is offered in cycle 0.
    assert memory.times["ar"][0] == ReadMaster.LATENCY
    assert owner.times == [t + 1 for t in memory.times["r"]]
    assert owner.times[-1] - owner.times[0] == rows * beats - 1


def test_a_reader_is_never_held_up_by_a_long_request_of_the_other() -> None:
    bus = 8
    data = filled(Random(2))
    dut = ReadMaster(bus)
    memory = AxiMemory(dut, data, bus, 0, 20)
    owners = [Collector(dut.data[n], "always") for n in range(2)]

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        await until(ctx, lambda: len(owners[0].words) == 4000)

    async def late(ctx: Any) -> None:
        await ctx.tick().repeat(500)
        await requester(dut.request[1], [(0, 16)], "always")(ctx)

    run(
        dut, process, memory.process, *(o.process for o in owners),
        requester(dut.request[0], [(0, 4000)], "always"), late,
    )  # fmt: skip
    # Behind the bursts that the buffer had room for already.
    assert owners[1].times[-1] < 500 + 512 + 60


def test_what_is_outside_is_dropped_and_named() -> None:
    bus = 8
    data = filled(Random(3))
    dut = ReadMaster(bus)
    memory = AxiMemory(dut, data, bus, BASE)
    good = [(0, 3), (SIZE - 8, 1)]
    wrong = [(SIZE - 8, 2), (SIZE, 1), (0xFFFF_FFF8, 1), (0, (1 << 24) - 1), (8, SIZE // 8)]
    requests = [good[0], *wrong, good[1]]
    owner = Collector(dut.data[0], "always")
    seen: list[int] = []

    async def watch(ctx: Any) -> None:
        while True:
            _, _, outside, layer = await ctx.tick().sample(dut.outside[0], dut.outside_layer[0])
            if outside:
                seen.append(layer)

    async def process(ctx: Any) -> None:
        ctx.set(dut.base, BASE)
        ctx.set(dut.limit, SIZE)
        await until(ctx, lambda: len(owner.words) == 4)
        assert ctx.get(dut.idle)

    run(
        dut, process, memory.process, owner.process, watch,
        requester(dut.request[0], requests, "always"),
    )  # fmt: skip
    assert owner.words == wanted(data, good, bus)
    assert seen == [LAYER] * len(wrong)


def test_read_errors_mark_their_beats() -> None:
    bus = 4
    data = filled(Random(4))
    dut = ReadMaster(bus, max_beats=16, buffer=64)
    memory = AxiMemory(dut, data, bus, max_beats=16, read_faults={(0, 3), (2, 0), (3, 7)})
    owner = Collector(dut.data[0], "random")

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        await until(ctx, lambda: len(owner.words) == 56)

    requests = [(0, 40), (1024, 16)]
    run(dut, process, memory.process, owner.process, requester(dut.request[0], requests, "always"))
    assert owner.errors == [3, 32, 47]


@pytest.mark.parametrize("channel", ("ar", "r"))
def test_reading_waits_for_a_slow_memory(channel: str) -> None:
    bus = 8
    data = filled(Random(5))
    dut = ReadMaster(bus)
    held = chain(repeat(True, 30), repeat(False, 10_000), repeat(True))
    memory = AxiMemory(dut, data, bus, rates={channel: held})
    owner = Collector(dut.data[0], "always")
    requests = [(n * 512, 40) for n in range(20)]

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        assert await until(ctx, lambda: len(owner.words) == 800) > 10_000

    run(dut, process, memory.process, owner.process, requester(dut.request[0], requests, "always"))
    assert owner.words == wanted(data, requests, bus)


def test_reading_waits_for_its_owner() -> None:
    bus = 8
    data = filled(Random(6))
    dut = ReadMaster(bus)
    memory = AxiMemory(dut, data, bus)
    owner = Collector(dut.data[0], "always")
    owner.willing = chain(repeat(True, 30), repeat(False, 3_000), repeat(True))
    requests = [(n * 512, 40) for n in range(30)]

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        await until(ctx, lambda: len(owner.words) == 1200)

    run(dut, process, memory.process, owner.process, requester(dut.request[0], requests, "always"))
    assert owner.words == wanted(data, requests, bus)


def test_stopped_reading_ends_what_it_began() -> None:
    """No burst begins after ``stop``; idle comes when the last beat has come."""
    bus = 8
    dut = ReadMaster(bus)
    memory = AxiMemory(dut, filled(Random(7)), bus, latency=30)

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        await ctx.tick().repeat(60)
        ctx.set(dut.stop, 1)
        assert not ctx.get(dut.idle)
        # Addresses that already wait at the port still go.
        await ctx.tick().repeat(3)
        begun = len(memory.reads)
        await until(ctx, lambda: ctx.get(dut.idle), 1000)
        assert len(memory.reads) == begun and memory.quiet

    owner = Collector(dut.data[0], "always")
    requests = [(n * 8, 5) for n in range(200)]
    run(dut, process, memory.process, owner.process, requester(dut.request[0], requests, "always"))


def feeder(port: Any, beats: list[tuple[int, int]], gaps: str) -> Any:
    async def process(ctx: Any) -> None:
        willing = pattern(gaps, 3)
        for word, strobe in beats:
            while not next(willing):
                await ctx.tick()
            await offer(ctx, port, {"data": word, "strb": strobe})

    return process


def ceil_div(rng: Random, requests: list[Request], bus: int) -> list[tuple[int, int]]:
    return [
        (rng.getrandbits(8 * bus), rng.choice(((1 << bus) - 1, rng.getrandbits(bus))))
        for _, beats in requests
        for _ in range(beats)
    ]


def written(
    data: bytearray, requests: list[Request], beats: list[tuple[int, int]], bus: int
) -> bytearray:
    after, number = bytearray(data), 0
    for offset, count in requests:
        for n in range(count):
            word, strobe = beats[number]
            number += 1
            for lane in range(bus):
                if strobe >> lane & 1:
                    after[offset + n * bus + lane] = word >> (8 * lane) & 0xFF
    return after


@pytest.mark.parametrize("gaps", ("always", "random", "bursty"))
@pytest.mark.parametrize(("bus", "max_beats"), ((4, 64), (8, 16), (32, 128)))
def test_writes(bus: int, max_beats: int, gaps: str) -> None:
    rng = Random(f"{bus} {gaps}")
    data = filled(rng)
    dut = WriteMaster(bus, outstanding=3, max_beats=max_beats, buffer=max_beats + 7)
    memory = AxiMemory(
        dut, bytearray(data), bus, BASE, 9, max_beats,
        rates={c: pattern(gaps, n) for n, c in enumerate(("aw", "w", "b"))},
    )  # fmt: skip
    requests = some_requests(rng, bus, 25)
    beats = ceil_div(rng, requests, bus)
    finished: list[int] = []

    async def watch(ctx: Any) -> None:
        while True:
            _, _, done = await ctx.tick().sample(dut.finished)
            if done:
                finished.append(len(memory.times["b"]))

    async def process(ctx: Any) -> None:
        ctx.set(dut.base, BASE)
        ctx.set(dut.limit, SIZE)
        await until(ctx, lambda: len(finished) == len(requests))
        assert ctx.get(dut.idle) and memory.quiet
        assert finished[-1] == len(memory.writes)

    run(
        dut, process, memory.process, watch, feeder(dut.data, beats, gaps),
        requester(dut.request, requests, gaps, marked=True),
    )  # fmt: skip
    assert memory.data == written(data, requests, beats, bus)


def test_writes_run_at_a_beat_a_cycle() -> None:
    bus, rows, count = 8, 60, 5
    rng = Random(8)
    data = filled(rng)
    dut = WriteMaster(bus)
    memory = AxiMemory(dut, bytearray(data), bus, latency=20)
    requests = [(n * 64 + 8 * (n % 4), count) for n in range(rows)]
    beats = ceil_div(rng, requests, bus)
    done: list[int] = []

    async def watch(ctx: Any) -> None:
        cycle = 0
        while True:
            _, _, finished = await ctx.tick().sample(dut.finished)
            if finished:
                done.append(cycle)
            cycle += 1

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        await until(ctx, lambda: len(done) == rows)

    run(
        dut, process, memory.process, watch, feeder(dut.data, beats, "always"),
        requester(dut.request, requests, "always", marked=True),
    )  # fmt: skip
    assert memory.data == written(data, requests, beats, bus)
    sent = memory.times["w"]
    assert sent[-1] - sent[0] == rows * count - 1
    # Five beats gather, one a cycle from cycle 0 on; a burst is looked at when they are counted.
    assert memory.times["aw"][0] == count + 1 and sent[0] == count + 1
    assert done[-1] == memory.times["b"][-1] + 1


def test_nothing_is_written_outside_or_too_low() -> None:
    bus, lowest = 8, 4096
    data = filled(Random(9))
    wrong = [(SIZE - 8, 2), (SIZE, 1), (lowest - 8, 1), (0, 2), (lowest - 8, 20), (1 << 31, 1)]
    for request in wrong:
        dut = WriteMaster(bus)
        memory = AxiMemory(dut, bytearray(data), bus, BASE, lowest=lowest)
        layers: list[int] = []

        async def watch(ctx: Any, dut: Any = dut, layers: list[int] = layers) -> None:
            while True:
                _, _, outside, layer = await ctx.tick().sample(dut.outside, dut.outside_layer)
                if outside:
                    layers.append(layer)

        async def process(ctx: Any, dut: Any = dut) -> None:
            ctx.set(dut.base, BASE)
            ctx.set(dut.limit, SIZE)
            ctx.set(dut.lowest, lowest)
            await ctx.tick().repeat(60)
            assert ctx.get(dut.idle)

        beats = [(0, 255)] * 20
        run(
            dut, process, memory.process, watch, feeder(dut.data, beats, "always"),
            requester(dut.request, [request], "always"),
        )  # fmt: skip
        assert layers == [LAYER] and memory.writes == [] and memory.data == data


def test_write_errors_are_told() -> None:
    bus = 4
    dut = WriteMaster(bus, max_beats=16, buffer=40)
    memory = AxiMemory(dut, filled(Random(10)), bus, max_beats=16, write_faults={1, 3})
    errors: list[tuple[int, int]] = []

    async def watch(ctx: Any) -> None:
        while True:
            _, _, error, layer = await ctx.tick().sample(dut.error, dut.error_layer)
            if error:
                errors.append((len(memory.times["b"]) - 1, layer))

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        await until(ctx, lambda: len(memory.times["b"]) == 4)
        await ctx.tick().repeat(3)

    run(
        dut, process, memory.process, watch, feeder(dut.data, [(5, 15)] * 56, "random"),
        requester(dut.request, [(0, 40), (1024, 16)], "always"),
    )  # fmt: skip
    assert errors == [(1, LAYER), (3, LAYER)]


@pytest.mark.parametrize("channel", ("aw", "w", "b"))
def test_writing_waits_for_a_slow_memory(channel: str) -> None:
    bus = 8
    rng = Random(11)
    data = filled(rng)
    dut = WriteMaster(bus)
    held = chain(repeat(True, 80), repeat(False, 10_000), repeat(True))
    memory = AxiMemory(dut, bytearray(data), bus, rates={channel: held})
    requests = [(n * 512, 40) for n in range(30)]
    beats = ceil_div(rng, requests, bus)

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        assert await until(ctx, lambda: len(memory.times["b"]) == len(memory.writes) == 30) > 10_000

    run(
        dut, process, memory.process, feeder(dut.data, beats, "always"),
        requester(dut.request, requests, "always"),
    )  # fmt: skip
    assert memory.data == written(data, requests, beats, bus)


def test_stopped_writing_ends_what_it_began() -> None:
    bus = 8
    rng = Random(12)
    dut = WriteMaster(bus)
    memory = AxiMemory(
        dut, filled(rng), bus, latency=30, rates={"w": pattern("rare", 1), "aw": pattern("rare", 2)}
    )
    requests = [(n * 64, 5) for n in range(200)]

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        await ctx.tick().repeat(90)
        ctx.set(dut.stop, 1)
        assert not ctx.get(dut.idle)
        await until(ctx, lambda: ctx.get(dut.idle), 2000)
        assert memory.quiet and 3 < len(memory.writes) < 30
        begun = len(memory.writes)
        await ctx.tick().repeat(100)
        assert len(memory.writes) == begun and ctx.get(dut.idle)

    run(
        dut, process, memory.process,
        feeder(dut.data, ceil_div(rng, requests, bus), "always"),
        requester(dut.request, requests, "always"),
    )  # fmt: skip


def test_parameters_are_checked() -> None:
    for bus, longest in ((2, 16), (12, 16), (64, 16), (8, 1), (8, 48), (32, 256), (4, 512)):
        with pytest.raises(ValueError):
            BurstSplitter(bus, longest, lowest=True)
    with pytest.raises(ValueError, match="two bursts"):
        ReadMaster(8, max_beats=64, buffer=100)
    with pytest.raises(ValueError, match="less than a burst"):
        WriteMaster(8, max_beats=64, buffer=63)
    with pytest.raises(ValueError, match="outstanding"):
        WriteMaster(8, outstanding=0)
