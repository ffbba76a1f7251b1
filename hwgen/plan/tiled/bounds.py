"""What holds a task up: the array, its result stage, or the port to external memory."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import prod

from ...contract.engine import EngineShape
from ...contract.isa import COMPUTE, OUTPUT_LEVELS, TRANSFER, Opcode
from ...numeric import ceil_div
from .timing.pipeline import Pipeline

Values = Mapping[str, int]


@dataclass(frozen=True)
class Bounds:
    """Cycles that a task takes at least, by what it needs.

    array : steps, in the tile unit that has most (for a softmax, the cycles of its lane). results :
    words of results by the cycles that the requantizers take for each, in the unit that has most.
    memory : beats of the port, read or written, whichever are more; descriptors are read too.
    """

    array: int
    results: int
    memory: int

    @property
    def binds(self) -> str:
        """The name of the largest, the first of equal ones."""
        values = {"array": self.array, "results": self.results, "memory": self.memory}
        return max(values, key=lambda name: values[name])


def bounds_of(
    descriptors: Sequence[Values], shape: EngineShape, steps: Sequence[int],
    beats: Sequence[tuple[int, int]],
) -> tuple[Bounds, ...]:  # fmt: skip
    """Bounds of each task.

    steps : of its array. beats : that its loads read and its stores write.
    """
    results = [[0] * shape.tiles for _ in steps]
    program = [0] * len(steps)
    pipeline = Pipeline.of(shape)
    for d in descriptors:
        tile = d["op"] == Opcode.COMPUTE
        program[d["layer"]] += (COMPUTE if tile else TRANSFER).size // 8
        if tile and not d.get("no_writeback") and not d.get("softmax"):
            words = prod(d[f"out{n}_count"] for n in range(OUTPUT_LEVELS))
            cycles = pipeline.cycles(bool(d.get("wide")), bool(d.get("tables")))
            results[d["layer"]][d["unit"]] += words * cycles
    return tuple(
        Bounds(array, max(of_units), max(read + ceil_div(size, shape.bus_bytes), written))
        for array, of_units, size, (read, written) in zip(
            steps, results, program, beats, strict=True
        )
    )
