"""Integers side by side in bytes: so many bits each, the first at the least significant end."""

from __future__ import annotations

from typing import Any

import numpy as np

from .division import ceil_div

Integers = np.ndarray[Any, Any]


def packed(values: Integers, bits: int, size: int | None = None) -> np.ndarray[Any, Any]:
    """The lowest bits of integers (..., n) as bytes (..., size), lowest first.

    bits : of each, 1 to 32. size : bytes, what follows the last integer is 0; None: as many as they
    take.
    """
    whole = ceil_div(values.shape[-1] * bits, 8)
    size = whole if size is None else size
    if bits % 8 == 0:
        raw = np.ascontiguousarray(values, "<i8").view(np.uint8).reshape(*values.shape, 8)
        data = raw[..., : bits // 8].reshape(*values.shape[:-1], whole)
    else:
        each = np.asarray(values, np.int64).astype(np.int32)[..., None] >> np.arange(bits) & 1
        flat = each.astype(np.uint8).reshape(*values.shape[:-1], -1)
        data = np.packbits(flat, axis=-1, bitorder="little")
    return np.pad(data, [(0, 0)] * (data.ndim - 1) + [(0, size - whole)])


def unpacked(raw: Integers, bits: int, signed: bool) -> np.ndarray[Any, Any]:
    """The integers in bytes (..., size), as many as there are whole ones, the reverse of packed."""
    count = raw.shape[-1] * 8 // bits
    if bits % 8 == 0:
        wide = np.zeros((*raw.shape[:-1], count, 8), np.uint8)
        wide[..., : bits // 8] = raw[..., : count * bits // 8].reshape(*wide.shape[:-1], -1)
        values = wide.view("<i8")[..., 0].astype(np.int64)
    else:
        flat = np.unpackbits(raw, axis=-1, bitorder="little")[..., : count * bits]
        each = flat.reshape(*raw.shape[:-1], count, bits).astype(np.int64)
        values = (each << np.arange(bits)).sum(axis=-1)
    return values - ((values >> (bits - 1)) << bits) if signed else values
