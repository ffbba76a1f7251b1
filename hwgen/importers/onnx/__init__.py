"""ONNX: QDQ and QLinear operators as ONNX Runtime computes them, QONNX, Deeploy's integers."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from ...errors import UserError
from ...ir import Arrangement, Graph, Tensor
from ...ir.ops import Requantize
from ...numeric import QType
from ..ends import with_output_names
from . import (
    biases,
    curves,
    deconvolution,
    elementwise,
    linear,
    parts,
    qdq,
    qonnx,
    qoperator,
    shape,
    softmax,
    spatial,
)
from .constants import FOLDED, folded
from .file import OxModel, OxNode, is_onnx, read_model
from .inputs import read_inputs
from .integers import INTEGER_KINDS, i_hardswish, is_integer, reduce_sum
from .joins import summed
from .known import check_known, check_opset
from .meeting import BESIDE, has_meeting_pairs, is_beside_quantizer, joined_pairs
from .real import FloatStep, as_affine
from .work import Const, Joined, OnnxImport, Value, in_file_order

__all__ = ["is_onnx", "load_onnx"]

Handler = Callable[[OnnxImport, OxNode], None]

_STANDARD: dict[str, Handler] = {
    "Add": elementwise.arithmetic("Add"),
    "ArgMax": parts.arg_max,
    "AveragePool": spatial.average_pool,
    "BatchNormalization": elementwise.batch_normalization,
    "Cast": shape.cast,
    "Clip": elementwise.clip,
    "Celu": elementwise.curve(curves.celu),
    "Concat": elementwise.concat,
    "Constant": shape.constant,
    "ConstantOfShape": shape.constant_of_shape,
    "Conv": linear.conv,
    "ConvInteger": qoperator.conv_integer,
    "ConvTranspose": deconvolution.conv_transpose,
    "DequantizeLinear": qdq.dequantize_linear,
    "Div": elementwise.arithmetic("Div"),
    "Dropout": shape.dropout,
    "DynamicQuantizeLinear": qoperator.dynamic,
    "Elu": elementwise.curve(curves.elu),
    "Erf": elementwise.curve(curves.erf),
    "Gather": parts.gather,
    "Gelu": elementwise.curve(curves.gelu, rises=False),
    "Gemm": linear.gemm,
    "GlobalAveragePool": spatial.global_average_pool,
    "GlobalMaxPool": spatial.global_max_pool,
    "HardSigmoid": elementwise.curve(elementwise.hard_sigmoid),
    "HardSwish": elementwise.curve(curves.hard_swish, rises=False),
    "Identity": shape.identity,
    "LeakyRelu": elementwise.leaky_relu,
    "MatMul": linear.matmul,
    "MatMulInteger": qoperator.matmul_integer,
    "MaxPool": spatial.max_pool,
    "Mish": elementwise.curve(curves.mish, rises=False),
    "Mul": elementwise.arithmetic("Mul"),
    "Pad": spatial.pad,
    "PRelu": elementwise.prelu,
    "Pow": elementwise.arithmetic("Pow"),
    "QLinearConv": qoperator.conv,
    "QLinearMatMul": qoperator.matmul,
    "QuantizeLinear": qdq.quantize_linear,
    "ReduceMean": spatial.global_average_pool,
    "ReduceSum": reduce_sum,
    "Relu": elementwise.relu,
    "Resize": spatial.resize,
    "Selu": elementwise.curve(curves.selu),
    "Shape": shape.shape_of,
    "Sigmoid": elementwise.curve(elementwise.sigmoid),
    "Slice": parts.cut,
    "Softmax": softmax.softmax,
    "Softplus": elementwise.curve(curves.softplus),
    "Softsign": elementwise.curve(curves.softsign),
    "Split": parts.split,
    "Sub": elementwise.arithmetic("Sub"),
    "Tanh": elementwise.curve(elementwise.tanh),
    "TopK": parts.top_k,
    "Upsample": spatial.resize,
} | {kind: shape.rearranged(function) for kind, function in shape.REARRANGING.items()}

_MICROSOFT: dict[str, Handler] = {
    "Gelu": elementwise.curve(curves.gelu, rises=False),
    "DequantizeLinear": qdq.dequantize_linear,
    "DynamicQuantizeMatMul": qoperator.dynamic,
    "QGemm": qoperator.gemm,
    "QLinearAdd": qoperator.joined("add"),
    "QLinearAveragePool": qoperator.average,
    "QLinearConcat": qoperator.concat,
    "QLinearGlobalAveragePool": qoperator.average,
    "QLinearLeakyRelu": qoperator.curve(elementwise.leaky_step),
    "QLinearMul": qoperator.joined("mul"),
    "QLinearSoftmax": qoperator.softmax,
    "QLinearSigmoid": qoperator.curve(elementwise.sigmoid_step),
    "QuantizeLinear": qdq.quantize_linear,
}

_QONNX: dict[str, Handler] = {
    "BipolarQuant": qonnx.bipolar_quant,
    "IntQuant": qonnx.quant,
    "Quant": qonnx.quant,
    "Trunc": qonnx.trunc,
}

_INTEGER: dict[str, Handler] = {
    "RequantShift": qonnx.requant_shift,
    "iHardswish": i_hardswish,
}

_HANDLERS: dict[str, dict[str, Handler]] = {
    # Old exports of Brevitas have quantizers without a domain.
    "": _STANDARD | _QONNX | _INTEGER,
    "ai.onnx": _STANDARD,
    "com.microsoft": _MICROSOFT,
    "qonnx.custom_op.general": _QONNX,
    "finn.custom_op.general": _QONNX,
    "onnx.brevitas": _QONNX,
    # Deeploy's, which has also been written without a domain.
    "ai.onnx.contrib": _INTEGER,
    "PACTOps": _INTEGER,
}
"""Operators of each domain: the same name may mean something else in another."""

_OF_CODES = ("ArgMax", "Cast", "Clip", "Concat", "ConvInteger", "DepthToSpace", "DequantizeLinear",
             "Dropout", "Flatten", "Gather", "GlobalMaxPool", "Identity", "MatMulInteger",
             "MaxPool", "Pad", "QGemm", "Reshape", "Resize", "Shape", "Slice", "SpaceToDepth",
             "Split", "Squeeze", "TopK", "Transpose", "Unsqueeze", "Upsample")  # fmt: skip
"""Operators that mean the same where they are given a quantizer's integers; and QLinear ones."""

_QUANTIZING = ("QuantizeLinear", "DequantizeLinear", "Quant", "IntQuant", "BipolarQuant", "Trunc",
               "RequantShift", "ConvInteger", "MatMulInteger", "DynamicQuantizeLinear",
               "DynamicQuantizeMatMul")  # fmt: skip


def load_onnx(path: Path, input_type: QType | None) -> Graph:
    """Read a file. Raises UserError naming the operator."""
    model = read_model(path)
    check_opset(model)
    integer = _is_integer(model, path, input_type)
    work = _begun(model, integer)
    if has_meeting_pairs(model):
        known = work.known.items()
        constants = {name: c.array for name, c in known if isinstance(c, Const)}
        rewritten = joined_pairs(model, constants)
        work = work if rewritten is model else _begun(rewritten, integer)
        model = rewritten
    with _named_numbers():
        read_inputs(work, path, input_type)
    for node in model.nodes:
        if all(name in work.known for name in node.outputs if name):
            # A constant, or a part of an operator before, which has computed it too.
            _note_origin(work, node, _before(work, node))
            continue
        _run(work, node)
    with _named_numbers():
        outputs = tuple(_output(work, name).name for name in model.outputs)
    used = {name for node in work.nodes for name in node.inputs}
    inputs = tuple(t for t in work.inputs if t.name in used or t.name in outputs)
    ends = {*outputs, *(t.name for t in inputs)}
    graph = Graph(
        path.stem, inputs, tuple(work.nodes), outputs, tuple(work.notes),
        tuple(work.without_reals), {}, tuple(n for n in work.unstated if n in ends),
    )  # fmt: skip
    arrays = {
        name: order
        for name, order in work.arrays.items()
        if name in ends and order != Arrangement.same(graph.tensors[name].shape)
    }
    return with_output_names(replace(graph, arrays=arrays).verify(), model.outputs)


def _begun(model: OxModel, integer: bool) -> OnnxImport:
    """An import that knows the file's constants, and what follows from them alone."""
    work = OnnxImport(model, integer=integer)
    work.known |= {name: Const(array) for name, array in model.constants.items()}
    _fold_constants(work)
    return work


@contextmanager
def _named_numbers() -> Iterator[None]:
    """What numbers of a file that make no sense raise becomes a UserError."""
    try:
        with np.errstate(all="ignore"):
            yield
    except (ValueError, OverflowError, TypeError) as error:
        raise UserError(f"its numbers make no sense ({error})") from None


def _is_integer(model: OxModel, path: Path, given: QType | None) -> bool:
    """Whether a file's numbers are integers. Raises UserError where it is not quantized at all."""
    kinds = {node.kind for node in model.nodes}
    if kinds & set(INTEGER_KINDS):
        return True
    if any(k in _QUANTIZING or k.startswith(("QLinear", "QGemm")) for k in kinds):
        return False
    if is_integer(model, path, given):
        return True
    raise UserError(
        "the model is not quantized: it has no quantizer (QuantizeLinear, QLinear operators, "
        "Quant, RequantShift)",
        hint="quantize it, by onnxruntime.quantization or Brevitas; of a network of whole numbers "
        "say the type of the input, as --input-type s8.0",
    )


def _run(work: OnnxImport, node: OxNode) -> None:
    handler, nodes = _handler(node), len(work.nodes)
    before = _before(work, node)
    own = node.given or node.name
    # A quantizer is a part of the layer before it, whose results it brings to integers.
    work.layer = before if before and node.kind in _QUANTIZING else own
    try:
        if handler is None and not _is_folded(work, node):
            raise UserError(f"{node.domain or 'operator'} {node.kind} is not supported")
        if _is_folded(work, node):
            folded(work, node)
            return
        check_known(node, work.model.opset)
        _check_codes(work, node)
        # What becomes infinite or no number is found where it matters.
        with np.errstate(all="ignore"):
            assert handler is not None
            handler(work, node)
    except UserError as error:
        layer = error.layer or node.name
        raise UserError(error.reason, layer=layer, hint=error.hint) from None
    except (ValueError, OverflowError, TypeError) as error:
        raise UserError(f"{node.kind}: {error}", layer=node.name) from None
    except MemoryError as error:
        raise UserError(f"there is not enough memory for it ({error})", layer=node.name) from None
    _part_beside_quantizer(work, node)
    begins = len(work.nodes) > nodes or any(_begins(work, node, test) for test in _UNFINISHED)
    _note_origin(work, node, work.layer if begins else before)


def _part_beside_quantizer(work: OnnxImport, node: OxNode) -> None:
    """Mark a tensor whose other readers than a QuantizeLinear the runtime leaves in float32."""
    if node.kind not in biases.MOVING or node.domain not in ("", "ai.onnx"):
        return
    for name in node.outputs[:1]:
        found = work.known.get(name)
        if not isinstance(found, Value) or found.codes or found.pending or found.apart:
            continue
        if is_beside_quantizer(work.model, name):
            work.known[name] = replace(found, apart=BESIDE)


def _note_origin(work: OnnxImport, node: OxNode, layer: str | None) -> None:
    work.origins |= {name: layer for name in node.outputs if layer}


def _before(work: OnnxImport, node: OxNode) -> str | None:
    """The layer that gives an operator's input, the first one that is no constant."""
    return next((work.origins[name] for name in node.inputs if name in work.origins), None)


def _is_joined(found: Any) -> bool:
    """Whether a tensor is a sum, a product or a concatenation that is still to be computed."""
    return isinstance(found, Joined)


def _is_computed_later(found: Any) -> bool:
    """Whether a tensor is arithmetic that its quantizer is to compute."""
    return _is_joined(found) or (isinstance(found, Value) and (found.sums or bool(found.steps)))


_UNFINISHED: tuple[Callable[[Any], bool], ...] = (_is_joined, _is_computed_later)


def _begins(work: OnnxImport, node: OxNode, unfinished: Callable[[Any], bool]) -> bool:
    """Whether an operator that has no node yet is a layer of its own: what it gives is unfinished,
    and nothing that it takes is. Behind unfinished arithmetic it is a part of that layer."""
    inputs, outputs = (
        any(unfinished(work.known.get(name)) for name in names)
        for names in (node.inputs, node.outputs)
    )
    return outputs and not inputs


def _is_folded(work: OnnxImport, node: OxNode) -> bool:
    """Whether an operator of constants alone is carried out by ONNX's reference."""
    return node.domain in ("", "ai.onnx") and node.kind in FOLDED and all(
        isinstance(work.known.get(name), Const) for name in node.inputs if name
    )  # fmt: skip


def _handler(node: OxNode) -> Handler | None:
    return _HANDLERS.get(node.domain, {}).get(node.kind)


def _check_codes(work: OnnxImport, node: OxNode) -> None:
    """Raises UserError where real arithmetic is given a quantizer's integers, which are others."""
    if node.kind in _OF_CODES or node.kind.startswith("QLinear"):
        return
    for name in node.inputs:
        found = work.known.get(name)
        if isinstance(found, Value) and found.codes and (found.zero or np.any(found.scale != 1)):
            raise UserError("takes the integers of a quantizer as numbers, which is not supported",
                            hint="put a DequantizeLinear before it")  # fmt: skip


def _fold_constants(work: OnnxImport) -> None:
    """Operators that read only constants, done first: an input's quantizer may need them."""
    for node in work.model.nodes:
        names = [name for name in node.inputs if name]
        if (_handler(node) or _is_folded(work, node)) and all(
            isinstance(work.known.get(name), Const) for name in names
        ) and (names or node.kind == "Constant"):  # fmt: skip
            _run(work, node)


def _output(work: OnnxImport, name: str) -> Tensor:
    """The edge of an output; real arithmetic at the end is carried out where it is exact, and left
    out where it only moves all numbers in one way."""
    found = work.known.get(name)
    work.layer = work.origins.get(name)
    if found is None or isinstance(found, Const):
        raise UserError(f"no operator gives the output {name!r}")
    if isinstance(found, Joined):
        found = summed(work, "output", found)
    found = found.divided()
    if found.edge.name in work.arrays and found.edge not in work.inputs:
        # It is another output too, which may have another order, or other numbers.
        found = _copied(work, found)
    if found.sums or found.steps:
        found = _without_tail(work, found)
    if found.edge in work.inputs:
        # A graph has layers: an output that is an input, moved or not, gets one.
        found = _copied(work, found)
    if Arrangement.found(found.where, found.edge.shape) is None:
        found = in_file_order(work, "output", found)
    work.arrange(found.edge.name, found.where, found.edge.shape)
    return found.edge


def _copied(work: OnnxImport, found: Value) -> Value:
    return replace(found, edge=work.add("same", Requantize.identity(found.edge), found.edge))


def _without_tail(work: OnnxImport, value: Value) -> Value:
    """An output's integers, behind what of its arithmetic is carried out. Raises UserError."""
    steps = value.steps
    affine = as_affine(value.edge, value.scale, value.zero, steps)
    if work.integer and steps and affine is not None and affine.whole:
        return work.applied("output", value, affine)
    if all(_uniform(step) for step in steps) and value.scale.size == 1:
        if steps:
            value = _copied(work, value) if value.edge in work.inputs else value
            work.notes.append("the output is integers: the same increasing arithmetic on all of "
                              "them is left out")  # fmt: skip
            work.without_reals.append(value.edge.name)
        return Value(value.edge, value.where)
    if affine is not None:
        return work.settled("output", value)
    if not value.sums and value.scale.size == 1 and all(map(_is_relu, steps)):
        # Zero is one of the integers.
        clip = (value.zero, value.edge.type.max)
        edge = work.add("output", Requantize.identity(value.edge, clip), value.edge)
        return replace(value, edge=edge, steps=())
    raise UserError(f"{_tail(value)} stands at the output, without a quantizer",
                    hint="quantize the output")  # fmt: skip


def _tail(value: Value) -> str:
    """What of an output's arithmetic is neither exact nor can be left out."""
    operands = [value.scale, *(step.operand for step in value.steps if step.operand is not None)]
    if any(operand.size > 1 for operand in operands):
        return "arithmetic that differs between channels"
    if not all(step.increasing for step in value.steps):
        return "arithmetic that falls where its input rises"
    return "a bound (Relu or Clip) of real numbers"


def _is_relu(step: FloatStep) -> bool:
    return step.kind == "max" and step.operand is not None and not np.any(step.operand)


def _uniform(step: FloatStep) -> bool:
    one = step.operand is None or step.operand.size == 1
    return one and step.increasing and step.kind not in ("max", "min")
