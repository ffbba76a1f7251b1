"""Memories, streams and counters: the small parts."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Fragment, Instance, Module, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out

from hwgen.gateware.common.counter import Counter, delay_line, step_nested
from hwgen.gateware.common.memory import ROM_VERILOG, Rom, SimpleDualPort, rom_latency
from hwgen.gateware.common.streams import beat, connect, element, stream_of
from hwgen.numeric import Overflow, QType, Rounding, ceil_div
from hwgen.plan import latency
from tests.helpers.streams import run


@pytest.mark.parametrize("count", [1, 2, 3, 7, 16, 2048, 2049, 5 * 2048 + 3, 17 * 2048])
def test_rom_gives_a_word_each_cycle_after_its_latency(count: int) -> None:
    rng = Random(count)
    words = [rng.getrandbits(13) for _ in range(count)]
    rom = Rom("words", 13, words)
    addresses = [rng.randrange(count) for _ in range(40)]
    assert rom.latency == rom_latency(count) == latency.rom(count)

    async def process(ctx: Any) -> None:
        for cycle, address in enumerate(addresses):
            ctx.set(rom.addr, address)
            await ctx.tick()
            of = cycle + 1 - rom.latency
            if of >= 0:
                assert ctx.get(rom.data) == words[addresses[of]]

    run(rom, process)


class Images:
    """A platform that keeps images."""

    def __init__(self) -> None:
        self.images: dict[str, tuple[int, list[int]]] = {}

    def add_image(self, name: str, width: int, words: Sequence[int]) -> str:
        self.images[name] = (width, list(words))
        return f"{name}.hex"


def test_rom_keeps_its_words_in_an_image_when_verilog_is_made() -> None:
    platform = Images()
    module = Rom("weights", 5, [1, 2, 31]).elaborate(platform)
    assert platform.images == {"weights": (5, [1, 2, 31])}
    fragment = Fragment.get(module, None)
    (instance,) = [f for f, _, _ in fragment.subfragments]
    assert isinstance(instance, Instance)
    assert instance.type == "hwgen_rom"
    assert instance.parameters == {"WIDTH": 5, "DEPTH": 3, "ABITS": 2, "IMAGE": "weights.hex"}
    for name in (*instance.parameters, *instance.ports):
        assert name in ROM_VERILOG


def test_large_rom_is_banks_of_one_column_of_block_ram() -> None:
    platform = Images()
    Fragment.get(Rom("weights", 3, [n % 8 for n in range(4100)]), platform)
    assert {name: len(words) for name, (_, words) in platform.images.items()} == {
        "weights_0": 2048,
        "weights_1": 2048,
        "weights_2": 4,
    }


def test_rom_refuses() -> None:
    with pytest.raises(ValueError, match="ROM 'w' is empty"):
        Rom("w", 4, [])
    with pytest.raises(ValueError, match="ROM 'w' has a word that does not fit 4 bits"):
        Rom("w", 4, [3, 16])
    with pytest.raises(ValueError, match="does not fit"):
        Rom("w", 4, [-1])


@pytest.mark.parametrize("forwards", [False, True])
@pytest.mark.parametrize("depth", [1, 2, 5])
def test_dual_port_reads_what_was_written_and_holds(depth: int, forwards: bool) -> None:
    """One that forwards gives the new word in a collision; the other is never asked for it."""
    rng = Random(depth)
    memory = SimpleDualPort(8, depth, forwards)

    async def process(ctx: Any) -> None:
        stored = [0] * depth
        shown: int | None = None
        for _ in range(300):
            write, read = rng.random() < 0.5, rng.random() < 0.5
            w_addr, r_addr = rng.randrange(depth), rng.randrange(depth)
            read = read and (forwards or not (write and w_addr == r_addr))
            value = rng.randrange(256)
            for signal, setting in (
                (memory.w_en, write), (memory.w_addr, w_addr), (memory.w_data, value),
                (memory.r_en, read), (memory.r_addr, r_addr),
            ):  # fmt: skip
                ctx.set(signal, setting)
            await ctx.tick()
            old = stored[r_addr]
            if write:
                stored[w_addr] = value
            if read:
                shown = stored[r_addr] if forwards else old
            if shown is not None:
                assert ctx.get(memory.r_data) == shown

    run(memory, process)


def test_dual_port_refuses() -> None:
    with pytest.raises(ValueError, match="depth must be at least 1"):
        SimpleDualPort(8, 0)


class Ends(wiring.Component):
    """Only the two ends of a stream."""

    def __init__(self, shape: Any, lanes: int) -> None:
        super().__init__({"i": In(stream_of(shape, lanes)), "o": Out(stream_of(shape, lanes))})


def test_a_wide_memory_of_few_words_can_ask_for_block_ram() -> None:
    for block, asks in ((False, None), (True, "block")):
        part: Any = SimpleDualPort(64, 4, block=block).elaborate(None)
        assert part.submodules.mem.attrs.get("ram_style") == asks


def test_connect_refuses_what_wiring_lets_through() -> None:
    """Widths that agree are not enough."""
    for a, b in ((Ends(signed(8), 1), Ends(unsigned(8), 1)), (Ends(signed(8), 2), Ends(16, 1))):
        with pytest.raises(TypeError, match="streams differ"):
            connect(Module(), a.o, b.i)
    connect(Module(), Ends(signed(8), 2).o, Ends(signed(8), 2).i)


def test_stream_shapes() -> None:
    qtype = QType(True, 5, 2, Rounding.FLOOR, Overflow.WRAP)
    assert element(qtype) == signed(5)
    assert isinstance(stream_of(signed(5), 3), stream.Signature)
    assert [ceil_div(n, 4) for n in (1, 4, 5, 8)] == [1, 1, 2, 2]
    with pytest.raises(ValueError, match="at least 1 lane, got 0"):
        beat(signed(4), 0)


def test_nested_counters_and_delays() -> None:
    """The first counter is the fastest; a delay of n cycles is n registers."""
    inner, outer = Counter(3, "inner"), Counter(2, "outer")
    m = Module()
    last = step_nested(m, inner, Counter(1, "one"), outer)
    late = delay_line(m, inner.value, 2, "late")

    async def process(ctx: Any) -> None:
        for cycle in range(20):
            assert ctx.get(inner.value) == cycle % 3
            assert ctx.get(outer.value) == cycle // 3 % 2
            assert ctx.get(last) == (cycle % 6 == 5)
            if cycle >= 2:
                assert ctx.get(late) == (cycle - 2) % 3
            await ctx.tick()

    run(m, process)
    with pytest.raises(ValueError, match="'none' needs a length of at least 1"):
        Counter(0, "none")
