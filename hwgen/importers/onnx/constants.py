"""Operators on constants alone, carried out by ONNX's own reference."""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import UserError
from ..limits import check_elements
from .file import OxNode
from .work import Const, OnnxImport

FOLDED = (
    "Abs", "And", "Ceil", "Clip", "Equal", "Expand", "Floor", "Greater", "GreaterOrEqual", "Less",
    "LessOrEqual", "Max", "Min", "Mod", "Neg", "Not", "Or", "Range", "Reciprocal", "ReduceMax",
    "ReduceMin", "ReduceProd", "Relu", "Round", "Sign", "Size", "Sqrt", "Tile", "Trunc", "Where",
)  # fmt: skip
"""Operators whose results no runtime rounds in a way of its own. Those that sum real numbers, or
whose functions are approximated, are not among them."""


def folded(work: OnnxImport, node: OxNode) -> None:
    """Give the outputs of an operator of constants. Raises UserError."""
    from onnx import TensorProto, helper, numpy_helper
    from onnx.reference import ReferenceEvaluator

    arrays = {name: work.known[name] for name in node.inputs if name}
    values = {n: c.array for n, c in arrays.items() if isinstance(c, Const)}
    attributes: dict[str, Any] = {
        key: numpy_helper.from_array(v) if isinstance(v, np.ndarray) else v
        for key, v in node.attributes.items()
    }
    proto = helper.make_node(node.kind, list(node.inputs), list(node.outputs), **attributes)
    inputs = [
        helper.make_tensor_value_info(n, helper.np_dtype_to_tensor_dtype(a.dtype), a.shape)
        for n, a in values.items()
    ]
    outputs = [helper.make_tensor_value_info(n, TensorProto.UNDEFINED, None) for n in node.outputs]
    graph = helper.make_graph([proto], "constant", inputs, outputs)
    opsets = [helper.make_opsetid("", work.model.opset)]
    try:
        evaluator = ReferenceEvaluator(helper.make_model(graph, opset_imports=opsets))
        results = evaluator.run(None, values)
    except Exception as error:  # whatever an operator raises for what does not fit it
        raise UserError(f"{node.kind} of constants can not be computed ({error})") from None
    for name, array in zip(node.outputs, results, strict=True):
        check_elements(np.shape(array), "a constant")
        work.put(name, Const(np.asarray(array)))
