"""Queues against lists, cycle by cycle."""

from __future__ import annotations

from random import Random
from typing import Any

import pytest
from amaranth.hdl import unsigned

from hwgen.gateware.fifo import FEW, CreditFifo, HeadQueue
from tests.helpers.streams import run


@pytest.mark.parametrize("depth", [1, 2, 3, 4, 5, 8, FEW, FEW + 1, FEW + 5])
@pytest.mark.parametrize("pipeline", [0, 1, 3])
def test_credit_fifo_is_a_list_whose_slots_are_reserved(depth: int, pipeline: int) -> None:
    """``pipeline`` cycles from take to push. Room, level, valid and payload of every cycle."""
    rng = Random(depth * 10 + pipeline)
    fifo = CreditFifo(unsigned(8), depth)

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


class HeadModel:
    """A register before which there may be a list; entries step one place a cycle."""

    def __init__(self, depth: int) -> None:
        self.depth = depth
        self.head: int | None = None
        self.behind: list[int] = []

    def accepts(self, ready: bool) -> bool:
        if self.depth == 1:
            return self.head is None or ready
        return len(self.behind) < self.depth - 1

    def step(self, entry: int | None, ready: bool) -> None:
        if self.head is None or ready:
            if self.depth == 1:
                self.head, entry = entry, None
            else:
                self.head = self.behind.pop(0) if self.behind else None
        if entry is not None:
            self.behind.append(entry)


@pytest.mark.parametrize("depth", [1, 2, 3, 5])
def test_head_queue_steps_as_its_model(depth: int) -> None:
    rng = Random(depth)
    queue = HeadQueue(unsigned(8), depth)

    async def process(ctx: Any) -> None:
        model = HeadModel(depth)
        offered: int | None = None
        for cycle in range(600):
            busy, willing = ((0.3, 0.9), (0.9, 0.3), (1.0, 1.0))[cycle // 40 % 3]
            if offered is None and rng.random() < busy:
                offered = rng.randrange(256)
            ready = rng.random() < willing
            ctx.set(queue.i.valid, offered is not None)
            ctx.set(queue.i.payload, offered or 0)
            ctx.set(queue.o.ready, ready)
            assert ctx.get(queue.i.ready) == model.accepts(ready)
            assert ctx.get(queue.o.valid) == (model.head is not None)
            assert ctx.get(queue.level) == len(model.behind) + (model.head is not None)
            if model.head is not None:
                assert ctx.get(queue.o.payload) == model.head
            entry = offered if model.accepts(ready) else None
            await ctx.tick()
            model.step(entry, ready)
            if entry is not None:
                offered = None

    run(queue, process)


@pytest.mark.parametrize("queue", [CreditFifo, HeadQueue])
def test_refuses_no_entries(queue: type) -> None:
    with pytest.raises(ValueError, match="at least 1 entry, got 0"):
        queue(unsigned(8), 0)
