"""Cocotb bench of a tiled package: programs, frames, external memory, control and status.

What to do is in the JSON file that HWGEN_SIM_JOB names (see engine.py, which writes it). The
memory after each frame is recorded, not judged: whoever called compares it and can name the layer.
All else is checked here: the rules of AXI4, undefined bits, the registers, that the engine rests
after its end.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from cocotb.triggers import ClockCycles, RisingEdge

from hwgen.flow.memory import Memory
from hwgen.gateware.engine.csr import REGISTERS

from .axi import AxiMemory
from .streams import AxiLite, is_high, number, reset

JOB = "HWGEN_SIM_JOB"
ADDRESS = {register.name: register.offset for register in REGISTERS}
START, CLEAR, IRQ_ENABLE = 1, 2, 4
IDLE, DONE = 1, 2
BASE = 0x4000_0000
"""Address of the memory's first byte."""

PATIENCE = 4
"""A run may last so many times what is expected."""
TAIL = 50
"""Cycles after a run in which nothing may move."""
STEPS_TOLD = 10
"""Times that a run says how far it is."""


@dataclass
class Seen:
    """What happened in a run; cycles count from its start.

    moves : (cycle, words of all units) as the engine's probe says them.
    """

    steps: list[int]
    begun: list[list[int]]
    moves: list[tuple[int, int]] = field(default_factory=list)
    tiles: list[int] = field(default_factory=list)
    loads: list[int] = field(default_factory=list)
    stores: list[int] = field(default_factory=list)
    start: int = -1
    done: int = -1


class Bench:
    """The engine, its memory and its registers, stepped by one loop."""

    def __init__(self, dut: Any, job: dict[str, Any]) -> None:
        self.dut, self.job = dut, job
        self.control = AxiLite(dut, dut.clk)
        self.memory = AxiMemory(
            dut, "m_axi_", np.zeros(0, np.uint8), BASE, memory=Memory(**job["memory"])
        )
        self.now = self.started = self.quiet = 0
        self.limit = self.expected = 0
        self.seen = self._nothing()
        self.told = ""

    def _nothing(self) -> Seen:
        units = self.job["tiles"]
        return Seen([0] * units, [[] for _ in range(units)])

    async def steps(self) -> None:
        """The loop: one turn a clock cycle."""
        dut, seen_of = self.dut, self._events()
        edge = RisingEdge(dut.clk)
        while True:
            self.memory.drive(self.now, self.now - self.started)
            await edge
            moved = self.memory.sample(self.now)
            works = seen_of()
            self.quiet = 0 if moved or works else self.quiet + 1
            self.now += 1
            if self.limit:
                self._judge_time()

    def _events(self) -> Any:
        """What looks at the engine's probes, in each cycle."""
        dut, units = self.dut, range(self.job["tiles"])
        issue, begin, buffers = dut.probe_issue, dut.probe_begin, dut.probe_buffers
        start, done = dut.probe_start, dut.probe_done
        finished = (("tiles", dut.probe_tile), ("loads", dut.probe_load),
                    ("stores", dut.probe_store))  # fmt: skip

        def look() -> bool:
            seen = self.seen
            if is_high(start):
                self.started = seen.start = self.now
            cycle = self.now - self.started
            for name, signal in finished:
                if is_high(signal):
                    getattr(seen, name).append(cycle)
            if is_high(done):
                seen.done = self.now
            moved = number(buffers)
            if moved:
                seen.moves.append((cycle, moved))
            works, begins = number(issue), number(begin)
            for unit in units:
                seen.steps[unit] += works >> unit & 1
                if begins >> unit & 1:
                    seen.begun[unit].append(cycle)
            return bool(works)

        return look

    def _judge_time(self) -> None:
        run = self.now - self.started
        assert self.quiet <= self.job["quiet_limit"], "nothing moves any more: the engine hangs"
        assert run <= self.limit, f"no end after {run} cycles: the engine hangs"
        if run % max(1, self.expected // STEPS_TOLD) == 0:
            self.tell(f"cycle {run:,} of about {self.expected:,}")

    def tell(self, text: str) -> None:
        """Say how far it is, to whoever waits (see engine.py)."""
        Path(self.job["progress"]).write_text(f"{self.told}, {text}")

    async def run(self, task: dict[str, Any]) -> dict[str, int]:
        """A program on the memory as it is; the registers after it."""
        control, memory = self.control, self.memory
        memory.lowest = task["writable"]
        for name, value in (
            ("MEM_BASE", BASE), ("MEM_LIMIT", len(memory.data)), ("WRITE_FROM", task["writable"]),
            ("PROGRAM", task["program"]), ("PROGRAM_END", task["program_end"]),
            ("ENGINE_LO", task["engine"] & 0xFFFFFFFF), ("ENGINE_HI", task["engine"] >> 32),
        ):  # fmt: skip
            await control.write(ADDRESS[name], value)
            assert await control.read(ADDRESS[name]) == value, f"{name} does not keep {value}"
        self.seen, self.started, self.quiet = self._nothing(), self.now, 0
        memory.begin()
        self.expected = task["cycles"]
        beat = memory.memory.latency + 1 / memory.memory.rate
        self.limit = self.job["quiet_limit"] + PATIENCE * (
            task["cycles"] + int(task["beats"] * beat)
        )
        await control.write(ADDRESS["CONTROL"], START | CLEAR | IRQ_ENABLE)
        if not is_high(self.dut.irq):
            await RisingEdge(self.dut.irq)
        self.limit = 0
        return await self._ended()

    async def _ended(self) -> dict[str, int]:
        """Registers after a run, which must say what was seen; then nothing moves."""
        memory, seen = self.memory, self.seen
        names = ("CYCLES", "STATUS", "ERROR_LAYER", "READ_BEATS", "WRITE_BEATS")
        registers = {name: await self.control.read(ADDRESS[name]) for name in names}
        assert registers["STATUS"] & 0xFF == IDLE | DONE, f"STATUS is {registers['STATUS']:#x}"
        for name, want in (
            ("CYCLES", seen.done - seen.start + 1),
            ("READ_BEATS", len(memory.read_times)),
            ("WRITE_BEATS", len(memory.write_times)),
        ):
            assert registers[name] == want, f"{name} is {registers[name]}, {want} were seen"
        assert memory.quiet, "a run ended while memory was at work"
        await self.control.write(ADDRESS["CONTROL"], CLEAR)
        await ClockCycles(self.dut.clk, TAIL)
        assert not is_high(self.dut.irq), "the interrupt stays when it was cleared"
        assert await self.control.read(ADDRESS["STATUS"]) == IDLE
        assert len(memory.read_times) == registers["READ_BEATS"], "reads go on after the end"
        assert len(memory.write_times) == registers["WRITE_BEATS"], "writes go on after the end"
        return registers

    async def check_identity(self) -> None:
        """What the engine says of itself."""
        for name, want in self.job["identity"].items():
            got = await self.control.read(ADDRESS[name])
            assert got == want, f"register {name} is {got:#x}, expected {want:#x}"


@cocotb.test()
async def engine(dut: Any) -> None:
    """All frames of all tasks, without a reset between them."""
    job = json.loads(Path(os.environ[JOB]).read_text())
    bench = Bench(dut, job)
    await reset(dut.clk, dut.rst, [*bench.control.idle, *bench.memory.idle])
    cocotb.start_soon(bench.steps())
    await bench.check_identity()
    for task in job["tasks"]:
        await _frames(bench, task)


async def _frames(bench: Bench, task: dict[str, Any]) -> None:
    """The frames of a task; leaves its files."""
    image = np.zeros(task["memory"], np.uint8)
    begin = np.load(task["image"])
    image[: len(begin)] = begin
    frames = np.load(task["frames"])
    rows: dict[str, list[int]] = {}
    after, stored = (np.lib.format.open_memmap(
        task[name], mode="w+", dtype=kind, shape=(len(frames), len(image))
    ) for name, kind in (("after", np.uint8), ("stored", bool)))  # fmt: skip
    for n, frame in enumerate(frames):
        bench.told = f"frame {n + 1} of {len(frames)}"
        memory = image.copy()
        memory[task["input_at"] : task["input_at"] + len(frame)] = frame
        bench.memory.data = memory
        registers = await bench.run(task)
        for name, value in registers.items():
            rows.setdefault(name, []).append(value)
        if not n:
            first = _first(bench)
        for key, value in _traffic(bench.memory, task["regions"]).items():
            total = rows.setdefault(key, [0] * len(value))
            rows[key] = [a + b for a, b in zip(total, value, strict=True)]
        after[n], stored[n] = memory, bench.memory.written
    Path(task["result"]).write_text(json.dumps(rows | first))


def _first(bench: Bench) -> dict[str, Any]:
    """What is kept of the first frame, whose cycles count from its start."""
    seen, memory = bench.seen, bench.memory
    return {
        "tiles": seen.tiles, "loads": seen.loads, "stores": seen.stores, "steps": seen.steps,
        "begun": seen.begun, "moves": seen.moves,
        "asked": [now - seen.start for now, _, _ in memory.read_bursts],
        "asked_at": [place for _, place, _ in memory.read_bursts],
        "sent": _firsts(memory, seen.start),
    }  # fmt: skip


def _firsts(memory: AxiMemory, start: int) -> list[int]:
    """When the first beat of each burst of writes passed."""
    found, beat = [], 0
    for _, _, beats in memory.write_bursts:
        found.append(memory.write_times[beat] - start)
        beat += beats
    return found


def _traffic(memory: AxiMemory, ends: list[int]) -> dict[str, list[int]]:
    """Bytes read and written in each region, and outside of all."""
    read, written = ([0] * (len(ends) + 1) for _ in range(2))
    for _, place, beats in memory.read_bursts:
        places = np.arange(place, place + beats * memory.bus, memory.bus)
        for region in np.searchsorted(ends, places, side="right").tolist():
            read[region] += memory.bus
    for place, strobes in memory.write_beats:
        for lane in range(memory.bus):
            region = int(np.searchsorted(ends, place + lane, side="right"))
            written[region] += strobes >> lane & 1
    return {"read_bytes": read, "written_bytes": written}
