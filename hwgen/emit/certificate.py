"""The certificate of a package: what can be checked again without hwgen, by its check.py."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from importlib import resources
from typing import Any

from ..ir import Graph, layer_to_json, ops
from ..numeric import Scaling
from ..passes.proofs import Replacement, replacements
from ..plan.dataflow.rules.requantize import needs_multiplier

SCHEMA = 1


def certificate(source: Graph, legal: Graph, keep: Collection[Scaling] = ()) -> dict[str, Any]:
    """Ranges of all edges, forms of all requantizations, and the replacements that were proven.

    Parameters
    ----------
    source : the network as it was imported. legal : what the passes made of it. keep : the rules of
    runtimes that they were to keep.
    """
    proven = replacements(source, keep)
    return {
        "schema": SCHEMA,
        "edges": [
            {"name": t.name, "shape": list(t.shape), "type": t.type.to_json(), "range": t.range}
            for t in legal.tensors.values()
        ],
        "requantizations": _forms(legal) | {"proven": sum(r.channels for r in proven)},
        "replacements": [_to_json(r) for r in proven],
    }


def _forms(graph: Graph) -> dict[str, int]:
    """Channels by how they are requantized."""
    forms = Counter({"shift": 0, "multiply": 0, "staircase": 0})
    for node in graph.nodes:
        x = graph.operands(node)[0]
        if isinstance(node.op, ops.Requantize):
            forms["multiply" if needs_multiplier(node.op, x) else "shift"] += x.channels
        elif isinstance(node.op, ops.MultiThreshold):
            forms["staircase"] += x.channels
    return dict(forms)


def _to_json(replacement: Replacement) -> dict[str, Any]:
    x = replacement.x
    return {
        "pass": replacement.step,
        "input": {
            "name": x.name,
            "shape": list(x.shape),
            "type": x.type.to_json(),
            "range": x.range,
        },
        "earlier": [layer_to_json(node) for node in replacement.earlier],
        "before": layer_to_json(replacement.before),
        "after": [layer_to_json(node) for node in replacement.after],
        "divisor": replacement.divisor,
    }


def check_script() -> str:
    """check.py, which needs nothing but Python."""
    return (resources.files("hwgen.emit") / "templates" / "check.py").read_text()
