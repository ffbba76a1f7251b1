"""Softmax on the tiled engine: vectors out of the feature memory and back, against golden."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from hwgen.contract.engine import EngineShape
from hwgen.gateware.engine.result.softmax_lane import SoftmaxLane
from hwgen.ir import Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.exponentials import softmax_powers
from tests.gateware.engine.result.test_result import SHAPES, Bench
from tests.helpers.result_model import Command, Write, random_command
from tests.helpers.streams import run

MULT, SHIFT = 1_717_986_918, 22
"""Of exponents: exponentials of differences up to some 100 count."""


def byte_type(is_signed: bool, scale: float | None = None) -> QType:
    zero = -128 if is_signed and scale else 0
    return QType(is_signed, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, scale, zero)


def golden(vector: list[int], x_signed: bool, y_signed: bool) -> list[int]:
    """The op's integers."""
    x = Tensor("x", (len(vector),), byte_type(x_signed))
    return ops.Softmax(MULT, SHIFT, byte_type(y_signed, 2.0**-8)).golden(
        [np.array([vector])], [x]
    )[0].tolist()  # fmt: skip


@dataclass
class Normalize(Command):
    """A softmax command: its words are read and written as those of other commands."""

    def writes(
        self, shape: EngineShape, parameters: Any, tables: Any, features: list[bytes]
    ) -> Iterator[Write]:
        """A byte each."""
        f, pe, size = self.fields, shape.pe, shape.bank_bytes
        words = list(self.walk())
        for start in range(0, len(words), f["groups"]):
            of_vector, data = words[start : start + f["groups"]], []
            for row, _, second, group in of_vector:
                bank, addr = self.place("second", row, second)
                count = f["lanes"] if group == f["groups"] - 1 else pe
                data += [features[bank][(addr + n) % size] for n in range(count)]
            x = [v - 256 if f["x_signed"] and v > 127 else v for v in data]
            y = golden(x, bool(f["x_signed"]), f["low"] < 0)
            for channel, value in enumerate(y):
                row, position, _, _ = of_vector[channel // pe]
                bank, addr = self.place("y", row, position)
                byte: list[int | None] = [None] * shape.word
                byte[channel % pe] = value & 255
                yield bank, addr % size, tuple(byte)


def normalize(
    bench: Bench, sizes: tuple[int, int], channels: int, signs: tuple[bool, bool]
) -> Normalize:
    """Columns and rows of vectors of so many channels; signs of ifmap and ofmap."""
    rng, shape = bench.rng, bench.shape
    groups = -(-channels // shape.pe)
    f = random_command(rng, shape, bench.parameters, "bytes", (2, 0, 1), (*sizes, 1)).fields
    size, beside, columns = channels, channels + rng.randint(0, 5), sizes[0]
    f |= {"out0_count": groups, "groups": groups, "lanes": channels - (groups - 1) * shape.pe}
    for name, pixel in (("position", size), ("second", beside)):
        f[f"out0_{name}"] = shape.pe
        f[f"out1_{name}"] = pixel - (groups - 1) * shape.pe
        f[f"out2_{name}"] = -(groups - 1) * shape.pe - (columns - 1) * pixel
    f |= {"y_pitch": columns * size, "second_pitch": columns * beside + 3}
    f |= {"softmax": 1, "x_signed": int(signs[0]), "low": -128 if signs[1] else 0}
    return Normalize(f)


class SoftmaxBench(Bench):
    """Exponentials in table 0; features that are close to each other, so that many count."""

    def __init__(self, shape: EngineShape, seed: int) -> None:
        super().__init__(shape, seed)
        self.tables[:256] = softmax_powers(MULT, SHIFT, 8)
        self.features = [
            bytes(self.rng.choice([7, 100, 110, 120, 127, 128, 130, 250]) for _ in bank)
            for bank in self.features
        ]


@pytest.mark.parametrize("name", SHAPES)
def test_vectors_of_any_length(name: str) -> None:
    """Odd numbers of channels, all signs, with gaps of all sides, among other commands."""
    bench = SoftmaxBench(SHAPES[name], seed=len(name))
    pe, rng = bench.shape.pe, bench.rng

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        for offers, banks in (("always", "always"), ("bursty", "random"), ("rare", "rare")):
            commands: list[Command] = []
            for channels in (1, pe - 1, pe, pe + 1, 3 * pe - 1, 37):
                signs = (rng.random() < 0.5, rng.random() < 0.5)
                sizes = (rng.randint(1, 3), rng.randint(1, 3))
                commands.append(normalize(bench, sizes, channels, signs))
                kind = rng.choice(["bytes", "wide", "second"])
                # Tables keep their exponentials: what they give is checked all the same.
                commands.append(
                    random_command(rng, bench.shape, bench.parameters, kind, (0, 1, 2), (3, 1, 2))
                )
            seen = await bench.play(ctx, commands, "random", offers, banks, limit=60_000)
            bench.check(commands, seen)

    run(bench.stage, process)


@pytest.mark.parametrize("channels", [1, 4, 10, 13, 100])
def test_cycles(channels: int) -> None:
    """From the command to its end, and from vector to vector: what the plan counts with."""
    shape = SHAPES["4x4x32"]
    bench, vectors = SoftmaxBench(shape, 1), 3
    stage = bench.stage
    interval = 3 * channels + 45
    start = stage.START_SECOND + 2 * channels + SoftmaxLane.PAUSE + SoftmaxLane.LATENCY
    assert SoftmaxLane.PAUSE == 46 and stage.SOFTMAX_LATENCY == 7

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        command = normalize(bench, (vectors, 1), channels, (True, True))
        seen = await bench.play(ctx, [command], limit=10_000)
        bench.check([command], seen)
        assert seen.accepted == [0]
        first = start + stage.SOFTMAX_LATENCY
        assert seen.times == [
            first + n * interval + c for n in range(vectors) for c in range(channels)
        ]

    run(stage, process)


def test_the_largest_vector() -> None:
    """As many bytes as there can be: all of them are seen, and the sum holds them."""
    shape = EngineShape(16, 4, 32 << 10, parameter_words=8)
    bench = SoftmaxBench(shape, 2)

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        command = normalize(bench, (1, 1), 2048, (False, True))
        bench.check([command], await bench.play(ctx, [command], limit=10_000))

    run(bench.stage, process)


def test_the_stage_says_when_it_works() -> None:
    """The longest time without a result is work: the engine's watchdog counts on it."""
    bench = SoftmaxBench(SHAPES["4x4x32"], 3)
    command = normalize(bench, (1, 1), 13, (True, True))
    busy: list[int] = []

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        seen = await bench.play(ctx, [command], limit=1000, watch=(bench.stage.issue, busy))
        bench.check([command], seen)

    run(bench.stage, process)
    assert sum(busy) == 3 * 13 + 45
    assert len(busy) - sum(busy) < 40
