"""Control and status registers over AXI4-Lite."""

from __future__ import annotations

from collections import Counter
from random import Random
from typing import Any

from hwgen.gateware.stream.csr import ADDRESS_BITS, REGISTERS, ControlStatus
from tests.helpers.axilite import Lite
from tests.helpers.streams import run

OFFSET = {register.name: register.offset for register in REGISTERS}
HASH = 0xFEDCBA9876543210


def test_the_map_is_sound() -> None:
    """Words of their own, fields that fit and do not overlap, reset values within them."""
    offsets = [r.offset for r in REGISTERS]
    assert len(set(offsets)) == len(offsets)
    assert len({r.name for r in REGISTERS}) == len(REGISTERS)
    for register in REGISTERS:
        assert register.offset % 4 == 0
        assert register.offset < 1 << ADDRESS_BITS
        assert register.access in ("ro", "rw")
        taken = [bit for f in register.fields for bit in range(f.bit, f.bit + f.width)]
        assert len(set(taken)) == len(taken)
        assert all(bit < 32 for bit in taken)
        assert register.doc and all(f.doc for f in register.fields)


def test_reset_values_identity_and_unused_addresses() -> None:
    csr = ControlStatus(HASH)
    lite = Lite(csr)
    given = {"HASH_LO": HASH & 0xFFFFFFFF, "HASH_HI": HASH >> 32}

    async def process(ctx: Any) -> None:
        for register in REGISTERS:
            want = given.get(register.name, register.reset)
            assert await lite.read(ctx, register.offset) == want, register.name
        unused = set(range(0, 1 << ADDRESS_BITS, 4)) - set(OFFSET.values())
        for address in unused:
            assert await lite.read(ctx, address) == 0

    run(csr, process)


def test_only_control_is_written_and_by_its_first_byte() -> None:
    csr = ControlStatus(HASH)
    lite = Lite(csr)

    async def process(ctx: Any) -> None:
        before = [await lite.read(ctx, r.offset) for r in REGISTERS]
        for register in REGISTERS:
            if register.access == "ro":
                await lite.write(ctx, register.offset, 0xFFFFFFFF)
        await lite.write(ctx, OFFSET["CONTROL"], 0, strobe=0b1110)
        assert [await lite.read(ctx, r.offset) for r in REGISTERS] == before
        assert ctx.get(csr.enable)
        await lite.write(ctx, OFFSET["CONTROL"], 0)
        assert not ctx.get(csr.enable)
        assert await lite.read(ctx, OFFSET["CONTROL"]) == 0
        await lite.write(ctx, OFFSET["CONTROL"], 3)
        assert await lite.read(ctx, OFFSET["CONTROL"]) == 1

    run(csr, process)


def test_errors_stay_until_they_are_cleared() -> None:
    csr = ControlStatus(HASH)
    lite = Lite(csr)

    async def status(ctx: Any) -> int:
        return await lite.read(ctx, OFFSET["STATUS"]) >> 8

    async def process(ctx: Any) -> None:
        for event, bit in ((csr.short, 1), (csr.long, 2)):
            assert await status(ctx) == 0
            await pulse(ctx, event)
            assert await status(ctx) == bit
            await lite.write(ctx, OFFSET["CONTROL"], 1)
            assert await status(ctx) == bit
            await lite.write(ctx, OFFSET["CONTROL"], 3)
        await pulse(ctx, csr.short)
        await pulse(ctx, csr.long)
        assert await status(ctx) == 3
        assert ctx.get(csr.enable)

    run(csr, process)


async def pulse(ctx: Any, event: Any) -> None:
    """One cycle of an event; the registers follow a cycle later."""
    ctx.set(event, 1)
    await ctx.tick()
    ctx.set(event, 0)
    await ctx.tick()


def test_counters_follow_the_frames() -> None:
    """Random starts and ends, several frames inside: FRAMES, LATENCY, INTERVAL, IDLE.

    One frame is measured at a time: the first that starts while none is.
    """
    rng = Random(7)
    csr = ControlStatus(HASH)
    lite = Lite(csr)
    starts: list[int] = []
    ends: list[int] = []
    measured: list[int] = []
    compared = Counter[str]()

    async def process(ctx: Any) -> None:
        cycle = 0
        for _ in range(12):
            for _ in range(rng.randint(5, 40)):
                inside = len(starts) - len(ends)
                start = rng.random() < 0.15 and inside < 3
                end = rng.random() < 0.1 and inside > 0
                ctx.set(csr.started, start)
                ctx.set(csr.done, end)
                await ctx.tick()
                if start:
                    if not measured or measured[-1] < len(ends):
                        measured.append(len(starts))
                    starts.append(cycle)
                if end:
                    ends.append(cycle)
                cycle += 1
            ctx.set(csr.started, 0)
            ctx.set(csr.done, 0)
            await ctx.tick()
            cycle += 1
            before = lite.cycles
            assert await lite.read(ctx, OFFSET["FRAMES"]) == len(ends)
            assert await lite.read(ctx, OFFSET["STATUS"]) == (len(starts) == len(ends))
            if len(ends) >= 2:
                assert await lite.read(ctx, OFFSET["INTERVAL"]) == ends[-1] - ends[-2]
                compared["interval"] += 1
            finished = [n for n in measured if n < len(ends)]
            if finished:
                want = ends[finished[-1]] - starts[finished[-1]] + 1
                assert await lite.read(ctx, OFFSET["LATENCY"]) == want
                compared["latency"] += 1
            cycle += lite.cycles - before

    run(csr, process)
    assert min(compared["interval"], compared["latency"]) >= 8, compared


def test_the_bus_waits_for_its_master() -> None:
    """A response stays until it is taken, and nothing new is accepted meanwhile."""
    csr = ControlStatus(HASH)

    async def process(ctx: Any) -> None:
        ctx.set(csr.araddr, OFFSET["HASH_LO"])
        ctx.set(csr.arvalid, 1)
        await ctx.tick()
        for _ in range(5):
            ctx.set(csr.araddr, OFFSET["ID"])
            assert ctx.get(csr.rvalid) and not ctx.get(csr.arready)
            assert ctx.get(csr.rdata) == HASH & 0xFFFFFFFF
            assert ctx.get(csr.rresp) == 0
            await ctx.tick()

    run(csr, process)
