"""ONNX: QDQ and QLinear operators as ONNX Runtime computes them, QONNX, Deeploy's integers."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...ir import Graph, Tensor
from ...numeric import QType
from . import elementwise, linear, qoperator, quantizers, shape, spatial
from .file import OxNode, is_onnx, read_model
from .inputs import read_inputs
from .joins import summed
from .real import Step
from .work import Const, Joined, Value, Work

__all__ = ["is_onnx", "load_onnx"]

_HANDLERS: dict[str, Callable[[Work, OxNode], None]] = {
    "Add": elementwise.arithmetic("Add"),
    "AveragePool": spatial.average_pool,
    "BatchNormalization": elementwise.batch_normalization,
    "BipolarQuant": quantizers.bipolar_quant,
    "Cast": shape.cast,
    "Clip": elementwise.clip,
    "Concat": elementwise.concat,
    "Constant": shape.constant,
    "ConstantOfShape": shape.constant_of_shape,
    "Conv": linear.conv,
    "DequantizeLinear": quantizers.dequantize_linear,
    "Div": elementwise.arithmetic("Div"),
    "Dropout": shape.identity,
    "Flatten": shape.rearranged(shape.flatten),
    "Gather": shape.gather,
    "Gemm": linear.gemm,
    "GlobalAveragePool": spatial.global_average_pool,
    "HardSigmoid": elementwise.curve(elementwise.hard_sigmoid),
    "Identity": shape.identity,
    "IntQuant": quantizers.quant,
    "LeakyRelu": elementwise.curve(elementwise.leaky_relu),
    "MatMul": linear.matmul,
    "MaxPool": spatial.max_pool,
    "Mul": elementwise.arithmetic("Mul"),
    "Pad": spatial.pad,
    "Pow": elementwise.arithmetic("Pow"),
    "QGemm": qoperator.gemm,
    "QLinearAdd": qoperator.joined("add"),
    "QLinearAveragePool": qoperator.average,
    "QLinearConcat": qoperator.concat,
    "QLinearConv": qoperator.conv,
    "QLinearGlobalAveragePool": qoperator.average,
    "QLinearLeakyRelu": qoperator.curve(elementwise.leaky_relu),
    "QLinearMatMul": qoperator.matmul,
    "QLinearMul": qoperator.joined("mul"),
    "QLinearSigmoid": qoperator.curve(elementwise.sigmoid),
    "Quant": quantizers.quant,
    "QuantizeLinear": quantizers.quantize_linear,
    "ReduceMean": spatial.global_average_pool,
    "Relu": elementwise.relu,
    "RequantShift": quantizers.requant_shift,
    "Reshape": shape.rearranged(shape.reshape),
    "Resize": spatial.resize,
    "Shape": shape.shape_of,
    "Sigmoid": elementwise.curve(elementwise.sigmoid),
    "Slice": shape.cut,
    "Softmax": elementwise.softmax,
    "Squeeze": shape.rearranged(shape.squeeze),
    "Sub": elementwise.arithmetic("Sub"),
    "Tanh": elementwise.curve(elementwise.tanh),
    "Transpose": shape.rearranged(shape.transpose),
    "Trunc": quantizers.trunc,
    "Unsqueeze": shape.rearranged(shape.unsqueeze),
    "Upsample": spatial.resize,
}

_QUANTIZING = ("QuantizeLinear", "DequantizeLinear", "Quant", "IntQuant", "BipolarQuant", "Trunc",
               "RequantShift")  # fmt: skip


def load_onnx(path: Path, input_type: QType | None) -> Graph:
    """Read a file. Raises UserError naming the operator."""
    model = read_model(path)
    kinds = {node.kind for node in model.nodes}
    _check_kinds(kinds)
    work = Work(model, integer="RequantShift" in kinds)
    work.known |= {name: Const(array) for name, array in model.constants.items()}
    _fold_constants(work)
    read_inputs(work, path, input_type)
    for node in model.nodes:
        if all(name in work.known for name in node.outputs if name):
            continue
        _run(work, node)
    outputs = tuple(_output(work, name).name for name in model.outputs)
    used = {name for node in work.nodes for name in node.inputs}
    inputs = tuple(t for t in work.inputs if t.name in used or t.name in outputs)
    return Graph(path.stem, inputs, tuple(work.nodes), outputs, tuple(work.notes)).verify()


def _check_kinds(kinds: set[str]) -> None:
    if not any(k in _QUANTIZING or k.startswith(("QLinear", "QGemm")) for k in kinds):
        raise UserError(
            "the model is not quantized: it has no quantizer (QuantizeLinear, QLinear operators, "
            "Quant, RequantShift)",
            hint="quantize it, by onnxruntime.quantization or Brevitas",
        )


def _run(work: Work, node: OxNode) -> None:
    handler = _HANDLERS.get(node.kind)
    try:
        if handler is None:
            raise UserError(f"{node.domain or 'operator'} {node.kind} is not supported")
        # What becomes infinite or no number is found where it matters.
        with np.errstate(all="ignore"):
            handler(work, node)
    except UserError as error:
        layer = error.layer or node.name
        raise UserError(error.reason, layer=layer, hint=error.hint) from None
    except (ValueError, OverflowError, TypeError) as error:
        raise UserError(f"{node.kind}: {error}", layer=node.name) from None


def _fold_constants(work: Work) -> None:
    """Operators that read only constants, done first: an input's quantizer may need them."""
    for node in work.model.nodes:
        names = [name for name in node.inputs if name]
        if node.kind in _HANDLERS and all(
            isinstance(work.known.get(name), Const) for name in names
        ) and (names or node.kind == "Constant"):  # fmt: skip
            _run(work, node)


def _output(work: Work, name: str) -> Tensor:
    """The edge of an output; real arithmetic at the end is carried out where it is exact, and left
    out where it only moves all numbers in one way."""
    found = work.known.get(name)
    if found is None or isinstance(found, Const):
        raise UserError(f"no operator gives the output {name!r}")
    if isinstance(found, Joined):
        found = summed(work, "output", found)
    found = found.divided()
    if found.sums or found.steps:
        found = _without_tail(work, found)
    ours = found.where.reshape(-1)
    if (ours[1:] < ours[:-1]).any() and found.where.ndim != 4:
        raise UserError(f"the output {name!r} is in another order than channels last, which is "
                        "not supported")  # fmt: skip
    return found.edge


def _without_tail(work: Work, value: Value) -> Value:
    from .real import as_affine

    steps = value.steps
    if all(_uniform(step) for step in steps) and value.scale.size == 1:
        if steps:
            work.notes.append("the output is integers: the same increasing arithmetic on all of "
                              "them is left out")  # fmt: skip
        return Value(value.edge, value.where)
    if as_affine(value.edge, value.scale, value.zero, steps) is None:
        raise UserError(
            "arithmetic that differs between channels stands at the output, without a quantizer",
            hint="quantize the output",
        )
    return work.settled("output", value)


def _uniform(step: Step) -> bool:
    one = step.operand is None or step.operand.size == 1
    return one and step.increasing and step.kind not in ("max", "min")
