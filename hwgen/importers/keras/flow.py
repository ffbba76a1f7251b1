"""Which step reads which: the layers' steps as a graph, in the order of the data."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from .architecture import KerasLayer, Network
from .steps import Each, Step

INPUT = -1
"""The model's first input among sources; the second one is INPUT - 1, and so on."""


@dataclass(frozen=True)
class Flow:
    """Steps, each after those that it reads; ``sources`` are indices, or those of inputs.

    ``outputs`` are the steps that give the model's outputs, likewise.
    """

    steps: tuple[Step, ...]
    sources: tuple[tuple[int, ...], ...]
    outputs: tuple[int, ...]

    @classmethod
    def of(cls, network: Network, steps_of: Callable[[KerasLayer], list[Step]]) -> Flow:
        """The steps of a network's layers."""
        results = {each.name: INPUT - n for n, each in enumerate(network.inputs)}
        steps: list[Step] = []
        sources: list[tuple[int, ...]] = []

        def append(read: tuple[int, ...], chain: Sequence[Step]) -> tuple[int, ...]:
            for step in chain:
                steps.append(step)
                sources.append(read)
                read = (len(steps) - 1,)
            return read

        for layer in network.layers:
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
        outputs = tuple(results[name] for name in network.outputs)
        return cls(tuple(steps), tuple(sources), outputs)

    def without(self, gone: int) -> Flow:
        """The flow without a step that reads one source: its readers read that instead."""
        (source,) = self.sources[gone]

        def moved(index: int) -> int:
            index = source if index == gone else index
            return index - 1 if index > gone else index

        steps = [step for n, step in enumerate(self.steps) if n != gone]
        sources = [tuple(map(moved, read)) for n, read in enumerate(self.sources) if n != gone]
        return Flow(tuple(steps), tuple(sources), tuple(map(moved, self.outputs)))

    @cached_property
    def _readers(self) -> dict[int, list[int]]:
        readers: dict[int, list[int]] = {}
        for index, read in enumerate(self.sources):
            for source in read:
                readers.setdefault(source, []).append(index)
        return readers

    def readers(self, index: int) -> list[int]:
        """Steps that read a step, or an input."""
        return self._readers.get(index, [])

    def following(self, index: int) -> Iterator[int]:
        """The steps after this one, one after the other, as long as nobody else reads them and
        what they read is no output."""
        while index not in self.outputs and len(readers := self.readers(index)) == 1:
            (index,) = readers
            if len(self.sources[index]) != 1:
                return
            yield index
