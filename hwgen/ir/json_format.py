"""The project's own model description in JSON. docs/model_format.md says it in words."""

from __future__ import annotations

import json
from dataclasses import MISSING, fields
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..numeric import QType
from .graph import Graph, Node
from .op import OPS, Op
from .ops import Requantize, Rescale
from .tensor import Tensor

FORMAT = "hwgen-model"
_SCALARS = ("mult", "bias", "shift", "pivot", "below")
"""Attributes of requantizations that may be one number."""
SCHEMA = 1


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """A graph as one JSON value; ``graph_from_json`` is its inverse."""
    # Said only where it says something: other files keep their bytes.
    silent = {"without_reals": list(graph.without_reals)} if graph.without_reals else {}
    return {
        "format": FORMAT,
        "schema": SCHEMA,
        "name": graph.name,
        "notes": list(graph.notes),
        **silent,
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
    for name, kind in node.op.attributes().items():
        out[name] = kind.encode(getattr(node.op, name))
    return out


def graph_from_json(obj: Any) -> Graph:
    """Read a model description.

    Raises UserError whose reason begins with the path of the fault (``layers[2].stride: ...``).
    """
    _check(isinstance(obj, dict), "$", "expected an object")
    _check(obj.get("format") == FORMAT, "format", f'expected "{FORMAT}"')
    _check(obj.get("schema") == SCHEMA, "schema", f"this version reads schema {SCHEMA}")
    known = {"format", "schema", "name", "notes", "without_reals", "inputs", "layers", "outputs"}
    for key in obj:
        _check(key in known, key, f"unknown key; a model has {', '.join(sorted(known))}")
    name = _text(obj, "name", "name")
    inputs = tuple(_input(item, f"inputs[{i}]") for i, item in enumerate(_list(obj, "inputs")))
    nodes = tuple(_node(item, f"layers[{i}]") for i, item in enumerate(_list(obj, "layers")))
    outputs = tuple(_list(obj, "outputs"))
    _check(all(isinstance(o, str) for o in outputs), "outputs", "expected names of layers")
    notes = tuple(_list(obj, "notes")) if "notes" in obj else ()
    _check(all(isinstance(n, str) and _is_unicode(n) for n in notes), "notes", "expected sentences")
    silent = tuple(_list(obj, "without_reals")) if "without_reals" in obj else ()
    _check(set(silent) <= set(outputs), "without_reals", "expected names of outputs")
    return Graph(name, inputs, nodes, outputs, notes, silent).verify()


def load_json(path: Path) -> Graph:
    """Read a model description file. Raises UserError naming the file and the path in it."""
    try:
        obj = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # ValueError: text, JSON, overlong numbers
        raise UserError(f"not JSON ({error})", file=path) from None
    try:
        return graph_from_json(obj)
    except UserError as error:
        raise error.within(path) from None


def _check(condition: bool, path: str, reason: str) -> None:
    if not condition:
        raise UserError(f"{path}: {reason}")


def _list(obj: dict[str, Any], key: str, path: str | None = None) -> list[Any]:
    value = obj.get(key)
    _check(isinstance(value, list), path or key, "expected a list")
    return value  # type: ignore[return-value]


def _text(obj: dict[str, Any], key: str, path: str) -> str:
    value = obj.get(key)
    _check(isinstance(value, str) and value != "", path, "expected a name")
    assert isinstance(value, str)
    longest = 1000  # names are shown; identifiers made from them are shorter
    _check(len(value) <= longest, path, f"a name has at most {longest} characters")
    _check(_is_unicode(value), path, "has half of a surrogate pair, which is no character")
    return value


def _is_unicode(text: str) -> bool:
    """Whether a string, which JSON lets hold halves of surrogate pairs, can be written."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _input(item: Any, path: str) -> Tensor:
    _check(isinstance(item, dict), path, "expected an object")
    for key in item:
        _check(key in ("name", "shape", "type"), f"{path}.{key}", "unknown key")
    name = _text(item, "name", f"{path}.name")
    shape = _list(item, "shape", f"{path}.shape")
    _check(
        1 <= len(shape) <= 3 and all(type(n) is int and n >= 1 for n in shape),
        f"{path}.shape",
        f"expected [height, width, channels] or [features], each at least 1, got {shape}",
    )
    try:
        return Tensor(name, tuple(shape), QType.from_json(item.get("type")))
    except ValueError as error:
        raise UserError(f"{path}.type: {error}") from None


def _node(item: Any, path: str) -> Node:
    _check(isinstance(item, dict), path, "expected an object")
    name = _text(item, "name", f"{path}.name")
    op_name = item.get("op")
    _check(
        isinstance(op_name, str) and op_name in OPS,
        f"{path}.op",
        f"{op_name!r} is not one of {', '.join(sorted(OPS))}",
    )
    inputs = _list(item, "inputs", f"{path}.inputs")
    _check(all(isinstance(i, str) for i in inputs), f"{path}.inputs", "expected names")
    return Node(name, _op(OPS[str(op_name)], item, path), tuple(inputs))


def _op(cls: type[Op], item: dict[str, Any], path: str) -> Op:
    kinds = cls.attributes()
    for key in item:
        _check(
            key in kinds or key in ("name", "op", "inputs"),
            f"{path}.{key}",
            f"unknown key; {cls.op_name} has {', '.join(kinds) or 'no attributes'}",
        )
    values: dict[str, Any] = {}
    for field in fields(cls):
        if field.name not in kinds:
            continue
        if field.name not in item:
            needed = field.default is MISSING and field.default_factory is MISSING
            _check(not needed, f"{path}.{field.name}", "is missing")
            continue
        value = item[field.name]
        if cls in (Requantize, Rescale) and field.name in _SCALARS:
            value = [value] if isinstance(value, int) else value
        try:
            values[field.name] = kinds[field.name].decode(value)
        except (ValueError, TypeError, OverflowError) as error:
            raise UserError(f"{path}.{field.name}: {error}") from None
    return cls(**values)
