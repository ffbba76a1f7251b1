"""Requests to AXI4 masters, and what ought to become of them."""

from __future__ import annotations

from random import Random
from typing import Any

from tests.helpers.pysim import pattern

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
