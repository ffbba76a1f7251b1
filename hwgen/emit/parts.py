"""What an architecture gives to a package."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Any

from ..contract.engine import EngineShape
from ..ir import Graph, graph_to_json
from .verilog import VerilogDesign


@dataclass(frozen=True)
class Parts:
    """A design, and the files that only its architecture knows, by their path in the package."""

    design: VerilogDesign
    texts: dict[str, str]

    @property
    def images(self) -> list[str]:
        """Paths of memory images."""
        own = [path for path in self.texts if path.startswith("mem/")]
        return [*(f"mem/{name}" for name in self.design.images), *own]


def dump_json(value: Any) -> str:
    """JSON as all files of a package are written."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def model_hash(graph: Graph) -> int:
    """64 bits that identify a network, for the identity registers."""
    return _hash(graph_to_json(graph))


def engine_hash(shape: EngineShape) -> int:
    """64 bits that identify a tiled engine, for its identity registers.

    They say nothing of a network: engines of one shape are the same hardware, and run the program
    of any network that was planned for it.
    """
    return _hash(asdict(shape))


def _hash(value: Any) -> int:
    return int.from_bytes(hashlib.sha256(dump_json(value).encode()).digest()[:8], "big")
