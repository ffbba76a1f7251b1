"""Whole programs through fetcher, units and masters; tiles are done by a model."""

from __future__ import annotations

from itertools import chain, repeat
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module

from hwgen.contract.isa import SLOT, TRANSFER, ErrorCode, Opcode
from hwgen.gateware.bus.read_master import ReadMaster
from hwgen.gateware.engine.fetch.dispatcher import QUIET_CYCLES, Dispatcher
from hwgen.gateware.engine.fetch.fetcher import Fetcher
from hwgen.gateware.engine.memory.row_walker import RowWalker
from tests.helpers.program_bench import (
    BASE,
    GOOD,
    LOWEST,
    PROGRAM,
    SHAPES,
    SIZE,
    SMALL,
    Descriptor,
    ProgramBench,
    Programmer,
    changed,
    packed,
    simple,
)
from tests.helpers.streams import run

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


@pytest.mark.parametrize("gaps", ("always", "random", "bursty"))
@pytest.mark.parametrize("name", SHAPES)
def test_programs(name: str, gaps: str) -> None:
    """Loads, tiles and stores that wait for each other, twice in a row."""
    shape = SHAPES[name]
    program = Programmer(shape, Random(f"{name} {gaps}")).steps(14)
    machine = ProgramBench(
        shape, packed(program), gaps=gaps, max_beats=16, read_buffer=60, write_buffer=20
    )

    async def process(ctx: Any) -> None:
        assert await machine.start(ctx) == (ErrorCode.NONE, 0)
        assert await machine.start(ctx) == (ErrorCode.NONE, 0)

    machine.run(process)
    machine.check(program, 2)


@pytest.mark.parametrize("name", WRONG)
def test_errors_are_named_and_the_next_run_is_right(name: str) -> None:
    """Whatever is wrong, the run ends, with its code and layer; a good program then runs."""
    program, code, layer = WRONG[name]
    wrong, good = packed(program), packed(GOOD)
    machine = ProgramBench(SMALL, wrong)
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
    ("kind", "code"),
    (
        ("fetch", ErrorCode.FETCH),
        ("load", ErrorCode.READ),
        ("store", ErrorCode.WRITE),
        ("tile", ErrorCode.COMPUTE),
    ),
)
def test_answers_that_are_errors_end_the_run(kind: str, code: ErrorCode) -> None:
    machine = ProgramBench(SMALL, packed(GOOD))
    memory = machine.memory

    class Anywhere(set):
        """The second beat of each burst below the program."""

        def __contains__(self, key: object) -> bool:
            number, beat = key  # type: ignore[misc]
            return beat == 1 and memory.reads[number].address - BASE == 32

    if kind == "fetch":
        memory.read_faults = {(0, 0)}
    elif kind == "load":
        memory.read_faults = Anywhere()
    elif kind == "store":
        memory.write_faults = {1}
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
    machine = ProgramBench(SMALL, program)
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
    machine = ProgramBench(SHAPES[size], program)
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
    machine = ProgramBench(SMALL, packed(program))
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
    machine = ProgramBench(SMALL, packed(program))
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
        ctx.set(dut.i.payload.ops, 1 << Opcode.LOAD)
        ctx.set(dut.i.valid, 1)
        await ctx.tick()
        ctx.set(dut.i.valid, 0)
        await ctx.tick().repeat(10)
        # 0 is two beyond 0xFFFE.
        assert ctx.get(dut.load.valid)

    run(dut, process)


def test_a_reset_in_the_middle() -> None:
    program = Programmer(SMALL, Random(4)).steps(6)
    machine = ProgramBench(SMALL, packed(program), gaps="random")

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
    machine = ProgramBench(SMALL, packed(GOOD))

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
    machine = ProgramBench(SMALL, packed(simple(1)), latency=12)
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
    assert asked[0] == machine.offered["load"][0] + RowWalker.LATENCY + 1 + ReadMaster.LATENCY
    # One after the other: load, tile, store.
    assert machine.offered["compute"] == [machine.finished["load"][0] + Dispatcher.OFFER]
    assert machine.offered["store"] == [machine.finished["compute"][0] + Dispatcher.OFFER]
    assert done == [machine.finished["store"][0] + Fetcher.CLOSE]
