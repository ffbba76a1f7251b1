"""Steps: what layers do with the data, one thing each."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from math import prod
from typing import Any

import numpy as np

from ...ir.ops import Add, AvgPool, Concat, MaxPool, Pad, Upsample
from ...numeric import QType
from .architecture import KerasLayer
from .functions import Function
from .quantizer import ActivationQuantizer, Kernel

PoolOp = type[MaxPool] | type[AvgPool]


@dataclass(frozen=True)
class Step:
    """One thing to do with the data; its result is what Keras calls the output of ``layer``."""

    layer: KerasLayer

    @property
    def name(self) -> str:
        """The layer's name, which the edge takes."""
        return self.layer.name


@dataclass(frozen=True)
class Linear(Step):
    """A matrix product, or a convolution where ``stride`` is given, plus a bias."""

    kernel: Kernel
    bias: tuple[Fraction, ...]
    stride: tuple[int, int] | None = None
    padding: Any = "valid"
    dilation: tuple[int, int] = (1, 1)
    groups: int = 1


@dataclass(frozen=True)
class Norm(Step):
    """``x * scale + offset`` per channel, in float64; ``axis`` counts the frames' axis as 0."""

    axis: int
    scale: np.ndarray[Any, Any]
    offset: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Clip(Step):
    """ReLU: values below zero become zero, those above ``high`` become it (None: no bound)."""

    high: Fraction | None = None


@dataclass(frozen=True)
class Quantize(Step):
    """A quantizer of activations."""

    quantizer: ActivationQuantizer


@dataclass(frozen=True)
class Casting(Step):
    """A quantizer with a type for each element. See ops.Cast."""

    types: tuple[QType, ...]
    index: np.ndarray[Any, Any]


@dataclass(frozen=True)
class Scale(Step):
    """``x * scale + offset`` per channel, exactly; ``axis`` counts the frames' axis as 0."""

    axis: int
    scale: tuple[Fraction, ...]
    offset: tuple[Fraction, ...]


@dataclass(frozen=True)
class StepFunction(Step):
    """A quantizer that is no clipped rounding."""

    function: Function


@dataclass(frozen=True)
class Curve(Step):
    """A function that a quantizer must follow at once."""

    function: Function


@dataclass(frozen=True)
class Pooling(Step):
    """Max or average pooling; ``kernel`` None: over the whole image.

    ``factor`` : gives, for a number of elements, by what their sum is multiplied in place of an
    average.
    """

    op: PoolOp
    kernel: tuple[int, int] | None
    stride: tuple[int, int] = (1, 1)
    padding: str = "valid"
    factor: Callable[[int], Fraction] | None = None


@dataclass(frozen=True)
class Border(Step):
    """Zeros around the image, or its pixels several times."""

    op: Pad | Upsample


@dataclass(frozen=True)
class Each(Step):
    """Steps of their own for each input of the layer; they stand in its place."""

    steps: tuple[tuple[Step, ...], ...]


@dataclass(frozen=True)
class Join(Step):
    """The sum, or the channels side by side, of several inputs."""

    op: type[Add] | type[Concat]


@dataclass(frozen=True)
class Shape(Step):
    """Another shape of the same elements; None: a vector. One length may be -1."""

    shape: tuple[int, ...] | None = None

    def resolve(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """The new shape of an edge of this shape. Raises UserError."""
        size = prod(shape)
        if self.shape is None:
            return (size,)
        known = prod(n for n in self.shape if n != -1)
        if size % known or (-1 not in self.shape and known != size):
            raise self.layer.error(f"target_shape {list(self.shape)} does not hold {size} elements")
        return tuple(size // known if n == -1 else n for n in self.shape)


@dataclass(frozen=True)
class RowAxis(Shape):
    """A sequence (length, channels) as an image of one row, or back."""

    add: bool = True

    def resolve(self, shape: tuple[int, ...]) -> tuple[int, ...]:
        """Give a shape with one length more or one less. Raises UserError."""
        if self.add and len(shape) != 2:
            raise self.layer.error(f"takes a sequence (length, channels), its input is {shape}")
        return (1, *shape) if self.add else shape[1:]


@dataclass(frozen=True)
class SoftmaxStep(Step):
    """A softmax over the channels."""
