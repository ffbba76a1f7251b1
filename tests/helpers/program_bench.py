"""Programs for the fetcher and its units, and a bench that carries them out."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

from amaranth.hdl import Module, ResetInserter, Signal

from hwgen.contract.engine import EngineShape
from hwgen.contract.isa import COMPUTE, RECORDS, SLOT, TRANSFER, Opcode, Target
from hwgen.gateware.engine.memory.dma import Dma
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


class ProgramBench:
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
