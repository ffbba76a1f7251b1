"""The AXI4 write master against a memory that checks it."""

from __future__ import annotations

from itertools import chain, repeat
from random import Random
from typing import Any

import pytest

from hwgen.gateware.bus.write_master import WriteMaster
from tests.helpers.axi import AxiMemory
from tests.helpers.masters import (
    BASE,
    LAYER,
    SIZE,
    Request,
    filled,
    offer,
    requester,
    some_requests,
    until,
)
from tests.helpers.pysim import pattern
from tests.helpers.streams import run


def feeder(port: Any, beats: list[tuple[int, int]], gaps: str) -> Any:
    async def process(ctx: Any) -> None:
        willing = pattern(gaps, 3)
        for word, strobe in beats:
            while not next(willing):
                await ctx.tick()
            await offer(ctx, port, {"data": word, "strb": strobe})

    return process


def some_beats(rng: Random, requests: list[Request], bus: int) -> list[tuple[int, int]]:
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
    beats = some_beats(rng, requests, bus)
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
    beats = some_beats(rng, requests, bus)
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
    assert memory.times["aw"][0] == count + 1 and sent[0] == count + 2
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
    beats = some_beats(rng, requests, bus)

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
        feeder(dut.data, some_beats(rng, requests, bus), "always"),
        requester(dut.request, requests, "always"),
    )  # fmt: skip


def test_a_request_is_inside_until_its_data_come_or_it_is_stopped() -> None:
    bus = 8
    dut = WriteMaster(bus)
    memory = AxiMemory(dut, filled(Random(13)), bus)

    async def process(ctx: Any) -> None:
        ctx.set(dut.limit, SIZE)
        await until(ctx, lambda: ctx.get(dut.request.valid & dut.request.ready))
        for _ in range(40):
            await ctx.tick()
            assert not ctx.get(dut.idle)
        ctx.set(dut.stop, 1)
        assert await until(ctx, lambda: ctx.get(dut.idle)) <= 2
        await ctx.tick().repeat(40)
        assert ctx.get(dut.idle) and memory.writes == []

    beats = feeder(dut.data, [(1, 255)] * 4, "always")
    run(dut, process, memory.process, beats, requester(dut.request, [(64, 5)], "always"))
