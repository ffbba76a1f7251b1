"""The AXI4 read master against a memory that checks it."""

from __future__ import annotations

from itertools import chain, repeat
from random import Random
from typing import Any

import pytest

from hwgen.gateware.bus.read_master import ReadMaster
from tests.helpers.axi import AxiMemory
from tests.helpers.masters import (
    BASE,
    LAYER,
    SIZE,
    Collector,
    filled,
    requester,
    some_requests,
    until,
    wanted,
)
from tests.helpers.pysim import pattern
from tests.helpers.streams import run


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
