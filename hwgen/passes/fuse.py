"""Biases, activations and requantizations become as few requantizations as possible."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from ..errors import UserError
from ..ir import Graph, Node, Tensor, ops
from ..numeric import Overflow, Rounding
from .rewrite import fresh_name, redirect, replace_nodes, single_reader, without


def bias_into_requantize(graph: Graph) -> Graph:
    """Conv2D and Dense lose their bias; a Requantize that changes nothing else adds it."""

    def change(node: Node) -> Iterator[Node]:
        op = node.op
        if not isinstance(op, (ops.Conv2D, ops.Dense)) or op.bias is None:
            yield node
            return
        x = graph.operands(node)[0]
        result = graph.tensors[node.name]
        bare = replace(op, bias=None, bias_frac=None)
        name = fresh_name(graph, f"{node.name}_mac")
        acc = bare.infer(name, [x])
        up_acc = up_bias = 0
        if op.bias_frac is not None:
            up_acc = result.type.frac - acc.type.frac
            up_bias = result.type.frac - op.bias_frac
        bias = op.bias.astype(object) << up_bias
        requant = ops.Requantize.scaled(result.type, 1 << up_acc, bias, 0)
        yield Node(name, bare, node.inputs)
        yield Node(node.name, requant, (name,))

    return replace_nodes(graph, change)


def relu_into_requantize(graph: Graph) -> Graph:
    """A Relu is a Requantize that changes nothing and clips."""

    def change(node: Node) -> Iterator[Node]:
        if isinstance(node.op, ops.Relu):
            x = graph.operands(node)[0]
            clip = node.op.bounds(x)
            yield replace(node, op=ops.Requantize.identity(x, clip))
        else:
            yield node

    return replace_nodes(graph, change)


def fuse_requantize(graph: Graph) -> Graph:
    """Two Requantize in a row become one where the result is the same for every input."""
    changed = True
    while changed:
        changed = False
        for node in graph.nodes:
            reader = single_reader(graph, node.name)
            if reader is None or not _both_requantize(node, reader):
                continue
            fused = _composed(graph, node, reader)
            if fused is not None:
                merged = replace(reader, op=fused, inputs=node.inputs)
                nodes = tuple(merged if n is reader else n for n in graph.nodes if n is not node)
                graph = replace(graph, nodes=nodes)
                changed = True
                break
    return graph


def _both_requantize(first: Node, second: Node) -> bool:
    return isinstance(first.op, ops.Requantize) and isinstance(second.op, ops.Requantize)


def _composed(graph: Graph, first: Node, second: Node) -> ops.Requantize | None:
    a, b = first.op, second.op
    assert isinstance(a, ops.Requantize) and isinstance(b, ops.Requantize)
    x, middle = graph.operands(first)[0], graph.tensors[first.name]
    if _is_identity(b, middle):
        # Only a clip is added; both clips together are one.
        low, high = b.clip or (middle.type.min, middle.type.max)
        old = a.clip or (a.type.min, a.type.max)
        clip = (min(max(low, old[0]), high), max(min(high, old[1]), low))
        if (b.type.width, b.type.signed) != (a.type.width, a.type.signed):
            return None
        return replace(a, clip=clip if clip != (a.type.min, a.type.max) else None)
    if _is_lossless(a, x):
        mult, bias = a.mult.astype(object), a.bias.astype(object)
        return replace(b, mult=mult * b.mult, bias=bias * b.mult + b.bias)
    return None


def _is_identity(op: ops.Requantize, x: Tensor) -> bool:
    """Whether only the clip can change a value."""
    plain = np.all(op.mult == 1) and np.all(op.bias == 0) and np.all(op.shift == 0)
    low, high = x.range
    return bool(plain) and op.type.low <= low and high <= op.type.max


def _is_lossless(op: ops.Requantize, x: Tensor) -> bool:
    """Whether no value is rounded, overflows or is clipped."""
    if np.any(op.shift != 0):
        return False
    mult, bias = op.mult.astype(object), op.bias.astype(object)
    ends = [mult * bound + bias for bound in x.range]
    low = min(int(np.min(e)) for e in ends)
    high = max(int(np.max(e)) for e in ends)
    limits = [(op.type.low, op.type.max)] + ([op.clip] if op.clip else [])
    return all(a <= low and high <= b for a, b in limits)


def drop_identities(graph: Graph) -> Graph:
    """A Requantize that keeps type and values disappears, but for one behind a MAC node."""
    for node in graph.nodes:
        if not isinstance(node.op, ops.Requantize) or node.name in graph.outputs:
            continue
        x, y = graph.operands(node)[0], graph.tensors[node.name]
        producer = next((n for n in graph.nodes if n.name == node.inputs[0]), None)
        if producer is not None and isinstance(producer.op, (ops.Conv2D, ops.Dense)):
            continue
        same = (x.type.signed, x.type.width, x.type.frac, x.type.scale) == (
            y.type.signed, y.type.width, y.type.frac, y.type.scale,
        )  # fmt: skip
        clip = node.op.clip
        clips = clip and not (clip[0] <= x.range[0] and x.range[1] <= clip[1])
        if same and _is_identity(node.op, x) and not clips:
            return drop_identities(redirect(without(graph, node.name), node.name, x.name))
    return graph


def hoist_requantize(graph: Graph) -> Graph:
    """A Requantize behind a MaxPool moves before it where it is monotone: data narrow early.

    Both take the other's name, so that every name keeps the value behind it at the same place
    in the network.
    """
    for node in graph.nodes:
        if not isinstance(node.op, ops.Requantize) or not node.inputs:
            continue
        pool = next((n for n in graph.nodes if n.name == node.inputs[0]), None)
        if pool is None or not isinstance(pool.op, ops.MaxPool):
            continue
        if single_reader(graph, pool.name) is not node:
            continue
        x = graph.operands(pool)[0]
        if not _is_monotone(node.op, x):
            continue
        name = fresh_name(graph, f"{pool.name}_requant")
        early = Node(name, node.op, pool.inputs)
        late = Node(node.name, pool.op, (name,))
        nodes = []
        for other in graph.nodes:
            if other is pool:
                nodes.append(early)
            elif other is node:
                nodes.append(late)
            else:
                nodes.append(other)
        return hoist_requantize(fuse_requantize(replace(graph, nodes=tuple(nodes))))
    return graph


def _is_monotone(op: ops.Requantize, x: Tensor) -> bool:
    """Whether no larger input gives a smaller output, in any channel."""
    if np.any(op.mult < 0):
        return False
    if op.type.overflow in (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC):
        return True
    wide = replace(
        op, type=replace(op.type, signed=True, width=128, overflow=Overflow.WRAP), clip=None
    )
    low, high = wide.infer("probe", [x]).range
    return op.type.low <= low and high <= op.type.max


def ensure_requantize(graph: Graph) -> Graph:
    """Every Conv2D and Dense is followed by exactly one Requantize.

    Raises UserError when the exact result has more bits than a stream takes.
    """

    def change(node: Node) -> Iterator[Node]:
        if not isinstance(node.op, (ops.Conv2D, ops.Dense)):
            yield node
            return
        reader = single_reader(graph, node.name)
        if reader is not None and isinstance(reader.op, ops.Requantize):
            yield node
            return
        acc = graph.tensors[node.name]
        if acc.type.width > 32:
            raise UserError(
                f"its exact result has {acc.type.width} bits, streams take at most 32",
                layer=node.name,
                hint="quantize it",
            )
        name = fresh_name(graph, f"{node.name}_mac")
        yield replace(node, name=name)
        yield Node(node.name, ops.Requantize.identity(acc), (name,))

    return replace_nodes(graph, change)


def common_shift(graph: Graph) -> Graph:
    """Every Requantize gets one shift for all channels, the smallest that is exact."""

    def change(node: Node) -> Iterator[Node]:
        if not isinstance(node.op, ops.Requantize):
            yield node
            return
        yield replace(node, op=_with_common_shift(node.op))

    return replace_nodes(graph, change)


def _with_common_shift(op: ops.Requantize) -> ops.Requantize:
    shift = int(op.shift.max())
    up = shift - op.shift.astype(object)
    mult, bias = op.mult.astype(object) << up, op.bias.astype(object) << up
    # Bits that are zero in every multiplier and bias round nothing.
    spare = shift
    for value in [*mult, *bias]:
        if value:
            spare = min(spare, (int(value) & -int(value)).bit_length() - 1)
    shift -= spare
    rounding = op.type.rounding if shift else Rounding.FLOOR
    return replace(
        op,
        mult=_narrow(mult >> spare),
        bias=_narrow(bias >> spare),
        shift=np.array([shift]),
        type=replace(op.type, rounding=rounding),
    )


def _narrow(values: np.ndarray) -> np.ndarray:
    """One entry when all are equal; int64 when they fit."""
    if len(set(values.tolist())) == 1:
        values = values[:1]
    fits = all(-(1 << 63) <= int(v) < 1 << 63 for v in values)
    return values.astype(np.int64) if fits else values
