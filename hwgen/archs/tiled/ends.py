"""A network's inputs and outputs in external memory: one area each, with an address a tensor."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from ...aliases import Array, Arrays, ByteArray
from ...numeric import packed, unpacked
from ...plan.tiled.network.tasks import Stored
from ...plan.tiled.plan import TiledPlan


def input_area(plan: TiledPlan) -> tuple[int, int]:
    """The first byte of the inputs in external memory, and how many there are up to the end of the
    last one: whatever is between two of them counts for nothing."""
    return _area(plan, plan.task_graph.sources)


def output_area(plan: TiledPlan) -> tuple[int, int]:
    """The same of the outputs."""
    return _area(plan, plan.task_graph.results)


def input_bytes(plan: TiledPlan, inputs: Mapping[str, Array]) -> ByteArray:
    """Integers (frames, ...) of every input as the bytes (frames, bytes) of the inputs' area."""
    return _bytes(plan, input_area(plan), {n: inputs[n] for n in plan.task_graph.sources})


def output_bytes(plan: TiledPlan, outputs: Mapping[str, Array]) -> ByteArray:
    """Integers (frames, ...) of every output as the bytes of the outputs' area."""
    places = zip(plan.graph.outputs, plan.task_graph.results, strict=True)
    return _bytes(plan, output_area(plan), {place: outputs[name] for name, place in places})


def outputs_of(plan: TiledPlan, raw: ByteArray) -> Arrays:
    """The integers (frames, ...) of every output, from the bytes of the outputs' area."""
    graph, found = plan.graph, {}
    start, _ = output_area(plan)
    for name, place in zip(graph.outputs, plan.task_graph.results, strict=True):
        edge, stored = graph.tensors[name], plan.task_graph.stored[place]
        at = plan.program.tensors[place] - start
        found[name] = from_bytes(raw[:, at : at + stored.bytes], stored, edge.shape)
    return found


def to_bytes(values: Array, tensor: Stored) -> ByteArray:
    """Integers (frames, ...) as they lie in external memory: (frames, bytes)."""
    pixels = values.reshape(len(values), -1, tensor.shape[2])
    return packed(pixels, tensor.bits).reshape(len(values), tensor.bytes)


def from_bytes(raw: ByteArray, tensor: Stored, shape: tuple[int, ...]) -> Array:
    """The reverse: bytes (frames, bytes) to integers (frames, *shape)."""
    pixels = unpacked(raw.reshape(len(raw), -1, tensor.pixel), tensor.bits, tensor.signed)
    return pixels[..., : tensor.shape[2]].reshape(len(raw), *shape)


def _area(plan: TiledPlan, names: Iterable[str]) -> tuple[int, int]:
    tensors, stored = plan.program.tensors, plan.task_graph.stored
    start = min(tensors[name] for name in names)
    return start, max(tensors[name] + stored[name].bytes for name in names) - start


def _bytes(plan: TiledPlan, area: tuple[int, int], tensors: Mapping[str, Array]) -> ByteArray:
    start, size = area
    raw = np.zeros((len(next(iter(tensors.values()))), size), np.uint8)
    for name, array in tensors.items():
        at, stored = plan.program.tensors[name] - start, plan.task_graph.stored[name]
        raw[:, at : at + stored.bytes] = to_bytes(array, stored)
    return raw
