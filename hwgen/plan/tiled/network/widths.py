"""Refusals of what is wider than an engine's operands, and the operands that are needed."""

from __future__ import annotations

from dataclasses import replace

from ....contract.engine import MOST_BITS, EngineShape
from ....errors import UserError


class TooNarrow(UserError):
    """Something is wider than the engine's ifmap values, weights or psums.

    Parameters: ``reason`` and ``layer`` as of UserError; the bits that it needs, of what is too
    narrow.
    """

    def __init__(
        self, reason: str, layer: str, *, ifmap: int = 0, weight: int = 0, psum: int = 0
    ) -> None:
        self.ifmap, self.weight, self.psum = ifmap, weight, psum
        super().__init__(reason, layer=layer)

    def widened(self, shape: EngineShape) -> EngineShape | None:
        """The engine with operands that are wide enough for this; None where there are none."""
        ifmap = max(shape.ifmap_bits, self.ifmap)
        weight = max(shape.weight_bits, self.weight)
        while max(ifmap, weight) <= MOST_BITS:
            wider = replace(shape, ifmap_bits=ifmap, weight_bits=weight)
            if wider.psum_bits >= self.psum:
                return wider
            weight += 1
        return None


class OtherWidths(UserError):
    """A network that needs an engine of other operands, and runs on that.

    Parameters: ``reason`` and ``layer`` as of UserError; the bits of its operands.
    """

    def __init__(self, reason: str, layer: str | None, ifmap: int, weight: int) -> None:
        self.ifmap, self.weight = ifmap, weight
        super().__init__(reason, layer=layer, hint=f"give --bits {ifmap},{weight}")
