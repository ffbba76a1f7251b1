"""Loads and stores of a tiled engine, between external memory and its buffers.

Rows go to the feature-map memory and back to another place; words go to the other buffers. What
must come of them is plain copying of bytes.
"""

from __future__ import annotations

from random import Random
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out
from cocotb.triggers import ClockCycles

from hwgen.contract.engine import BANKS, EngineShape
from hwgen.contract.isa import TABLE_WORDS, TRANSFER, Target
from hwgen.flow.memory import Memory
from hwgen.gateware.bus.read_master import ReadMaster
from hwgen.gateware.bus.write_master import WriteMaster
from hwgen.gateware.common.streams import connect
from hwgen.gateware.engine.memory.dma import READ_CHANNELS, WRITE_CHANNELS
from hwgen.gateware.engine.memory.feature_memory import FeatureMemory
from hwgen.gateware.engine.memory.load import LoadUnit
from hwgen.gateware.engine.memory.store import StoreUnit

from .axi import AxiMemory
from .steps import Steps
from .streams import internal, is_high, number
from .units import clock_of

SHAPE = EngineShape(4, 8, 8 << 10, 16, 16, 8, 64)
BASE, SIZE, LOWEST = 0x4000_1020, 1 << 14, 1 << 13
"""External memory: loads read below LOWEST, stores write from there on."""
AREAS = 4
"""Parts of the feature-map memory that are filled in turn."""
ROUNDS = 10
SETTLE = 10
"""Cycles until a unit rests."""
BUFFERS = ("weight", "parameter", "table")

MEMORIES = [
    cocotb.Param(memory, name)
    for name, memory in {
        "quick": Memory(1),
        "slow": Memory(40, 0.4),
        "stalls": Memory(6, gaps=1),
        "slow_stalls": Memory(20, 0.6, gaps=2),
    }.items()
]


class Moves(wiring.Component):
    """Load and store unit with their masters, on a feature-map memory.

    others_write, others_read : others take ``others_bank`` in this cycle, to write and to read.
    """

    def __init__(self) -> None:
        self.loads, self.stores = LoadUnit(SHAPE), StoreUnit(SHAPE)
        bus = SHAPE.bus_bytes
        self.read, self.write = (Master(bus, 4, 16, 32) for Master in (ReadMaster, WriteMaster))
        self.masters = ((self.read, READ_CHANNELS), (self.write, WRITE_CHANNELS))
        members: dict[str, Any] = {
            "load": self.loads.signature.members["command"],
            "store": self.stores.signature.members["command"],
            "loaded": Out(1),
            "stored": Out(1),
            "others_write": In(1),
            "others_read": In(1),
            "others_bank": In(range(BANKS)),
        }
        for name in BUFFERS:
            members[f"{name}_write"] = self.loads.signature.members[f"{name}_write"]
        for unit in ("load", "store"):
            for fault in ("failed", "bad"):
                members[f"{unit}_{fault}"] = Out(1)
                members[f"{unit}_{fault}_layer"] = Out(12)
        for master, names in self.masters:
            members |= {name: master.signature.members[name] for name in names}
        super().__init__(members)

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.loads, m.submodules.stores = self.loads, self.stores
        m.submodules.read, m.submodules.write = self.read, self.write
        m.submodules.memory = memory = FeatureMemory(SHAPE)
        loads, stores, read, write = self.loads, self.stores, self.read, self.write
        connect(m, wiring.flipped(self.load), loads.command)
        connect(m, wiring.flipped(self.store), stores.command)
        connect(m, loads.request, read.request[0])
        connect(m, read.data[0], loads.data)
        connect(m, stores.request, write.request)
        connect(m, stores.data, write.data)
        wiring.connect(m, loads.features, memory.load)
        wiring.connect(m, stores.features, memory.store)
        for name in BUFFERS:
            port = f"{name}_write"
            wiring.connect(m, getattr(loads, port), wiring.flipped(getattr(self, port)))
        for master, names in self.masters:
            m.d.comb += [master.base.eq(BASE), master.limit.eq(SIZE)]
            for name in names:
                ours, theirs = getattr(self, name), getattr(master, name)
                inward = master.signature.members[name].flow == In
                m.d.comb += theirs.eq(ours) if inward else ours.eq(theirs)
        m.d.comb += [
            # A write of no bytes.
            memory.result.en.eq(self.others_write),
            memory.result.bank.eq(self.others_bank),
            memory.second.en.eq(self.others_read),
            memory.second.bank.eq(self.others_bank),
            write.lowest.eq(LOWEST),
            self.loaded.eq(loads.finished),
            self.stored.eq(write.finished),
            self.load_failed.eq(loads.failed),
            self.load_failed_layer.eq(loads.failed_layer),
            self.load_bad.eq(loads.bad),
            self.load_bad_layer.eq(loads.bad_layer),
            self.store_failed.eq(write.error),
            self.store_failed_layer.eq(write.error_layer),
            self.store_bad.eq(stores.bad),
            self.store_bad_layer.eq(stores.bad_layer),
        ]
        return m


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return {"moves": Moves()}


class Bench:
    """The units of one test, and how far they are."""

    def __init__(self, dut: Any, memory: Memory, seed: int) -> None:
        self.dut = dut
        data = np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8)
        self.memory = AxiMemory(dut, "moves__", data, BASE, LOWEST, memory)
        self.ports = {unit: internal(dut, f"moves__{unit}") for unit in ("load", "store")}
        self.finished = {"load": 0, "store": 0}
        self.faults: list[tuple[str, int]] = []
        self.words: list[tuple[str, int, int, int, bool]] = []
        # Others use the feature-map memory where external memory pauses too.
        self.others = Random(seed) if memory.gaps is not None else None
        self.steps = Steps(*clock_of(dut, "moves"), self.memory, [self.look])

    async def begin(self) -> None:
        """After reset."""
        idle = [signal for valid, _, fields in self.ports.values() for signal in (valid, *fields)]
        names = ("others_write", "others_read", "others_bank")
        await self.steps.begin([*idle, *(getattr(self.dut, f"moves__{name}") for name in names)])

    def look(self) -> None:
        """Notes what is finished, wrong, and written to the buffers of words."""
        dut = self.dut
        if self.others is not None:
            dut.moves__others_write.value = self.others.randrange(2)
            dut.moves__others_read.value = self.others.randrange(2)
            dut.moves__others_bank.value = self.others.randrange(BANKS)
        self.finished["load"] += is_high(dut.moves__loaded)
        self.finished["store"] += is_high(dut.moves__stored)
        for name in ("load_failed", "load_bad", "store_failed", "store_bad"):
            if is_high(getattr(dut, f"moves__{name}")):
                self.faults.append((name, number(getattr(dut, f"moves__{name}_layer"))))
        for name in BUFFERS:
            port = f"moves__{name}_write__"
            if is_high(getattr(dut, f"{port}en")):
                part = 0 if name == "table" else number(getattr(dut, f"{port}slice"))
                word, data = (number(getattr(dut, port + field)) for field in ("word", "data"))
                one_lane = name == "weight" and is_high(getattr(dut, f"{port}one_lane"))
                self.words.append((name, word, part, data, one_lane))

    async def send(self, unit: str, **fields: int) -> None:
        """A descriptor, until its unit takes it."""
        valid, ready, (payload,) = self.ports[unit]
        record = TRANSFER.pack({"units": 1} | fields)
        await self.steps.offer(valid, ready, payload, int.from_bytes(record, "little"))

    async def wait(self, unit: str, count: int) -> None:
        """Until so many of a unit are finished."""
        await self.steps.until(
            lambda: self.finished[unit] >= count, f"{self.finished[unit]} of {count} {unit}s"
        )


def random_rows(rng: Random, area: int) -> dict[str, int]:
    """Rows in a part of the feature-map memory; none lies over another one."""
    groups, place = rng.randint(1, 2), SHAPE.bank_bytes // AREAS
    size = rng.choice((1, SHAPE.bus_bytes, rng.randint(1, 60), rng.randint(1, 60)))
    return {
        "rows": rng.randint(1, BANKS * groups), "bytes": size,
        "base": area * place + rng.randrange(place - groups * (size + 5)),
        "bank_pitch": size + rng.randrange(5), "ring": BANKS * groups,
        "first": rng.randrange(BANKS * groups),
    }  # fmt: skip


def banks_after(banks: np.ndarray, rows: dict[str, int], memory: np.ndarray, address: int,
                pitch: int) -> None:  # fmt: skip
    """What a load leaves in the banks, row by row."""
    for n in range(rows["rows"]):
        row = (rows["first"] + n) % rows["ring"]
        place = rows["base"] + row // BANKS * rows["bank_pitch"]
        given = memory[address + n * pitch :][: rows["bytes"]]
        banks[row % BANKS, place : place + rows["bytes"]] = given


def stored_from(banks: np.ndarray, rows: dict[str, int], memory: np.ndarray, address: int,
                pitch: int) -> None:  # fmt: skip
    """What a store leaves in external memory."""
    for n in range(rows["rows"]):
        row = (rows["first"] + n) % rows["ring"]
        place = rows["base"] + row // BANKS * rows["bank_pitch"]
        memory[address + n * pitch :][: rows["bytes"]] = banks[row % BANKS, place:][: rows["bytes"]]


@cocotb.test()
@cocotb.parametrize(memory=MEMORIES)
async def rows_there_and_back(dut: Any, memory: Memory) -> None:
    """Each area is loaded and stored in turn, loads up to AREAS ahead of stores."""
    seed = 10 * memory.latency
    bench, rng = Bench(dut, memory, seed), Random(seed)
    dut._log.info(f"seed {seed}, {memory}")
    want, banks = bench.memory.data.copy(), np.zeros((BANKS, SHAPE.bank_bytes), np.uint8)
    loads, stores, end = [], [], LOWEST
    for n in range(ROUNDS):
        rows = random_rows(rng, n % AREAS)
        pitch = rng.randint(rows["bytes"], 70)
        address = rng.randrange(LOWEST - BANKS * 2 * 70)
        loads.append(rows | {"address": address, "pitch": pitch})
        banks_after(banks, rows, want, address, pitch)
        # Back go some of the rows, and some bytes of each.
        rows = rows | {"rows": rng.randint(1, rows["rows"]), "bytes": rng.randint(1, rows["bytes"])}
        pitch = rows["bytes"] + rng.randrange(9)
        stores.append(rows | {"address": end, "pitch": pitch})
        stored_from(banks, rows, want, end, pitch)
        end += rows["rows"] * pitch + rng.randrange(9)
    assert end <= SIZE
    await bench.begin()

    async def load() -> None:
        for n, fields in enumerate(loads):
            await bench.wait("store", n - AREAS + 1)
            await bench.send("load", **fields)

    loading = cocotb.start_soon(load())
    for n, fields in enumerate(stores):
        await bench.wait("load", n + 1)
        await bench.send("store", **fields)
    await loading
    await bench.wait("store", len(stores))
    wrong = np.flatnonzero(bench.memory.data != want)
    assert not len(wrong), f"{len(wrong)} bytes differ, the first at {wrong[0]}"
    assert np.flatnonzero(bench.memory.written).min() >= LOWEST
    assert not bench.faults and not bench.words and bench.memory.quiet


@cocotb.test()
@cocotb.parametrize(memory=MEMORIES)
async def words_go_to_their_buffers(dut: Any, memory: Memory) -> None:
    """Weights, parameters and tables, each word in slices of a beat, the lowest first."""
    seed = 10 * memory.latency + 1
    bench, rng = Bench(dut, memory, seed), Random(seed)
    bus = SHAPE.bus_bytes
    buffers = {
        "weight": (Target.WEIGHTS, SHAPE.weight_bytes, SHAPE.weight_words),
        "parameter": (Target.PARAMETERS, SHAPE.parameter_bytes, SHAPE.parameter_words),
        "table": (Target.TABLES, bus, 2 * TABLE_WORDS * 4 // bus),
    }
    want = []
    await bench.begin()
    for _ in range(ROUNDS):
        name = rng.choice(BUFFERS)
        target, size, count = buffers[name]
        one_lane = name == "weight" and rng.random() < 0.5
        if name != "table":
            size = bus * rng.randint(1, size // bus)
        first = rng.randrange(count)
        words = rng.randint(1, min(4, count - first))
        address = rng.randrange(LOWEST // bus - words * size // bus) * bus
        for n in range(words * size // bus):
            beat = bench.memory.data[address + n * bus :][:bus]
            part = n * bus % size // bus
            data = int.from_bytes(beat.tobytes(), "little")
            want.append((name, first + n * bus // size, part, data, one_lane))
        await bench.send("load", target=target, address=address, rows=1, bytes=words * size,
                         base=first, one_lane=int(one_lane), word_beats=size // bus)  # fmt: skip
    await bench.wait("load", ROUNDS)
    assert bench.words == want and not bench.faults


@cocotb.test()
async def faults_are_told_with_their_layer(dut: Any) -> None:
    """A beat that memory answers with an error, and descriptors that can not be."""
    bench = Bench(dut, Memory(5), 3)
    bench.memory.read_faults, bench.memory.write_faults = {4}, {2}
    rows = {"rows": 2, "bytes": 24, "base": 0, "bank_pitch": 24, "ring": 4, "pitch": 24}
    await bench.begin()
    await bench.send("load", **rows, layer=7)
    await bench.wait("load", 1)
    assert bench.faults == [("load_failed", 7)]
    await bench.send("store", **rows, layer=9, address=LOWEST)
    await bench.steps.until(lambda: len(bench.faults) > 1, "no error of a store")
    assert bench.faults[1:] == [("store_failed", 9)]
    for unit, fields, layer in (
        ("load", {"rows": 0}, 1), ("load", {"bytes": 0}, 2), ("load", {"ring": 6}, 3),
        ("store", {"first": 4}, 4),
    ):  # fmt: skip
        bench.faults.clear()
        valid, _, (payload,) = bench.ports[unit]
        record = TRANSFER.pack({"units": 1, "address": LOWEST, "layer": layer} | rows | fields)
        payload.value, valid.value = int.from_bytes(record, "little"), 1
        await bench.steps.until(lambda: bool(bench.faults), "no word of a wrong descriptor")
        valid.value = 0
        await ClockCycles(bench.steps.clk, SETTLE)
        assert {*bench.faults} == {(f"{unit}_bad", layer)}
