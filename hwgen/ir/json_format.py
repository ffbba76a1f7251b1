"""The project's own model description in JSON. docs/model_format.md says it in words."""

from __future__ import annotations

import dataclasses
from functools import cache
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..numeric import TYPE_SCHEMA, QType
from ..validation import Schema, constant, fields, inside, integer, list_of, read_json
from .arrangement import Arrangement
from .fields import LENGTH
from .graph import Graph, Node
from .op import OPS, Op
from .tensor import Tensor

FORMAT = "hwgen-model"
SCHEMA = 1

# JSON lets a text hold halves of surrogate pairs, which can not be written.
_TEXT = {
    "description": "a text without halves of surrogate pairs",
    "type": "string",
    "pattern": r"^[^\ud800-\udfff]*$",
}
_NAME = _TEXT | {
    "description": "a text of 1 to 1000 characters without halves of surrogate pairs",
    "minLength": 1,
    "maxLength": 1000,
}
"""Names are shown; identifiers made from them are shorter."""
_NAMES = list_of(_NAME)
_SENTENCES = list_of(_TEXT)
_INPUT = fields(
    {"name": _NAME, "shape": list_of(LENGTH, minItems=1, maxItems=3), "type": TYPE_SCHEMA}
)
_ARRANGEMENT = fields({
    "shape": list_of(LENGTH),
    "axes": list_of(integer(0, 2), minItems=1, maxItems=3),
})  # fmt: skip
_VERSION = {
    "format": constant(FORMAT, f'"{FORMAT}"'),
    "schema": constant(SCHEMA, f"schema {SCHEMA}, which this version reads"),
}
_HEAD = Schema({"type": "object", "required": ["format"], "properties": _VERSION})
"""What is looked at first: other versions may have other keys."""
_MODEL = Schema(
    fields(
        {
            **_VERSION,
            "name": _NAME,
            "notes": _SENTENCES,
            "without_reals": _NAMES,
            "arrays": {"type": "object", "patternProperties": {"^": _ARRANGEMENT}},
            "unstated": _NAMES,
            "inverted": _NAMES,
            "inputs": list_of(_INPUT),
            "layers": {"type": "array"},
            "outputs": _NAMES,
        },
        required=("format", "schema", "name", "inputs", "layers", "outputs"),
    )
)


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """A graph as one JSON value; ``graph_from_json`` is its inverse."""
    # Said only where it says something: other files keep their bytes.
    said: dict[str, Any] = {
        "without_reals": list(graph.without_reals),
        "arrays": {
            name: {"shape": list(a.shape), "axes": list(a.axes)} for name, a in graph.arrays.items()
        },
        "unstated": list(graph.unstated),
        "inverted": list(graph.inverted),
    }
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "name": graph.name,
        "notes": list(graph.notes),
        **{key: value for key, value in said.items() if value},
        "inputs": [
            {"name": t.name, "shape": list(t.shape), "type": t.type.to_json()} for t in graph.inputs
        ],
        "layers": [layer_to_json(node) for node in graph.nodes],
        "outputs": list(graph.outputs),
    }


def layer_to_json(node: Node) -> dict[str, Any]:
    """One layer as it stands in a model description."""
    out: dict[str, Any] = {
        "name": node.name,
        "op": node.op.op_name,
        "inputs": list(node.inputs),
    }
    if node.title != node.name:
        out["layer"] = node.title
    for name, codec in node.op.attributes().items():
        out[name] = codec.encode(getattr(node.op, name))
    return out


def graph_from_json(obj: Any) -> Graph:
    """Read a model description.

    Raises UserError whose reason begins with the path of the fault (``layers[2].stride: ...``).
    """
    _HEAD.check(obj)
    _MODEL.check(obj)
    inputs = tuple(_input(item, f"inputs[{i}]") for i, item in enumerate(obj["inputs"]))
    nodes = tuple(_node(item, f"layers[{i}]") for i, item in enumerate(obj["layers"]))
    outputs, silent = tuple(obj["outputs"]), tuple(obj.get("without_reals", ()))
    if not set(silent) <= set(outputs):
        raise UserError("without_reals: expected names of outputs")
    unstated, inverted = (tuple(obj.get(key, ())) for key in ("unstated", "inverted"))
    for key, names in (("unstated", unstated), ("inverted", inverted)):
        if not set(names) <= {tensor.name for tensor in inputs}:
            raise UserError(f"{key}: expected names of inputs")
    arrays = {
        name: Arrangement(tuple(item["shape"]), tuple(item["axes"]))
        for name, item in obj.get("arrays", {}).items()
    }
    notes = tuple(obj.get("notes", ()))
    return Graph(
        obj["name"], inputs, nodes, outputs, notes, silent, arrays, unstated, inverted
    ).verify()


def load_json(path: Path) -> Graph:
    """Read a model description file. Raises UserError naming the file and the path in it."""
    value = read_json(path)
    try:
        return graph_from_json(value)
    except UserError as error:
        raise error.within(path) from None


def _input(item: dict[str, Any], at: str) -> Tensor:
    try:
        return Tensor(item["name"], tuple(item["shape"]), QType.from_json(item["type"]))
    except ValueError as error:
        raise UserError(f"{at}.type: {error}") from None


def _node(item: Any, at: str) -> Node:
    _op_named().check(item, at)
    op = OPS[item["op"]]
    _op_schema(op).check(item, at)
    return Node(item["name"], _op(op, item, at), tuple(item["inputs"]), item.get("layer"))


@cache
def _op_named() -> Schema:
    """The schema of a layer of any op. A function, since ops come after this file."""
    named = {"op": {"enum": sorted(OPS)}}
    return Schema({"type": "object", "required": list(named), "properties": named})


@cache
def _op_schema(op: type[Op]) -> Schema:
    """The schema of a layer of an op: its attributes, by their codecs."""
    needed = [
        field.name
        for field in dataclasses.fields(op)
        if "codec" in field.metadata
        and field.default is dataclasses.MISSING
        and field.default_factory is dataclasses.MISSING
    ]
    attributes = {name: codec.schema for name, codec in op.attributes().items()}
    common = {"name": _NAME, "op": constant(op.op_name), "inputs": _NAMES}
    known = common | {"layer": _NAME} | attributes
    return Schema(fields(known, required=(*common, *needed)))


def _op(op: type[Op], item: dict[str, Any], at: str) -> Op:
    values: dict[str, Any] = {}
    for name, codec in op.attributes().items():
        if name not in item:
            continue
        try:
            values[name] = codec.decode(item[name])
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{inside(at, name)}: {error}") from None
    return op(**values)
