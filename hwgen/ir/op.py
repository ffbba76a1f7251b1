"""Op: the base of all operations, with their registry and attribute fields."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import numpy as np

from ..errors import UserError
from .fields import Codec
from .tensor import Tensor

IntArray = np.ndarray[Any, Any]

OPS: dict[str, type[Op]] = {}
"""Every op by its name in the JSON format; filled as the op classes are defined."""


def attr(codec: Codec, **kwargs: Any) -> Any:
    """A dataclass field that is an attribute of an op, read and written by ``codec``."""
    return field(metadata={"codec": codec}, **kwargs)


@dataclass(frozen=True, eq=False)
class Op:
    """One operation: attributes, shape and type inference, golden arithmetic.

    A subclass sets ``op_name``, declares its attributes with ``attr`` and implements ``infer``
    and ``golden``.
    """

    op_name: ClassVar[str]
    reads_accumulators: ClassVar[bool] = False
    """Whether inputs may be wider than a streamed tensor."""

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if "op_name" in cls.__dict__:
            OPS[cls.op_name] = cls

    def infer(self, name: str, inputs: Sequence[Tensor]) -> Tensor:
        """The output edge ``name`` for these inputs. Raises UserError where they do not fit."""
        raise AssertionError(f"{self.op_name} does not infer its output")

    def golden(self, arrays: Sequence[IntArray], inputs: Sequence[Tensor]) -> IntArray:
        """Exact output integers; arrays have a leading frames axis."""
        raise AssertionError(f"{self.op_name} has no golden arithmetic")

    def macs(self, inputs: Sequence[Tensor]) -> int:
        """Multiply-accumulates of one frame, padded positions counted."""
        return 0

    @property
    def parameters_bits(self) -> int:
        """Bits of the stored parameters."""
        return 0

    @classmethod
    def attributes(cls) -> dict[str, Codec]:
        """Attribute names and how they are read and written, in order of declaration."""
        return {f.name: f.metadata["codec"] for f in fields(cls) if "codec" in f.metadata}


def single(op: Op, inputs: Sequence[Tensor]) -> Tensor:
    """The only input. Raises UserError when there is another number of inputs."""
    if len(inputs) != 1:
        raise UserError(f"{op.op_name} takes one input, {len(inputs)} given")
    return inputs[0]


def image(op: Op, inputs: Sequence[Tensor]) -> Tensor:
    """The only input, which must be (height, width, channels)."""
    tensor = single(op, inputs)
    if len(tensor.shape) != 3:
        raise UserError(
            f"{op.op_name} takes an input of shape (height, width, channels), got {tensor.shape}"
        )
    return tensor
