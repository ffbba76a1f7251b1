"""What of each operator is known: its attributes, and how many inputs it may have.

An attribute or input that a handler does not know would change nothing, whatever it says. So all
others are refused here by name, but for attributes that have ONNX's own default.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from ...errors import UserError
from .file import OxModel, OxNode

OPSETS = range(7, 27)
"""Versions of ONNX's own operators whose meaning is known."""
_MANY = 1 << 30
_WINDOW = "auto_pad dilations kernel_shape pads strides"
_CONV = f"{_WINDOW} group"
_POOL = f"{_WINDOW} ceil_mode"

KNOWN: dict[str, tuple[str, int]] = {
    "Add": ("", 2),
    "ArgMax": ("axis keepdims select_last_index", 1),
    "AveragePool": (f"{_POOL} count_include_pad", 1),
    "BatchNormalization": ("epsilon momentum training_mode", 5),
    "BipolarQuant": ("", 2),
    "Cast": ("to saturate", 1),
    "Celu": ("alpha", 1),
    "Clip": ("min max", 3),
    "Concat": ("axis", _MANY),
    "Constant": ("value value_float value_int value_floats value_ints", 0),
    "ConstantOfShape": ("value", 1),
    "Conv": (_CONV, 3),
    "ConvInteger": (_CONV, 4),
    "ConvTranspose": (f"{_CONV} output_padding output_shape", 3),
    "DepthToSpace": ("blocksize mode", 1),
    "DequantizeLinear": ("axis block_size output_dtype", 3),
    "Div": ("", 2),
    "Dropout": ("ratio seed", 3),
    "DynamicQuantizeLinear": ("", _MANY),
    "DynamicQuantizeMatMul": ("", _MANY),
    "Elu": ("alpha", 1),
    "Erf": ("", 1),
    "Flatten": ("axis", 1),
    "Gather": ("axis", 2),
    "Gelu": ("approximate", 1),
    "Gemm": ("alpha beta transA transB", 3),
    "GlobalAveragePool": ("", 1),
    "GlobalMaxPool": ("", 1),
    "HardSigmoid": ("alpha beta", 1),
    "HardSwish": ("", 1),
    "Identity": ("", 1),
    "IntQuant": ("signed narrow rounding_mode", 4),
    "LeakyRelu": ("alpha", 1),
    "MatMul": ("", 2),
    "MatMulInteger": ("", 4),
    "MaxPool": (f"{_POOL} storage_order", 1),
    "Mish": ("", 1),
    "Mul": ("", 2),
    "PRelu": ("", 2),
    "Pad": ("mode pads value", 4),
    "Pow": ("", 2),
    "QGemm": ("alpha transA transB", 9),
    "QLinearAdd": ("", 8),
    "QLinearAveragePool": (f"{_POOL} count_include_pad channels_last", 5),
    "QLinearConcat": ("axis", _MANY),
    "QLinearConv": (_CONV, 9),
    "QLinearGlobalAveragePool": ("channels_last", 5),
    "QLinearLeakyRelu": ("alpha", 5),
    "QLinearMatMul": ("", 8),
    "QLinearMul": ("", 8),
    "QLinearSigmoid": ("", 5),
    "QLinearSoftmax": ("axis opset", 5),
    "Quant": ("signed narrow rounding_mode", 4),
    "QuantizeLinear": ("axis block_size output_dtype saturate", 3),
    "ReduceMean": ("axes keepdims noop_with_empty_axes", 2),
    "ReduceSum": ("axes keepdims noop_with_empty_axes", 2),
    "Relu": ("", 1),
    "RequantShift": ("div n_levels n_levels_out signed", 3),
    "Reshape": ("allowzero shape", 2),
    # Of the nearest neighbour alone, which has neither cubes nor weights.
    "Resize": ("antialias axes coordinate_transformation_mode cubic_coeff_a exclude_outside "
               "extrapolation_value mode nearest_mode", 4),
    "Selu": ("alpha gamma", 1),
    "Shape": ("start end", 1),
    "Sigmoid": ("", 1),
    "Slice": ("axes ends starts", 5),
    "Softmax": ("axis", 1),
    "Softplus": ("", 1),
    "Softsign": ("", 1),
    "SpaceToDepth": ("blocksize", 1),
    "Split": ("axis num_outputs split", 2),
    "Squeeze": ("axes", 2),
    "Sub": ("", 2),
    "Tanh": ("", 1),
    "TopK": ("axis k largest sorted", 2),
    "Transpose": ("perm", 1),
    "Trunc": ("signed narrow rounding_mode", 6),
    "Unsqueeze": ("axes", 2),
    "Upsample": ("mode scales", 2),
    "iHardswish": ("n_levels one_over_six six three", 1),
}  # fmt: skip
"""The attributes of each operator, and how many inputs it may have."""


def check_opset(model: OxModel) -> None:
    """Raises UserError where ONNX's own operators have a version that is not known."""
    if model.opset not in OPSETS:
        raise UserError(
            f"the file has version {model.opset} of ONNX's operators (opset), {OPSETS.start} to "
            f"{OPSETS.stop - 1} are known",
            hint="export it with one of them",
        )


def check_known(node: OxNode, opset: int) -> None:
    """Raises UserError where an operator has an attribute or an input that is not known."""
    names, inputs = KNOWN[node.kind]
    for key, value in node.attributes.items():
        if key not in names.split() and not _is_default(node, opset, key, value):
            raise UserError(
                f"attribute {key} of {node.kind} is not supported",
                hint="export the model without it",
            )
    for position, name in enumerate(node.inputs[inputs:], inputs):
        if name:
            raise UserError(f"input {position} of {node.kind} ({name!r}) is not supported",
                            hint="export the model without it")  # fmt: skip


def _is_default(node: OxNode, opset: int, key: str, value: Any) -> bool:
    """Whether an attribute has the value that it has to ONNX where it is absent."""
    from onnx import defs, helper

    if node.domain not in ("", "ai.onnx"):
        return False
    try:
        described = defs.get_schema(node.kind, opset, "").attributes.get(key)
    except defs.SchemaError:
        return False
    if described is None or not described.default_value.type:
        return False
    return bool(np.array_equal(helper.get_attribute_value(described.default_value), value))
