"""The intermediate representation: a graph of typed ops, its golden execution, its JSON."""

from . import legal, ops
from .arrangement import Arrangement
from .fields import Accumulator
from .graph import Graph, Node, check_input, execute
from .json_format import SCHEMA, graph_from_json, graph_to_json, layer_to_json, load_json
from .op import OPS, Op
from .ops._spatial import Pads, Pair, output_size, resolve_padding
from .tensor import Shape, Tensor

__all__ = [
    "OPS",
    "SCHEMA",
    "Accumulator",
    "Arrangement",
    "Graph",
    "Node",
    "Op",
    "Pads",
    "Pair",
    "Shape",
    "Tensor",
    "check_input",
    "execute",
    "graph_from_json",
    "graph_to_json",
    "layer_to_json",
    "legal",
    "load_json",
    "ops",
    "output_size",
    "resolve_padding",
]
