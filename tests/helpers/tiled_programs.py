"""Programs of the tiled engine with descriptors that say something else, and runs that go wrong."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from random import Random
from unittest.mock import patch

import numpy as np

from hwgen.archs.package import Package
from hwgen.archs.tiled import simulation as tiled_sim
from hwgen.archs.tiled.simulation import Job, JobRun
from hwgen.contract.engine_model import EngineModel, Pick, Values
from hwgen.contract.isa import RECORDS, SLOT, ErrorCode, Opcode, Target, slots
from hwgen.emit.packing import to_hex
from hwgen.flow.memory import Memory
from hwgen.plan.tiled.schedule.program import Program
from tests.helpers.tiled import outputs, random_job, say

IDLE, DONE, REFUSED = 1, 2, 4
"""Bits of the status register."""
IDEAL = Memory()


def image(program: Program, number: int, changes: dict[str, int], folder: Path) -> Path:
    """The image of a program, with other fields in one of its descriptors."""
    memory = program.memory[: program.writable].copy()
    before = program.descriptors[:number]
    place = program.start + sum(slots(Opcode(d["op"])) for d in before) * SLOT
    record = RECORDS[Opcode(program.descriptors[number]["op"])]
    size = record.size // 8
    values = record.unpack(memory[place : place + size].tobytes()) | changes
    memory[place : place + size] = np.frombuffer(record.pack(values), np.uint8)
    path = folder / f"{number}{''.join(f'-{k}-{v}' for k, v in changes.items())}.hex"
    path.write_text(to_hex(memory.reshape(-1, 8)))
    return path


def run_descriptors(
    model: EngineModel, descriptors: list[Values], start: int, pick: Pick | None = None
) -> None:
    """Runs descriptors instead of those that the program has in memory."""
    with patch.object(model, "descriptors", return_value=descriptors):
        model.run(start, pick)


def numbers(program: Program, op: Opcode, target: Target | None = None) -> list[int]:
    """Descriptors of a kind, by their number in the program."""
    return [
        n
        for n, d in enumerate(program.descriptors)
        if d["op"] == op and (target is None or d["target"] == target)
    ]


def after_each(package: Package, wrong: Sequence[Job], memory: Memory = IDEAL) -> list[JobRun]:
    """Runs of wrong jobs, after each of which a right one ran, and was right."""
    right, golden = random_job(package.plan, 1)
    jobs = [job for given in wrong for job in (given, right)]
    runs = tiled_sim.run(package, jobs, memory, None, say).jobs
    for run in runs[1::2]:
        assert run.errors() == [ErrorCode.NONE] and run.status == [IDLE | DONE]
        assert np.array_equal(outputs(package.plan, run), golden)
        assert memory.gaps is not None or run.cycles == runs[1].cycles
    return runs[::2]


def spread(count: int, most: int, seed: int) -> list[int]:
    """The first, the last and random ones of 1 .. most."""
    return sorted({1, 2, most - 1, most, *Random(seed).sample(range(1, most + 1), count)})
