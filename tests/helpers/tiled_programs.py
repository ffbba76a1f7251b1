"""Programs of the tiled engine with descriptors that say something else."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from hwgen.descriptors import RECORDS, SLOT, Op, Target, slots
from hwgen.emit.packing import to_hex
from hwgen.plan.tiled.program import Program


def image(program: Program, number: int, changes: dict[str, int], folder: Path) -> Path:
    """The image of a program, with other fields in one of its descriptors."""
    memory = program.memory[: program.writable].copy()
    before = program.descriptors[:number]
    place = program.start + sum(slots(Op(d["op"])) for d in before) * SLOT
    record = RECORDS[Op(program.descriptors[number]["op"])]
    size = record.size // 8
    values = record.unpack(memory[place : place + size].tobytes()) | changes
    memory[place : place + size] = np.frombuffer(record.pack(values), np.uint8)
    path = folder / f"{number}{''.join(f'-{k}-{v}' for k, v in changes.items())}.hex"
    path.write_text(to_hex(memory.reshape(-1, 8)))
    return path


def numbers(program: Program, op: Op, target: Target | None = None) -> list[int]:
    """Descriptors of a kind, by their number in the program."""
    return [
        n
        for n, d in enumerate(program.descriptors)
        if d["op"] == op and (target is None or d["target"] == target)
    ]
