"""Loads, tiles and stores of a run of a program, from their cycles: estimated or measured."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...contract.isa import Opcode
from ..timeline import Span
from .plan import TiledPlan
from .timing import MemoryTiming

_KINDS = {Opcode.LOAD: "load", Opcode.COMPUTE: "tile", Opcode.STORE: "store"}
_WAITS = {Opcode.LOAD: "wait_load", Opcode.COMPUTE: "wait_compute", Opcode.STORE: "wait_store"}

Cycles = Mapping[Opcode, Sequence[int]]


def estimated(plan: TiledPlan, memory: MemoryTiming | None = None) -> list[Span]:
    """What the cycle model says of a run, in the order of the program, the run itself last."""
    run = plan.times(memory)
    return spans_of(plan, run.begun, run.finished, run.total)


def spans_of(plan: TiledPlan, begun: Cycles, finished: Cycles, total: int) -> list[Span]:
    """Spans of all descriptors in the order of the program, the run itself last.

    begun : the cycles in which the first address of each load, and the first beat of each store, is
    at the bus, and the array has each tile. finished : in which each is over. total : cycles of
    the run.
    """
    titles = [plan.graph.title_of(task.layers) or task.name for task in plan.tasks]
    spans: list[Span] = []
    places: dict[Opcode, list[int]] = {op: [] for op in _KINDS}
    for d in plan.program.descriptors:
        op = Opcode(d["op"])
        number = len(places[op])
        unit = f"tile unit {d.get('unit', 0)}" if op is Opcode.COMPUTE else f"{_KINDS[op]}s"
        places[op].append(len(spans))
        spans.append(
            Span(
                unit, titles[d["layer"]], _KINDS[op], begun[op][number], finished[op][number],
                number, _last(d, places, finished),
            )
        )  # fmt: skip
    spans.append(Span("frame", plan.graph.name, "frame", 0, total, 0))
    return spans


def _last(d: Mapping[str, int], places: Mapping[Opcode, list[int]], finished: Cycles) -> int | None:
    """The place of what a descriptor waited for and was finished last; None where of nothing."""
    found: list[tuple[int, int]] = []
    for op, name in _WAITS.items():
        before = len(places[op]) - (Opcode(d["op"]) is op)
        count = before - (before - d[name]) % (1 << 16)
        if count > 0:
            found.append((finished[op][count - 1], places[op][count - 1]))
    return max(found)[1] if found else None
