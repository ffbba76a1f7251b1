"""What transfers do, and the memories that they do it to."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from random import Random
from typing import Any

from hwgen.contract.engine import BANKS, EngineShape
from hwgen.contract.isa import RECORD, TABLE_WORDS, Target
from hwgen.gateware.engine.memory.feature_ports import READ_LATENCY

from .pysim import pattern

Transfer = dict[str, int]
"""Fields of a TRANSFER."""


def places(shape: EngineShape, command: Transfer) -> Iterator[tuple[int, int, int]]:
    """Of each row: its offset in external memory, its bank, its byte there."""
    for r in range(command["rows"]):
        ring_row = (command["first"] + r) % command["ring"]
        place = command["base"] + ring_row // BANKS * command["bank_pitch"]
        yield command["address"] + r * command["pitch"], ring_row % BANKS, place % shape.bank_bytes


class Buffers:
    """The engine's memories: what loads should leave in them, and what stores take."""

    def __init__(self, shape: EngineShape, rng: Random) -> None:
        self.shape = shape
        self.banks = [bytearray(rng.randbytes(shape.bank_bytes)) for _ in range(BANKS)]
        self.words = {
            Target.WEIGHTS: bytearray(shape.weight_words * shape.weight_bytes),
            Target.PARAMETERS: bytearray(shape.parameter_words * shape.parameter_bytes),
            Target.TABLES: bytearray(2 * TABLE_WORDS * 4),
        }

    def word_bytes(self, target: int) -> int:
        """Bytes of the words that a load of this target counts."""
        sizes = {
            Target.WEIGHTS: self.shape.weight_bytes,
            Target.PARAMETERS: self.shape.pe * RECORD.size // 8,
            Target.TABLES: self.shape.bus_bytes,
        }
        return sizes[Target(target)]

    def load(self, command: Transfer, memory: bytes | bytearray) -> None:
        """Carry out a load."""
        size = command["bytes"]
        if command["target"] != Target.FEATURES:
            word, target = self.word_bytes(command["target"]), Target(command["target"])
            given = (
                word if target is Target.TABLES else command["word_beats"] * self.shape.bus_bytes
            )
            for n in range(size // given):
                start = command["address"] + n * given
                source = bytes(memory[start : start + given])
                if command["one_lane"]:
                    source = self.spread(source)
                begin = (command["base"] + n) * word
                self.words[target][begin : begin + len(source)] = source
            return
        for offset, bank, place in places(self.shape, command):
            for n in range(size):
                self.banks[bank][(place + n) % self.shape.bank_bytes] = memory[offset + n]

    def spread(self, source: bytes) -> bytes:
        """Weights of which only those of lane 0 are given."""
        others = bytes(self.shape.simd - 1)
        return b"".join(bytes([weight]) + others for weight in source[: self.shape.pe])

    def store(self, command: Transfer, memory: bytearray) -> None:
        """Carry out a store."""
        for offset, bank, place in places(self.shape, command):
            for n in range(command["bytes"]):
                memory[offset + n] = self.banks[bank][(place + n) % self.shape.bank_bytes]


def random_features(rng: Random, shape: EngineShape, low: int, high: int) -> Transfer:
    """A transfer of feature maps from or to offsets low..high."""
    groups = rng.randint(1, 4)
    rows = rng.randint(1, 3 * groups * BANKS)
    size = min(rng.choice((1, 3, shape.bus_bytes, rng.randint(1, 150))), (high - low) // rows)
    pitch = rng.randint(size, (high - low) // rows)
    return {
        "target": Target.FEATURES,
        "address": rng.choice((low, high - (rows - 1) * pitch - size)),
        "pitch": pitch,
        "rows": rows,
        "bytes": size,
        "base": rng.randrange(shape.bank_bytes // 2),
        "bank_pitch": rng.choice((size, size + 5, rng.randint(size, 300))),
        "ring": groups * BANKS,
        "first": rng.randrange(groups * BANKS),
    }


def random_words(rng: Random, buffers: Buffers, low: int, high: int) -> Transfer:
    """A load of weights, parameters or tables."""
    target = rng.choice((Target.WEIGHTS, Target.PARAMETERS, Target.TABLES))
    word = buffers.word_bytes(target)
    words = len(buffers.words[target]) // word
    first = rng.randrange(words)
    bus = buffers.shape.bus_bytes
    count = rng.randint(1, min(words - first, 12))
    one_lane = target is Target.WEIGHTS and rng.random() < 0.5
    if target is not Target.TABLES:
        most = -(-buffers.shape.pe // bus) if one_lane else word // bus
        word = bus * rng.randint(1, most)
    size = min(count * word, (high - low) // word * word)
    return {
        "target": target,
        "address": rng.randrange(low, high - size + 1) // bus * bus,
        "rows": 1,
        "bytes": size,
        "base": first,
        "one_lane": int(one_lane),
        "word_beats": word // bus,
    }


class FeatureModel:
    """Stands for the feature-map memory: users in the background of a test."""

    def __init__(self, buffers: Buffers, gaps: str = "always", seed: int = 1) -> None:
        self.buffers, self.gaps, self.seed = buffers, gaps, seed
        self.writes: list[int] = []
        self.reads: list[int] = []

    def write_process(self, port: Any) -> Any:
        """Takes what a write client gives."""

        async def process(ctx: Any) -> None:
            willing, cycle = pattern(self.gaps, self.seed), 0
            while True:
                ready = next(willing)
                ctx.set(port.ready, ready)
                _, _, en, bank, addr, word, mask = await ctx.tick().sample(
                    port.en, port.bank, port.addr, port.data, port.mask
                )
                if en and ready:
                    self.writes.append(cycle)
                    memory = self.buffers.banks[bank]
                    for n in range(self.buffers.shape.word):
                        if mask >> n & 1:
                            memory[(addr + n) % len(memory)] = word >> (8 * n) & 0xFF
                cycle += 1

        return process

    def read_process(self, port: Any) -> Any:
        """Answers a read client READ_LATENCY cycles later."""

        async def process(ctx: Any) -> None:
            willing, cycle = pattern(self.gaps, self.seed + 1), 0
            coming: deque[int | None] = deque([None] * (READ_LATENCY - 1))
            rng = Random(self.seed)
            while True:
                ready = next(willing)
                ctx.set(port.ready, ready)
                _, _, en, bank, addr = await ctx.tick().sample(port.en, port.bank, port.addr)
                if en and ready:
                    self.reads.append(cycle)
                    memory = self.buffers.banks[bank]
                    word = bytes(
                        memory[(addr + n) % len(memory)] for n in range(self.buffers.shape.word)
                    )
                    coming.append(int.from_bytes(word, "little"))
                else:
                    coming.append(None)
                now = coming.popleft()
                # What nobody asked for is anything.
                width = 8 * self.buffers.shape.word
                ctx.set(port.data, rng.getrandbits(width) if now is None else now)
                cycle += 1

        return process


def word_process(buffers: Buffers, unit: Any) -> Any:
    """Takes the writes of weights, parameters and tables."""
    ports = {
        Target.WEIGHTS: unit.weight_write,
        Target.PARAMETERS: unit.parameter_write,
        Target.TABLES: unit.table_write,
    }

    async def process(ctx: Any) -> None:
        bus = buffers.shape.bus_bytes
        while True:
            signals = []
            for port in ports.values():
                none = port.word[:0]
                part, one_lane = getattr(port, "slice", none), getattr(port, "one_lane", none)
                signals += [port.en, port.word, part, one_lane, port.data]
            _, _, *seen = await ctx.tick().sample(*signals)
            for n, target in enumerate(ports):
                en, word, part, one_lane, value = seen[5 * n : 5 * n + 5]
                if en:
                    data, size = value.to_bytes(bus, "little"), bus
                    if one_lane:
                        data = buffers.spread(data[: buffers.shape.pe])
                        size = bus * buffers.shape.simd
                    place = word * buffers.word_bytes(target) + part * size
                    assert part * size < buffers.word_bytes(target)
                    buffers.words[target][place : place + len(data)] = data

    return process
