"""What an architecture gives to a package."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

from ..contract.identity import identity_of
from ..ir import Graph, graph_to_json
from .verilog import VerilogDesign


@dataclass(frozen=True)
class Bench:
    """How a package's bench is compiled and run by a simulator, in FuseSoC's words.

    simulator : its name there. top : the top module. sources, headers : with their file types;
    data : what it reads while it runs. options : of the simulator, by their names there.
    """

    simulator: str
    top: str
    sources: dict[str, str]
    headers: dict[str, str]
    data: tuple[str, ...]
    options: dict[str, list[str] | str]


@dataclass(frozen=True)
class Parts:
    """A design, and the files that only its architecture knows, by their path in the package.

    benches : how simulators run the test vectors.
    """

    design: VerilogDesign
    texts: dict[str, str]
    benches: tuple[Bench, ...] = ()

    @property
    def images(self) -> list[str]:
        """Paths of memory images."""
        own = [path for path in self.texts if path.startswith("mem/")]
        return [*(f"mem/{name}" for name in self.design.images), *own]


def dump_json(value: Any) -> str:
    """JSON as all files of a package are written."""
    return json.dumps(value, indent=1, ensure_ascii=False) + "\n"


def model_hash(graph: Graph) -> int:
    """64 bits that identify a network, for the identity registers.

    What is about its file and its readers alone, such as what layers are called there, is no part
    of it.
    """
    plain = tuple(replace(node, layer=None) for node in graph.nodes)
    return identity_of(
        graph_to_json(replace(graph, nodes=plain, arrays={}, unstated=(), inverted=()))
    )
