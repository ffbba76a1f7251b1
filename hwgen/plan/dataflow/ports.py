"""Ports: the streams of a dataflow accelerator to the outside, one for each input and output."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from ...identifiers import suffixes
from ...ir import Graph
from .units import StreamShape

INPUT, OUTPUT = "input", "output"
_BUSES = {INPUT: "s_axis", OUTPUT: "m_axis"}


@dataclass(frozen=True)
class Port:
    """A stream to the outside.

    way : INPUT or OUTPUT. tensor : what passes it, by its name in the network. suffix : tells it
    apart from the others of its way in all names that are made from it; empty where it is the only
    one. stream : its name among the streams of the units.
    """

    way: str
    tensor: str
    suffix: str
    stream: str
    shape: StreamShape

    @property
    def name(self) -> str:
        """Its own name: of files, of what watches it."""
        return f"{self.way}{self.suffix}"

    @property
    def bus(self) -> str:
        """What the signals of its AXI4-Stream begin with, before another underscore."""
        return f"{_BUSES[self.way]}{self.suffix}"


def input_streams(graph: Graph) -> dict[str, str]:
    """The stream that comes from each input's port, by the input's name."""
    names = [x.name for x in graph.inputs]
    endings = zip(names, suffixes(names), strict=True)
    return {name: f"{INPUT}{suffix}" for name, suffix in endings}


def frame_begins(first: Iterable[Sequence[int]]) -> list[int]:
    """The cycles in which frames begin: with the first beat at any input.

    first : of each input, the cycles of the first beats of its frames.
    """
    return [min(cycles) for cycles in zip(*first, strict=True)]


def frame_ends(last: Iterable[Sequence[int]]) -> list[int]:
    """The cycles in which frames end: with the last beat at the last of the outputs.

    last : of each output, the cycles of the last beats of its frames.
    """
    return [max(cycles) for cycles in zip(*last, strict=True)]
