"""Which step reads which: the layers' steps as a graph, in the order of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from .architecture import KerasLayer
from .steps import Each, Step

INPUT = -1
"""The model's input among sources."""


@dataclass(frozen=True)
class Flow:
    """Steps, each after those that it reads; ``sources`` are indices, or INPUT. The last is the
    output (INPUT where there are no steps).
    """

    steps: tuple[Step, ...]
    sources: tuple[tuple[int, ...], ...]

    @classmethod
    def of(
        cls,
        input_name: str,
        layers: Sequence[KerasLayer],
        steps_of: Callable[[KerasLayer], list[Step]],
    ) -> Flow:
        """The steps of layers that are in the order of the data."""
        results = {input_name: INPUT}
        steps: list[Step] = []
        sources: list[tuple[int, ...]] = []

        def append(read: tuple[int, ...], chain: Sequence[Step]) -> tuple[int, ...]:
            for step in chain:
                steps.append(step)
                sources.append(read)
                read = (len(steps) - 1,)
            return read

        for layer in layers:
            read = tuple(results[name] for name in layer.sources)
            for step in steps_of(layer):
                if isinstance(step, Each):
                    if len(step.steps) != len(read):
                        raise layer.error(f"has {len(read)} inputs, not {len(step.steps)}")
                    pairs = zip(read, step.steps, strict=True)
                    read = tuple(append((source,), chain)[0] for source, chain in pairs)
                else:
                    read = append(read, (step,))
            if len(read) != 1:
                raise layer.error(f"has {len(read)} inputs, one is needed")
            results[layer.name] = read[0]
        return cls(tuple(steps), tuple(sources))

    def without_first(self) -> Flow:
        """The flow whose first step is left out: its readers read the input."""
        moved = tuple(tuple(max(s - 1, INPUT) for s in read) for read in self.sources[1:])
        return Flow(self.steps[1:], moved)

    @property
    def output(self) -> int:
        """Index of the step that gives the model's output."""
        return len(self.steps) - 1

    @cached_property
    def _readers(self) -> dict[int, list[int]]:
        readers: dict[int, list[int]] = {}
        for index, read in enumerate(self.sources):
            for source in read:
                readers.setdefault(source, []).append(index)
        return readers

    def readers(self, index: int) -> list[int]:
        """Steps that read a step, or INPUT."""
        return self._readers.get(index, [])

    def following(self, index: int) -> Iterator[int]:
        """The steps after this one, one after the other, as long as nobody else reads them."""
        while len(readers := self.readers(index)) == 1 and len(self.sources[readers[0]]) == 1:
            index = readers[0]
            yield index
