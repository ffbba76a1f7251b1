"""The result stage of a tiled engine: words of sums to bytes of a layer's ofmap.

The bench is the array that gives sums and the feature-map memory on both sides. Sums and bytes are
the golden model's; where a byte goes follows from the descriptor as docs/engine_isa.md says.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from random import Random
from typing import Any

import cocotb
import numpy as np
from amaranth.lib import wiring
from cocotb.triggers import RisingEdge

from hwgen.archs.tiled.ends import to_bytes
from hwgen.contract.engine import BANKS
from hwgen.contract.isa import OUTPUT_LEVELS, Opcode, Target
from hwgen.gateware.engine.memory.feature_ports import READ_LATENCY
from hwgen.gateware.engine.result.result import ResultStage
from hwgen.ir import Graph, Node, Tensor, execute, ops
from hwgen.numeric import QType
from hwgen.passes import legalize
from hwgen.plan.tiled.network.tasks import TaskGraph
from hwgen.plan.tiled.plan import TiledPlan, plan_tiled

from .bench_compute import (
    BYTE,
    KIND,
    SHAPE,
    WEIGHT,
    Fields,
    beats_of,
    record_of,
    rows_of,
    weights,
)
from .steps import Steps
from .streams import internal, is_high, number
from .units import clock_of

WIDE = QType(True, 20, 9, **KIND)


@dataclass(frozen=True)
class Case:
    """A network of one layer, which a tile carries out: ``sums`` go in, ``bytes`` come out.

    make : gives the network. sums, result : the edges.
    """

    name: str
    make: Callable[[], Graph]
    sums: str
    result: str


def _bytes() -> Graph:
    """More channels than lanes, each scaled and moved in its own way."""
    rng = np.random.default_rng(6)
    mult, bias = rng.integers(40, 128, 6), rng.integers(-(1 << 15), 1 << 15, 6)
    nodes = (
        Node("conv", ops.Conv2D(weights(1, 1, 7, 6), WEIGHT, (1, 1), "same"), ("x",)),
        Node("conv_q", ops.Requantize.scaled(BYTE, mult, bias, shift=13), ("conv",)),
    )
    return Graph("bytes", (Tensor("x", (5, 3, 7), BYTE),), nodes, ("conv_q",))


def _wide() -> Graph:
    """Four bytes each."""
    dense = Node("dense", ops.Dense(weights(9, 7), WEIGHT), ("x",))
    scaled = Node("dense_q", ops.Requantize.scaled(WIDE), ("dense",))
    return Graph("wide", (Tensor("x", (9,), BYTE),), (dense, scaled), ("dense_q",))


def _table() -> Graph:
    """One table, and no second operand."""
    thresholds, values = np.array([-60, -20, 0, 30]), np.array([5, -7, 90, -100, 12])
    nodes = (
        Node("conv", ops.Conv2D(weights(1, 1, 4, 5), WEIGHT, (1, 1), "same"), ("x",)),
        Node("conv_q", ops.Requantize.scaled(BYTE, shift=6), ("conv",)),
        Node("table", ops.MultiThreshold(thresholds, values, BYTE), ("conv_q",)),
    )
    return Graph("table", (Tensor("x", (2, 3, 4), BYTE),), nodes, ("table",))


def _sum() -> Graph:
    """A second operand; both go through tables."""
    nodes = (
        Node("conv", ops.Conv2D(weights(1, 1, 5, 5), WEIGHT, (1, 1), "same"), ("x",)),
        Node("conv_q", ops.Requantize.scaled(BYTE, shift=6), ("conv",)),
        Node("sum", ops.Add(), ("conv_q", "x")),
        Node("sum_q", ops.Requantize.scaled(BYTE), ("sum",)),
    )
    return Graph("sum", (Tensor("x", (5, 3, 5), BYTE),), nodes, ("sum_q",))


CASES = [
    Case("bytes", _bytes, "conv", "conv_q"),
    Case("wide", _wide, "dense", "dense_q"),
    Case("sum", _sum, "conv", "sum_q"),
    Case("table", _table, "conv", "table"),
]


@cache
def planned(case: Case) -> TiledPlan:
    """A case's plan, which has one tile."""
    plan = plan_tiled(legalize(case.make()), SHAPE, 2)
    if plan.tiles != 1:
        raise ValueError(f"{case.name} has {plan.tiles} tiles")
    return plan


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return {"result": ResultStage(SHAPE)}


def results_of(d: Fields) -> Iterator[tuple[int, int, int]]:
    """Row, position and group of each result, in order: a loop that steps adds its increments,
    which take back what the loops inside of it added."""
    at, row, position = [0] * OUTPUT_LEVELS, 0, 0
    while True:
        group = sum(at[n] for n in range(OUTPUT_LEVELS) if d[f"out{n}_group"])
        yield row, position, group
        steps = [n for n in range(OUTPUT_LEVELS) if at[n] + 1 < d[f"out{n}_count"]]
        if not steps:
            return
        at[: steps[0]] = [0] * steps[0]
        at[steps[0]] += 1
        row += d[f"out{steps[0]}_row"]
        position += d[f"out{steps[0]}_position"]


class Bench:
    """A result stage between an array and a feature-map memory that the bench plays."""

    def __init__(self, dut: Any, gaps: bool) -> None:
        self.dut, self.rng, self.gaps = dut, Random(5), gaps
        self.command = internal(dut, "result__command")
        self.banks = np.zeros((BANKS, SHAPE.bank_bytes), np.uint8)
        self.written = np.zeros_like(self.banks, bool)
        self.sums: deque[int] = deque()
        self.finished = 0
        self.reads: deque[int | None] = deque([None] * (READ_LATENCY - 1))
        self.ready = False
        self.steps = Steps(*clock_of(dut, "result"), None, [self.look])

    def port(self, name: str) -> Any:
        """A signal of the stage."""
        return getattr(self.dut, f"result__{name}")

    async def begin(self) -> None:
        """After reset."""
        valid, _, (payload,) = self.command
        names = ["take", "push", "acc", "second__ready", "second__data"]
        names += [f"table_write__{field}" for field in ("en", "word", "data")]
        names += [f"parameter_write__{field}" for field in ("en", "word", "slice", "data")]
        await self.steps.begin([valid, payload, *map(self.port, names)])

    def look(self) -> None:
        """Memory's reads and writes, and the next word of sums."""
        self.finished += is_high(self.port("finished"))
        self._write()
        self._read()
        offers = bool(self.sums) and is_high(self.port("room")) and not number(self.port("take"))
        if offers and self.willing():
            self.port("acc").value = self.sums.popleft()
        else:
            offers = False
        for name in ("take", "push"):
            self.port(name).value = int(offers)

    def willing(self) -> bool:
        """Whether something happens in this cycle that may happen later."""
        return not self.gaps or self.rng.random() < 0.5

    def _write(self) -> None:
        if not is_high(self.port("result__en")):
            return
        bank, place, mask = (number(self.port(f"result__{n}")) for n in ("bank", "addr", "mask"))
        text = str(self.port("result__data").value)
        for lane in range(SHAPE.word):
            if mask >> lane & 1:
                bits = text[len(text) - 8 * lane - 8 : len(text) - 8 * lane]
                assert set(bits) <= {"0", "1"}, f"byte {place + lane} of bank {bank} is {bits}"
                self.banks[bank, place + lane] = int(bits, 2)
                self.written[bank, place + lane] = True

    def _read(self) -> None:
        asked = None
        if self.ready and is_high(self.port("second__en")):
            bank, place = number(self.port("second__bank")), number(self.port("second__addr"))
            given = np.roll(self.banks[bank], -place)[: SHAPE.word]
            asked = int.from_bytes(given.tobytes(), "little")
        self.reads.append(asked)
        now = self.reads.popleft()
        # What nobody asked for is anything.
        self.port("second__data").value = (
            self.rng.getrandbits(8 * SHAPE.word) if now is None else now
        )
        self.ready = self.willing()
        self.port("second__ready").value = int(self.ready)

    async def words(self, descriptor: Fields, memory: np.ndarray) -> None:
        """Words of parameters or tables, a beat at a time."""
        name, beats = beats_of(descriptor, memory)
        edge = RisingEdge(self.steps.clk)
        for fields in beats:
            for field, value in (fields | {"en": 1}).items():
                self.port(f"{name}_write__{field}").value = value
            await edge
        self.port(f"{name}_write__en").value = 0
        for _ in range(READ_LATENCY):
            await edge


def expected(
    bench: Bench, tile: Fields, work: TaskGraph, golden: dict[str, np.ndarray], case: Case
) -> tuple[list[int], np.ndarray, np.ndarray]:
    """Words of sums in the order of their results; the banks after it; which bytes are written."""
    result = work.stored[case.result]
    sums = golden[case.sums].reshape(result.shape)
    rows = to_bytes(golden[case.result], result)[0].reshape(result.shape[0], -1)
    words, banks, places = [], bench.banks.copy(), np.zeros_like(bench.written)
    for row, position, group in results_of(tile):
        column, channel = divmod(position // (result.bits // 8), result.shape[2])
        lanes = tile["lanes"] if group == tile["groups"] - 1 else SHAPE.pe
        word = np.zeros(SHAPE.pe, np.int32)
        word[:lanes] = sums[row, column, channel : channel + lanes]
        words.append(int.from_bytes(word.tobytes(), "little"))
        ring = (tile["y_first"] + row) % tile["y_ring"]
        place = tile["y_base"] + ring // BANKS * tile["y_pitch"] + position
        size = result.span(lanes)
        banks[ring % BANKS, place : place + size] = rows[row, position : position + size]
        places[ring % BANKS, place : place + size] = True
    assert places.sum() == result.bytes
    return words, banks, places


@cocotb.test()
@cocotb.parametrize(gaps=[cocotb.Param(False, "always"), cocotb.Param(True, "random")])
async def sums_become_bytes(dut: Any, gaps: bool) -> None:
    """Tiles of all kinds one after the other, each byte at its place and no other one."""
    bench = Bench(dut, gaps)
    await bench.begin()
    for turn, case in enumerate((*CASES, *CASES[::-1])):
        plan = planned(case)
        program, work, x = plan.program, plan.task_graph, plan.graph.inputs[0]
        values = np.random.default_rng(turn).integers(x.range[0], x.range[1] + 1, (1, *x.shape))
        golden = execute(plan.graph, {x.name: values}, [case.sums, case.result])
        stored, start = work.stored[work.sources[0]], program.tensors[work.sources[0]]
        memory = program.memory.copy()
        memory[start : start + stored.bytes] = to_bytes(values, stored)[0]
        for d in program.descriptors:
            if d["op"] == Opcode.LOAD and d["target"] == Target.FEATURES:
                for offset, bank, place in rows_of(d):
                    bench.banks[bank, place : place + d["bytes"]] = memory[offset:][: d["bytes"]]
            elif d["op"] == Opcode.LOAD and d["target"] != Target.WEIGHTS:
                await bench.words(d, memory)
        (tile,) = (d for d in program.descriptors if d["op"] == Opcode.COMPUTE)
        # The ofmap goes to a ring of its own, of two rows a bank, and begins anywhere in it.
        tile = tile | {
            "y_first": bench.rng.randrange(2 * BANKS), "y_ring": 2 * BANKS,
            "y_base": SHAPE.bank_bytes // 2 + bench.rng.randrange(20),
            "y_pitch": work.stored[case.result].row_bytes + bench.rng.randrange(9),
        }  # fmt: skip
        bench.written[:] = False
        words, banks, places = expected(bench, tile, work, golden, case)
        bench.sums.extend(words)
        valid, ready, (payload,) = bench.command
        await bench.steps.offer(valid, ready, payload, record_of(tile))
        await bench.steps.until(lambda n=turn: bench.finished > n, "no end of a tile")
        assert not bench.sums, f"{case.name}: {len(bench.sums)} words of sums are left"
        assert np.array_equal(bench.written, places), f"{case.name}: other bytes are written"
        wrong = np.argwhere(bench.banks != banks)
        assert not len(wrong), f"{case.name}: {len(wrong)} bytes differ, the first at {wrong[0]}"
