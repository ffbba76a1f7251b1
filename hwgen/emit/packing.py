"""Packing: tensors to the beats of an AXI4-Stream and back.

Each element takes whole bytes, lane 0 lowest; a pixel's last beat may be partly unused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from ..aliases import Array, ByteArray
from ..ir import Graph
from ..numeric import QType, ceil_div
from ..plan.dataflow.ports import Port
from ..plan.dataflow.units import StreamShape


def beat_bytes(stream: StreamShape) -> int:
    """Bytes of TDATA."""
    return stream.lanes * element_bytes(stream.bits)


def element_bytes(bits: int) -> int:
    """Whole bytes that hold an element, or a beat, of so many bits."""
    return ceil_div(bits, 8)


def whole_frames(raw: ByteArray, stream: StreamShape) -> ByteArray:
    """Beats of a stream inside, one behind the other, as (frames, beats, bytes of a beat).

    Elements take exactly their bits (see ``unpack_bits``). A frame that has not ended is left out.
    """
    size = element_bytes(stream.lanes * stream.bits)
    frames = len(raw) // (stream.beats * size)
    return raw[: frames * stream.beats * size].reshape(frames, stream.beats, size)


def pack(values: np.ndarray[Any, Any], stream: StreamShape) -> ByteArray:
    """Integers (frames, ...) in stream order to bytes (frames, beats, bytes of a beat)."""
    frames = len(values)
    pixels = values.reshape(frames, stream.pixels, stream.channels).astype(np.int64)
    padded = -stream.channels % stream.lanes
    if padded:
        pixels = np.pad(pixels, ((0, 0), (0, 0), (0, padded)))
    size = element_bytes(stream.bits)
    raw = np.ascontiguousarray(pixels, "<i8").view(np.uint8).reshape(*pixels.shape, 8)
    return np.ascontiguousarray(raw[..., :size]).reshape(frames, stream.beats, beat_bytes(stream))


def unpack(raw: ByteArray, stream: StreamShape, qtype: QType, shape: tuple[int, ...]) -> Any:
    """Bytes (frames, beats, bytes of a beat) to integers (frames, *shape)."""
    frames = len(raw)
    size = element_bytes(stream.bits)
    lanes = raw.reshape(frames, stream.pixels, -1, size)
    wide = np.zeros((*lanes.shape[:-1], 8), np.uint8)
    wide[..., :size] = lanes
    values = wide.view("<i8")[..., 0].astype(np.int64)
    if qtype.signed:
        sign = 1 << (8 * size - 1)
        values = (values ^ sign) - sign
    return values[:, :, : stream.channels].reshape(frames, *shape)


def unpack_bits(
    raw: ByteArray, stream: StreamShape, qtype: QType, shape: tuple[int, ...]
) -> np.ndarray[Any, Any]:
    """As ``unpack`` for the streams inside, where elements take exactly their bits.

    ``raw`` is (frames, beats, bytes that hold a whole beat).
    """
    bits = np.unpackbits(raw, axis=-1, bitorder="little")
    bits = bits[..., : stream.lanes * stream.bits]
    lanes = bits.reshape(len(raw), stream.pixels, -1, stream.bits).astype(np.int64)
    weights = np.left_shift(np.int64(1), np.arange(stream.bits, dtype=np.int64))
    values = (lanes * weights).sum(axis=-1)
    if qtype.signed:
        values -= (values >> (stream.bits - 1)) << stream.bits
    return values[:, :, : stream.channels].reshape(len(raw), *shape)


def pack_all(arrays: Mapping[str, Array], ports: Sequence[Port]) -> dict[str, ByteArray]:
    """The frames of several ports packed; all by the names of the tensors that pass them."""
    return {port.tensor: pack(arrays[port.tensor], port.shape) for port in ports}


def unpack_all(
    raw: Mapping[str, ByteArray], ports: Sequence[Port], graph: Graph
) -> dict[str, Array]:
    """The integers of several ports, likewise."""
    edges = {port.tensor: graph.tensors[port.tensor] for port in ports}
    return {
        port.tensor: unpack(
            raw[port.tensor], port.shape, edges[port.tensor].type, edges[port.tensor].shape
        )
        for port in ports
    }


def to_hex(raw: ByteArray) -> str:
    """One beat a line, most significant byte first, for $readmemh."""
    return "".join(row[::-1].tobytes().hex() + "\n" for row in raw.reshape(-1, raw.shape[-1]))
