"""The fetcher of a tiled engine: programs out of external memory, descriptors to their units.

The units are the bench's: they take descriptors and finish them after any time. What must hold of
them is what docs/engine_isa.md says of a program's order.
"""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import Module
from amaranth.lib import wiring
from amaranth.lib.wiring import In
from cocotb.triggers import RisingEdge

from hwgen.contract.isa import COMPUTE, COUNTER_BITS, RECORDS, SLOT, TRANSFER, ErrorCode, Opcode
from hwgen.flow.memory import Memory
from hwgen.gateware.bus.read_master import ReadMaster
from hwgen.gateware.common.streams import connect
from hwgen.gateware.engine.fetch.fetcher import FAULTS, Fetcher, fault
from hwgen.gateware.engine.memory.dma import READ_CHANNELS

from .axi import AxiMemory
from .bench_memory import MEMORIES
from .steps import Steps
from .streams import internal, is_high, number
from .units import clock_of

BUS = 8
BASE, SIZE, PROGRAM = 0x3000_0000, 1 << 14, 1 << 12
UNITS = {"load": Opcode.LOAD, "compute": Opcode.COMPUTE, "store": Opcode.STORE}
Descriptor = tuple[Opcode, dict[str, int]]


class Fetching(wiring.Component):
    """A fetcher and the master that reads for it."""

    def __init__(self) -> None:
        self.fetcher, self.read = Fetcher(BUS), ReadMaster(BUS, 4, 16, 32)
        ours = ("start", "program", "limit", "busy", "stop", "flush", "done", "error", "layer")
        names = [*ours, *UNITS, *(f"finished_{unit}" for unit in UNITS)]
        for code in FAULTS:
            names += [fault(code), f"{fault(code)}_layer"]
        self.names = names
        members = {name: self.fetcher.signature.members[name] for name in names}
        members |= {name: self.read.signature.members[name] for name in READ_CHANNELS}
        super().__init__(members | {"others_idle": In(1)})

    def elaborate(self, platform: Any) -> Module:
        m = Module()
        m.submodules.fetcher, m.submodules.read = fetcher, read = self.fetcher, self.read
        connect(m, fetcher.request, read.request[1])
        connect(m, read.data[1], fetcher.data)
        for part, names in ((fetcher, self.names), (read, READ_CHANNELS)):
            for name in names:
                if name in UNITS:
                    connect(m, getattr(part, name), wiring.flipped(getattr(self, name)))
                    continue
                ours, theirs = getattr(self, name), getattr(part, name)
                inward = part.signature.members[name].flow == In
                m.d.comb += theirs.eq(ours) if inward else ours.eq(theirs)
        m.d.comb += [
            read.base.eq(BASE),
            read.limit.eq(SIZE),
            read.stop.eq(fetcher.stop),
            fetcher.masters_idle.eq(read.idle & self.others_idle),
        ]
        return m


def parts() -> dict[str, wiring.Component]:
    """Components by name."""
    return {"fetch": Fetching()}


def packed(program: Sequence[Descriptor]) -> bytes:
    """Descriptors as they lie in memory."""
    records = []
    for op, fields in program:
        record = RECORDS.get(op, TRANSFER)
        size = record.size // 8 if op else SLOT
        records.append(record.pack({"op": op} | fields)[:size])
    return b"".join(records)


def random_program(rng: Random, count: int) -> list[Descriptor]:
    """Descriptors of any content, each of which waits for some of those before it."""
    counts = dict.fromkeys(UNITS, 0)
    program: list[Descriptor] = []
    for n in range(count):
        unit = rng.choice([*UNITS])
        record = RECORDS[UNITS[unit]]
        fields = {
            f.name: rng.randint(*f.range)
            for f in record.fields
            if f.name != "op" and not f.name.startswith("wait_") and f.name != "unit"
        }
        waits = {f"wait_{u}": max(0, counts[u] - rng.choice((0, 1, 2, 5))) for u in UNITS}
        program.append((UNITS[unit], fields | waits | {"layer": n}))
        counts[unit] += 1
    return [*program, (Opcode.END, {})]


class Unit:
    """Takes descriptors of a kind, and finishes each after some cycles."""

    def __init__(self, dut: Any, name: str, rng: Random) -> None:
        self.name, self.rng = name, rng
        self.valid, self.ready, (self.payload,) = internal(dut, f"fetch__{name}")
        self.end = getattr(dut, f"fetch__finished_{name}")
        self.willing = False
        self.begin()

    def begin(self) -> None:
        """Nothing is taken yet; what was is dropped."""
        self.taken: list[int] = []
        self.finished = 0
        self.left = -1
        self.held: int | None = None

    def sample(self) -> int | None:
        """The descriptor that is taken with this edge; what is offered stays until it is."""
        offered = number(self.payload) if is_high(self.valid) else None
        assert self.held is None or offered == self.held, f"the offer of a {self.name} changed"
        self.held = None if self.willing else offered
        if self.left == 0:
            self.finished += 1
        word = None
        if self.willing and offered is not None:
            word = offered
            self.taken.append(word)
            self.left = self.rng.choice((1, 2, self.rng.randint(1, 40)))
        elif self.left >= 0:
            self.left -= 1
        return word

    def drive(self, flush: bool) -> None:
        """For the coming cycle; ``flush`` drops what is under way."""
        if flush:
            self.left, self.held = -1, None
        self.willing = self.left < 0 and self.rng.random() < 0.7
        self.ready.value = int(self.willing)
        self.end.value = int(self.left == 0)


class Bench:
    """The fetcher of one test, with its units."""

    def __init__(self, dut: Any, memory: Memory, seed: int) -> None:
        self.dut = dut
        data = np.random.default_rng(seed).integers(0, 256, SIZE, np.uint8)
        self.memory = AxiMemory(dut, "fetch__", data, BASE, memory=memory)
        self.units = {name: Unit(dut, name, Random(f"{seed} {name}")) for name in UNITS}
        self.ended = False
        self.steps = Steps(*clock_of(dut, "fetch"), self.memory, [self.look])

    def signal(self, name: str) -> Any:
        """A port of the fetcher."""
        return getattr(self.dut, f"fetch__{name}")

    async def begin(self) -> None:
        """After reset."""
        names = ["start", "program", "limit", "others_idle"]
        names.extend(f"finished_{unit}" for unit in UNITS)
        for code in FAULTS:
            names += [fault(code), f"{fault(code)}_layer"]
        idle = [self.signal(name) for name in names]
        await self.steps.begin([*idle, *(unit.ready for unit in self.units.values())])
        self.signal("others_idle").value = 1

    def look(self) -> None:
        """A descriptor begins only when what it waits for is finished."""
        before = {name: unit.finished for name, unit in self.units.items()}
        for name, unit in self.units.items():
            word = unit.sample()
            if word is None:
                continue
            record = RECORDS[UNITS[name]]
            fields = record.unpack(word.to_bytes(record.size // 8, "little"))
            for other, count in before.items():
                behind = (count - fields[f"wait_{other}"]) % (1 << COUNTER_BITS)
                assert behind < 1 << COUNTER_BITS - 1, (
                    f"{name} {len(unit.taken) - 1} begins with {count} {other}s finished: {fields}"
                )
        flush = is_high(self.signal("flush"))
        for unit in self.units.values():
            unit.drive(flush)
        if flush:
            assert is_high(self.signal("done")) and self.memory.quiet
            self.ended = True

    async def run(
        self,
        program: Sequence[Descriptor],
        limit: int | None = None,
        read_faults: Sequence[int] = (),
    ) -> tuple[ErrorCode, int]:
        """Run a program to its end; the error and its layer.

        limit : where it is said to end. read_faults : beats that memory answers with an error.
        """
        code = packed(program)
        self.program, self.end = program, PROGRAM + len(code)
        self.memory.data[PROGRAM : self.end] = np.frombuffer(code, np.uint8)
        self.memory.begin()
        self.memory.read_faults = {*read_faults}
        for unit in self.units.values():
            unit.begin()
        self.ended = False
        self.signal("program").value = PROGRAM
        self.signal("limit").value = self.end if limit is None else limit
        await self.pulse("start")
        await self.steps.until(lambda: self.ended, "no end")
        return ErrorCode(number(self.signal("error"))), number(self.signal("layer"))

    async def pulse(self, name: str) -> None:
        """A signal is high for a cycle."""
        self.signal(name).value = 1
        await RisingEdge(self.steps.clk)
        self.signal(name).value = 0

    def check(self) -> None:
        """Each unit got its descriptors, in the order of the program, and finished them."""
        for name, unit in self.units.items():
            record = RECORDS[UNITS[name]]
            want = [
                int.from_bytes(record.pack({"op": op} | fields), "little")
                for op, fields in self.program
                if op == UNITS[name]
            ]
            assert unit.taken == want, f"{name}: {len(unit.taken)} of {len(want)} descriptors"
            assert unit.finished == len(want)
        for _, place, beats in self.memory.read_bursts:
            assert place >= PROGRAM and place + beats * BUS <= self.end, "not the program is read"


@cocotb.test()
@cocotb.parametrize(memory=MEMORIES)
async def programs(dut: Any, memory: Memory) -> None:
    """Random descriptors with random waits; the units take any time."""
    seed = 10 * memory.latency + 3
    dut._log.info(f"seed {seed}, {memory}")
    bench = Bench(dut, memory, seed)
    await bench.begin()
    for n in range(2):
        assert await bench.run(random_program(Random(seed + n), 15)) == (ErrorCode.NONE, 0)
        bench.check()


GOOD: list[Descriptor] = [
    (Opcode.LOAD, {"layer": 1}),
    (Opcode.COMPUTE, {"wait_load": 1, "layer": 2}),
    (Opcode.STORE, {"wait_compute": 1, "layer": 3}),
    (Opcode.END, {}),
]


@cocotb.test()
async def errors_end_a_program_and_the_next_one_is_right(dut: Any) -> None:
    """A descriptor of no op, one that is not whole, one that memory answers wrongly, one that
    waits for ever."""
    unknown = [*GOOD[:2], (Opcode.END, {"op": 9, "layer": 55})]
    stalled = [GOOD[0], (Opcode.STORE, {"wait_compute": 1, "layer": 77}), GOOD[3]]
    cut = PROGRAM + SLOT + COMPUTE.size // 8 // 2
    bench = Bench(dut, Memory(5), 1)
    await bench.begin()
    for program, limit, faults, code, layer in (
        (unknown, None, (), ErrorCode.UNKNOWN_OP, 55),
        (GOOD, cut, (), ErrorCode.FETCH_OUTSIDE, None),
        (GOOD, None, (2,), ErrorCode.FETCH, None),
        (stalled, None, (), ErrorCode.STALL, 77),
    ):
        error, where = await bench.run(program, limit, faults)
        assert error is code and layer in (None, where), f"{error!r} in layer {where}"
        assert await bench.run(GOOD) == (ErrorCode.NONE, 0)
        bench.check()


@cocotb.test()
async def faults_of_units_are_passed_on(dut: Any) -> None:
    """Each kind, with its layer; nothing begins any more, and the next program is right."""
    bench = Bench(dut, Memory(5), 3)
    load = bench.units["load"]
    await bench.begin()
    for n, code in enumerate(FAULTS):
        running = cocotb.start_soon(bench.run(GOOD))
        load.begin()
        await bench.steps.until(lambda: bool(load.taken), "no load")
        bench.signal(f"{fault(code)}_layer").value = 100 + n
        await bench.pulse(fault(code))
        assert await running == (code, 100 + n)
        assert not bench.units["store"].taken
        assert await bench.run(GOOD) == (ErrorCode.NONE, 0)
        bench.check()
