"""The feature-map memory against bytes in a list."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from hwgen.contract.engine import BANKS, EngineShape
from hwgen.gateware.common.memory import SimpleDualPort
from hwgen.gateware.engine.memory.feature_memory import Bank, FeatureMemory, Placer
from tests.helpers.streams import join, run, together

SHAPES = {
    "4x4x32": EngineShape(4, 4, feature_bytes=64 * BANKS, mem_width=32),
    "8x8x64": EngineShape(8, 8, feature_bytes=64 * BANKS, mem_width=64),
    "16x16x64": EngineShape(16, 16, feature_bytes=64 * BANKS, mem_width=64),
    "4x32x64": EngineShape(4, 32, feature_bytes=128 * BANKS, mem_width=64),
}


class Model:
    """Bytes of a bank, each with the cycle in which it was written last and what it was before."""

    def __init__(self, size: int) -> None:
        self.size = size
        self.bytes: list[list[tuple[int, int]]] = [[] for _ in range(size)]

    def write(self, cycle: int, addr: int, data: list[int], mask: int) -> None:
        for n, value in enumerate(data):
            if mask >> n & 1:
                self.bytes[(addr + n) % self.size].append((cycle, value))

    def read(self, cycle: int, addr: int, count: int) -> list[int | None]:
        """What a read in this cycle sees: None where that is undefined."""
        seen = []
        for n in range(count):
            history = self.bytes[(addr + n) % self.size]
            before = [value for at, value in history if at + Bank.VISIBLE <= cycle]
            disturbed = any(at == cycle - 1 for at, _ in history)
            seen.append(before[-1] if before and not disturbed else None)
        return seen


def check(got: int, want: list[int | None], what: str) -> None:
    for n, byte in enumerate(want):
        if byte is not None:
            assert got >> 8 * n & 255 == byte, f"{what}, byte {n}"


def test_the_latencies_are_what_the_plan_counts_with() -> None:
    assert (Bank.LATENCY, Bank.VISIBLE) == (FeatureMemory.LATENCY, FeatureMemory.VISIBLE) == (3, 2)


@pytest.mark.parametrize("word", [2, 4, 16, 64])
def test_a_bank_reads_and_writes_at_any_byte(word: int) -> None:
    """A write and a read in every cycle, near to each other and across the end."""
    rng = Random(word)
    size = 8 * word
    bank, placer, model = Bank(word, size), Placer(word, size), Model(size)
    m = together(bank=bank, placer=placer)
    m.d.comb += bank.w.eq(placer.o)
    wanted: dict[int, list[int | None]] = {}

    async def process(ctx: Any) -> None:
        compared = 0
        for cycle in range(900):
            # First every byte is written, from an odd place on; then anything.
            addr = 1 + cycle * word if cycle < 8 else rng.randrange(size)
            data = [rng.randrange(256) for _ in range(word)]
            mask = (1 << word) - 1 if cycle < 8 else rng.getrandbits(word)
            en = cycle < 8 or rng.random() < 0.7
            ctx.set(placer.en, en)
            ctx.set(placer.addr, addr % size)
            ctx.set(placer.data, join(data, 8))
            ctx.set(placer.mask, mask)
            if en:
                model.write(cycle, addr, data, mask)
            r_addr = (addr + rng.randint(-2 * word, 2 * word)) % size
            r_en = rng.random() < 0.8
            ctx.set(bank.r_en, r_en)
            ctx.set(bank.r_addr, r_addr)
            if r_en:
                wanted[cycle + Bank.LATENCY] = model.read(cycle, r_addr, word)
            await ctx.tick()
            want = wanted.get(cycle + 1, [])
            compared += sum(byte is not None for byte in want)
            check(ctx.get(bank.r_data), want, f"cycle {cycle + 1}")
        assert compared > 300 * word

    run(m, process)


class Traffic:
    """All clients of a feature memory, with what they must get."""

    def __init__(self, shape: EngineShape, seed: int, busy: Callable[[str, Random], bool]) -> None:
        self.shape, self.rng, self.busy = shape, Random(seed), busy
        self.memory = FeatureMemory(shape)
        self.banks = [Model(shape.bank_bytes) for _ in range(BANKS)]
        self.wanted: dict[tuple[str, int], list[int | None]] = {}
        self.refused = {"second": 0, "store": 0, "load": 0}
        self.compared = 0

    def _addr(self) -> int:
        return self.rng.randrange(self.shape.bank_bytes)

    def _write(self, ctx: Any, name: str, cycle: int, taken: int | None) -> int | None:
        """Offer a write; the bank that it takes. ``taken`` : the bank that can not be had."""
        client, word = getattr(self.memory, name), self.shape.word
        if not self.busy(name, self.rng):
            ctx.set(client.en, 0)
            return None
        bank, addr = self.rng.randrange(BANKS), self._addr()
        data, mask = [self.rng.randrange(256) for _ in range(word)], self.rng.getrandbits(word)
        for member, value in (
            ("en", 1), ("bank", bank), ("addr", addr), ("data", join(data, 8)), ("mask", mask)
        ):  # fmt: skip
            ctx.set(getattr(client, member), value)
        if name == "load":
            assert ctx.get(client.ready) == (bank != taken), f"cycle {cycle}: load"
        if bank == taken:
            self.refused[name] += 1
        else:
            self.banks[bank].write(cycle, addr, data, mask)
        return bank

    def _read(self, ctx: Any, name: str, cycle: int, taken: set[int]) -> int | None:
        client, word = getattr(self.memory, name), self.shape.word
        if not self.busy(name, self.rng):
            ctx.set(client.en, 0)
            return None
        bank, addr = self.rng.randrange(BANKS), self._addr()
        for member, value in (("en", 1), ("bank", bank), ("addr", addr)):
            ctx.set(getattr(client, member), value)
        assert ctx.get(client.ready) == (bank not in taken), f"cycle {cycle}: {name}"
        if bank in taken:
            self.refused[name] += 1
            return None
        self.wanted[name, cycle + FeatureMemory.LATENCY] = self.banks[bank].read(cycle, addr, word)
        return bank

    def step(self, ctx: Any, cycle: int) -> None:
        """Drive a cycle."""
        memory, word = self.memory, self.shape.word
        taken = set()
        for n in range(BANKS):
            en, addr = self.busy("taps", self.rng), self._addr()
            ctx.set(memory.taps_en[n], en)
            ctx.set(memory.taps_addr[n], addr)
            if en:
                taken.add(n)
                seen = self.banks[n].read(cycle, addr, word)
                self.wanted[f"taps{n}", cycle + FeatureMemory.LATENCY] = seen
        second = self._read(ctx, "second", cycle, taken)
        ctx.set(memory.store.en, 0)
        # A refused second still keeps the store from its bank: that one is taken by taps anyway.
        self._read(ctx, "store", cycle, taken | ({second} if second is not None else set()))
        self._write(ctx, "load", cycle, self._write(ctx, "result", cycle, None))

    def look(self, ctx: Any, cycle: int) -> None:
        """Compare what came."""
        memory = self.memory
        got = {f"taps{n}": memory.taps_data[n] for n in range(BANKS)}
        got |= {"second": memory.second.data, "store": memory.store.data}
        for name, value in got.items():
            want = self.wanted.pop((name, cycle), [])
            self.compared += sum(byte is not None for byte in want)
            check(ctx.get(value), want, f"cycle {cycle}: {name}")


@pytest.mark.parametrize("often", [0.25, 0.6])
@pytest.mark.parametrize("name", SHAPES)
def test_clients_take_turns(name: str, often: float) -> None:
    """Everybody at once; who waits is told so, and everybody gets what was written."""
    traffic = Traffic(SHAPES[name], len(name), lambda who, rng: rng.random() < often)

    async def process(ctx: Any) -> None:
        for cycle in range(500):
            traffic.step(ctx, cycle)
            await ctx.tick()
            traffic.look(ctx, cycle + 1)

    run(traffic.memory, process)
    assert all(traffic.refused.values()), traffic.refused
    assert traffic.compared > 1000


def test_a_word_a_cycle_for_everybody() -> None:
    """Taps of three banks, and one client in the fourth: nobody waits."""
    shape = SHAPES["8x8x64"]
    memory = FeatureMemory(shape)

    async def process(ctx: Any) -> None:
        for cycle in range(40):
            ctx.set(memory.taps_en, 0b0111)
            ctx.set(memory.store.en, 1)
            ctx.set(memory.store.bank, 3)
            ctx.set(memory.store.addr, max(cycle - Bank.VISIBLE, 0) * 3 % 64)
            ctx.set(memory.result.en, 1)
            ctx.set(memory.result.bank, 3)
            ctx.set(memory.result.addr, cycle * 3 % 64)
            ctx.set(memory.result.data, join([cycle + n for n in range(8)], 8))
            ctx.set(memory.result.mask, 0b111)
            ctx.set(memory.load.en, 1)
            ctx.set(memory.load.bank, cycle % 3)
            assert ctx.get(memory.store.ready) and ctx.get(memory.load.ready)
            await ctx.tick()
            written = cycle + 1 - Bank.VISIBLE - Bank.LATENCY
            if written >= 0:
                assert ctx.get(memory.store.data) & 0xFFFFFF == join(
                    [written + n for n in range(3)], 8
                )

    run(memory, process)


def test_a_memory_written_in_parts() -> None:
    ram, rng = SimpleDualPort(24, 4, part=8), Random(1)
    model = [0] * 4

    async def process(ctx: Any) -> None:
        for _ in range(200):
            addr, mask, value = rng.randrange(4), rng.getrandbits(3), rng.getrandbits(24)
            ctx.set(ram.w_en, mask)
            ctx.set(ram.w_addr, addr)
            ctx.set(ram.w_data, value)
            ctx.set(ram.r_en, 1)
            asked = (addr + rng.randint(1, 3)) % 4
            ctx.set(ram.r_addr, asked)
            await ctx.tick()
            assert ctx.get(ram.r_data) == model[asked]
            whole = sum(255 << 8 * n for n in range(3) if mask >> n & 1)
            model[addr] = model[addr] & ~whole | value & whole

    run(ram, process)


def test_refuses() -> None:
    with pytest.raises(ValueError, match="word must be a power of two from 2 on, got 3"):
        Bank(3, 64)
    with pytest.raises(ValueError, match="size must be a power of two from 2 on, got 65"):
        Placer(4, 65)
    with pytest.raises(ValueError, match="8 bytes are less than four words of 4 bytes"):
        Bank(4, 8)
    with pytest.raises(ValueError, match="24 bits are not parts of 9"):
        SimpleDualPort(24, 4, part=9)
    with pytest.raises(ValueError, match="only whole words are forwarded"):
        SimpleDualPort(24, 4, forwards=True, part=8)
