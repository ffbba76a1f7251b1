"""The result stage against its formulas, with every gap there can be, and its cycles."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from itertools import permutations
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module, ResetInserter, Signal, Value, signed
from amaranth.lib import wiring

from hwgen.contract.engine import BANKS, EngineShape
from hwgen.contract.isa import COMPUTE, RECORD
from hwgen.gateware.engine.fetch.descriptor_layout import layout
from hwgen.gateware.engine.memory.feature_memory import FeatureMemory
from hwgen.gateware.engine.result.lookup import Lookup
from hwgen.gateware.engine.result.result import ResultStage
from hwgen.gateware.engine.result.runtime_requantizer import RequantLane
from tests.helpers.pysim import pattern
from tests.helpers.result_model import (
    Command,
    Parameters,
    Write,
    parameters_of,
    random_command,
    spread,
)
from tests.helpers.streams import join, run

SHAPES = {
    name: EngineShape(
        pe, simd, 32 << 10, parameter_words=8, mem_width=width, requantizers=requantizers
    )
    for name, pe, simd, width, requantizers in (
        ("4x4x32", 4, 4, 32, 4), ("8x8x64", 8, 8, 64, 8), ("16x16x64", 16, 16, 64, 16),
        ("4x16x128", 4, 16, 128, 4), ("8x8x64 in 2", 8, 8, 64, 4), ("4x4x64 in 4", 4, 4, 64, 1),
        ("16x8x128 in 8", 16, 8, 128, 2), ("8x4x32 in 2", 8, 4, 32, 4),
    )
}  # fmt: skip
KINDS = ("bytes", "wide", "tables", "second")
PRODUCTS = ("product", "wide product", "product tables")
ORDERS = list(permutations(range(3)))


@dataclass
class Seen:
    """What happened, and in which cycle."""

    accepted: list[int] = field(default_factory=list)
    finished: list[int] = field(default_factory=list)
    pushed: list[int] = field(default_factory=list)
    writes: list[Write] = field(default_factory=list)
    times: list[int] = field(default_factory=list)


class Bench:
    """A result stage between an array, a feature memory and a load unit that the test plays."""

    def __init__(self, shape: EngineShape, seed: int) -> None:
        self.shape, self.rng = shape, Random(seed)
        self.stage = ResultStage(shape)
        rng = self.rng
        self.parameters = [
            [parameters_of(rng) for _ in range(shape.pe)] for _ in range(shape.parameter_words)
        ]
        self.tables = [spread(rng, 32) for _ in range(512)]
        self.features = [rng.randbytes(shape.bank_bytes) for _ in range(BANKS)]
        self.cycle = 0

    async def load(self, ctx: Any) -> None:
        """Write parameters and tables, a slice a cycle."""
        port, step = self.stage.parameter_write, self.shape.bus_bytes
        ctx.set(port.en, 1)
        for word, lanes in enumerate(self.parameters):
            image = b""
            for first in range(0, self.shape.pe, self.shape.requantizers):
                row = b"".join(
                    RECORD.pack(p.fields()) for p in lanes[first : first + self.shape.requantizers]
                )
                image += row.ljust(self.shape.parameter_row_bytes, b"\xa5")
            for n in range(0, len(image), step):
                ctx.set(port.word, word)
                ctx.set(port.slice, n // step)
                ctx.set(port.data, int.from_bytes(image[n : n + step], "little"))
                await ctx.tick()
        ctx.set(port.en, 0)
        table, entries = self.stage.table_write, step // 4
        ctx.set(table.en, 1)
        for word in range(512 // entries):
            ctx.set(table.word, word)
            ctx.set(table.data, join(self.tables[word * entries : (word + 1) * entries], 32))
            await ctx.tick()
        ctx.set(table.en, 0)

    async def play(
        self,
        ctx: Any,
        commands: list[Command],
        sums: str = "always",
        offers: str = "always",
        banks: str = "always",
        latency: int = 3,
        limit: int = 400,
        watch: tuple[Value, list[int]] | None = None,
    ) -> Seen:
        """Carry out commands; sums are pushed as early as there is room for them.

        ``limit`` : cycles that are given beside those of the sums. ``watch`` : a signal, and where
        its value of each cycle goes.
        """
        stage, seen = self.stage, Seen()
        words = deque(word for command in commands for word in command.sums)
        waiting = deque(commands)
        gaps = [pattern(kind, n) for n, kind in enumerate((sums, offers, banks))]
        pipeline = deque([None] * latency)
        answers = deque([0] * FeatureMemory.LATENCY)
        offered, cycle = False, 0
        while len(seen.finished) < len(commands):
            take = bool(words) and ctx.get(stage.room) and next(gaps[0])
            ctx.set(stage.take, take)
            pipeline.append(words.popleft() if take else None)
            word = pipeline.popleft()
            ctx.set(stage.push, word is not None)
            if word is not None:
                ctx.set(Value.cast(stage.acc), join(word, 32))
                seen.pushed.append(cycle)
            offered = bool(waiting) and (offered or next(gaps[1]))
            ctx.set(stage.command.valid, offered)
            if offered:
                image = COMPUTE.pack(waiting[0].fields)
                ctx.set(Value.cast(stage.command.payload), int.from_bytes(image, "little"))
                if ctx.get(stage.command.ready):
                    seen.accepted.append(cycle)
                    waiting.popleft()
                    offered = False
            self._memory(ctx, next(gaps[2]), answers)
            if ctx.get(stage.result.en):
                data, mask = ctx.get(stage.result.data), ctx.get(stage.result.mask)
                written = tuple(
                    data >> 8 * n & 255 if mask >> n & 1 else None for n in range(self.shape.word)
                )
                seen.writes.append(
                    (ctx.get(stage.result.bank), ctx.get(stage.result.addr), written)
                )
                seen.times.append(cycle)
            if ctx.get(stage.finished):
                seen.finished.append(cycle)
            if watch is not None:
                watch[1].append(ctx.get(watch[0]))
            await ctx.tick()
            cycle += 1
            assert cycle < limit + 60 * sum(len(c.sums) + 9 for c in commands), "stuck"
        assert not words
        return seen

    def _memory(self, ctx: Any, willing: bool, answers: deque[int]) -> None:
        """The second operand's side of the feature memory; what nobody asked for is noise."""
        port = self.stage.second
        ctx.set(port.ready, willing)
        answer = self.rng.getrandbits(8 * self.shape.word)
        if ctx.get(port.en) and willing:
            bank = self.features[ctx.get(port.bank)]
            addr = ctx.get(port.addr)
            answer = join([bank[(addr + n) % len(bank)] for n in range(self.shape.word)], 8)
        answers.append(answer)
        ctx.set(port.data, answers.popleft())

    def check(self, commands: list[Command], seen: Seen) -> None:
        """Each write is as it must be, and was given before its command was finished."""
        count = 0
        for number, command in enumerate(commands):
            wanted = list(command.writes(self.shape, self.parameters, self.tables, self.features))
            for n, want in enumerate(wanted):
                place = f"command {number}, write {n}: {command.fields}"
                assert seen.writes[count + n] == want, place
            count += len(wanted)
            assert seen.times[count - 1] + FeatureMemory.VISIBLE == seen.finished[number]
        assert count == len(seen.writes)


def commands_of(bench: Bench, count: int) -> list[Command]:
    """Every kind in every order, as many as there are."""
    rng = bench.rng
    cases = [(kind, order) for kind in (*KINDS, *PRODUCTS) for order in ORDERS]
    rng.shuffle(cases)
    return [random_command(rng, bench.shape, bench.parameters, *case) for case in cases[:count]]


@pytest.mark.parametrize("name", SHAPES)
def test_commands_back_to_back(name: str) -> None:
    """Kinds in any orders one after the other, with gaps of all sides; all of both over all
    shapes."""
    bench = Bench(SHAPES[name], seed=len(name))

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        for sums, offers, banks in (
            ("always", "always", "always"),
            ("random", "bursty", "random"),
            ("bursty", "rare", "rare"),
        ):
            commands = commands_of(bench, 12 if sums == "always" else 6)
            bench.check(commands, await bench.play(ctx, commands, sums, offers, banks))

    run(bench.stage, process)


def test_a_reset_begins_anew() -> None:
    """In the midst of everything."""
    bench, reset = Bench(SHAPES["4x4x32"], 6), Signal(name="reset")
    stage = bench.stage

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        for cycles in range(20, 60, 7):
            kind = KINDS[cycles % 4]
            first = random_command(
                bench.rng, bench.shape, bench.parameters, kind, ORDERS[0], (4, 4, 2)
            )
            image = int.from_bytes(COMPUTE.pack(first.fields), "little")
            ctx.set(Value.cast(stage.command.payload), image)
            ctx.set(stage.second.ready, 1)
            for port in (stage.command.valid, stage.take, stage.push):
                ctx.set(port, 1)
            for _ in range(cycles):
                if not ctx.get(stage.room):
                    ctx.set(stage.take, 0)
                    ctx.set(stage.push, 0)
                await ctx.tick()
            for port in (stage.command.valid, stage.take, stage.push):
                ctx.set(port, 0)
            ctx.set(reset, 1)
            await ctx.tick()
            ctx.set(reset, 0)
            commands = commands_of(bench, 3)
            bench.check(commands, await bench.play(ctx, commands))

    run(ResetInserter(reset)(stage), process)


@pytest.mark.parametrize("seed", range(3))
def test_values_at_their_thresholds(seed: int) -> None:
    """Few channels of many shifts, with sums at which results change, ties, extremes."""
    bench = Bench(SHAPES["4x4x32"], seed)
    rng = bench.rng
    for word in bench.parameters:
        for lane in range(bench.shape.pe):
            # Results of some bits, so that few of them are at their bounds.
            mult = rng.choice([1, 3, -5, rng.getrandbits(31) | 1])
            bias = rng.randint(-(1 << 40), 1 << 40)
            word[lane] = Parameters(mult, bias, rng.randint(0, 63))

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        commands = []
        for n in range(24):
            command = random_command(
                rng, bench.shape, bench.parameters, KINDS[n % 2], ORDERS[n % 6], (4, 3, 2)
            )
            command.fields |= {"lanes": bench.shape.pe}
            commands.append(command)
        bench.check(commands, await bench.play(ctx, commands))

    run(bench.stage, process)


def test_sums_are_extreme() -> None:
    """The largest products and biases there are: none is lost."""
    bench = Bench(SHAPES["4x4x32"], 5)
    low, high, wide = -(1 << 31), (1 << 31) - 1, (1 << 57) - 1
    signs = [(m, b) for m in (low, high) for b in (-wide - 1, wide)]
    bench.parameters = [
        [Parameters(m, b, (0, 31, 32, 63)[n % 4]) for m, b in signs]
        for n in range(bench.shape.parameter_words)
    ]
    bench.tables = [(low, high)[n % 2] for n in range(512)]

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        commands = []
        for n in range(16):
            kind = KINDS[1 + 2 * (n % 2)]
            command = random_command(
                bench.rng, bench.shape, bench.parameters, kind, ORDERS[0], (4, 2, 1)
            )
            command.fields |= {"low": low, "high": high, "lanes": 4, "parameter": n // 2}
            command.sums = [
                [bench.rng.choice([low, high, low + 1]) for _ in range(4)] for _ in command.sums
            ]
            commands.append(command)
        bench.check(commands, await bench.play(ctx, commands))

    run(bench.stage, process)


@pytest.mark.parametrize("name", SHAPES)
def test_cycles(name: str) -> None:
    """Begin, word after word, group after group, end: what the plan counts with."""
    shape = SHAPES[name]
    bench = Bench(shape, 1)
    stage, rng = bench.stage, bench.rng
    assert (stage.LATENCY, stage.TABLE_LATENCY, stage.START_SECOND) == (16, 21, 11)

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        for kind in (*KINDS, *PRODUCTS):
            tables, wide = "tables" in kind or kind == "second", "wide" in kind
            latency = stage.TABLE_LATENCY if tables else stage.LATENCY
            cycles = stage.cycles(wide, tables)
            with_second = kind == "second" or kind in PRODUCTS
            start = stage.START_SECOND if with_second else stage.START
            # Columns inside groups, and groups inside columns.
            commands = [
                random_command(rng, shape, bench.parameters, kind, order, sizes)
                for order, sizes in (((0, 1, 2), (20, 1, 3)), ((2, 0, 1), (4, 1, 2)))
            ]
            seen = await bench.play(ctx, commands, latency=1)
            bench.check(commands, seen)
            assert seen.accepted == [0, seen.finished[0] + 1]
            for command, words, begun in zip(commands, (60, 8), seen.accepted, strict=True):
                # When slices began that gave a write: but of wide words, the last ones.
                each = cycles if wide else 1
                first = begun + start + latency + cycles - each
                mine = range(first, first + words * cycles, cycles // each)
                assert [t for t in seen.times if begun <= t][: words * each] == list(mine), kind
                assert len(command.sums) == words

    run(stage, process)


def test_a_word_begins_in_the_cycle_after_it_was_pushed() -> None:
    bench = Bench(SHAPES["4x4x32"], 1)

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        command = random_command(
            bench.rng, bench.shape, bench.parameters, "bytes", ORDERS[0], (9, 2, 1)
        )
        seen = await bench.play(ctx, [command], latency=30)
        assert seen.times == [t + 1 + bench.stage.LATENCY for t in seen.pushed]

    run(bench.stage, process)


class WithMemory(wiring.Component):
    """A result stage with its feature memory."""

    def __init__(self, shape: EngineShape) -> None:
        self.stage, self.memory = ResultStage(shape), FeatureMemory(shape)
        super().__init__({})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.stage, m.submodules.memory = self.stage, self.memory
        wiring.connect(m, self.stage.second, self.memory.second)
        wiring.connect(m, self.stage.result, self.memory.result)
        return m


def test_what_a_finished_command_wrote_can_be_read_at_once() -> None:
    """The last word, and the second operand, of a real memory."""
    shape = SHAPES["8x8x64"]
    bench, pair = Bench(shape, 3), WithMemory(shape)
    bench.stage = pair.stage
    command = random_command(bench.rng, shape, bench.parameters, "second", ORDERS[0], (1, 1, 1))
    command.fields |= {"lanes": 8, "y_base": 5, "second_base": 77, "y_pitch": 0, "second_pitch": 0}
    command.fields |= {"second_low": -128, "second_high": 127}
    ((bank, addr, want),) = command.writes(shape, bench.parameters, bench.tables, bench.features)
    other, first = command.place("second", 0, 0)

    async def process(ctx: Any) -> None:
        await bench.load(ctx)
        ctx.set(pair.memory.load.en, 1)
        ctx.set(pair.memory.load.bank, other)
        ctx.set(pair.memory.load.addr, first)
        ctx.set(pair.memory.load.data, join(bench.features[other][first : first + 8], 8))
        ctx.set(pair.memory.load.mask, 255)
        await ctx.tick()
        ctx.set(pair.memory.load.en, 0)
        image = int.from_bytes(COMPUTE.pack(command.fields), "little")
        ctx.set(Value.cast(pair.stage.command.payload), image)
        ctx.set(pair.stage.command.valid, 1)
        ctx.set(pair.stage.take, 1)
        ctx.set(pair.stage.push, 1)
        ctx.set(Value.cast(pair.stage.acc), join(command.sums[0], 32))
        await ctx.tick()
        for port in (pair.stage.command.valid, pair.stage.take, pair.stage.push):
            ctx.set(port, 0)
        while not ctx.get(pair.stage.finished):
            await ctx.tick()
        ctx.set(pair.memory.store.en, 1)
        ctx.set(pair.memory.store.bank, bank)
        ctx.set(pair.memory.store.addr, addr)
        for _ in range(FeatureMemory.LATENCY):
            await ctx.tick()
        assert ctx.get(pair.memory.store.data) == join([byte or 0 for byte in want], 8)

    run(pair, process)


def test_refuses() -> None:
    with pytest.raises(ValueError, match="sums must be at least 1"):
        ResultStage(SHAPES["4x4x32"], 0)
    with pytest.raises(ValueError, match="accumulators of 53 bits: at most 52"):
        RequantLane(signed(53))
    with pytest.raises(ValueError, match="6 bytes are not a power of two of entries"):
        Lookup(6)
    with pytest.raises(ValueError, match="COMPUTE has no field 'nothing'"):
        layout(COMPUTE, ("offset", "nothing"))
