"""Transposed convolutions as ordinary ones: the phases of an axis of the result.

With a stride of s every s-th row of the result is an ordinary convolution of the input with every
s-th row of the kernel, turned round. All these phases read the input at the same places, so that
they can be outputs of one convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Phases:
    """An axis of the result.

    taps : (stride, taps of the convolution) places in the kernel, -1 where a phase has none.
    pads : elements before and behind the input. count : results of each phase.
    """

    taps: np.ndarray[Any, Any]
    pads: tuple[int, int]
    count: int

    @classmethod
    def of(cls, size: int, length: int, kernel: int, stride: int, before: int) -> Phases:
        """The phases that bring ``size`` elements to ``length``, ``before`` of the full result left
        out at its beginning.

        Place p of the kernel brings the input's element y to the result's ``stride * y + p -
        before``.
        """
        # Of each phase the first place in the kernel, and the element that meets it at result 0.
        starts = [(s % stride, s // stride) for s in range(before, before + stride)]
        read = [0]
        for first, meets in starts:
            places = -(-(kernel - first) // stride)
            read += [meets - places + 1, meets] if places > 0 else []
        low, high = min(read), max(read)
        count = -(-length // stride)
        taps = np.full((stride, high - low + 1), -1)
        for phase, (first, meets) in enumerate(starts):
            for tap in range(high - low + 1):
                place = first + stride * (meets - low - tap)
                if 0 <= place < kernel:
                    taps[phase, tap] = place
        return cls(taps, (-low, max(0, count + high - size)), count)


def filters(
    numbers: np.ndarray[Any, Any], rows: np.ndarray[Any, Any], columns: np.ndarray[Any, Any]
) -> np.ndarray[Any, Any]:
    """Weights of phases: (outputs, phases of rows, of columns, taps of rows, of columns, inputs).

    Parameters: ``numbers`` (outputs, rows, columns, inputs) of the kernel; ``rows`` and ``columns``
    are taps of phases.
    """
    bordered = np.pad(numbers, ((0, 0), (0, 1), (0, 1), (0, 0)))  # -1 is the border of zeros
    picked = bordered[:, rows][:, :, :, columns]
    return picked.transpose(0, 1, 3, 2, 4, 5)
