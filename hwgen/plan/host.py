"""Ends of networks that the tiled engine does not compute: why, and who can."""

from __future__ import annotations

from ..errors import UserError
from ..ir import Graph, ops


def way_out(graph: Graph, layer: str) -> str:
    """What to do with a softmax or an argmax that an architecture has no unit for."""
    readers = graph.consumers[layer]
    while len(readers) == 1 and isinstance(readers[0].op, (ops.Flatten, ops.Reshape)):
        layer = readers[0].name
        readers = graph.consumers[layer]
    if layer in graph.outputs:
        return "leave it to the host with --tail host"
    return (
        "end the network before it, or compute it in C (build --c, run --engine c): inside of a "
        "network the host can not be left with it"
    )


def float_softmax(op: ops.SoftmaxTable, layer: str, graph: Graph) -> UserError:
    """The refusal of a softmax in float32.

    Its sum depends on the order of the channels, since each addition is rounded: it takes an adder
    and a divider of floating point, which the engine has not.
    """
    litert = op.steps is None
    whose = "LiteRT's optimized kernels" if litert else "ONNX Runtime"
    other = "import the model with --runtime tflm or --runtime reference; " if litert else ""
    return UserError(
        f"{whose} compute{'' if litert else 's'} this softmax in float32, rounding after each "
        "addition: the tiled architecture has no unit for a softmax in float32, but for the "
        "fixed-point one of TFLM and of the reference kernels",
        layer=layer,
        hint=f"use --arch dataflow, which computes it; {other}or {way_out(graph, layer)}",
    )
