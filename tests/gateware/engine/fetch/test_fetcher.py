"""Whole programs through fetcher, units and masters; tiles are done by a model."""

from __future__ import annotations

from collections.abc import Callable
from itertools import chain, repeat
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module, ResetInserter, Signal

from hwgen.contract.engine import EngineShape
from hwgen.contract.isa import COMPUTE, RECORDS, SLOT, TRANSFER, ErrorCode, Opcode, Target
from hwgen.gateware.bus.read_master import ReadMaster
from hwgen.gateware.engine.fetch.dispatcher import QUEUE, QUIET_CYCLES, Dispatcher
from hwgen.gateware.engine.fetch.fetcher import Fetcher
from hwgen.gateware.engine.memory.dma import Dma
from hwgen.gateware.engine.memory.row_walker import RowWalker
from tests.helpers.axi import AxiMemory
from tests.helpers.pysim import pattern
from tests.helpers.streams import run
from tests.helpers.transfers import Buffers, FeatureModel, random_words, word_process

SHAPES = {
    "32": EngineShape(4, 8, 8 << 10, 16, 16, 8, 32),
    "64": EngineShape(8, 16, 8 << 10, 32, 16, 8, 64),
    "256": EngineShape(16, 4, 8 << 10, 16, 16, 4, 256),
}
SMALL = SHAPES["64"]
SIZE, PROGRAM, LOWEST = 1 << 15, 1 << 13, 1 << 14
"""The image: data, the program, and from LOWEST on what may be written."""
BASE = 0x2000_0100
AREAS = 4
Descriptor = tuple[Opcode, dict[str, int]]


def packed(program: list[Descriptor]) -> bytes:
    """Descriptors as they lie in memory."""
    parts = []
    for op, fields in program:
        record = RECORDS.get(op, TRANSFER)
        units = {"units": 1} if op in (Opcode.LOAD, Opcode.STORE) else {}
        parts.append(record.pack({"op": op} | units | fields)[: record.size // 8 if op else SLOT])
    return b"".join(parts)


class Programmer:
    """Makes random programs whose result does not depend on how long anything takes.

    Each area of the feature-map memory is loaded, worked on and stored in turn; what follows waits
    for what was there before.
    """

    def __init__(self, shape: EngineShape, rng: Random) -> None:
        self.shape, self.rng, self.buffers = shape, rng, Buffers(shape, rng)
        self.counts = {Opcode.LOAD: 0, Opcode.COMPUTE: 0, Opcode.STORE: 0}
        self.program: list[Descriptor] = []
        self._free = [(0, 0)] * AREAS
        self._out = LOWEST

    def add(self, op: Opcode, fields: dict[str, int]) -> int:
        """Append a descriptor; returns the count that it finishes with."""
        self.program.append((op, fields | {"layer": len(self.program) % 4096}))
        self.counts[op] += 1
        return self.counts[op]

    def rows(self, area: int) -> dict[str, int]:
        size = self.rng.choice((self.rng.randint(1, 20), self.rng.randint(1, 60)))
        groups = self.rng.randint(1, 2)
        place = self.shape.bank_bytes // AREAS
        return {
            "rows": self.rng.randint(1, 4 * groups), "bytes": size, "base": area * place + 3,
            "bank_pitch": size, "ring": 4 * groups, "first": self.rng.randrange(4 * groups),
        }  # fmt: skip

    def step(self) -> None:
        """Load, work, store; and now and then words, which nobody reads."""
        rng, area = self.rng, self.rng.randrange(AREAS)
        stored, worked = self._free[area]
        rows = self.rows(area)
        load = rows | {
            "address": rng.randrange(PROGRAM - 8 * 60),
            "pitch": 60,
            "wait_store": stored,
            "wait_compute": worked,
        }
        loads = self.add(Opcode.LOAD, load)
        if rng.random() < 0.4:
            # All words have the same source: the order of loads is kept anyhow.
            self.add(Opcode.LOAD, random_words(rng, self.buffers, 0, PROGRAM))
        tiles = 0
        if rng.random() < 0.5:
            tile = {f.name: rng.randint(*f.range) for f in COMPUTE.fields[5:]}
            tiles = self.add(Opcode.COMPUTE, tile | {"wait_load": loads, "wait_store": stored})
        pitch = rows["bytes"] + rng.randint(0, 9)
        store = rows | {
            "address": self._out, "pitch": pitch, "wait_load": loads, "wait_compute": tiles
        }  # fmt: skip
        self._out += pitch * rows["rows"] + rng.randint(0, 5)
        self._free[area] = (self.add(Opcode.STORE, store), max(tiles, worked))

    def steps(self, count: int) -> list[Descriptor]:
        for _ in range(count):
            self.step()
        assert self._out < SIZE
        return [*self.program, (Opcode.END, {})]


class EngineModel:
    """The unit under test with everything around it."""

    def __init__(
        self, shape: EngineShape, program: bytes, seed: int = 1, gaps: str = "always",
        latency: int = 12, **parameters: int,
    ) -> None:  # fmt: skip
        self.rng, self.seed, self.shape = Random(seed), seed, shape
        self.dut = Dma(shape, **parameters)
        data = bytearray(self.rng.randbytes(SIZE))
        data[PROGRAM : PROGRAM + len(program)] = program
        self.before = bytes(data)
        self.memory = AxiMemory(
            self.dut, data, shape.bus_bytes, BASE, latency, parameters.get("max_beats", 64),
            LOWEST, {c: pattern(gaps, n) for n, c in enumerate(("ar", "r", "aw", "w", "b"))},
        )  # fmt: skip
        self.buffers = Buffers(shape, Random(seed))
        self.features = FeatureModel(self.buffers, gaps)
        self.tiles: list[int] = []
        self.begun = {"load": 0, "compute": 0, "store": 0}
        self.offered: dict[str, list[int]] = {unit: [] for unit in self.begun}
        self.finished: dict[str, list[int]] = {unit: [] for unit in self.begun}
        self.tile_cycles: Callable[[], int] = lambda: self.rng.randint(1, 60)
        self.tile_fault = -1
        self.reset = Signal()
        self.cycle = 0

    async def tile_process(self, ctx: Any) -> None:
        """Stands for the compute unit: one tile after the other."""
        dut, left = self.dut, -1
        while True:
            ctx.set(dut.compute.ready, left < 0)
            ctx.set(dut.finished_compute, left == 0)
            fault = left == 0 and len(self.tiles) - 1 == self.tile_fault
            ctx.set(dut.fault_compute, fault)
            ctx.set(dut.fault_compute_layer, 99)
            _, _, valid, word, flush, reset = await ctx.tick().sample(
                dut.compute.valid, dut.compute.payload.as_value(), dut.flush, self.reset
            )
            if valid and left < 0:
                self.tiles.append(word)
                left = self.tile_cycles()
            else:
                left -= left >= 0
            if flush or reset:
                left = -1

    async def watch(self, ctx: Any) -> None:
        """A descriptor begins only when what it waits for is finished."""
        fetcher, counts = self.dut.fetcher, {"load": 0, "compute": 0, "store": 0}
        signals = [self.dut.flush | self.reset]
        for unit in counts:
            port = getattr(fetcher, unit)
            signals += [getattr(fetcher, f"finished_{unit}"), port.valid, port.ready]
            signals += [getattr(port.payload, f"wait_{other}") for other in counts]
        while True:
            _, _, flush, *seen = await ctx.tick().sample(*signals)
            now = dict(counts)
            for n, unit in enumerate(counts):
                done, valid, ready, *waits = seen[6 * n : 6 * n + 6]
                counts[unit] += done
                self.finished[unit] += [self.cycle] if done else []
                if valid and ready:
                    assert all(a >= b for a, b in zip(now.values(), waits, strict=True))
                    self.begun[unit] += 1
                    self.offered[unit].append(self.cycle)
            if flush:
                counts = dict.fromkeys(counts, 0)
            self.cycle += 1

    async def start(
        self, ctx: Any, program: int = PROGRAM, limit: int = 20_000, end: int = 0xFFFF_FFE0
    ) -> tuple[int, int]:
        """Run the program; returns the error and its layer."""
        dut = self.dut
        ctx.set(dut.base, BASE)
        ctx.set(dut.limit, SIZE)
        ctx.set(dut.lowest, LOWEST)
        ctx.set(dut.program, program)
        ctx.set(dut.program_end, end)
        ctx.set(dut.start, 1)
        await ctx.tick()
        ctx.set(dut.start, 0)
        for _ in range(limit):
            _, _, done, busy = await ctx.tick().sample(dut.done, dut.busy)
            assert busy
            if done:
                assert not ctx.get(dut.busy) and self.memory.quiet
                return ctx.get(dut.error), ctx.get(dut.layer)
        raise AssertionError("neither an end nor an error")

    def restore(self) -> None:
        """All memories as they were at the beginning."""
        self.memory.data[:] = self.before
        self.buffers.banks = Buffers(self.shape, Random(self.seed)).banks
        self.tiles.clear()

    def run(self, process: Any) -> None:
        m = Module()
        m.submodules.dut = ResetInserter(self.reset)(self.dut)
        run(
            m, process, self.memory.process, self.watch, self.tile_process,
            word_process(self.buffers, self.dut),
            self.features.write_process(self.dut.load_features),
            self.features.read_process(self.dut.store_features),
        )  # fmt: skip

    def check(self, program: list[Descriptor], runs: int = 1) -> None:
        """Memory and buffers are as the program, carried out in order, leaves them."""
        want, memory = Buffers(self.shape, Random(self.seed)), bytearray(self.before)
        tiles = []
        for op, fields in program:
            if op == Opcode.LOAD:
                want.load({"target": Target.FEATURES, "pitch": 0} | fields, memory)
            elif op == Opcode.STORE:
                want.store(fields, memory)
            elif op == Opcode.COMPUTE:
                tiles.append(int.from_bytes(COMPUTE.pack({"op": op} | fields), "little"))
        assert self.memory.data == memory
        assert self.buffers.banks == want.banks and self.buffers.words == want.words
        assert self.tiles == tiles * runs


@pytest.mark.parametrize("gaps", ("always", "random", "bursty"))
@pytest.mark.parametrize("name", SHAPES)
def test_programs(name: str, gaps: str) -> None:
    """Loads, tiles and stores that wait for each other, twice in a row."""
    shape = SHAPES[name]
    program = Programmer(shape, Random(f"{name} {gaps}")).steps(14)
    machine = EngineModel(
        shape, packed(program), gaps=gaps, max_beats=16, read_buffer=60, write_buffer=20
    )

    async def process(ctx: Any) -> None:
        assert await machine.start(ctx) == (ErrorCode.NONE, 0)
        assert await machine.start(ctx) == (ErrorCode.NONE, 0)

    machine.run(process)
    machine.check(program, 2)


def simple(count: int = 3) -> list[Descriptor]:
    """Loads and stores of one row each, one after the other."""
    program: list[Descriptor] = []
    for n in range(count):
        rows = {
            "rows": 1, "bytes": 24, "pitch": 32, "base": 0, "bank_pitch": 32, "ring": 4,
            "first": n % 4,
        }  # fmt: skip
        program += [
            (Opcode.LOAD, rows | {"address": 32 * n, "layer": n, "wait_store": n}),
            (Opcode.COMPUTE, {"wait_load": n + 1, "layer": n}),
            (Opcode.STORE, rows | {"address": LOWEST + 32 * n, "wait_compute": n + 1, "layer": n}),
        ]
    return [*program, (Opcode.END, {})]


GOOD = simple()


def changed(number: int, **fields: int) -> list[Descriptor]:
    """The good program with other fields in one of its descriptors."""
    program = list(GOOD)
    op, before = program[number]
    program[number] = (op, before | fields)
    return program


WRONG: dict[str, tuple[list[Descriptor], ErrorCode, int]] = {
    "unknown op": ([*GOOD[:4], (Opcode.END, {"op": 9, "layer": 55})], ErrorCode.UNKNOWN_OP, 55),
    "load": (changed(3, rows=0), ErrorCode.LOAD, 1),
    "store": (changed(5, ring=3), ErrorCode.STORE, 1),
    "load outside": (changed(3, address=SIZE - 23), ErrorCode.LOAD_OUTSIDE, 1),
    "a later row outside": (
        changed(6, address=SIZE - 64, rows=4, ring=4, first=0), ErrorCode.LOAD_OUTSIDE, 2
    ),
    "a later burst outside": (
        changed(0, address=SIZE - 3000, bytes=3001), ErrorCode.LOAD_OUTSIDE, 0
    ),
    "store outside": (changed(8, address=SIZE - 16), ErrorCode.STORE_OUTSIDE, 2),
    "store too low": (changed(2, address=LOWEST - 1), ErrorCode.STORE_OUTSIDE, 0),
    "store into the program": (changed(8, address=PROGRAM), ErrorCode.STORE_OUTSIDE, 2),
    "load waits for ever": (changed(3, wait_store=2), ErrorCode.STALL, 1),
    "tile waits for ever": (changed(4, wait_load=5), ErrorCode.STALL, 2),
    "store waits for ever": (changed(8, wait_compute=4), ErrorCode.STALL, 2),
    "all wait for a counter far off": (changed(0, wait_load=0x7FFF), ErrorCode.STALL, 0),
    "a full queue before what is waited for": (
        [*[(Opcode.STORE, GOOD[2][1] | {"wait_load": 1})] * 9, *GOOD], ErrorCode.STALL, 0
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_named_and_the_next_run_is_right(name: str) -> None:
    """Whatever is wrong, the run ends, with its code and layer; a good program then runs."""
    program, code, layer = WRONG[name]
    wrong, good = packed(program), packed(GOOD)
    machine = EngineModel(SMALL, wrong)
    second = PROGRAM + 4096
    machine.memory.data[second : second + len(good)] = good
    machine.before = bytes(machine.memory.data)

    async def process(ctx: Any) -> None:
        assert await machine.start(ctx, limit=1000) == (code, layer)
        machine.restore()
        assert await machine.start(ctx, second) == (ErrorCode.NONE, 0)

    machine.run(process)
    machine.check(GOOD)


@pytest.mark.parametrize(
    ("kind", "burst", "code"),
    (
        ("fetch", 0, ErrorCode.FETCH),
        ("load", None, ErrorCode.READ),
        ("store", 1, ErrorCode.WRITE),
        ("tile", 1, ErrorCode.COMPUTE),
    ),
)
def test_answers_that_are_errors_end_the_run(kind: str, burst: int | None, code: ErrorCode) -> None:
    machine = EngineModel(SMALL, packed(GOOD))
    memory = machine.memory

    class Anywhere(set):
        """The second beat of each burst below the program."""

        def __contains__(self, key: object) -> bool:
            number, beat = key  # type: ignore[misc]
            return beat == 1 and memory.reads[number].address - BASE == 32

    if kind == "fetch":
        memory.read_faults = {(burst, 0)}
    elif kind == "load":
        memory.read_faults = Anywhere()
    elif kind == "store":
        memory.write_faults = {burst}
    else:
        machine.tile_fault = 1

    async def process(ctx: Any) -> None:
        error, layer = await machine.start(ctx, limit=1000)
        assert error == code
        assert layer == {"fetch": 0, "load": 1, "store": 1, "tile": 99}[kind]
        memory.read_faults, memory.write_faults, machine.tile_fault = set(), set(), -1
        machine.restore()
        assert await machine.start(ctx) == (ErrorCode.NONE, 0)

    machine.run(process)
    machine.check(GOOD)


def test_a_program_at_the_end_of_the_image() -> None:
    """END may be the last slot; a program without it does not go on outside."""
    program = packed(GOOD)
    machine = EngineModel(SMALL, program)
    machine.memory.data[SIZE - len(program) :] = program
    machine.before = bytes(machine.memory.data)

    async def process(ctx: Any) -> None:
        assert await machine.start(ctx, SIZE - len(program)) == (ErrorCode.NONE, 0)
        machine.memory.data[SIZE - SLOT :] = packed([GOOD[0]])
        error, _ = await machine.start(ctx, SIZE - SLOT, 1000)
        assert error == ErrorCode.FETCH_OUTSIDE
        for beyond in (SIZE, SIZE + 4096, 0xFFFF_FFE0):
            error, _ = await machine.start(ctx, beyond, 1000)
            assert error == ErrorCode.FETCH_OUTSIDE

    machine.run(process)


@pytest.mark.parametrize("size", SHAPES)
def test_nothing_beyond_the_program_is_read(size: str) -> None:
    """Not a beat from its end on; without END it ends there with an error."""
    program = packed(GOOD)
    machine = EngineModel(SHAPES[size], program)
    end, bus = PROGRAM + len(program), machine.shape.bus_bytes

    def fetched() -> list[int]:
        bursts = [(b.address - BASE, b.beats) for b in machine.memory.reads]
        return [
            place
            for start, beats in bursts
            for place in range(start, start + beats * bus, bus)
            if start >= PROGRAM
        ]

    async def process(ctx: Any) -> None:
        assert await machine.start(ctx, end=end) == (ErrorCode.NONE, 0)
        assert fetched() == list(range(PROGRAM, end, bus))
        for wrong in (end - SLOT, end - 3 * SLOT, PROGRAM + SLOT, PROGRAM, PROGRAM - SLOT, 0):
            machine.memory.reads.clear()
            error, _ = await machine.start(ctx, limit=1000, end=wrong)
            assert error == ErrorCode.FETCH_OUTSIDE
            assert all(place < wrong for place in fetched())

    machine.run(process)


@pytest.mark.parametrize("channel", ("ar", "r", "aw", "w", "b"))
def test_a_slow_memory_is_no_error(channel: str) -> None:
    """2,000 cycles without ready or valid on each channel, in the middle of a program."""
    program = Programmer(SMALL, Random(3)).steps(5)
    machine = EngineModel(SMALL, packed(program))
    machine.memory.rates[channel] = chain(repeat(True, 100), repeat(False, 2_000), repeat(True))

    async def process(ctx: Any) -> None:
        assert await machine.start(ctx) == (ErrorCode.NONE, 0)
        assert machine.memory.cycle > 2_000

    machine.run(process)
    machine.check(program)


def test_long_tiles_and_full_queues_are_no_error() -> None:
    program: list[Descriptor] = [
        *[(Opcode.COMPUTE, {"layer": n}) for n in range(6)],
        *[(Opcode.LOAD, GOOD[0][1] | {"wait_compute": 6, "wait_store": 0})] * 7,
        (Opcode.END, {}),
    ]
    machine = EngineModel(SMALL, packed(program))
    machine.tile_cycles = lambda: 10 * QUIET_CYCLES

    async def process(ctx: Any) -> None:
        assert await machine.start(ctx) == (ErrorCode.NONE, 0)

    machine.run(process)
    assert machine.begun == {"load": 7, "compute": 6, "store": 0}


def test_counters_wrap() -> None:
    """More than 2**16 is not reached in a test: the comparison is that of signed differences."""
    dut = Dispatcher(32)
    load = {"op": Opcode.LOAD, "wait_compute": 0xFFFE}

    async def process(ctx: Any) -> None:
        ctx.set(dut.i.payload.data, int.from_bytes(TRANSFER.pack(load), "little"))
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(10)
        # 0 is two beyond 0xFFFE.
        assert ctx.get(dut.load.valid)

    run(dut, process)


def test_a_reset_in_the_middle() -> None:
    program = Programmer(SMALL, Random(4)).steps(6)
    machine = EngineModel(SMALL, packed(program), gaps="random")

    async def process(ctx: Any) -> None:
        dut = machine.dut
        for cycles in (9, 60, 150, 333):
            ctx.set(dut.start, 1)
            ctx.set(dut.base, BASE)
            ctx.set(dut.limit, SIZE)
            ctx.set(dut.lowest, LOWEST)
            ctx.set(dut.program, PROGRAM)
            ctx.set(dut.program_end, SIZE)
            await ctx.tick()
            ctx.set(dut.start, 0)
            await ctx.tick().repeat(cycles)
            ctx.set(machine.reset, 1)
            await ctx.tick()
            machine.memory.forget()
            ctx.set(machine.reset, 0)
            assert not ctx.get(dut.busy)
        machine.restore()
        assert await machine.start(ctx) == (ErrorCode.NONE, 0)

    machine.run(process)
    machine.check(program)


def test_a_start_while_busy_does_nothing() -> None:
    machine = EngineModel(SMALL, packed(GOOD))

    async def again(ctx: Any) -> None:
        for _ in range(40):
            await ctx.tick().repeat(3)
            ctx.set(machine.dut.start, 1)
            await ctx.tick()
            ctx.set(machine.dut.start, 0)

    async def process(ctx: Any) -> None:
        assert await machine.start(ctx) == (ErrorCode.NONE, 0)
        await ctx.tick().repeat(200)

    m = Module()
    m.submodules.dut = machine.dut
    run(
        m, process, again, machine.memory.process, machine.tile_process,
        machine.features.write_process(machine.dut.load_features),
        machine.features.read_process(machine.dut.store_features),
    )  # fmt: skip
    assert machine.memory.data[LOWEST : LOWEST + 24] == machine.before[:24]


def test_latencies() -> None:
    """Those that the planner counts with. A start in cycle 0, a memory of 12 cycles."""
    machine = EngineModel(SMALL, packed(simple(1)), latency=12)
    machine.tile_cycles = lambda: 5
    done: list[int] = []

    async def process(ctx: Any) -> None:
        assert await machine.start(ctx) == (ErrorCode.NONE, 0)
        done.append(machine.cycle - 1)

    machine.run(process)
    times, beats = machine.memory.times, SLOT // SMALL.bus_bytes
    assert times["ar"][0] == Fetcher.START + ReadMaster.LATENCY
    first = times["r"][0]
    assert first == times["ar"][0] + 12
    # A beat that comes is at the fetcher in the next cycle.
    assert machine.offered["load"] == [first + beats + Fetcher.OFFER]
    reads = zip(machine.memory.reads, times["ar"], strict=True)
    asked = [time for burst, time in reads if burst.address == BASE]
    assert asked[0] == machine.offered["load"][0] + RowWalker.LATENCY + ReadMaster.LATENCY
    # One after the other: load, tile, store.
    assert machine.offered["compute"] == [machine.finished["load"][0] + Dispatcher.OFFER]
    assert machine.offered["store"] == [machine.finished["compute"][0] + Dispatcher.OFFER]
    assert done == [machine.finished["store"][0] + Fetcher.CLOSE]


@pytest.mark.parametrize("tiles", (1, 4))
def test_queues_hold_what_they_say(tiles: int) -> None:
    """So many loads wait at a unit that takes none, for each tile unit; then the program is
    blocked."""
    assert QUEUE == {"load": 4, "compute": 2, "store": 4}
    for op, unit in ((Opcode.LOAD, "load"), (Opcode.COMPUTE, "compute"), (Opcode.STORE, "store")):
        dut = Dispatcher(8, tiles)
        taken: list[int] = []
        word = RECORDS[op].pack({"op": op})
        beats = [int.from_bytes(word[n : n + 8], "little") for n in range(0, len(word), 8)]

        async def feed(ctx: Any, dut: Any = dut, beats: Any = beats, taken: Any = taken) -> None:
            while True:
                for beat in beats:
                    ctx.set(dut.i.payload.data, beat)
                    ctx.set(dut.i.valid, 1)
                    ready = False
                    while not ready:
                        _, _, ready = await ctx.tick().sample(dut.i.ready)
                    taken.append(beat)

        async def process(ctx: Any, taken: Any = taken, count: int = len(beats)) -> None:
            await ctx.tick().repeat(400)
            assert len(taken) // count == tiles * QUEUE[unit]  # noqa: B023

        run(dut, process, feed)
