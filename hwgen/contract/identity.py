"""What tells engines apart: a program runs on those alone that it was made for."""

from __future__ import annotations

import hashlib
import json

from .engine import EngineShape
from .isa import COMPUTE, RECORD, TRANSFER


def engine_hash(shape: EngineShape) -> int:
    """64 bits that identify a tiled engine, for its identity registers.

    They say nothing of a network: engines of one shape are the same hardware, and run the program
    of any network that was planned for it.
    """
    # Engines of one shape that read descriptors in another way are others.
    records = {
        record.name: [[field.name, field.width] for field in record.fields]
        for record in (TRANSFER, COMPUTE, RECORD)
    }
    # What an engine can not have it lacks, whether that was asked for or not.
    values = shape.to_json() | {"without": list(shape.lacks), "records": records}
    text = json.dumps(values, indent=1, ensure_ascii=False) + "\n"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")
