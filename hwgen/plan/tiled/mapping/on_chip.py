"""Tensors that stay on chip: the rows that each tile unit computes, and those it needs of others.

A unit reads its own memories only. Rows at the border of its part that another unit computed come
by way of external memory; all others never leave.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ....contract.engine import BANKS
from ....numeric import ceil_div
from ..network.tasks import Stored, Task, TaskGraph
from .problem import parts_of, row_parts, rows_needed
from .tile import Range


@dataclass(frozen=True)
class OnChipTensor:
    """Rows of a tensor in each unit.

    own : that it computes. held : that there is place for: its own and those that its tasks read.
    """

    own: tuple[Range, ...]
    held: tuple[Range, ...]

    @property
    def ring(self) -> int:
        """Rows that a unit has place for: a multiple of the banks."""
        return ceil_div(max(end - start for start, end in self.held), BANKS) * BANKS

    def of_others(self, unit: int, rows: Range) -> list[Range]:
        """The runs of these rows that the unit does not compute itself."""
        start, end = self.own[unit]
        return runs(row for row in range(*rows) if not start <= row < end)

    def for_others(self, unit: int, rows: Range) -> list[Range]:
        """The runs of these rows, which the unit computes, that other units need."""
        others = [held for n, held in enumerate(self.held) if n != unit]
        return runs(row for row in range(*rows) if any(a <= row < b for a, b in others))


def on_chip_tensor(tensor: Stored, task_graph: TaskGraph, units: int) -> OnChipTensor:
    """How a tensor lies in so many units, whose tasks are dealt out by rows."""
    own = parts_of(tensor.shape[0], units)
    own += [(0, 0)] * (units - len(own))
    held = []
    for unit in range(units):
        needed = [own[unit]]
        for task in task_graph.tasks:
            needed += _read(task, tensor, task_graph, unit, units)
        some = [rows for rows in needed if rows[0] < rows[1]] or [(0, 0)]
        held.append((min(a for a, _ in some), max(b for _, b in some)))
    return OnChipTensor(tuple(own), tuple(held))


def can_be_on_chip(tensor: Stored, task_graph: TaskGraph, units: int) -> bool:
    """Whether the units compute just the rows of ``on_chip_tensor``."""
    return units == 1 or all(t.repeat[0] == 1 for t in task_graph.tasks if t.y == tensor.name)


def borders(task: Task, tensor: Stored, kept: OnChipTensor, task_graph: TaskGraph) -> int:
    """Bytes of a tensor that the units read in a task, but others compute."""
    units, rows = len(kept.own), 0
    for unit in range(units):
        for read in _read(task, tensor, task_graph, unit, units):
            rows += sum(end - start for start, end in kept.of_others(unit, read))
    return rows * tensor.row_bytes


def _read(task: Task, tensor: Stored, task_graph: TaskGraph, unit: int, units: int) -> list[Range]:
    """Rows of a tensor that a unit reads in a task."""
    parts = row_parts(task, task_graph.stored[task.y].shape[0], units)
    if unit >= len(parts):
        return []
    rows = parts[unit]
    found = [rows] if task.second == tensor.name else []
    if task.x == tensor.name:
        found.append(rows_needed(task, rows, tensor.shape[0]))
    return found


def runs(rows: Iterable[int]) -> list[Range]:
    """Ascending rows as ranges."""
    found: list[Range] = []
    for row in rows:
        if found and found[-1][1] == row:
            found[-1] = (found[-1][0], row + 1)
        else:
            found.append((row, row + 1))
    return found
