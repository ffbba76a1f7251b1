"""Loads, tiles and stores as a simulation saw them."""

from __future__ import annotations

from collections.abc import Iterator

from ...contract.isa import Opcode
from ...plan.tiled.plan import TiledPlan
from ...plan.tiled.timeline import spans_of
from ...plan.tiled.timing.channels import bursts
from ...plan.tiled.timing.transfers import rows_of
from ...plan.timeline import Span
from .simulation import JobRun


def measured(plan: TiledPlan, run: JobRun) -> list[Span]:
    """The spans of a job's first run (see ``spans_of``), which must have come to its end."""
    program = plan.program
    fetched = range(program.start, program.end)
    reads = (cycle for cycle, at in zip(run.asked, run.asked_at, strict=True) if at not in fetched)
    units = [iter(cycles) for cycles in run.begun]
    computes = (d for d in program.descriptors if d["op"] == Opcode.COMPUTE)
    begun = {
        Opcode.LOAD: _first_bursts(plan, Opcode.LOAD, reads),
        Opcode.COMPUTE: [next(units[d["unit"]]) for d in computes],
        Opcode.STORE: _first_bursts(plan, Opcode.STORE, iter(run.sent)),
    }
    finished = {Opcode.LOAD: run.loads, Opcode.COMPUTE: run.tiles, Opcode.STORE: run.stores}
    return spans_of(plan, begun, finished, run.cycles[0])


def _first_bursts(plan: TiledPlan, op: Opcode, cycles: Iterator[int]) -> list[int]:
    """The cycle of each transfer's first burst, out of those of all bursts in their order."""
    bus, found = plan.shape.bus_bytes, []
    for d in plan.program.descriptors:
        if d["op"] == op:
            parts = sum(len(bursts(at, beats, bus)) for at, beats, _ in rows_of(d, bus))
            first, *_ = (next(cycles) for _ in range(parts))
            found.append(first)
    return found
