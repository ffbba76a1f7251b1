"""Constants of a task as bytes of external memory: weights, parameters, tables."""

from __future__ import annotations

import numpy as np

from ....contract.engine import EngineShape
from ....contract.isa import RECORD, WINDOW_TAPS, Operand
from ....numeric import ceil_div, packed
from ..mapping.tile import Range, Taps
from ..network.requant import Requant
from ..network.tasks import Task


def weight_words(task: Task, taps: Taps, shape: EngineShape, one_lane: bool) -> np.ndarray:
    """A task's words, as bytes: (cout blocks, kernel rows, kernel columns, cin blocks, bytes).

    one_lane : the weights of lane 0 alone.
    """
    assert task.weights is not None
    lanes = _lanes(task, taps, shape)  # (rows, columns, cin blocks, simd, outputs)
    cout_blocks = ceil_div(task.outputs, shape.pe)
    full = np.zeros((*lanes.shape[:-1], cout_blocks * shape.pe), np.int16)
    full[..., : task.outputs] = lanes
    split = full.reshape(*lanes.shape[:-1], cout_blocks, shape.pe)
    words = split.transpose(4, 0, 1, 2, 5, 3)
    if one_lane:
        size = shape.pe * shape.lane_bits // 8
        whole = ceil_div(size, shape.bus_bytes) * shape.bus_bytes
        return packed(words[..., 0], shape.lane_bits, whole)
    return packed(words.reshape(*words.shape[:-2], -1), shape.weight_bits, shape.weight_bytes)


def _lanes(task: Task, taps: Taps, shape: EngineShape) -> np.ndarray:
    weights = task.weights
    assert weights is not None
    rows, columns, _, outputs = weights.shape
    if task.operand is Operand.DEPTHWISE_WINDOW:
        window = np.zeros((WINDOW_TAPS, WINDOW_TAPS, outputs), np.int64)
        window[:rows, WINDOW_TAPS - columns :] = weights[:, :, 0]
        lanes = np.zeros((1, 1, 1, shape.simd, outputs), np.int64)
        lanes[0, 0, 0, : WINDOW_TAPS**2] = window.reshape(-1, outputs)
        return lanes
    if task.operand is Operand.DEPTHWISE:
        lanes = np.zeros((rows, columns, 1, shape.simd, outputs), np.int64)
        lanes[:, :, 0, 0] = weights[:, :, 0]
        return lanes
    # Channels that fill the last byte of a pixel have weights of 0.
    fill = -weights.shape[2] % max(1, 8 // shape.stored_bits)
    weights = np.pad(weights, ((0, 0), (0, 0), (0, fill), (0, 0)))
    groups, columns, blocks = taps.counts
    flat = weights.reshape(rows, columns, -1, outputs)
    full = np.zeros((groups * taps.rows, columns, blocks * taps.lanes, outputs), np.int64)
    full[:rows, :, : flat.shape[2]] = flat
    # Lanes of a word: those of its first row, those of the row below it.
    apart = full.reshape(groups, taps.rows, columns, blocks, taps.lanes, outputs)
    together = apart.transpose(0, 2, 3, 1, 4, 5).reshape(groups, columns, blocks, -1, outputs)
    lanes = np.zeros((groups, columns, blocks, shape.simd, outputs), np.int64)
    lanes[:, :, :, : taps.rows * taps.lanes] = together
    return lanes


def weight_block(
    words: np.ndarray, cout_blocks: Range, taps: tuple[Range, Range, Range], word_bytes: int
) -> np.ndarray:
    """The words of some cout blocks and taps, in the order in which they are read, as bytes.

    word_bytes : of a word, the first ones.
    """
    (r0, r1), (c0, c1), (k0, k1) = taps
    part = words[cout_blocks[0] : cout_blocks[1], r0:r1, c0:c1, k0:k1]
    return part.reshape(-1, part.shape[-1])[:, :word_bytes].reshape(-1)


def parameter_words(requant: Requant, outputs: int, shape: EngineShape) -> np.ndarray:
    """Records of all output channels, as bytes (cout blocks, bytes of a word)."""
    cout_blocks = ceil_div(outputs, shape.pe)
    fields = {"mult": requant.mult, "bias": requant.bias, "shift": requant.shift}
    rows = []
    for start in range(0, cout_blocks * shape.pe, shape.requantizers):
        row = b""
        for channel in range(start, start + shape.requantizers):
            n = min(channel, outputs - 1)
            row += RECORD.pack({name: int(values[n]) for name, values in fields.items()})
        rows.append(row.ljust(shape.parameter_row_bytes, b"\0"))
    return np.frombuffer(b"".join(rows), np.uint8).reshape(cout_blocks, -1)


def table_bytes(task: Task) -> np.ndarray | None:
    """The tables of a task, 32 bits an entry: the first one, or both; None: it has none."""
    if task.softmax is not None:
        tables = [task.softmax]
    elif task.tables is not None:
        tables = [t for t in (task.tables.first, task.tables.other) if t is not None]
    else:
        return None
    return np.concatenate(tables).astype("<i4").view(np.uint8)
