"""The AXI4-Lite port in front of registers: any order, any delays, its latencies."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Module, Signal
from amaranth.lib import wiring

from hwgen.gateware.bus.axilite import Register, RegisterPort, lite_members, serve
from tests.helpers.streams import run

MAP = (
    Register("A", 0x0, "rw", 0x11223344, "written"),
    Register("B", 0x4, "ro", 0xB, "read"),
    Register("C", 0xC, "rw", 0, "written too"),
)
ADDRESS_BITS = 5
WORDS = {register.offset: register for register in MAP}


class Bank(wiring.Component):
    """Two registers that are written by bytes, and a constant."""

    def __init__(self) -> None:
        super().__init__(lite_members(ADDRESS_BITS))

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        port = RegisterPort(MAP, ADDRESS_BITS)
        values = {r.name: Signal(32, init=r.reset, name=r.name.lower()) for r in MAP}
        for register in MAP:
            if register.access == "rw":
                value = values[register.name]
                with m.If(getattr(port, f"write_{register.name}")):
                    m.d.sync += value.eq(port.written(value))
        serve(m, self, port, values)
        return m


@dataclass
class Channel:
    """One channel of a master: what it sends or takes, how often it is willing."""

    name: str
    items: list[dict[str, int]]
    """What it sends; of a channel from the slave nothing."""
    chance: float
    times: list[int] = field(default_factory=list)
    values: list[int] = field(default_factory=list)


def traffic(channels: list[Channel], answers: int, rng: Random) -> None:
    """Drive a bank until each channel from it has given ``answers``; keeps when items passed."""
    bank = Bank()

    async def channel(ctx: Any, c: Channel) -> None:
        sends = bool(c.items)
        mine = getattr(bank, c.name + ("valid" if sends else "ready"))
        theirs = getattr(bank, c.name + ("ready" if sends else "valid"))
        payload = bank.rdata if c.name == "r" else bank.bresp
        cycle = 0
        while len(c.times) < (len(c.items) or answers):
            # A master keeps what it has offered; it may take back that it is ready.
            offered = sends and ctx.get(mine)
            willing = bool(offered) or rng.random() < c.chance
            ctx.set(mine, willing)
            for name, value in c.items[len(c.times)].items() if sends and willing else ():
                ctx.set(getattr(bank, name), value)
            _, _, passes, value = await ctx.tick().sample(theirs, payload)
            if willing and passes:
                c.times.append(cycle)
                c.values.append(value)
                ctx.set(mine, 0)
            cycle += 1
            assert cycle < 100_000, f"{c.name} hangs"
        ctx.set(mine, 0)

    async def all_of_them(ctx: Any) -> None:
        while any(len(c.times) < (len(c.items) or answers) for c in channels):
            await ctx.tick()

    run(bank, all_of_them, *(partial(channel, c=c) for c in channels))


def writes(rng: Random, count: int) -> tuple[list[dict[str, int]], list[dict[str, int]]]:
    """Addresses and words, also beyond the map and to what is only read."""
    addresses = [{"awaddr": rng.randrange(1 << ADDRESS_BITS)} for _ in range(count)]
    words = [{"wdata": rng.getrandbits(32), "wstrb": rng.getrandbits(4)} for _ in range(count)]
    return addresses, words


@pytest.mark.parametrize("chances", [(1, 1, 1), (0.2, 1, 1), (1, 0.2, 1), (1, 1, 0.2), (0.5,) * 3])
def test_every_write_is_answered_after_both_of_its_parts(chances: tuple[float, ...]) -> None:
    rng = Random(f"writes {chances}")
    addresses, words = writes(rng, 60)
    aw, w = Channel("aw", addresses, chances[0]), Channel("w", words, chances[1])
    b = Channel("b", [], chances[2])
    traffic([aw, w, b], 60, rng)
    assert b.values == [0] * 60
    for number, (address, word, answer) in enumerate(zip(aw.times, w.times, b.times, strict=True)):
        both = max(address, word)
        before = b.times[number - 1] if number else -2
        # An answer waits for the one before to be taken.
        assert answer >= max(both, before) + 2
        if chances[2] == 1:
            assert answer == max(both + 2, before + 2)
    if chances == (1, 1, 1):
        assert b.times == list(range(2, 122, 2))


@pytest.mark.parametrize("chance", [1, 0.4])
def test_writes_and_reads_side_by_side(chance: float) -> None:
    """What is read is what some moment between address and answer held."""
    rng = Random(f"both {chance}")
    count = 120
    addresses, words = writes(rng, count)
    reads = [{"araddr": rng.randrange(1 << ADDRESS_BITS)} for _ in range(count)]
    aw, w, ar = (
        Channel("aw", addresses, chance), Channel("w", words, chance), Channel("ar", reads, chance)
    )  # fmt: skip
    b, r = Channel("b", [], chance), Channel("r", [], chance)
    traffic([aw, w, b, ar, r], count, rng)
    held = {offset: register.reset for offset, register in WORDS.items()}
    history: list[tuple[int, dict[int, int]]] = [(-1, dict(held))]
    for number, (address, word) in enumerate(zip(addresses, words, strict=True)):
        offset = address["awaddr"] & ~3
        both = max(aw.times[number], w.times[number])
        before = b.times[number - 1] if number else -2
        if offset in WORDS and WORDS[offset].access == "rw":
            mask = sum(0xFF << 8 * n for n in range(4) if word["wstrb"] >> n & 1)
            held[offset] = held[offset] & ~mask | word["wdata"] & mask
        # Written in the cycle after both parts came, or after the answer before was taken.
        history.append((max(both, before) + 1, dict(held)))
    for address, asked, answered, value in zip(reads, ar.times, r.times, r.values, strict=True):
        assert answered >= asked + 1
        _, then = [entry for entry in history if entry[0] < asked][-1]
        assert value == then.get(address["araddr"] & ~3, 0)
    if chance == 1:
        assert ar.times == list(range(0, 2 * count, 2))
        assert r.times == [time + 1 for time in ar.times]


def test_address_and_data_in_any_order() -> None:
    """Each waits for the other as long as it takes, and nothing is written before."""
    bank = Bank()

    async def process(ctx: Any) -> None:
        for first, second in (("aw", "w"), ("w", "aw")):
            ctx.set(bank.awaddr, 0xC)
            ctx.set(bank.wdata, 0xDEADBEEF)
            ctx.set(bank.wstrb, 0xF)
            ctx.set(getattr(bank, f"{first}valid"), 1)
            await ctx.tick()
            ctx.set(getattr(bank, f"{first}valid"), 0)
            for _ in range(5):
                # What was on the bus is not looked at again.
                ctx.set(bank.awaddr, 0x0) if first == "aw" else ctx.set(bank.wdata, 0)
                assert not ctx.get(getattr(bank, f"{first}ready"))
                assert ctx.get(getattr(bank, f"{second}ready"))
                assert not ctx.get(bank.bvalid)
                await ctx.tick()
            ctx.set(getattr(bank, f"{second}valid"), 1)
            await ctx.tick()
            ctx.set(getattr(bank, f"{second}valid"), 0)
            assert not ctx.get(bank.bvalid)
            await ctx.tick()
            for _ in range(3):
                assert ctx.get(bank.bvalid) and ctx.get(bank.bresp) == 0
                await ctx.tick()
            ctx.set(bank.bready, 1)
            await ctx.tick()
            ctx.set(bank.bready, 0)
            assert not ctx.get(bank.bvalid)
            for address, want in ((0xC, 0xDEADBEEF), (0x0, 0x11223344)):
                ctx.set(bank.araddr, address)
                ctx.set(bank.arvalid, 1)
                await ctx.tick()
                ctx.set(bank.arvalid, 0)
                assert ctx.get(bank.rvalid) and ctx.get(bank.rdata) == want
                ctx.set(bank.rready, 1)
                await ctx.tick()
                ctx.set(bank.rready, 0)

    run(bank, process)


def test_a_map_must_fit_its_addresses() -> None:
    with pytest.raises(ValueError, match="beyond"):
        RegisterPort([Register("FAR", 64, "ro", 0, "too far")], 6)
