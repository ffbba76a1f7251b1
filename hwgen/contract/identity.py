"""What tells designs apart: the identity of networks and engines."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from .engine import EngineShape
from .isa import COMPUTE, RECORD, TRANSFER


def identity_of(value: Any) -> int:
    """64 bits that identify a JSON value, for identity registers."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big")


def engine_hash(shape: EngineShape) -> int:
    """64 bits that identify a tiled engine: a program runs on those alone that it was made for.

    They say nothing of a network: engines of one shape are the same hardware, and run the program
    of any network that was planned for it.
    """
    # Engines of one shape that read descriptors in another way are others.
    records = {
        record.name: [[field.name, field.width] for field in record.fields]
        for record in (TRANSFER, COMPUTE, RECORD)
    }
    # What an engine can not have it lacks, whether that was asked for or not.
    return identity_of(shape.to_json() | {"without": list(shape.lacks), "records": records})
