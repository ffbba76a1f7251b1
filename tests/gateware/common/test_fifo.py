"""Queues against lists, cycle by cycle."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import unsigned

from hwgen.gateware.common.fifo import FEW, CreditFifo
from tests.helpers.streams import run


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 8, FEW, FEW + 1, FEW + 5])
@pytest.mark.parametrize("pipeline", [0, 1, 3])
@pytest.mark.parametrize("registered", [False, True])
def test_credit_fifo_is_a_list_whose_slots_are_reserved(
    registered: bool, depth: int, pipeline: int
) -> None:
    """``pipeline`` cycles from take to push. Room, level, valid and payload of every cycle."""
    rng = Random(depth * 10 + pipeline)
    fifo = CreditFifo(unsigned(8), depth, registered=registered)

    async def process(ctx: Any) -> None:
        stored: list[int] = []
        inside: list[int | None] = [None] * pipeline
        willing = 0.5
        for cycle in range(400):
            if cycle % 50 == 0:
                willing = rng.choice([0.1, 0.5, 0.9, 1.0])
            reserved = len(stored) + sum(entry is not None for entry in inside)
            assert ctx.get(fifo.room) == (reserved < depth)
            assert ctx.get(fifo.level) == len(stored)
            assert ctx.get(fifo.o.valid) == bool(stored)
            if stored:
                assert ctx.get(fifo.o.payload) == stored[0]
            take = reserved < depth and rng.random() < willing
            ready = rng.random() < 1.1 - willing
            inside.append(rng.randrange(256) if take else None)
            pushed = inside.pop(0)
            ctx.set(fifo.take, take)
            ctx.set(fifo.push, pushed is not None)
            ctx.set(fifo.data, pushed or 0)
            ctx.set(fifo.o.ready, ready)
            await ctx.tick()
            if ready and stored:
                stored.pop(0)
            if pushed is not None:
                stored.append(pushed)

    run(fifo, process)


@pytest.mark.parametrize("latency", [0, 1, 4])
def test_latency_and_two_entries_sustain_a_beat_a_cycle(latency: int) -> None:
    """With one entry less a beat is missing now and then."""

    def beats(depth: int) -> int:
        fifo = CreditFifo(unsigned(1), depth)
        count = 0

        async def process(ctx: Any) -> None:
            nonlocal count
            inside = [0] * latency
            for _ in range(100):
                room = ctx.get(fifo.room)
                count += room
                inside.append(room)
                ctx.set(fifo.take, room)
                ctx.set(fifo.push, inside.pop(0))
                ctx.set(fifo.o.ready, 1)
                await ctx.tick()

        run(fifo, process)
        return count

    assert beats(latency + 2) == 100
    assert beats(latency + 1) < 100


@pytest.mark.parametrize("depth", [1, 2, FEW + 1])
def test_a_slot_given_back_early_is_written_while_it_is_read_last(depth: int) -> None:
    """Free a cycle before the pop, push in the cycle of the pop: the old entry is still there."""
    fifo = CreditFifo(unsigned(8), depth, early=True)

    async def process(ctx: Any) -> None:
        stored: list[int] = []
        for entry in range(depth):
            for signal, value in ((fifo.take, 1), (fifo.push, 1), (fifo.data, entry)):
                ctx.set(signal, value)
            await ctx.tick()
            stored.append(entry)
        ctx.set(fifo.take, 0)
        ctx.set(fifo.push, 0)
        for entry in range(depth, 60):
            assert not ctx.get(fifo.room)
            ctx.set(fifo.free, 1)
            await ctx.tick()
            ctx.set(fifo.free, 0)
            assert ctx.get(fifo.room) and ctx.get(fifo.level) == depth
            for signal, value in ((fifo.take, 1), (fifo.push, 1), (fifo.data, entry)):
                ctx.set(signal, value)
            ctx.set(fifo.o.ready, 1)
            assert ctx.get(fifo.o.payload) == stored.pop(0)
            await ctx.tick()
            for signal in (fifo.take, fifo.push, fifo.o.ready):
                ctx.set(signal, 0)
            stored.append(entry)
            assert ctx.get(fifo.o.payload) == stored[0]

    run(fifo, process)


def test_refuses_no_entries() -> None:
    with pytest.raises(ValueError, match="at least 1 entry, got 0"):
        CreditFifo(unsigned(8), 0)
