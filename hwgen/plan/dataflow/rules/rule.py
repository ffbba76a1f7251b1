"""What a rule of the dataflow architecture says of an op, and the stages of which it says so."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from ....ir import Graph, Node, Op, Tensor, ops
from ..units import StreamShape, Unit

OpT = TypeVar("OpT", bound=Op)


@dataclass(frozen=True)
class Stage(Generic[OpT]):
    """What one unit carries out: a node, or a node that multiplies with its requantization.

    ``inputs`` and ``output`` are the edges at its ends, ``sources`` the streams that bring the
    inputs: names of stages and of ports; ``rule`` is that of its op; ``requant`` the requantization
    behind a product.
    """

    name: str
    layers: tuple[str, ...]
    op: OpT
    inputs: tuple[Tensor, ...]
    output: Tensor
    rule: Rule[OpT]
    requant: ops.Requantize | None = None
    sources: tuple[str, ...] = ()

    @property
    def input(self) -> Tensor:
        """The first input, for most the only one."""
        return self.inputs[0]


@dataclass(frozen=True, order=True)
class Folding:
    """One way to fold a stage that multiplies: cost first, so that the smallest is the best.

    lanes : requantizers. cycles : of a frame, the larger of MAC array and output beats.
    pe, simd, pixels : outputs, taps and output pixels worked on at a time. ring : the channels
    that are read from the ring of rows at a time, and whether all rows of the kernel are read at
    once; None where windows are kept in registers, or there are none.
    """

    multipliers: int
    lanes: int
    cycles: int
    pe: int
    simd: int
    pixels: int
    ring: tuple[int, bool] | None = None


@dataclass(frozen=True)
class Place:
    """Where the unit of a stage stands: names and shapes of the streams that it reads, and the
    folding that was chosen for it; None where it does not multiply.
    """

    sources: tuple[str, ...]
    inputs: tuple[StreamShape, ...]
    folding: Folding | None


class Rule(Generic[OpT]):
    """Everything that the dataflow architecture knows of an op, but for its gateware.

    The answers given here are those of an op that one unit without multipliers carries out, which
    takes beats of any number of lanes. The rule of an op states what is different, and its unit.
    """

    def stage(self, node: Node, following: Node | None, graph: Graph) -> Stage[OpT] | None:
        """The stage that begins with a node; None where nothing needs to be done.

        Parameters
        ----------
        following : the node's only reader, which may become a part of the stage; None where it
        has several or is an output.

        Raises UserError for what no unit can carry out.
        """
        op: Any = node.op
        inputs = tuple(graph.operands(node))
        return Stage(node.name, (node.name,), op, inputs, graph.tensors[node.name], self)

    def least_beats(self, stage: Stage[OpT]) -> int:
        """Fewest beats of a frame on any stream of a stage, of at most one pixel a beat."""
        return max(pixels(tensor) for tensor in (*stage.inputs, stage.output))

    def fixed_cycles(self, stage: Stage[OpT]) -> int:
        """Cycles of a frame that no folding makes fewer, 0 where streams alone count."""
        return 0

    def foldings(self, stage: Stage[OpT]) -> list[Folding]:
        """All useful foldings; none where the stage does not multiply."""
        return []

    def lanes(self, stage: Stage[OpT], place: Place, target: int) -> int | None:
        """Lanes of a beat that all inputs need; None where each may stay as it is.

        Parameters
        ----------
        place : the inputs' streams as they come. target : beats of a frame that cost nothing, since
        another unit takes as long.
        """
        inputs = place.inputs
        return None if len(inputs) == 1 else max(stream.lanes for stream in inputs)

    def unit(self, stage: Stage[OpT], place: Place) -> Unit:
        """The unit that carries out a stage, its buffers of any size.

        Its inputs have the lanes that ``lanes`` asked for.
        """
        raise AssertionError(f"{type(self).__name__} makes no unit")

    def common(self, stage: Stage[OpT], place: Place, lanes: int | None = None) -> dict[str, Any]:
        """The fields that all units have.

        lanes : of the stream that the unit gives; those of its first input unless given.
        """
        first, y = place.inputs[0], stage.output
        lanes = first.lanes if lanes is None else lanes
        return {
            "name": stage.name,
            "layers": stage.layers,
            "sources": place.sources,
            "input": first,
            "output": StreamShape(pixels(y), y.channels, lanes, y.type.width),
            "fifo": 1,
        }


def pixels(tensor: Tensor) -> int:
    """Pixels of a frame: rows times columns."""
    height, width, _ = tensor.hwc
    return height * width
