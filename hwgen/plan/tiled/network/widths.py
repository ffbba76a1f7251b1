"""Bits that integers need; refusals of what is wider than an engine's operands, and the operands
that are needed."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from ....contract.engine import MOST_BITS, EngineShape
from ....errors import UserError
from ....ir import Tensor


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


def bits_of(low: int, high: int, signed: bool = False) -> int:
    """Bits of the integers between two; with a sign if ``signed``, or where some are negative."""
    return max(high, -low - 1).bit_length() + int(signed or low < 0)


def weight_bits(weights: np.ndarray) -> int:
    """Bits of the narrowest weights that these can be."""
    return bits_of(int(weights.min()), int(weights.max()), signed=True)


def signed_in(edge: Tensor, bits: int) -> bool | None:
    """Whether an edge is one of signed integers in so many bits: as its type says where that has no
    more of them, else as its values need; None where they need more."""
    (low, high), kind = edge.range, edge.type
    if kind.width <= bits:
        return kind.signed
    if bits_of(low, high) > bits:
        return None
    return low < 0 or (kind.signed and high < 1 << bits - 1)


def too_wide(edge: Tensor, shape: EngineShape) -> TooNarrow:
    """The refusal of a tensor that needs more bits than an engine's ifmap values have."""
    needed = min(edge.type.width, bits_of(*edge.range))
    fewer = f", of which its values need {needed}" if needed < edge.type.width else ""
    return TooNarrow(
        f"the tiled architecture stores {shape.ifmap_bits} bits, {edge.name!r} has "
        f"{edge.type.width}{fewer}",
        edge.name,
        ifmap=needed,
    )


def check_weights(weights: np.ndarray, layer: str, shape: EngineShape) -> None:
    """Raises UserError where weights are wider than the engine's."""
    bits = weight_bits(weights)
    if bits > shape.weight_bits:
        raise TooNarrow(
            f"the tiled architecture has weights of {shape.weight_bits} bits, these need {bits}",
            layer,
            weight=bits,
        )


def check_sums(sums: Tensor, layer: str, shape: EngineShape) -> None:
    """Raises UserError where sums need more bits than psums have."""
    check_range(*sums.range, layer, shape)


def check_range(low: int, high: int, layer: str, shape: EngineShape) -> None:
    """Raises UserError where the integers between two need more bits than psums have."""
    bits = bits_of(low, high, signed=True)
    if bits > shape.psum_bits:
        raise TooNarrow(f"sums of {bits} bits, the engine has {shape.psum_bits}", layer, psum=bits)


def check_bytes(shape: EngineShape, what: str, layer: str, hint: str | None = None) -> None:
    """Raises UserError where ifmap values do not lie in memory as bytes, which ``what`` takes."""
    if shape.stored_bits == 8:
        return
    ways = (
        f"--bits 8,{shape.weight_bits} stores bytes; "
        "where other tensors need more, --arch dataflow takes both"
    )
    refusal = UserError(
        f"{what} of the tiled architecture takes bytes; this engine's values have "
        f"{shape.stored_bits} bits in memory",
        layer=layer,
        hint=hint or ways,
    )
    raise TooNarrow(refusal.reason, layer, ifmap=8) if shape.ifmap_bits < 8 else refusal
