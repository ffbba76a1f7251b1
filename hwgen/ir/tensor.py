"""Tensor: the name, shape and type of an edge."""

from __future__ import annotations

from dataclasses import dataclass
from math import prod

from ..numeric import QType

Shape = tuple[int, ...]


@dataclass(frozen=True)
class Tensor:
    """One edge of a graph.

    ``shape`` is that of one frame, channels last: (height, width, channels) or (features,).
    ``low`` and ``high`` bound the integers that can occur; they default to the type's range and
    are narrower where a layer is known to produce less.
    """

    name: str
    shape: Shape
    type: QType
    low: int | None = None
    high: int | None = None

    @property
    def size(self) -> int:
        """Elements in one frame."""
        return prod(self.shape)

    @property
    def channels(self) -> int:
        """Length of the last axis."""
        return self.shape[-1]

    @property
    def range(self) -> tuple[int, int]:
        """Smallest and largest integer that can occur."""
        low = self.type.low if self.low is None else self.low
        high = self.type.max if self.high is None else self.high
        return low, high

    @property
    def hwc(self) -> tuple[int, int, int]:
        """The shape as (height, width, channels); a vector is one pixel of many channels."""
        if len(self.shape) == 3:
            return self.shape  # type: ignore[return-value]
        if len(self.shape) == 2:
            return (1, *self.shape)  # type: ignore[return-value]
        return (1, 1, self.shape[0])
