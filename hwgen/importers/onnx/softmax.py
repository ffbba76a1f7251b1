"""Softmax between quantizers, as ONNX Runtime computes it from a table of exponentials."""

from __future__ import annotations

import numpy as np

from ...aliases import Array
from ...errors import UserError
from ...ir import Tensor
from ...ir.ops import SoftmaxTable
from ...numeric import QType
from .file import OxNode
from .fusion import parted, scale_of
from .work import Joined, OnnxImport, Value, canonical, reordered

_RESERVED = 5
"""What exponents keep below the largest float32's logarithm: no sum of them is infinite."""


def softmax(work: OnnxImport, node: OxNode) -> None:
    """Softmax: at the end of the network it is left out, else a quantizer is to come."""
    found = work.get(node, 0)
    if node.outputs[0] in work.model.outputs:
        if work.readers[node.outputs[0]] > 1:
            raise UserError("a softmax at the end is left out, but another operator reads it too",
                            hint="let that read what stands before the softmax")  # fmt: skip
        work.notes.append(
            f"{node.name}: the softmax at the end is left out; the output is its input, in the "
            "same order of classes"
        )
        work.give(node, found)
        return
    work.give(node, normalized(work, node, work.value(node), work.model.opset))


def normalized(work: OnnxImport, node: OxNode, value: Value, opset: int) -> Joined:
    """A softmax of a value whose quantizer is still to come. Before version 13 it is one over all
    axes from the given one on."""
    rank = value.where.ndim
    axis = int(node.get("axis", -1 if opset >= 13 else 1))
    if not -rank <= axis < rank:
        raise UserError(f"axis {axis} is not one of {list(value.where.shape)}")
    axis %= rank
    if opset < 13 and np.prod(value.where.shape[axis + 1 :]) > 1:
        raise UserError("a softmax over several axes is not supported",
                        hint="export with version 13 or more of the operators")  # fmt: skip
    apart = value.apart or ("" if value.plain else "its input is not quantized")
    return Joined("softmax", (value,), axis, apart=apart)


def quantized(
    work: OnnxImport, name: str, joined: Joined, qtype: QType, fused: bool
) -> tuple[Tensor, Array]:
    """The integers of a softmax, and their arrangement. Raises UserError."""
    (value,) = joined.parts
    kind = value.edge.type
    reason = "" if fused else parted([joined.apart], [kind], joined.steps, qtype)
    if reason:
        raise UserError(
            f"ONNX Runtime computes it in float32, because {reason}",
            hint="put QuantizeLinear and DequantizeLinear directly around it, of one type of 8 "
            "bits, or end the network before it",
        )
    order = np.moveaxis(value.where, joined.axis, -1)
    shape = order.shape
    while order.ndim > 1 and (order.ndim > 3 or order.shape[0] == 1):
        order = order.reshape(-1, *order.shape[2:]) if order.ndim > 2 else order[0]
    edge = reordered(work, f"{name}_in", value, order)
    powers = exponentials(float(value.scale[0]), edge.channels, kind.width)
    steps = int(np.floor(np.float32(1) / np.float32(scale_of(qtype))))
    if steps < 1:
        raise UserError(f"an output of scale {scale_of(qtype):g} holds no probabilities")
    out = work.add(name, SoftmaxTable(powers, qtype, steps), edge)
    return out, np.moveaxis(canonical(out.shape).reshape(shape), -1, joined.axis)


def exponentials(scale: float, channels: int, width: int) -> Array:
    """The table of a softmax: float32 of exponentials by how far an integer is below the largest,
    moved up as far as the sum of all channels allows."""
    # In float32, as the runtime's logarithm is.
    reach = np.log(np.finfo(np.float32).max / np.float32(channels), dtype=np.float32)
    up = max(0.0, float(reach) - _RESERVED) / scale
    below = np.arange(1 << width, dtype=np.float64)
    return np.exp((up - below) * scale).astype(np.float32)
