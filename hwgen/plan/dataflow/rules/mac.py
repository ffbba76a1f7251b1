"""What the rules of convolution and dense share: foldings, and the numbers of a MAC array."""

from __future__ import annotations

import re
from typing import Any, TypeVar

from ....errors import UserError
from ....ir import Graph, Node, ops
from ....numeric import PowerCode, ceil_div
from .requantize import needs_multiplier, parameter_bits
from .rule import Folding, Place, Rule, Stage

MacT = TypeVar("MacT", bound=ops.Conv2D | ops.Dense)


class MacRule(Rule[MacT]):
    """A matrix product with the requantization behind it. Windows are for those that have any."""

    def stage(self, node: Node, following: Node | None, graph: Graph) -> Stage[MacT]:
        assert following is not None and isinstance(
            following.op, ops.Requantize
        )  # legal.REQUANTIZED
        op: Any = node.op
        # Passes that move a bias out leave the bare product under a name of its own; the unit is
        # called as the layer was.
        name = re.sub("(?<=.)(_mac)+$", "", node.name)
        inputs, y = tuple(graph.operands(node)), graph.tensors[following.name]
        return Stage(name, (node.name, following.name), op, inputs, y, self, following.op)

    def reads_ring(self, stage: Stage[MacT]) -> bool:
        """Whether windows are wide: taps are better read straight from the ring of rows."""
        return False

    def ring_chunk(self, stage: Stage[MacT], pe: int, simd: int) -> tuple[int, bool] | None:
        """How a folding reads the ring, see Folding; None where it can not."""
        return None

    def most_pixels(self, stage: Stage[MacT]) -> int:
        """Output pixels that can be computed side by side, where all outputs of a pixel are."""
        return 1

    def foldings(self, stage: Stage[MacT]) -> list[Folding]:
        """All useful foldings: for each number of folds the narrowest unit."""
        op, (taps, outputs) = stage.op, taps_and_outputs(stage.op)
        out_folds = {ceil_div(outputs, pe) for pe in range(1, outputs + 1)}
        tap_folds = {ceil_div(taps, simd) for simd in range(1, taps + 1)}
        simds = [ceil_div(taps, k) for k in sorted(tap_folds)]
        if op.accumulator is not None:
            simds = [min(op.accumulator.group, taps)]
        ring = self.reads_ring(stage)
        result = []
        for m in sorted(out_folds):
            pe = ceil_div(outputs, m)
            for simd in simds:
                if ring:
                    if self.ring_chunk(stage, pe, simd) is not None:
                        result.append(self.folding(stage, pe, simd, 1))
                    continue
                most = self.most_pixels(stage) if pe == outputs else 1
                for side_by_side in range(1, most + 1):
                    result.append(self.folding(stage, pe, simd, side_by_side))
        return result

    def folding(
        self, stage: Stage[MacT], pe: int, simd: int, pixels: int, ring: bool | None = None
    ) -> Folding:
        """The folding with its requantizer lanes and cycles.

        ring : whether taps are read from the ring of rows; where the windows are wide unless given.

        Raises ValueError where the ring does not suit this folding.
        """
        read = None
        if self.reads_ring(stage) if ring is None else ring:
            read = self.ring_chunk(stage, pe, simd)
            if read is None or pixels > 1:
                raise ValueError("the ring does not suit this folding")
        taps, outputs = taps_and_outputs(stage.op)
        tap_folds = ceil_div(taps, simd)
        height, width, _ = stage.output.hwc
        compute = height * ceil_div(width, pixels) * tap_folds * ceil_div(outputs, pe)
        lanes = requant_lanes(outputs, pe, pixels, tap_folds)
        out_beats = height * width * ceil_div(outputs, lanes)
        return Folding(pe * simd * pixels, lanes, max(compute, out_beats), pe, simd, pixels, read)

    def stated_folding(
        self, stage: Stage[MacT], pe: int, simd: int, pixels: int, ring: bool
    ) -> Folding:
        """A folding that a plan file states, as ``folding`` gives it; numbers from 1 on.

        Raises UserError whose reason begins with the number that can not be: ``simd: ...``.
        """
        op, (taps, outputs) = stage.op, taps_and_outputs(stage.op)
        limits = (("pe", pe, outputs, "outputs"), ("simd", simd, taps, "taps"))
        for name, value, most, what in limits:
            if value > most:
                raise UserError(
                    f"{name}: {value} is more than the {most} {what} of this layer",
                    hint=f"state 1 to {most}",
                )
        if op.accumulator is not None and simd != (group := min(op.accumulator.group, taps)):
            raise UserError(
                f"simd: {simd} is stated, its accumulator sums {group} products exactly",
                hint=f"state {group}",
            )
        most = self.most_pixels(stage) if pe == outputs else 1
        if pixels > most:
            raise UserError(
                f"pixels: {pixels} is more than the {most} of this layer with a pe of {pe}",
                hint=f"state 1 to {most}" if most > 1 else "state 1",
            )
        try:
            return self.folding(stage, pe, simd, pixels, ring)
        except ValueError:
            raise UserError(
                f"kind: taps can not be read from the ring {simd} at a time for {pe} outputs",
                hint="take those of a plan.json that hwgen build wrote for this network",
            ) from None

    def array(self, stage: Stage[MacT], place: Place) -> dict[str, Any]:
        """The fields of a MacUnit."""
        op, requant, chosen = stage.op, stage.requant, place.folding
        assert requant is not None and chosen is not None
        taps, outputs = taps_and_outputs(op)
        acc = op.infer(stage.name, [stage.input])
        powers = PowerCode.of(op.weights, op.weight_type.width)
        return self.common(stage, place, chosen.lanes) | {
            "fold": (chosen.pe, chosen.simd, chosen.pixels),
            "taps": taps,
            "outputs": outputs,
            "multiplies": needs_multiplier(requant, acc),
            "weight_bits": powers.width if powers else op.weight_type.width,
            "acc_bits": acc.type.width + (not acc.type.signed),
            "parameter_bits": parameter_bits(requant),
            "shadow": 1,
        }


def taps_and_outputs(op: ops.Conv2D | ops.Dense) -> tuple[int, int]:
    """Rows and columns of the weight matrix: taps of an output, outputs."""
    outputs = op.weights.shape[-1]
    return op.weights.size // outputs, outputs


def requant_lanes(outputs: int, pe: int, pixels: int, tap_folds: int) -> int:
    """Fewest requantizers that take a word apart before the next one is finished.

    They divide ``pe``, so that beats never cross words, unless a word has all outputs.
    """
    candidates = range(1, pe + 1) if pe >= outputs else [n for n in range(1, pe + 1) if pe % n == 0]
    for lanes in candidates:
        if pixels * ceil_div(min(pe, outputs), lanes) <= tap_folds:
            return lanes
    return pe
