"""The tile unit of a tiled engine: array, buffers and results, without what moves data.

Small networks are planned for it; the bench does the loads and stores of their programs itself, at
the ports of the buffers, and the tensors that come back are those of the golden model.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from math import prod
from random import Random
from typing import Any

import cocotb
import numpy as np
from amaranth.lib import wiring
from cocotb.triggers import RisingEdge

from hwgen.archs.tiled.ends import to_bytes
from hwgen.archs.tiled.stored import stored_differences
from hwgen.contract.engine import BANKS, EngineShape
from hwgen.contract.isa import COMPUTE, LEVELS, Opcode, Target
from hwgen.gateware.engine.compute.tile_unit import TileUnit
from hwgen.gateware.engine.memory.feature_ports import READ_LATENCY
from hwgen.ir import Graph, Node, Op, Tensor, execute, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.passes import legalize
from hwgen.plan.tiled.plan import TiledPlan, plan_tiled

from .steps import Steps
from .streams import internal, is_high
from .units import clock_of

SHAPE = EngineShape(4, 4, 4 << 10, 64, 64, 8, 32)
KIND = {"rounding": Rounding.HALF_EVEN, "overflow": Overflow.SATURATE}
BYTE, WEIGHT = QType(True, 8, 4, **KIND), QType(True, 6, 5, **KIND)
WORDS = {Target.WEIGHTS: "weight", Target.PARAMETERS: "parameter", Target.TABLES: "table"}
"""The ports of the buffers of words."""
Fields = dict[str, int]


@dataclass(frozen=True)
class Case:
    """A network, and what its layers are there for."""

    name: str
    make: Callable[[], Graph]


def network(name: str, shape: tuple[int, ...], layers: list[tuple[Op, int | None]]) -> Graph:
    """Layers one after the other, each followed by a requantization where a shift is given."""
    nodes: list[Node] = []
    before = "x"
    for n, (op, shift) in enumerate(layers):
        nodes.append(Node(f"layer{n}", op, (before,)))
        before = f"layer{n}"
        if shift is not None:
            nodes.append(Node(f"{before}_q", ops.Requantize.scaled(BYTE, shift=shift), (before,)))
            before = f"{before}_q"
    return Graph(name, (Tensor("x", shape, BYTE),), tuple(nodes), (before,))


def weights(*shape: int) -> np.ndarray:
    """Those of a layer, the same for the same shape."""
    return np.random.default_rng(shape).integers(-32, 32, shape)


def _conv() -> Graph:
    """Borders on all sides, more channels than lanes."""
    op = ops.Conv2D(weights(3, 3, 3, 5), WEIGHT, (1, 1), "same")
    return network("conv", (3, 4, 3), [(op, 9)])


def _depthwise() -> Graph:
    """Windows, then the largest of each."""
    deep = ops.Conv2D(weights(3, 3, 1, 5), WEIGHT, (2, 1), "same", groups=5)
    return network("depthwise", (4, 4, 5), [(deep, 7), (ops.MaxPool((2, 2), (2, 2)), None)])


def _dense() -> Graph:
    return network(
        "dense", (3, 3, 5), [(ops.Flatten(), None), (ops.Dense(weights(45, 7), WEIGHT), 8)]
    )


def _sum() -> Graph:
    """A table for each of two tensors, and a softmax of each pixel."""
    parts = QType(True, 8, 0, Rounding.HALF_AWAY, Overflow.SATURATE, 2.0**-8, -128)
    nodes = (
        Node("conv", ops.Conv2D(weights(1, 1, 5, 5), WEIGHT, (1, 1), "same"), ("x",)),
        Node("conv_q", ops.Requantize.scaled(BYTE, shift=6), ("conv",)),
        Node("sum", ops.Add(), ("conv_q", "x")),
        Node("sum_q", ops.Requantize.scaled(BYTE), ("sum",)),
        Node("parts", ops.Softmax(1_500_000_000, 22, parts), ("sum_q",)),
    )
    return Graph("sum", (Tensor("x", (1, 2, 5), BYTE),), nodes, ("parts",))


CASES = [Case(make.__name__[1:], make) for make in (_conv, _depthwise, _dense, _sum)]


@cache
def planned(case: Case) -> TiledPlan:
    """A case's plan, with every tensor in external memory, so that all of them are seen."""
    return plan_tiled(legalize(case.make()), SHAPE, 2).outside()


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return {"tile": TileUnit(SHAPE)}


class Bench:
    """A tile unit, and a stand-in for what loads and stores."""

    def __init__(self, dut: Any, plan: TiledPlan, disturbed: bool) -> None:
        self.dut, self.plan, self.disturbed = dut, plan, disturbed
        self.memory = plan.program.memory.copy()
        self.command = internal(dut, "tile__command")
        self.finished = self.issued = 0
        self.rng = Random(len(self.memory))
        self.steps = Steps(*clock_of(dut, "tile"), None, [self.look])
        self.edge = RisingEdge(self.steps.clk)

    def port(self, port: str, field: str) -> Any:
        """A signal of one of the unit's ports."""
        return getattr(self.dut, f"tile__{port}__{field}")

    def look(self) -> None:
        """Counts tiles and steps; the unit finds no fault."""
        self.finished += is_high(self.dut.tile__finished)
        self.issued += is_high(self.dut.tile__issue)
        assert not is_high(self.dut.tile__fault), "the unit refuses a tile"

    async def begin(self) -> None:
        """After reset."""
        valid, _, (payload,) = self.command
        fields = {"load": ("en", "bank", "addr", "data", "mask"), "store": ("en", "bank", "addr"),
                  "table_write": ("en", "word", "data")}  # fmt: skip
        fields |= {f"{n}_write": ("en", "word", "slice", "data") for n in ("weight", "parameter")}
        idle = [self.port(port, name) for port, names in fields.items() for name in names]
        await self.steps.begin([valid, payload, *idle])

    async def run(self) -> None:
        """The program's descriptors, one after the other."""
        for descriptor in self.plan.program.descriptors:
            if descriptor["op"] == Opcode.COMPUTE:
                await self.compute(descriptor)
            elif descriptor["op"] == Opcode.STORE:
                await self.store(descriptor)
            elif descriptor["target"] == Target.FEATURES:
                await self.load(descriptor)
            else:
                await self.words(descriptor)

    async def compute(self, descriptor: Fields) -> None:
        """A tile, until it is finished; where disturbed, others read the feature maps meanwhile."""
        valid, ready, (payload,) = self.command
        expected = self.finished + 1
        await self.steps.offer(valid, ready, payload, record_of(descriptor))
        if self.disturbed:
            while self.finished < expected:
                self.port("store", "en").value = self.rng.randrange(2)
                self.port("store", "bank").value = self.rng.randrange(BANKS)
                self.port("store", "addr").value = self.rng.randrange(SHAPE.bank_bytes)
                await self.edge
            self.port("store", "en").value = 0
        await self.steps.until(lambda: self.finished >= expected, "a tile does not end")

    async def load(self, descriptor: Fields) -> None:
        """Rows of feature maps, in words at any byte address."""
        for offset, bank, place in rows_of(descriptor):
            for n in range(0, descriptor["bytes"], SHAPE.bus_bytes):
                size = min(SHAPE.bus_bytes, descriptor["bytes"] - n)
                given = self.memory[offset + n :][:size].tobytes()
                for name, value in (
                    ("bank", bank), ("addr", (place + n) % SHAPE.bank_bytes),
                    ("data", int.from_bytes(given, "little")), ("mask", (1 << size) - 1), ("en", 1),
                ):  # fmt: skip
                    self.port("load", name).value = value
                await self.edge
                while not is_high(self.port("load", "ready")):
                    await self.edge
        self.port("load", "en").value = 0
        for _ in range(READ_LATENCY):  # until reads see it
            await self.edge

    async def words(self, descriptor: Fields) -> None:
        """Words of weights, parameters or tables, a beat at a time."""
        name, beats = beats_of(descriptor, self.memory)
        for fields in beats:
            for field, value in (fields | {"en": 1}).items():
                self.port(f"{name}_write", field).value = value
            await self.edge
        self.port(f"{name}_write", "en").value = 0
        for _ in range(READ_LATENCY):
            await self.edge

    async def store(self, descriptor: Fields) -> None:
        """Rows of feature maps back to memory."""
        for offset, bank, place in rows_of(descriptor):
            for n in range(0, descriptor["bytes"], SHAPE.word):
                size = min(SHAPE.word, descriptor["bytes"] - n)
                self.port("store", "bank").value = bank
                self.port("store", "addr").value = (place + n) % SHAPE.bank_bytes
                self.port("store", "en").value = 1
                await self.edge
                while not is_high(self.port("store", "ready")):
                    await self.edge
                self.port("store", "en").value = 0
                for _ in range(READ_LATENCY):
                    await self.edge
                text = str(self.port("store", "data").value)
                for lane in range(size):
                    bits = text[len(text) - 8 * lane - 8 : len(text) - 8 * lane]
                    assert set(bits) <= {"0", "1"}, f"byte {offset + n + lane} is {bits}"
                    self.memory[offset + n + lane] = int(bits, 2)


def record_of(descriptor: Fields) -> int:
    """A COMPUTE descriptor as a stream carries it."""
    fields = {field.name: descriptor.get(field.name, 0) for field in COMPUTE.fields}
    return int.from_bytes(COMPUTE.pack(fields), "little")


def rows_of(descriptor: Fields) -> Iterator[tuple[int, int, int]]:
    """Of each row: its offset in external memory, its bank, its byte there."""
    for n in range(descriptor["rows"]):
        row = (descriptor["first"] + n) % descriptor["ring"]
        place = descriptor["base"] + row // BANKS * descriptor["bank_pitch"]
        yield descriptor["address"] + n * descriptor["pitch"], row % BANKS, place


def beats_of(descriptor: Fields, memory: np.ndarray) -> tuple[str, list[Fields]]:
    """A load of words: which buffer it goes to, and what its port takes beat by beat."""
    name, beats = WORDS[Target(descriptor["target"])], []
    size = SHAPE.bus_bytes * (1 if name == "table" else descriptor["word_beats"])
    for n in range(0, descriptor["bytes"], SHAPE.bus_bytes):
        given = memory[descriptor["address"] + n :][: SHAPE.bus_bytes].tobytes()
        fields = {"word": descriptor["base"] + n // size, "data": int.from_bytes(given, "little")}
        part = {} if name == "table" else {"slice": n % size // SHAPE.bus_bytes}
        if name == "weight":
            part["one_lane"] = descriptor["one_lane"]
        beats.append(fields | part)
    return name, beats


@cocotb.test()
@cocotb.parametrize(
    case=[cocotb.Param(case, case.name) for case in CASES],
    disturbed=[cocotb.Param(False, "alone"), cocotb.Param(True, "disturbed")],
)
async def networks(dut: Any, case: Case, disturbed: bool) -> None:
    """Every tensor is golden, and the array takes the steps that are planned."""
    plan = planned(case)
    graph, work = plan.graph, plan.task_graph
    x = graph.inputs[0]
    values = np.random.default_rng(1).integers(x.range[0], x.range[1] + 1, (1, *x.shape))
    golden = execute(graph, {x.name: values}, list(graph.tensors))
    bench = Bench(dut, plan, disturbed)
    start = plan.program.tensors[work.sources[0]]
    given = to_bytes(values, work.stored[work.sources[0]])[0]
    bench.memory[start : start + len(given)] = given
    await bench.begin()
    await bench.run()
    found = dict(stored_differences(plan, bench.memory, golden))
    assert work.results[0] in found
    wrong = [str(difference) for difference in found.values() if difference is not None]
    assert not wrong, wrong[0]
    steps = sum(
        prod(d[f"loop{n}_count"] for n in range(LEVELS))
        for d in plan.program.descriptors
        if d["op"] == Opcode.COMPUTE and not d.get("softmax")
    )
    assert bench.issued == steps, f"{bench.issued} steps, {steps} are planned"
