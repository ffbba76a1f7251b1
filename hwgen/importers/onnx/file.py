"""An ONNX file as nodes and constants; nothing here knows what an operator means."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError

_MAX_BYTES = 1 << 31
"""A serialized protobuf message is shorter (its own limit)."""


@dataclass(frozen=True)
class OxNode:
    """One operator. ``name`` is unique and fit for a layer of the graph; ``given`` is what the file
    calls it, empty where that is nothing."""

    index: int
    domain: str
    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    attributes: dict[str, Any] = field(repr=False)
    given: str = ""

    def get(self, key: str, default: Any = None) -> Any:
        """An attribute: a number, text, a list, or an array."""
        value = self.attributes.get(key, default)
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else value

    def ints(self, key: str, default: Any = None) -> list[int]:
        """A list of integers. Raises UserError where it is none."""
        value = self.get(key, default)
        if not isinstance(value, list) or not all(isinstance(v, int) for v in value):
            raise UserError(f"attribute {key} is {value!r}, a list of integers is needed")
        return value


@dataclass(frozen=True)
class OxInput:
    """An input of the model: ``shape`` has None where the file leaves an axis open."""

    name: str
    dtype: str
    shape: tuple[int | None, ...]


@dataclass(frozen=True)
class OxModel:
    """A file: ``constants`` are its stored arrays by name; ``opset`` the version of ONNX's own
    operators."""

    nodes: tuple[OxNode, ...]
    constants: dict[str, np.ndarray]
    inputs: tuple[OxInput, ...]
    outputs: tuple[str, ...]
    opset: int = 1


def is_onnx(head: bytes) -> bool:
    """Whether a file begins as a serialized ModelProto: field 1 (ir_version), a small number."""
    return len(head) > 4 and head[0] == 0x08 and 0 < head[1] < 0x80


def read_model(path: Path) -> OxModel:
    """Read a file and the data that it keeps beside it.

    Raises UserError for what is no ONNX, is damaged, or lacks data.
    """
    import onnx
    from google.protobuf.message import DecodeError

    if path.stat().st_size >= _MAX_BYTES:
        raise UserError("the file has 2 GiB or more; an ONNX file is shorter")
    model = onnx.ModelProto()
    try:
        model.ParseFromString(path.read_bytes())
    except DecodeError:
        raise UserError(
            "not a complete ONNX file", hint="it may be truncated or damaged: copy it again"
        ) from None
    if not model.graph.node or not model.graph.output:
        raise UserError("no operators or no outputs: not an ONNX network, or a damaged one")
    if not model.opset_import:
        raise UserError("the file states no version of its operators", hint="it may be truncated")
    if not _all_text(model.graph):
        raise UserError("names in it are no text", hint="it may be damaged: copy it again")
    if model.functions:
        raise UserError(
            f"functions of its own ({model.functions[0].name!r}) are not supported",
            hint="inline them before export",
        )
    constants = {t.name: _array(t, path) for t in model.graph.initializer}
    if model.graph.sparse_initializer:
        raise UserError("sparse constants are not supported")
    nodes = tuple(_nodes(model.graph, path))
    _check_producers(nodes, {*constants, *(v.name for v in model.graph.input)})
    inputs = tuple(_input(v) for v in model.graph.input if v.name not in constants)
    outputs = tuple(v.name for v in model.graph.output)
    versions = [o.version for o in model.opset_import if o.domain in ("", "ai.onnx")]
    return OxModel(nodes, constants, inputs, outputs, max(versions, default=1))


def _check_producers(nodes: tuple[OxNode, ...], given: set[str]) -> None:
    """Raises UserError where a tensor is given twice: which one is meant can not be known."""
    for node in nodes:
        for name in filter(None, node.outputs):
            if name in given:
                raise UserError(f"gives {name!r}, which the file has from elsewhere already",
                                layer=node.name, hint="the file is damaged")  # fmt: skip
            given.add(name)


def _all_text(graph: Any) -> bool:
    """Whether all names are text: the reader gives bytes where they are no UTF-8."""
    names = [v.name for part in (graph.initializer, graph.input, graph.output) for v in part]
    for node in graph.node:
        names += [node.name, node.op_type, node.domain, *node.input, *node.output]
        names += [a.name for a in node.attribute]
    return all(isinstance(name, str) for name in names)


def _array(tensor: Any, path: Path) -> np.ndarray:
    """A stored tensor. Raises UserError where its data are absent or do not fit its shape."""
    import onnx
    from onnx import external_data_helper, numpy_helper

    if tensor.data_location == onnx.TensorProto.EXTERNAL:
        where = {entry.key: entry.value for entry in tensor.external_data}.get("location", "")
        try:
            external_data_helper.load_external_data_for_tensor(tensor, str(path.parent))
        except Exception as error:
            raise UserError(
                f"the data of {tensor.name!r} lie in {where!r} beside the model, which can not be "
                f"read ({type(error).__name__})",
                hint="copy that file too",
            ) from None
    try:
        return np.asarray(numpy_helper.to_array(tensor))
    except Exception as error:
        raise UserError(
            f"constant {tensor.name!r} of shape {list(tensor.dims)} can not be read "
            f"({str(error).splitlines()[0] if str(error) else type(error).__name__})",
            hint="the file may be damaged: copy it again",
        ) from None


def _nodes(graph: Any, path: Path) -> list[OxNode]:
    taken: set[str] = set()
    result = []
    for index, node in enumerate(graph.node):
        kind = node.op_type or "operator"
        name = re.sub(r"\W+", "_", node.name).strip("_") or f"{kind}_{index}"
        name = name if name not in taken else f"{name}_{index}"
        taken.add(name)
        try:
            attributes = {a.name: _attribute(a, path) for a in node.attribute}
        except UserError as error:
            raise UserError(error.reason, layer=name, hint=error.hint) from None
        result.append(
            OxNode(index, node.domain, kind, name, tuple(node.input), tuple(node.output),
                   attributes, node.name)
        )  # fmt: skip
    return result


def _attribute(attribute: Any, path: Path) -> Any:
    from onnx import AttributeProto, helper

    if attribute.type == AttributeProto.TENSOR:
        return _array(attribute.t, path)
    if attribute.type in (AttributeProto.GRAPH, AttributeProto.GRAPHS):
        raise UserError("control flow (a graph inside of an operator) is not supported")
    try:
        value = helper.get_attribute_value(attribute)
    except ValueError as error:
        raise UserError(f"attribute {attribute.name!r}: {error}") from None
    if value is None:
        raise UserError(f"attribute {attribute.name!r} has no value")
    scalar = isinstance(value, (int, float, str, bytes))
    return value if scalar else list(value)


def _input(value: Any) -> OxInput:
    from onnx import TensorProto

    tensor = value.type.tensor_type
    try:
        dtype = TensorProto.DataType.Name(tensor.elem_type).lower()
    except ValueError:
        raise UserError(f"input {value.name!r} has an unknown type {tensor.elem_type}") from None
    shape = tuple(
        d.dim_value if d.WhichOneof("value") == "dim_value" else None for d in tensor.shape.dim
    )
    return OxInput(value.name, dtype, shape)
