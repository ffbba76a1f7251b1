"""Registers of the tiled engine, alone and with a program that runs."""

from __future__ import annotations

from itertools import pairwise
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module

from hwgen.contract.engine import EngineShape
from hwgen.contract.isa import ErrorCode
from hwgen.gateware.engine.csr import ADDRESS_BITS, REGISTERS, TiledControl, shape_values
from tests.helpers.axilite import Lite
from tests.helpers.program_bench import (
    BASE,
    GOOD,
    LOWEST,
    PROGRAM,
    SIZE,
    ProgramBench,
    changed,
    packed,
)
from tests.helpers.streams import run

OFFSET = {register.name: register.offset for register in REGISTERS}
HASH = 0xFEDCBA9876543210
SHAPE = EngineShape(8, 16, 8 << 10, 32, 16, 8, 64)
IDLE, DONE, REFUSED = 1, 2, 4
OTHER = IDLE | DONE | ErrorCode.IDENTITY << 8
REGION = ("MEM_BASE", "MEM_LIMIT", "WRITE_FROM", "PROGRAM", "PROGRAM_END")
MADE_FOR = {"ENGINE_LO": HASH & 0xFFFFFFFF, "ENGINE_HI": HASH >> 32}
ROUNDED = ("MEM_BASE", "PROGRAM", "PROGRAM_END")


def test_the_map_is_sound() -> None:
    offsets = [r.offset for r in REGISTERS]
    assert len(set(offsets)) == len(offsets)
    assert len({r.name for r in REGISTERS}) == len(REGISTERS)
    for register in REGISTERS:
        assert register.offset % 4 == 0 and register.offset < 1 << ADDRESS_BITS
        assert register.access in ("ro", "rw")
        taken = [bit for f in register.fields for bit in range(f.bit, f.bit + f.width)]
        assert len(set(taken)) == len(taken) and all(bit < 32 for bit in taken)
        assert register.doc and all(f.doc for f in register.fields)
    assert all(value < 1 << 32 for value in shape_values(SHAPE).values())


def test_reset_values_identity_and_shape() -> None:
    csr = TiledControl(SHAPE, HASH)
    lite = Lite(csr)
    given = {"HASH_LO": HASH & 0xFFFFFFFF, "HASH_HI": HASH >> 32} | shape_values(SHAPE)

    async def process(ctx: Any) -> None:
        for register in REGISTERS:
            want = given.get(register.name, register.reset)
            assert await lite.read(ctx, register.offset) == want, register.name
        for address in set(range(0, 1 << ADDRESS_BITS, 4)) - set(OFFSET.values()):
            assert await lite.read(ctx, address) == 0
        assert await lite.read(ctx, OFFSET["SHAPE"]) == 0x01_03_10_08

    run(csr, process)


def test_the_region_is_written_by_bytes_and_only_while_idle() -> None:
    csr = TiledControl(SHAPE, HASH)
    lite = Lite(csr)
    rng = Random(1)

    async def process(ctx: Any) -> None:
        held = {r.name: r.reset for r in REGISTERS if r.name in REGION}
        for _ in range(60):
            name, value, strobe = rng.choice(REGION), rng.getrandbits(32), rng.getrandbits(4)
            await lite.write(ctx, OFFSET[name], value, strobe)
            mask = sum(0xFF << (8 * n) for n in range(4) if strobe >> n & 1)
            held[name] = held[name] & ~mask | value & mask
            if name in ROUNDED:
                held[name] &= ~31
            assert await lite.read(ctx, OFFSET[name]) == held[name]
        for name, value in MADE_FOR.items():
            await lite.write(ctx, OFFSET[name], value)
        await lite.write(ctx, OFFSET["CONTROL"], 1)
        for name in (*REGION, *MADE_FOR):
            await lite.write(ctx, OFFSET[name], 0)
        outputs = (csr.base, csr.limit, csr.lowest, csr.program, csr.program_end)
        assert [ctx.get(output) for output in outputs] == list(held.values())
        for name, value in MADE_FOR.items():
            assert await lite.read(ctx, OFFSET[name]) == value
        assert await lite.read(ctx, OFFSET["STATUS"]) & IDLE == 0
        for register in REGISTERS:
            if register.access == "ro":
                await lite.write(ctx, register.offset, 0xFFFFFFFF)
        assert await lite.read(ctx, OFFSET["ID"]) == REGISTERS[0].reset

    run(csr, process)


class Engine:
    """Registers in front of everything that moves data."""

    def __init__(self, program: bytes) -> None:
        self.csr = TiledControl(SHAPE, HASH)
        self.lite = Lite(self.csr)
        self.machine, self.program = ProgramBench(SHAPE, program), program

    async def begin(self, ctx: Any) -> None:
        values = (BASE, SIZE, LOWEST, PROGRAM, PROGRAM + len(self.program))
        registers = dict(zip(REGION, values, strict=True)) | MADE_FOR
        for name, value in registers.items():
            await self.lite.write(ctx, OFFSET[name], value)

    async def read(self, ctx: Any, name: str) -> int:
        return await self.lite.read(ctx, OFFSET[name])

    async def end(self, ctx: Any) -> int:
        """STATUS when a program has ended."""
        for _ in range(500):
            status = await self.read(ctx, "STATUS")
            if status & IDLE:
                return status
        raise AssertionError("it did not end")

    def run(self, process: Any) -> None:
        csr, dut, machine = self.csr, self.machine.dut, self.machine
        m = Module()
        m.submodules.csr, m.submodules.dut = csr, dut
        for name in ("start", "base", "limit", "lowest", "program", "program_end"):
            m.d.comb += getattr(dut, name).eq(getattr(csr, name))
        for name in ("done", "error", "layer", "read_beat", "write_beat"):
            m.d.comb += getattr(csr, name).eq(getattr(dut, name))
        run(
            m, process, machine.memory.process, machine.tile_process, machine.watch,
            machine.features.write_process(dut.load_features),
            machine.features.read_process(dut.store_features),
        )  # fmt: skip


def test_a_run_from_the_host() -> None:
    """Start, start again while busy, interrupt, counters; then a second run."""
    engine = Engine(packed(GOOD))
    memory, csr = engine.machine.memory, engine.csr

    async def process(ctx: Any) -> None:
        await engine.begin(ctx)
        started, ended = [], []
        for _ in range(2):
            reads, writes = len(memory.times["r"]), len(memory.times["w"])
            await engine.lite.write(ctx, OFFSET["CONTROL"], 0b101)
            assert await engine.read(ctx, "STATUS") == 0 and not ctx.get(csr.irq)
            await engine.lite.write(ctx, OFFSET["CONTROL"], 0b101)
            assert await engine.read(ctx, "STATUS") == REFUSED
            assert await engine.end(ctx) == IDLE | DONE | REFUSED
            assert ctx.get(csr.irq)
            assert await engine.read(ctx, "CONTROL") == 0b100
            assert await engine.read(ctx, "READ_BEATS") == len(memory.times["r"]) - reads
            assert await engine.read(ctx, "WRITE_BEATS") == len(memory.times["w"]) - writes
            started.append(await engine.read(ctx, "CYCLES"))
            ended.append(len(memory.times["w"]) - writes)
            await engine.lite.write(ctx, OFFSET["CONTROL"], 0b010)
            assert await engine.read(ctx, "STATUS") == IDLE
            await ctx.tick()
            assert not ctx.get(csr.irq)
        assert ended == [9, 9]
        assert all(60 < cycles < 400 for cycles in started)

    engine.run(process)
    engine.machine.check(GOOD, 2)


def test_cycles_are_those_from_start_to_done() -> None:
    csr = TiledControl(SHAPE, HASH)
    lite = Lite(csr)

    async def process(ctx: Any) -> None:
        for name, value in MADE_FOR.items():
            await lite.write(ctx, OFFSET[name], value)
        for cycles in (2, 3, 17, 200):
            await lite.write(ctx, OFFSET["CONTROL"], 1)
            # The answer to the write took a cycle: start was high in it.
            await ctx.tick().repeat(cycles - 1)
            ctx.set(csr.done, 1)
            await ctx.tick()
            ctx.set(csr.done, 0)
            assert await lite.read(ctx, OFFSET["CYCLES"]) == cycles + 1

    run(csr, process)


def test_a_start_while_a_program_runs_is_none() -> None:
    csr = TiledControl(SHAPE, HASH)
    lite = Lite(csr)
    starts = 0

    async def watch(ctx: Any) -> None:
        nonlocal starts
        while True:
            _, _, start = await ctx.tick().sample(csr.start)
            starts += start

    async def process(ctx: Any) -> None:
        for name, value in MADE_FOR.items():
            await lite.write(ctx, OFFSET[name], value)
        for run_number in (1, 2):
            for _ in range(3):
                await lite.write(ctx, OFFSET["CONTROL"], 1)
                await ctx.tick().repeat(4)
                assert starts == run_number
            ctx.set(csr.done, 1)
            await ctx.tick()
            ctx.set(csr.done, 0)

    run(csr, process, watch)


def test_a_program_for_another_engine_is_not_begun() -> None:
    """Nothing is read of it, whichever half of its identity is another, and if none was given."""
    engine = Engine(packed(GOOD))
    memory, csr = engine.machine.memory, engine.csr

    async def process(ctx: Any) -> None:
        await engine.lite.write(ctx, OFFSET["CONTROL"], 0b101)
        assert await engine.read(ctx, "STATUS") == OTHER and ctx.get(csr.irq)
        for name, bit in (("ENGINE_LO", 0), ("ENGINE_LO", 31), ("ENGINE_HI", 0), ("ENGINE_HI", 31)):
            await engine.begin(ctx)
            await engine.lite.write(ctx, OFFSET["CONTROL"], 0b111)
            assert await engine.end(ctx) == IDLE | DONE
            assert await engine.read(ctx, "READ_BEATS") > 0
            seen = len(memory.times["r"])
            await engine.lite.write(ctx, OFFSET[name], MADE_FOR[name] ^ 1 << bit)
            await engine.lite.write(ctx, OFFSET["CONTROL"], 0b111)
            assert await engine.read(ctx, "STATUS") == OTHER and ctx.get(csr.irq)
            assert await engine.read(ctx, "ERROR_LAYER") == 0
            for counter in ("CYCLES", "READ_BEATS", "WRITE_BEATS"):
                assert await engine.read(ctx, counter) == 0
            await ctx.tick().repeat(100)
            assert len(memory.times["r"]) == seen

    engine.run(process)
    engine.machine.check(GOOD, 4)


def test_the_interrupt_rises_for_a_program_of_another_engine_too() -> None:
    """For who waits for an edge, though it is high from the run before."""
    csr = TiledControl(SHAPE, HASH)
    lite, levels = Lite(csr), []

    async def watch(ctx: Any) -> None:
        while True:
            await ctx.tick()
            levels.append(ctx.get(csr.irq))

    async def process(ctx: Any) -> None:
        for _ in range(3):
            await lite.write(ctx, OFFSET["CONTROL"], 0b111)
            await ctx.tick().repeat(8)
        assert await lite.read(ctx, OFFSET["STATUS"]) == OTHER

    run(csr, process, watch)
    rises = sum(now > before for before, now in pairwise(levels))
    assert rises == 3


@pytest.mark.parametrize(
    ("number", "fields", "code"),
    ((3, {"rows": 0}, ErrorCode.LOAD), (8, {"wait_load": 9}, ErrorCode.STALL)),
)
def test_errors_stay_until_cleared_or_the_next_start(
    number: int, fields: dict[str, int], code: ErrorCode
) -> None:
    engine = Engine(packed(changed(number, **fields)))

    async def process(ctx: Any) -> None:
        await engine.begin(ctx)
        for _ in range(2):
            await engine.lite.write(ctx, OFFSET["CONTROL"], 1)
            assert await engine.end(ctx) == IDLE | DONE | code << 8
            assert await engine.read(ctx, "ERROR_LAYER") == number // 3
        await engine.lite.write(ctx, OFFSET["CONTROL"], 2)
        assert await engine.read(ctx, "STATUS") == IDLE
        assert await engine.read(ctx, "ERROR_LAYER") == 0
        await engine.lite.write(ctx, OFFSET["CONTROL"], 1)
        assert await engine.read(ctx, "STATUS") == 0

    engine.run(process)
