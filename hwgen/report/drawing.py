"""Pictures for the report, without any library."""

from __future__ import annotations

import struct
import zlib
from base64 import b64encode

import numpy as np


def frame_png(codes: np.ndarray, low: int, high: int) -> str | None:
    """A frame (rows, columns, 1 or 3 channels) as a data URL; None for any other shape."""
    if codes.ndim != 3 or codes.shape[2] not in (1, 3) or min(codes.shape[:2]) < 4:
        return None
    span = max(1, high - low)
    pixels = ((codes.astype(np.int64) - low) * 255 // span).clip(0, 255).astype(np.uint8)
    rows, columns, channels = pixels.shape
    data = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = struct.pack(">IIBBBBB", columns, rows, 8, 0 if channels == 1 else 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(data, 9)), (b"IEND", b""))
    png = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return f"data:image/png;base64,{b64encode(png).decode()}"
