"""What quantizers make of activations and of weights."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Any

import numpy as np

from ...numeric import QType


@dataclass(frozen=True)
class ActivationQuantizer:
    """What a quantizer makes of a real number: ``code = round(x * 2**grid)``, saturated.

    ``type.frac`` is ``grid`` but for an alpha other than 1, by which QKeras multiplies the code.
    ``binary``: +1 where x >= 0, else -1 (``grid`` is 0).
    """

    type: QType
    grid: int
    binary: bool = False


@dataclass(frozen=True)
class Kernel:
    """Quantized weights: ``value = code * 2**-type.frac * scale`` of the output channel.

    ``notes`` are sentences for the reader.
    """

    codes: np.ndarray[Any, Any]
    type: QType
    scale: tuple[Fraction, ...]
    notes: tuple[str, ...] = ()
