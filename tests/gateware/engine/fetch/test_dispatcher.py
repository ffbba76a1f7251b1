"""The dispatcher: how many descriptors wait for their units."""

from __future__ import annotations

from typing import Any

import pytest

from hwgen.contract.isa import RECORDS, Opcode
from hwgen.gateware.engine.fetch.dispatcher import QUEUE, Dispatcher
from tests.helpers.streams import run


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
                    ctx.set(dut.i.payload.ops, 1 << op)  # noqa: B023
                    ctx.set(dut.i.valid, 1)
                    ready = False
                    while not ready:
                        _, _, ready = await ctx.tick().sample(dut.i.ready)
                    taken.append(beat)

        async def process(ctx: Any, taken: Any = taken, count: int = len(beats)) -> None:
            await ctx.tick().repeat(400)
            assert len(taken) // count == tiles * QUEUE[unit]  # noqa: B023

        run(dut, process, feed)
