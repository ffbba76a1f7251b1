"""The order in which a model file has the elements of an input or an output.

Inside, and in streams, edges are channels last. A file may have another order, and arrays of users
are in the file's: they are brought into the edge's where they come in, and back where they go out.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import permutations
from math import prod

import numpy as np

from ..aliases import Array
from ..errors import UserError
from .tensor import Shape

_AXES = {1: ("channel",), 2: ("column", "channel"), 3: ("row", "column", "channel")}
"""What the axes of an edge are, by their number."""


@dataclass(frozen=True)
class Arrangement:
    """How a file's array has the elements of one frame of an edge.

    It is the edge with its ``axes`` in that order, under the ``shape`` of the file without a
    leading 1: an image in the order NCHW has the axes (2, 0, 1).
    """

    shape: Shape
    axes: tuple[int, ...]

    @classmethod
    def same(cls, shape: Shape) -> Arrangement:
        """That of a file that has the edge's own order."""
        return cls(shape, tuple(range(len(shape))))

    @classmethod
    def found(cls, where: Array, edge: Shape) -> Arrangement | None:
        """The arrangement of an array that holds, in the file's shape, each element's position in
        an edge of a shape; None where no order of the edge's axes gives it."""
        shape = where.shape[1:] if where.shape[:1] == (1,) else where.shape
        ours = np.arange(prod(edge)).reshape(edge)
        for axes in permutations(range(len(edge))):
            if np.array_equal(ours.transpose(axes).reshape(-1), where.reshape(-1)):
                return cls(tuple(shape), axes)
        return None

    def check(self, name: str, edge: Shape) -> None:
        """Raise UserError unless it is one of an edge of that shape."""
        if sorted(self.axes) != list(range(len(edge))) or prod(self.shape) != prod(edge):
            raise UserError(
                f"arrays.{name}: shape {list(self.shape)} and axes {list(self.axes)} are not those "
                f"of an edge of shape {list(edge)}"
            )

    def inward(self, array: Array, edge: Shape) -> Array:
        """Frames of the file's order as those of the edge."""
        split = array.reshape(len(array), *(edge[axis] for axis in self.axes))
        back = sorted(range(len(edge)), key=self.axes.__getitem__)
        return split.transpose(0, *(axis + 1 for axis in back)).reshape(len(array), *edge)

    def outward(self, array: Array) -> Array:
        """Frames of the edge's order as those of the file."""
        moved = array.transpose(0, *(axis + 1 for axis in self.axes))
        return np.ascontiguousarray(moved).reshape(len(array), *self.shape)

    def told(self) -> str:
        """The order in words: the file's shape, and what its axes are in the edge."""
        names = _AXES[len(self.axes)]
        return f"{list(self.shape)} in the order {', '.join(names[axis] for axis in self.axes)}"
