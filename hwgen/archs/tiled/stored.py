"""What a tiled engine leaves in external memory against golden: every byte, and no other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

import numpy as np

from ...aliases import ByteArray
from ...flow.comparison import Difference, first_difference
from ...plan.tiled.network.tasks import edges_of
from ...plan.tiled.plan import TiledPlan
from .ends import from_bytes, to_bytes

Marks = np.ndarray[Any, np.dtype[np.bool_]]


def stored_differences(
    plan: TiledPlan, memory: ByteArray, golden: Mapping[str, np.ndarray[Any, Any]]
) -> Iterator[tuple[str, Difference | None]]:
    """The first difference of each tensor in external memory, in the order of the layers.

    memory : external memory after a run. golden : integers (1, *shape) of every edge.
    """
    program, task_graph = plan.program, plan.task_graph
    for name in edges_of(task_graph):
        if name not in program.tensors:
            continue
        edge, stored, start = (
            plan.graph.tensors[name],
            task_graph.stored[name],
            program.tensors[name],
        )
        raw = memory[None, start : start + stored.bytes]
        got = from_bytes(raw, stored, edge.shape)
        yield name, first_difference(name, golden[name], got)


def memory_fault(
    plan: TiledPlan,
    memory: ByteArray,
    written: Marks,
    golden: Mapping[str, np.ndarray[Any, Any]],
    frame: int,
) -> Difference | str | None:
    """What is wrong with external memory after a frame; None where nothing is.

    Tensors that lie there must be written whole and be golden. Of tensors on chip only rows for
    other tile units are there, golden where they are written. No other byte may be written.

    Parameters
    ----------
    memory : after the frame. written : which of its bytes the engine wrote. golden : integers
    (1, *shape) of every edge, for this frame.
    """
    for _, found in stored_differences(plan, memory, golden):
        if found is not None:
            return replace(found, frame=frame)
    program, task_graph = plan.program, plan.task_graph
    left = written.copy()
    for name in edges_of(task_graph):
        stored, whole = task_graph.stored[name], name in program.tensors
        start = program.tensors.get(name, program.shared.get(name))
        if start is None:
            continue
        place = slice(start, start + stored.bytes)
        if whole and not written[place].all():
            byte = int(np.argmin(written[place]))
            return f"frame {frame}: byte {byte} of layer {name!r} is not stored"
        expected = to_bytes(golden[name], stored)[0]
        wrong = np.flatnonzero((memory[place] != expected) & written[place])
        if len(wrong):
            at = int(wrong[0])
            return (
                f"frame {frame}: byte {at} of layer {name!r} in memory: "
                f"expected {expected[at]}, got {memory[start + at]}"
            )
        left[place] = False
    if left.any():
        return (
            f"frame {frame}: byte {int(np.argmax(left))} of memory is written, a part of no layer"
        )
    return None
