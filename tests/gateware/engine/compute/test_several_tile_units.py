"""Tile units side by side: writes to several of them, ends in order, whole networks."""

from __future__ import annotations

from collections import deque
from dataclasses import replace
from random import Random
from typing import Any

import pytest

from hwgen.contract.engine import EngineShape
from hwgen.gateware.engine.compute.tile_units import Retirement, TileUnits
from hwgen.gateware.engine.memory.broadcast import WriteBroadcast
from tests.gateware.engine.compute.test_tile_unit import SMALL, carried_out, small_network
from tests.helpers.pysim import pattern
from tests.helpers.streams import run

SHAPE = EngineShape(4, 4, 4 << 10, 16, 16, 4, 32)


@pytest.mark.parametrize("gaps", ("always", "random", "bursty"))
@pytest.mark.parametrize("tiles", (1, 2, 4))
def test_each_unit_takes_each_write_once(tiles: int, gaps: str) -> None:
    """Whichever of them let it wait, and in the order of the writes."""
    dut = WriteBroadcast(replace(SHAPE, tiles=tiles))
    rng = Random(f"{tiles} {gaps}")
    writes = [(rng.randrange(1, 1 << tiles), n) for n in range(120)]
    taken: list[list[int]] = [[] for _ in range(tiles)]
    cycles = 0

    async def process(ctx: Any) -> None:
        nonlocal cycles
        ready = [pattern(gaps, n) for n in range(tiles)]
        given = pattern(gaps, tiles)
        for units, value in writes:
            while not next(given):
                ctx.set(dut.i.en, 0)
                for port, willing in zip(dut.o, ready, strict=True):
                    ctx.set(port.ready, next(willing))
                _, _, *en = await ctx.tick().sample(*(port.en for port in dut.o))
                assert not any(en)
                cycles += 1
            ctx.set(dut.i.en, 1)
            ctx.set(dut.units, units)
            ctx.set(dut.i.addr, value)
            ctx.set(dut.i.data, value * 3)
            done = False
            while not done:
                now = [next(willing) for willing in ready]
                for port, willing in zip(dut.o, now, strict=True):
                    ctx.set(port.ready, willing)
                signals = [s for port in dut.o for s in (port.en, port.addr, port.data)]
                _, _, done, *seen = await ctx.tick().sample(dut.i.ready, *signals)
                for n in range(tiles):
                    en, addr, word = seen[3 * n : 3 * n + 3]
                    if en and now[n]:
                        assert word == addr * 3
                        taken[n].append(addr)
                # The client goes on when all have it, whatever the others do.
                assert done == all(value in t for n, t in enumerate(taken) if units >> n & 1)
                cycles += 1
                assert cycles < 20_000

    run(dut, process)
    for n in range(tiles):
        assert taken[n] == [value for units, value in writes if units >> n & 1]
    assert gaps != "always" or cycles == len(writes)


@pytest.mark.parametrize("tiles", (2, 4, 8))
def test_ends_are_told_in_the_order_of_the_tiles(tiles: int) -> None:
    """Units of any speed; an end is told of a cycle after it, if all before it are."""
    dut = Retirement(tiles)
    rng = Random(tiles)
    working: list[deque[int]] = [deque() for _ in range(tiles)]
    order: list[int] = []
    ended: dict[int, int] = {}
    told: list[int] = []
    expected: list[int] = []
    full = late = 0

    async def process(ctx: Any) -> None:
        nonlocal full, late
        for cycle in range(3000):
            # At times units are much slower than tiles come, at times one of them.
            busy = cycle // 300 % 3
            room = ctx.get(dut.room)
            full += not room
            begins = bool(room and rng.random() < 0.6)
            unit = rng.randrange(tiles)
            ends = 0
            for n in range(tiles):
                rate = (0.9, 0.02, 0.01 if n == 0 else 0.9)[busy]
                if working[n] and rng.random() < rate:
                    ended[working[n].popleft()] = cycle
                    ends |= 1 << n
            ctx.set(dut.begins, begins)
            ctx.set(dut.unit, unit)
            ctx.set(dut.ends, ends)
            _, _, finished = await ctx.tick().sample(dut.finished)
            oldest = len(told)
            if oldest < len(order) and ended.get(oldest, cycle) < cycle:
                expected.append(cycle)
                late += cycle > ended[oldest] + 1
            if finished:
                told.append(cycle)
            if begins:
                working[unit].append(len(order))
                order.append(unit)

    run(dut, process)
    assert told == expected
    assert len(told) > 300 and full and late
    assert max(sum(1 for _ in order) - len(told), 0) <= dut.depth


def test_one_unit_has_no_order() -> None:
    with pytest.raises(ValueError, match="no order"):
        Retirement(1)


@pytest.mark.parametrize("tiles", (1, 2))
def test_a_unit_that_there_is_not_is_a_fault(tiles: int) -> None:
    dut = TileUnits(replace(SHAPE, tiles=tiles))

    async def process(ctx: Any) -> None:
        ctx.set(dut.command.payload.unit, tiles)
        ctx.set(dut.command.payload.layer, 77)
        ctx.set(dut.command.valid, 1)
        _, _, ready = await ctx.tick().sample(dut.command.ready)
        assert not ready
        # It is known, and then told of with the faults of the units.
        await ctx.tick()
        assert ctx.get(dut.fault) and ctx.get(dut.fault_layer) == 77

    run(dut, process)


def test_a_fault_of_any_unit_is_told_with_its_layer() -> None:
    """A tile of no steps, for unit 1 while unit 0 has none."""
    dut = TileUnits(replace(SHAPE, tiles=2))

    async def process(ctx: Any) -> None:
        ctx.set(dut.command.payload.unit, 1)
        ctx.set(dut.command.payload.layer, 55)
        ctx.set(dut.command.valid, 1)
        await ctx.tick().until(dut.command.ready)
        ctx.set(dut.command.valid, 0)
        for _ in range(7):
            if ctx.get(dut.fault):
                break
            await ctx.tick()
        assert ctx.get(dut.fault) and ctx.get(dut.fault_layer) == 55

    run(dut, process)


@pytest.mark.parametrize(("seed", "tiles"), [(0, 2), (1, 4), (2, 2)])
def test_networks(seed: int, tiles: int) -> None:
    shape = (EngineShape(4, 16, 4 << 10, 16, 32, 4, 32), SMALL["4x4"], SMALL["8x4"])[seed % 3]
    found = carried_out(small_network(seed), replace(shape, tiles=tiles))
    assert found >= {"DENSE", "DEPTHWISE", "MAX", "wide", "rounding"}
