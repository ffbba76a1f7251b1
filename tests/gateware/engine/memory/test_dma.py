"""Load and store units, between their masters and models of the memories on both sides."""

from __future__ import annotations

from dataclasses import replace
from itertools import chain, groupby, repeat
from random import Random
from typing import Any

import pytest
from amaranth.hdl import Elaboratable, Module

from hwgen.contract.engine import EngineShape
from hwgen.contract.isa import Target
from hwgen.gateware.bus.read_master import ReadMaster
from hwgen.gateware.bus.write_master import WriteMaster
from hwgen.gateware.common.streams import connect
from hwgen.gateware.engine.memory.load import LoadUnit
from hwgen.gateware.engine.memory.row_walker import RowWalker
from hwgen.gateware.engine.memory.store import StoreUnit
from tests.helpers.axi import AxiMemory
from tests.helpers.masters import offer, until
from tests.helpers.pysim import pattern
from tests.helpers.streams import run
from tests.helpers.transfers import (
    Buffers,
    FeatureModel,
    Transfer,
    random_features,
    random_words,
    word_process,
)

SIZE = 1 << 14
BASE = 0x4000_1020
SHAPES = {
    "32": EngineShape(4, 8, 4 << 10, 16, 16, 8, 32),
    "64": EngineShape(8, 16, 8 << 10, 32, 16, 8, 64),
    "256": EngineShape(16, 4, 8 << 10, 16, 16, 4, 256),
}
SMALL = SHAPES["64"]


class Loading(Elaboratable):
    """A load unit and its master."""

    def __init__(self, shape: EngineShape, **parameters: int) -> None:
        self.unit, self.master = LoadUnit(shape), ReadMaster(shape.bus_bytes, **parameters)
        self.finished: list[int] = []
        self.bad: list[int] = []
        self.failed: list[int] = []

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit, m.submodules.master = self.unit, self.master
        connect(m, self.unit.request, self.master.request[0])
        connect(m, self.master.data[0], self.unit.data)
        m.d.comb += [self.master.base.eq(BASE), self.master.limit.eq(SIZE)]
        return m

    async def watch(self, ctx: Any) -> None:
        unit, cycle = self.unit, 0
        while True:
            _, _, finished, bad, failed, layer, failed_layer = await ctx.tick().sample(
                unit.finished, unit.bad, unit.failed, unit.bad_layer, unit.failed_layer
            )
            self.finished += [cycle] if finished else []
            self.bad += [layer] if bad else []
            self.failed += [failed_layer] if failed else []
            cycle += 1


class Storing(Elaboratable):
    """A store unit and its master."""

    def __init__(self, shape: EngineShape, **parameters: int) -> None:
        self.unit, self.master = StoreUnit(shape), WriteMaster(shape.bus_bytes, **parameters)
        self.finished: list[int] = []
        self.bad: list[int] = []

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.unit, m.submodules.master = self.unit, self.master
        connect(m, self.unit.request, self.master.request)
        connect(m, self.unit.data, self.master.data)
        m.d.comb += [
            self.master.base.eq(BASE),
            self.master.limit.eq(SIZE),
            self.master.lowest.eq(SIZE // 2),
        ]
        return m

    async def watch(self, ctx: Any) -> None:
        cycle = 0
        while True:
            _, _, finished, bad, layer = await ctx.tick().sample(
                self.master.finished, self.unit.bad, self.unit.bad_layer
            )
            self.finished += [cycle] if finished else []
            self.bad += [layer] if bad else []
            cycle += 1


def commander(unit: Any, commands: list[Transfer], gaps: str = "always") -> Any:
    async def process(ctx: Any) -> None:
        willing = pattern(gaps, 9)
        for command in commands:
            while not next(willing):
                await ctx.tick()
            await offer(ctx, unit.command, {"units": 1} | command)

    return process


@pytest.mark.parametrize("gaps", ("always", "random", "bursty"))
@pytest.mark.parametrize("name", SHAPES)
def test_loads(name: str, gaps: str) -> None:
    """Any rows at any address, rings that wrap, words; over gaps on all sides."""
    shape, rng = SHAPES[name], Random(f"{name} {gaps}")
    data = bytearray(rng.randbytes(SIZE))
    dut = Loading(shape, outstanding=6, max_beats=16, buffer=40)
    got, want = Buffers(shape, Random(1)), Buffers(shape, Random(1))
    commands = [
        random_features(rng, shape, 0, SIZE) if rng.random() < 0.6
        else random_words(rng, want, 0, SIZE)
        for _ in range(30)
    ]  # fmt: skip
    memory = AxiMemory(
        dut.master, data, shape.bus_bytes, BASE, 9, 16,
        rates={c: pattern(gaps, n) for n, c in enumerate(("ar", "r"))},
    )  # fmt: skip
    for command in commands:
        want.load(command, data)

    async def process(ctx: Any) -> None:
        await until(ctx, lambda: len(dut.finished) == len(commands))
        assert ctx.get(dut.master.idle)

    run(
        dut, process, memory.process, dut.watch, word_process(got, dut.unit),
        FeatureModel(got, gaps).write_process(dut.unit.features),
        commander(dut.unit, commands, gaps),
    )  # fmt: skip
    assert got.banks == want.banks
    assert got.words == want.words
    assert dut.bad == [] and dut.failed == []


@pytest.mark.parametrize("gaps", ("always", "random", "bursty"))
@pytest.mark.parametrize("name", SHAPES)
def test_stores(name: str, gaps: str) -> None:
    shape, rng = SHAPES[name], Random(f"{name} {gaps}")
    before = bytearray(rng.randbytes(SIZE))
    dut = Storing(shape, outstanding=6, max_beats=16, buffer=24)
    buffers = Buffers(shape, Random(1))
    commands = [random_features(rng, shape, SIZE // 2, SIZE) for _ in range(20)]
    memory = AxiMemory(
        dut.master, bytearray(before), shape.bus_bytes, BASE, 9, 16, SIZE // 2,
        rates={c: pattern(gaps, n) for n, c in enumerate(("aw", "w", "b"))},
    )  # fmt: skip
    for command in commands:
        buffers.store(command, before)

    async def process(ctx: Any) -> None:
        await until(ctx, lambda: len(dut.finished) == len(commands))
        assert ctx.get(dut.master.idle) and memory.quiet

    run(
        dut, process, memory.process, dut.watch,
        FeatureModel(buffers, gaps).read_process(dut.unit.features),
        commander(dut.unit, commands, gaps),
    )  # fmt: skip
    assert memory.data == before
    assert dut.bad == []


UNITS = (0b0001, 0b1000, 0b0110, 0b1111, 0b0010, 0b0100)


def followed(seen: list[int]) -> list[int]:
    """Units one after the other, without how often."""
    return [units for units, _ in groupby(seen)]


@pytest.mark.parametrize("gaps", ("always", "bursty"))
def test_a_load_names_the_units_that_it_goes_to(gaps: str) -> None:
    """With each write, of feature maps and of weights in turn."""
    shape = replace(SMALL, tiles=4)
    dut = Loading(shape)
    buffers = Buffers(shape, Random(1))
    memory = AxiMemory(dut.master, bytearray(SIZE), 8, BASE, 9)
    words = rows_of(1, 2 * shape.weight_bytes) | {
        "target": Target.WEIGHTS, "one_lane": 0, "word_beats": shape.weight_bytes // shape.bus_bytes
    }  # fmt: skip
    commands = [
        (rows_of(3, 40) if n % 2 else words) | {"units": units} for n, units in enumerate(UNITS)
    ]
    seen: list[int] = []

    async def watch(ctx: Any) -> None:
        features, weights = dut.unit.features, dut.unit.weight_write
        while True:
            _, _, en, ready, word, units = await ctx.tick().sample(
                features.en, features.ready, weights.en, dut.unit.units
            )
            seen.extend([units] if word or (en and ready) else [])

    async def process(ctx: Any) -> None:
        await until(ctx, lambda: len(dut.finished) == len(commands))

    run(
        dut, process, memory.process, dut.watch, watch,
        FeatureModel(buffers, gaps).write_process(dut.unit.features),
        commander(dut.unit, commands),
    )  # fmt: skip
    assert followed(seen) == list(UNITS)


@pytest.mark.parametrize("gaps", ("always", "bursty"))
def test_a_store_names_the_unit_that_it_reads(gaps: str) -> None:
    shape = replace(SMALL, tiles=4)
    dut = Storing(shape)
    memory = AxiMemory(dut.master, bytearray(SIZE), 8, BASE, 9, lowest=SIZE // 2)
    order = (0, 3, 1, 2, 0)
    commands = [rows_of(3, 40) | {"unit": unit} for unit in order]
    seen: list[int] = []

    async def watch(ctx: Any) -> None:
        port = dut.unit.features
        while True:
            _, _, en, ready, units = await ctx.tick().sample(port.en, port.ready, dut.unit.units)
            seen.extend([units] if en and ready else [])

    async def process(ctx: Any) -> None:
        await until(ctx, lambda: len(dut.finished) == len(commands))

    run(
        dut, process, memory.process, dut.watch, watch,
        FeatureModel(Buffers(shape, Random(1)), gaps).read_process(dut.unit.features),
        commander(dut.unit, commands),
    )  # fmt: skip
    assert followed(seen) == [1 << unit for unit in order]


def rows_of(count: int, size: int, skip: int = 0, first: int = 0) -> Transfer:
    """Rows side by side in the upper half of the memory."""
    return {
        "target": Target.FEATURES, "address": SIZE // 2 + skip, "pitch": size + skip,
        "rows": count, "bytes": size, "base": 8, "bank_pitch": size, "ring": 8, "first": first,
    }  # fmt: skip


def load_times(command: Transfer, latency: int) -> tuple[AxiMemory, FeatureModel, Loading]:
    rng = Random(3)
    dut = Loading(SMALL)
    memory = AxiMemory(dut.master, bytearray(rng.randbytes(SIZE)), 8, BASE, latency)
    model = FeatureModel(Buffers(SMALL, rng))

    async def process(ctx: Any) -> None:
        await until(ctx, lambda: len(dut.finished) == 1)

    run(
        dut, process, memory.process, dut.watch, model.write_process(dut.unit.features),
        commander(dut.unit, [command]),
    )  # fmt: skip
    return memory, model, dut


@pytest.mark.parametrize(
    ("command", "latency", "beats"),
    (
        (rows_of(40, 40), 40, 200),
        (rows_of(40, 37, skip=3), 40, 200),
        (rows_of(40, 37, skip=5), 30, 220),
        (rows_of(100, 8), 8, 100),
        (rows_of(1, 6000, skip=7), 40, 751),
        (rows_of(12, 40, first=7), 20, 60),
    ),
    ids=("whole", "skip", "astride", "one beat", "long", "late ring row"),
)
def test_loads_run_at_a_beat_a_cycle(command: Transfer, latency: int, beats: int) -> None:
    """And with the latencies that the docstrings give. The command is offered in cycle 0."""
    memory, model, dut = load_times(command, latency)
    steps = (command["first"] // 4).bit_length()
    request = RowWalker.LATENCY + steps + 1
    assert memory.times["ar"][0] == request + ReadMaster.LATENCY
    assert model.writes == [time + 2 for time in memory.times["r"]]
    assert len(model.writes) == beats
    assert model.writes[-1] - model.writes[0] == beats - 1
    assert dut.finished == [model.writes[-1] + LoadUnit.SETTLE]


def test_stores_run_at_a_beat_a_cycle() -> None:
    for command, beats in ((rows_of(40, 40), 200), (rows_of(40, 37, 5), 220), (rows_of(99, 8), 99)):
        rng = Random(4)
        dut = Storing(SMALL)
        memory = AxiMemory(dut.master, bytearray(SIZE), 8, BASE, 12)
        model = FeatureModel(Buffers(SMALL, rng))

        async def process(ctx: Any, dut: Storing = dut) -> None:
            await until(ctx, lambda: len(dut.finished) == 1)

        run(
            dut, process, memory.process, dut.watch, model.read_process(dut.unit.features),
            commander(dut.unit, [command]),
        )  # fmt: skip
        first = RowWalker.LATENCY
        assert model.reads == list(range(first + 2, first + 2 + beats))
        assert len(memory.times["w"]) == beats
        # The first row gathers: its last beat is at the master in READ more cycles.
        burst = memory.writes[0].beats
        assert memory.times["aw"][0] == first + StoreUnit.READ + burst - 1 + 2
        assert memory.times["w"][0] == memory.times["aw"][0] + 1
        assert memory.times["w"][-1] - memory.times["w"][0] == beats - 1
        assert dut.finished == [memory.times["b"][-1] + 1]


def test_commands_follow_each_other_closely() -> None:
    """The rows of the next command go ahead while the data of the one before come."""
    rng = Random(5)
    dut = Loading(SMALL)
    memory = AxiMemory(dut.master, bytearray(SIZE), 8, BASE, 40)
    model = FeatureModel(Buffers(SMALL, rng))
    commands = [rows_of(8, 64, first=n % 8) for n in range(20)]

    async def process(ctx: Any) -> None:
        await until(ctx, lambda: len(dut.finished) == len(commands))

    run(
        dut, process, memory.process, dut.watch, model.write_process(dut.unit.features),
        commander(dut.unit, commands),
    )  # fmt: skip
    assert model.writes[-1] - model.writes[0] == 20 * 64 - 1
    assert memory.quiet


GOOD = rows_of(3, 20) | {"layer": 5}
BAD: dict[str, Transfer] = {
    "no rows": GOOD | {"rows": 0},
    "no bytes": GOOD | {"bytes": 0},
    "no ring": GOOD | {"ring": 0},
    "half banks": GOOD | {"ring": 6},
    "first beyond the ring": GOOD | {"first": 8},
    "two rows of weights": GOOD | {"target": 1, "bytes": 64, "rows": 2},
    "parts of a beat": GOOD | {"target": 2, "rows": 1, "bytes": 12},
    "astride": GOOD | {"target": 3, "rows": 1, "bytes": 16, "address": 4},
    "no table": GOOD | {"target": 3, "rows": 1, "bytes": 0},
    "words of no beat": GOOD | {"target": 1, "rows": 1, "bytes": 64, "word_beats": 0},
    "words of too many beats": GOOD | {"target": 1, "rows": 1, "bytes": 64, "word_beats": 0xFFF},
    "parameters of one lane": GOOD
    | {"target": 2, "rows": 1, "bytes": 64, "word_beats": 1, "one_lane": 1},
    "no unit that there is": GOOD | {"units": 0b10, "unit": 1},
    "a unit too many": GOOD | {"units": 0b11, "unit": 7},
}


@pytest.mark.parametrize("name", BAD)
@pytest.mark.parametrize("kind", (Loading, Storing))
def test_bad_descriptors_are_named_and_do_nothing(name: str, kind: Any) -> None:
    dut = kind(SMALL)
    memory = AxiMemory(dut.master, bytearray(SIZE), 8, BASE)
    model = FeatureModel(Buffers(SMALL, Random(6)))
    port = dut.unit.features
    side = model.write_process(port) if kind is Loading else model.read_process(port)

    async def process(ctx: Any) -> None:
        await until(ctx, lambda: len(dut.finished) == 1, 500)

    commands = [BAD[name] | {"layer": 1234}, GOOD]
    run(dut, process, memory.process, dut.watch, side, commander(dut.unit, commands))
    assert dut.bad == [1234]


def test_a_store_moves_feature_maps_only() -> None:
    dut = Storing(SMALL)

    async def process(ctx: Any) -> None:
        await until(ctx, lambda: len(dut.bad) == 2, 100)

    commands = [GOOD | {"target": 1, "rows": 1, "bytes": 64}, GOOD | {"target": 3}]
    run(dut, process, dut.watch, commander(dut.unit, commands))


def test_a_wrong_beat_is_told_with_its_layer() -> None:
    dut = Loading(SMALL)
    memory = AxiMemory(dut.master, bytearray(SIZE), 8, BASE, read_faults={(4, 1)})
    model = FeatureModel(Buffers(SMALL, Random(7)), "random")

    async def process(ctx: Any) -> None:
        await until(ctx, lambda: len(dut.finished) == 3)

    commands = [rows_of(3, 20) | {"layer": n} for n in (7, 8, 9)]
    run(
        dut, process, memory.process, dut.watch, model.write_process(dut.unit.features),
        commander(dut.unit, commands),
    )  # fmt: skip
    assert dut.failed and set(dut.failed) == {8}


def test_units_wait_for_their_memories() -> None:
    """Banks that are not there for 3,000 cycles, both ways."""
    for kind in (Loading, Storing):
        rng = Random(8)
        dut = kind(SMALL)
        memory = AxiMemory(dut.master, bytearray(rng.randbytes(SIZE)), 8, BASE)
        before = bytearray(memory.data)
        got, want = Buffers(SMALL, Random(9)), Buffers(SMALL, Random(9))
        model = FeatureModel(got)
        port = dut.unit.features
        side = model.write_process(port) if kind is Loading else model.read_process(port)
        held = chain(repeat(True, 40), repeat(False, 3000), repeat(True))
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("tests.helpers.transfers.pattern", lambda *_, held=held: held)
            command = rows_of(30, 70, 3)

            async def process(ctx: Any, dut: Any = dut) -> None:
                assert await until(ctx, lambda: len(dut.finished) == 1) > 3000

            run(dut, process, memory.process, dut.watch, side, commander(dut.unit, [command]))
        if kind is Loading:
            want.load(command, before)
            assert got.banks == want.banks
        else:
            want.store(command, before)
            assert memory.data == before


def test_a_word_that_is_no_beats_is_refused() -> None:
    with pytest.raises(ValueError, match="weights"):
        LoadUnit(EngineShape(4, 4, mem_width=256))
