"""The array, feature memory and result stage together, against the engine model in NumPy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import pytest
from amaranth.sim import Simulator

import hwgen
from hwgen.archs.tiled.ends import to_bytes
from hwgen.contract.engine import BANKS, EngineShape
from hwgen.contract.engine_model import EngineModel
from hwgen.contract.isa import (
    COMPUTE,
    LEVELS,
    OUTPUT_LEVELS,
    Opcode,
    Operand,
    Reduction,
    Target,
)
from hwgen.gateware.engine.compute import tile_unit
from hwgen.gateware.engine.compute.tile_unit import TileUnit
from hwgen.gateware.engine.compute.tile_units import TileUnits
from hwgen.gateware.engine.memory.feature_memory import FeatureMemory
from hwgen.ir import Graph, Node, Tensor, ops
from hwgen.numeric import Overflow, QType, Rounding
from hwgen.plan.tiled.mapping.stationarity import Stationarity
from tests.helpers.tiled import softmax_network
from tests.helpers.tiled_layers import of_widths, random_layers
from tests.plan.tiled.test_program import FIXTURES, program_of


class Driver:
    """Loads by the test's hand, descriptors to the hardware, both beside the engine model."""

    def __init__(
        self, shape: EngineShape, engine_model: EngineModel, dut: TileUnit | TileUnits
    ) -> None:
        self.shape, self.engine_model, self.dut = shape, engine_model, dut

    async def load(self, ctx, d: dict[str, int]) -> None:
        self.engine_model.load(d)
        self.choose(ctx, "load_units", d["units"])
        target, b = Target(d["target"]), self.shape.bus_bytes
        if target is Target.FEATURES:
            return await self.features(ctx, d)
        data = self.engine_model.memory[d["address"] : d["address"] + d["bytes"]].tobytes()
        size = b if target is Target.TABLES else d["word_beats"] * b
        for n in range(0, len(data), b):
            word, part = d["base"] + n // size, n % size // b
            value = int.from_bytes(data[n : n + b], "little")
            port = {
                Target.WEIGHTS: self.dut.weight_write,
                Target.PARAMETERS: self.dut.parameter_write,
                Target.TABLES: self.dut.table_write,
            }[target]
            ctx.set(port.en, 1)
            ctx.set(port.word, word)
            ctx.set(port.data, value)
            if target is not Target.TABLES:
                ctx.set(port.slice, part)
            if target is Target.WEIGHTS:
                ctx.set(port.one_lane, d["one_lane"])
            await ctx.tick()
            ctx.set(port.en, 0)

    def choose(self, ctx, name: str, units: int) -> None:
        """Which units the next accesses are about, where there are several."""
        if isinstance(self.dut, TileUnits):
            ctx.set(getattr(self.dut, name), units)

    async def features(self, ctx, d: dict[str, int]) -> None:
        port, word = self.dut.load, self.shape.word
        for row in range(d["rows"]):
            start = d["address"] + row * d["pitch"]
            data = self.engine_model.memory[start : start + d["bytes"]].tobytes()
            ring = (d["first"] + row) % d["ring"]
            place = d["base"] + ring // BANKS * d["bank_pitch"]
            for n in range(0, len(data), word):
                part = data[n : n + word]
                ctx.set(port.en, 1)
                ctx.set(port.bank, ring % BANKS)
                ctx.set(port.addr, place + n)
                ctx.set(port.mask, (1 << len(part)) - 1)
                ctx.set(port.data, int.from_bytes(part, "little"))
                await ctx.tick().until(port.ready)
        ctx.set(port.en, 0)

    async def compute(self, ctx, d: dict[str, int]) -> None:
        """Offer a descriptor, which is finished later."""
        self.engine_model.compute(d)
        port = self.dut.command
        ctx.set(port.payload, {f.name: d.get(f.name, 0) for f in COMPUTE.fields})
        ctx.set(port.valid, 1)
        await ctx.tick().until(port.ready)
        ctx.set(port.valid, 0)

    async def bank(self, ctx, unit: int, n: int) -> np.ndarray:
        """All bytes of a bank of a unit, a word a cycle."""
        port, word, data = self.dut.store, self.shape.word, b""
        self.choose(ctx, "store_units", 1 << unit)
        ctx.set(port.en, 1)
        ctx.set(port.bank, n)
        for cycle in range(self.shape.bank_bytes // word + FeatureMemory.LATENCY - 1):
            if cycle * word < self.shape.bank_bytes:
                ctx.set(port.addr, cycle * word)
            else:
                ctx.set(port.en, 0)
            await ctx.tick()
            if cycle >= FeatureMemory.LATENCY - 1:
                data += ctx.get(port.data).to_bytes(word, "little")
        ctx.set(port.en, 0)
        return np.frombuffer(data, np.uint8)


def carried_out(
    graph: Graph, shape: EngineShape, resident: int = 2, stationarity: Stationarity | None = None
) -> set[str]:
    """Carry out a network's program; returns what its tiles made use of."""
    graph, task_graph, placement, program = program_of(
        graph, shape, resident, stationarity=stationarity
    )
    edge = graph.inputs[0]
    x = np.random.default_rng(1).integers(edge.range[0], edge.range[1] + 1, (1, *edge.shape))
    memory = program.memory.copy()
    source = task_graph.stored[task_graph.sources[0]]
    start = program.tensors[source.name]
    memory[start : start + source.bytes] = to_bytes(x, source)[0]
    engine_model = EngineModel(shape, memory)
    dut = TileUnit(shape) if shape.tiles == 1 else TileUnits(shape)
    driver = Driver(shape, engine_model, dut)
    finished = 0
    done = False

    async def watch(ctx) -> None:
        nonlocal finished
        while not done:
            _, _, done_now, fault = await ctx.tick().sample(dut.finished, dut.fault)
            assert not fault, "a tile was refused, or did not end"
            finished += done_now

    async def drive(ctx) -> None:
        nonlocal done
        issued = 0
        for d in engine_model.descriptors(program.start):
            op = Opcode(d["op"])
            if op is Opcode.COMPUTE:
                # What it reads of earlier results must be there.
                while finished < d["wait_compute"]:
                    await ctx.tick()
                await driver.compute(ctx, d)
                issued += 1
            elif op is Opcode.LOAD:
                while finished < d["wait_compute"]:
                    await ctx.tick()
                await driver.load(ctx, d)
            else:
                while finished < issued:
                    await ctx.tick()
                engine_model.store(d)
        for _ in range(5000):
            if finished == issued:
                break
            await ctx.tick()
        assert finished == issued
        await ctx.tick().repeat(4)
        for unit, n in product(range(shape.tiles), range(BANKS)):
            got, want = await driver.bank(ctx, unit, n), engine_model.units[unit].features[n]
            wrong = np.flatnonzero(got != want)
            assert not len(wrong), (unit, n, wrong[:8], got[wrong[:8]], want[wrong[:8]])
        done = True

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.add_testbench(watch, background=True)
    simulator.run()

    return used(engine_model.descriptors(program.start)) | {
        t.stationarity.value for t in placement.tilings
    }


def used(descriptors: list[dict[str, int]]) -> set[str]:
    """Operands, reductions and flags of all tiles."""
    found = set()
    for d in descriptors:
        if d["op"] == Opcode.COMPUTE:
            found |= {Operand(d["operand"]).name, Reduction(d["reduction"]).name}
            flags = (
                "accumulate",
                "no_writeback",
                "ones",
                "wide",
                "tables",
                "second",
                "rounding",
                "softmax",
                "tap_rows",
            )
            found |= {flag for flag in flags if d[flag]}
    return found


SMALL = {
    "4x4": EngineShape(4, 4, 4 << 10, 32, 64, 16, 32),
    "8x4": EngineShape(8, 4, 8 << 10, 32, 32, 4, 64),
    "4x8": EngineShape(4, 8, 8 << 10, 16, 32, 8, 32),
}


@pytest.mark.parametrize("shape", SMALL.values(), ids=SMALL)
def test_convolutions_and_sums(shape: EngineShape) -> None:
    graph = hwgen.load(FIXTURES / "tflite_adds.tflite")
    assert carried_out(graph, shape) >= {"DENSE", "tables", "second"}


@pytest.mark.parametrize("pads", [((2, 0), (2, 0)), ((0, 2), (0, 2))])
def test_windows_at_borders(pads: Any) -> None:
    """A row's first window has one column that is no padding, or three."""
    rng = np.random.default_rng(1)
    kind = {"overflow": Overflow.SATURATE, "rounding": Rounding.HALF_EVEN}
    byte, weight = QType(True, 8, 4, **kind), QType(True, 6, 5, **kind)
    weights = rng.integers(-32, 32, (3, 3, 1, 5))
    nodes = (
        Node("deep", ops.Conv2D(weights, weight, (1, 1), pads, groups=5, raw=True), ("x",)),
        Node("out", ops.Requantize.scaled(byte, shift=6), ("deep",)),
    )
    graph = Graph("borders", (Tensor("x", (5, 6, 5), byte),), nodes, ("out",))
    assert "DEPTHWISE_WINDOW" in carried_out(graph, EngineShape(4, 16, 4 << 10, 16, 32, 4, 32))


def small_network(seed: int) -> Graph:
    """A convolution, a depthwise one, a pool, a dense layer, of random sizes and steps."""
    rng = np.random.default_rng(seed)
    kind = {"overflow": Overflow.SATURATE, "rounding": Rounding.HALF_EVEN}
    unsigned, signed = QType(False, 8, 4, **kind), QType(True, 8, 4, **kind)
    weight = QType(True, 6, 5, **kind)

    def weights(*shape: int) -> np.ndarray:
        return rng.integers(-32, 32, shape)

    height, width = rng.integers(5, 9, 2)
    channels = int(rng.integers(3, 11))
    stride = (int(rng.integers(1, 3)), int(rng.integers(1, 3)))
    kernel = tuple(int(k) for k in rng.integers(1, 4, 2))
    source = Tensor("x", (int(height), int(width), 3), signed)
    nodes = [
        Node("conv", ops.Conv2D(weights(3, 3, 3, channels), weight, (1, 1), "same"), ("x",)),
        Node("conv_q", ops.Requantize.scaled(unsigned, shift=7), ("conv",)),
        Node(
            "deep",
            ops.Conv2D(
                weights(*kernel, 1, channels), weight, stride, "same", groups=channels, raw=True
            ),
            ("conv_q",),
        ),
        Node("deep_q", ops.Requantize.scaled(unsigned, 3, 9, 8), ("deep",)),
        Node("pool", ops.MaxPool((2, 2), (1, 1), "same"), ("deep_q",)),
        Node("flat", ops.Flatten(), ("pool",)),
    ]
    size = int(np.prod([-(-n // s) for n, s in zip((height, width), stride, strict=True)]))
    nodes += [
        Node("dense", ops.Dense(weights(size * channels, 5), weight), ("flat",)),
        Node("out", ops.Requantize.scaled(QType(True, 20, 9, **kind)), ("dense",)),
    ]
    return Graph("small", (source,), tuple(nodes), ("out",))


@pytest.mark.parametrize("seed", range(4))
def test_all_operands(seed: int) -> None:
    print(f"seed {seed}")
    shape = (EngineShape(4, 16, 4 << 10, 16, 32, 4, 32), SMALL["4x4"], SMALL["8x4"])[seed % 3]
    found = carried_out(small_network(seed), shape)
    assert found >= {"DENSE", "DEPTHWISE", "MAX", "wide", "rounding"}
    assert shape.simd < 9 or "DEPTHWISE_WINDOW" in found


@pytest.mark.parametrize("size", [(4, 4), (4, 8), (8, 16)])
@pytest.mark.parametrize("kernel", [(2, 2), (3, 2), (7, 1), (5, 2)])
def test_short_rows_of_a_kernel_share_the_lanes(
    size: tuple[int, int], kernel: tuple[int, int]
) -> None:
    """With borders above and below, and rows of the last step beyond the kernel."""
    rng = np.random.default_rng(7)
    kind = {"overflow": Overflow.SATURATE, "rounding": Rounding.HALF_EVEN}
    byte, weight = QType(True, 8, 4, **kind), QType(True, 6, 5, **kind)
    weights = rng.integers(-32, 32, (*kernel, 1, 5))
    nodes = (
        Node("conv", ops.Conv2D(weights, weight, (2, 1), "same", raw=True), ("x",)),
        Node("out", ops.Requantize.scaled(byte, shift=6), ("conv",)),
    )
    graph = Graph("narrow", (Tensor("x", (11, 6, 1), byte),), nodes, ("out",))
    shape = EngineShape(*size, 8 << 10, 32, 64, 16, 32)
    assert "tap_rows" in carried_out(graph, shape)


@pytest.mark.parametrize("bits", [(2, 3), (4, 1), (7, 8), (12, 4), (16, 16)])
def test_operands_of_other_widths(bits: tuple[int, int]) -> None:
    """Windows, taps of many channels, the largest of some; tables where values are bytes."""
    widths = {"ifmap_bits": bits[0], "weight_bits": bits[1]}
    shape = EngineShape(4, 16, 8 << 10, 16, 32, 4, 32, requantizers=2, **widths)
    found = carried_out(of_widths(*bits), shape)
    assert found >= {"DENSE", "DEPTHWISE_WINDOW", "MAX", "wide"}
    assert bits[0] > 8 or found >= {"tables", "second"}


def test_a_ring_no_larger_than_the_ifmap() -> None:
    """From the last taps of a group, below the frame, back to the first ones above it: further
    than the ring is long."""
    kind = {"overflow": Overflow.SATURATE, "rounding": Rounding.HALF_EVEN}
    byte, weight = QType(True, 8, 4, **kind), QType(True, 6, 5, **kind)
    rng = np.random.default_rng(1)
    nodes = []
    before = "x"
    for n in range(2):
        weights = rng.integers(-32, 32, (3, 3, 8, 8))
        nodes.append(Node(f"conv{n}", ops.Conv2D(weights, weight, (1, 1), "same"), (before,)))
        before = f"q{n}"
        nodes.append(Node(before, ops.Requantize.scaled(byte, shift=8), (f"conv{n}",)))
    carried_out(Graph("g", (Tensor("x", (4, 3, 8), byte),), tuple(nodes), ("q1",)), SMALL["4x4"])


@pytest.mark.parametrize("stationarity", [Stationarity.WEIGHT, Stationarity.INPUT])
@pytest.mark.parametrize("seed", range(3))
def test_orders_of_loops(seed: int, stationarity: Stationarity) -> None:
    print(f"seed {seed}")
    shape = (
        EngineShape(4, 4, 8 << 10, 64, 128, 16, 32),
        EngineShape(8, 4, 8 << 10, 32, 64, 8, 64),
        EngineShape(4, 8, 8 << 10, 16, 128, 16, 32),
    )[seed]
    graph = random_layers(seed, most=6, wide=10)
    assert stationarity.value in carried_out(graph, shape, stationarity=stationarity)


def test_sums_are_kept_between_tiles() -> None:
    shape = EngineShape(4, 4, 4 << 10, 8, 64, 4, 32)
    assert carried_out(small_network(1), shape) >= {"accumulate", "no_writeback"}


@pytest.mark.parametrize("channels", [3, 4, 9])
def test_softmax_of_maps_and_vectors(channels: int) -> None:
    """Between convolutions and at the end, where the array is at work before and after it."""
    found = carried_out(softmax_network(channels), SMALL["4x4"])
    assert found >= {"DENSE", "softmax", "tables"}


def softmax_command(**changed: int) -> dict[str, int]:
    """A vector of 200 bytes on an array of 4 outputs."""
    counts = {f"loop{n}_count": 1 for n in range(LEVELS)}
    counts |= {f"out{n}_count": 1 for n in range(OUTPUT_LEVELS)}
    fields = {
        "op": Opcode.COMPUTE, "layer": 5, "softmax": 1, "groups": 50, "lanes": 4, "out0_count": 50,
        "out0_group": 1, "out0_position": 4, "out0_second": 4, "y_ring": 4, "second_ring": 4,
        "y_base": 256, "low": -128,
    }  # fmt: skip
    return counts | fields | changed


def answer_to(command: dict[str, int], cycles: int, ifmap_bits: int = 8) -> tuple[bool, bool, int]:
    """Whether a descriptor was finished, whether it was refused, and the layer that is named."""
    dut = TileUnit(EngineShape(4, 4, 4 << 10, 16, 16, 4, 32, ifmap_bits=ifmap_bits))
    seen = []

    async def drive(ctx) -> None:
        ctx.set(dut.command.payload, {f.name: command.get(f.name, 0) for f in COMPUTE.fields})
        ctx.set(dut.command.valid, 1)
        for _ in range(cycles):
            _, _, accepted, finished, fault, layer = await ctx.tick().sample(
                dut.command.ready, dut.finished, dut.fault, dut.fault_layer
            )
            if accepted:
                ctx.set(dut.command.valid, 0)
            if finished or fault:
                seen.append((bool(finished), bool(fault), layer))
                return

    simulator = Simulator(dut)
    simulator.add_clock(1e-6)
    simulator.add_testbench(drive)
    simulator.run()
    (answer,) = seen
    return answer


def test_a_long_softmax_is_not_taken_for_a_stalled_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tile_unit, "QUIET", 64)
    assert answer_to(softmax_command(), 800) == (True, False, 5)


@pytest.mark.parametrize(
    "wrong",
    [{"lanes": 0}, {"lanes": 5}, {"groups": 49}, {"out0_group": 0}, {"out1_group": 1},
     {"groups": 513, "out0_count": 513}, {"groups": 0, "out0_count": 0}, {"no_writeback": 1},
     {"wide": 1}, {"tables": 1}, {"second_ring": 0}, {"second_first": 4}, {"y_ring": 3},
     {"out2_count": 0}],
    ids=lambda wrong: " ".join(f"{k}={v}" for k, v in wrong.items()),
)  # fmt: skip
def test_a_softmax_that_can_not_be_is_refused(wrong: dict[str, int]) -> None:
    assert answer_to(softmax_command(**wrong), 20) == (False, True, 5)


@pytest.mark.parametrize(("bits", "refused"), [(4, True), (5, False), (8, False), (9, True)])
def test_a_softmax_of_values_that_are_no_bytes_is_refused(bits: int, refused: bool) -> None:
    assert answer_to(softmax_command(), 800, bits) == (not refused, refused, 5)


def sum_command(**changed: int) -> dict[str, int]:
    """A sum of one tap, for each of 4 outputs."""
    fields = {"softmax": 0, "groups": 1, "out0_count": 1, "x_ring": 4}
    return softmax_command(**(fields | changed))


def test_the_least_tile_is_carried_out() -> None:
    assert answer_to(sum_command(), 200) == (True, False, 5)


@pytest.mark.parametrize(
    "wrong",
    [{"loop0_count": 0}, {"loop5_count": 0}, {"out0_count": 0}, {"out2_count": 0}, {"x_ring": 0},
     {"x_ring": 6}, {"x_first": 4}, {"y_ring": 2}, {"y_first": 9}],
    ids=lambda wrong: " ".join(f"{k}={v}" for k, v in wrong.items()),
)  # fmt: skip
def test_a_tile_that_can_not_be_is_refused(wrong: dict[str, int]) -> None:
    assert answer_to(sum_command(**wrong), 20) == (False, True, 5)
