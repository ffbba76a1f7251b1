"""TensorFlow Lite: int8 and uint8 flatbuffers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

from ...errors import UserError
from ...ir import Arrangement, Graph, Tensor
from ...ir.ops import Requantize
from ...numeric import Rounding
from ..ends import input_names, with_output_names
from . import (
    arithmetic,
    elementwise,
    linear,
    reals,
    resize,
    shape,
    slopes,
    spatial,
    transposed,
)
from .file import IDENTIFIER, TfOperator, read_model
from .meaning import Runtime
from .names import end_name, layer_name
from .work import TfliteImport, frame_shape, quantized

__all__ = ["Runtime", "is_tflite", "load_tflite"]

_HANDLERS: dict[str, Callable[[TfliteImport, TfOperator], None]] = {
    "ADD": arithmetic.addition,
    "ARG_MAX": spatial.argmax,
    "AVERAGE_POOL_2D": spatial.average_pool,
    "CONCATENATION": shape.concatenation,
    "CONV_2D": linear.convolution,
    "DEPTHWISE_CONV_2D": linear.depthwise,
    "DEQUANTIZE": reals.dequantization,
    "EXPAND_DIMS": shape.reshape,
    "FULLY_CONNECTED": linear.fully_connected,
    "HARD_SWISH": slopes.hard_swish,
    "LEAKY_RELU": slopes.leaky_relu,
    "LOGISTIC": elementwise.logistic,
    "MAX_POOL_2D": spatial.max_pool,
    "MEAN": spatial.mean,
    "MUL": arithmetic.multiplication,
    "PACK": shape.pack,
    "PAD": spatial.pad,
    "PADV2": spatial.pad,
    "PRELU": slopes.prelu,
    "QUANTIZE": reals.requantization,
    "REDUCE_MAX": spatial.extreme,
    "RELU": elementwise.clipping("RELU"),
    "RELU6": elementwise.clipping("RELU6"),
    "RELU_N1_TO_1": elementwise.clipping("RELU_N1_TO_1"),
    "RESHAPE": shape.reshape,
    "RESIZE_BILINEAR": resize.bilinear,
    "RESIZE_NEAREST_NEIGHBOR": spatial.resize_nearest,
    "SLICE": shape.plain_slice,
    "SOFTMAX": elementwise.softmax,
    "SPLIT": shape.split,
    "SPLIT_V": shape.split_of_sizes,
    "SQUEEZE": shape.reshape,
    "STRIDED_SLICE": shape.strided_slice,
    "SUB": arithmetic.subtraction,
    "TANH": elementwise.tanh,
    "TOPK_V2": spatial.top_k,
    "TRANSPOSE": shape.transpose,
    "TRANSPOSE_CONV": transposed.convolution,
    "UNPACK": shape.unpack,
}


def is_tflite(head: bytes) -> bool:
    """Whether a file begins as a TensorFlow Lite flatbuffer."""
    return head[4:8] == IDENTIFIER


def load_tflite(path: Path, runtime: Runtime) -> Graph:
    """Read a file; the graph's integers are those of the runtime.

    Raises UserError naming the operator by its kind and its place in the file.
    """
    model = read_model(path)
    work = TfliteImport(model, runtime)
    skipped = _read_borders(work)
    for op in model.operators:
        if op.index in skipped:
            continue
        handler = _HANDLERS.get(op.kind)
        try:
            if op.kind not in reals.MOVES and reals.is_real(work, op):
                handler = reals.left_out
            if handler is None:
                raise UserError(f"{op.kind} is not supported")
            if not op.inputs:
                raise UserError("has no inputs")
            work.check_new(op)
            work.layer = layer_name(model, op)
            _check_width(work, op)
            with np.errstate(over="ignore"):  # an infinite quotient of scales is refused
                handler(work, op)
        except UserError as error:
            layer = error.layer or op.name
            raise UserError(error.reason, layer=layer, hint=error.hint) from None
        except (ValueError, OverflowError) as error:
            raise UserError(str(error), layer=op.name) from None
    outputs = []
    for index in model.outputs:
        work.place(index)
        if index not in work.edges:
            raise UserError(f"no operator gives the output {model.tensors[index].name!r}")
        edge = work.edges[index]
        if edge.name in outputs:  # a DEQUANTIZE and what it reads, say
            edge = work.add(f"{edge.name}_{len(outputs)}", Requantize.identity(edge), edge)
        outputs.append(edge.name)
    used = {name for node in work.nodes for name in node.inputs}
    inputs = tuple(t for t in work.inputs if t.name in used or t.name in outputs)
    work.notes.insert(0, f"integers as {runtime.value} computes them")
    # Of one number a frame, such as the place of the largest, the only axis is the batch.
    numbers = [n for n, i in zip(outputs, model.outputs, strict=True)
               if model.tensors[i].shape == (1,) and work.edges[i].shape == (1,)]  # fmt: skip
    graph = Graph(
        path.stem, inputs, tuple(work.nodes), tuple(outputs), tuple(work.notes),
        arrays={name: Arrangement((), (0,)) for name in numbers},
        inverted=tuple(name for name in work.inverted if name in {t.name for t in inputs}),
    ).verify()  # fmt: skip
    return with_output_names(graph, [end_name(model, index) for index in model.outputs])


_OF_16_BITS = reals.MOVES | {
    "ADD", "AVERAGE_POOL_2D", "CONV_2D", "DEPTHWISE_CONV_2D", "DEQUANTIZE", "FULLY_CONNECTED",
    "LEAKY_RELU", "LOGISTIC", "MAX_POOL_2D", "MEAN", "MUL", "PAD", "PADV2", "PRELU", "RELU",
    "RELU6", "SOFTMAX", "SUB", "TANH",
}  # fmt: skip


def _check_width(work: TfliteImport, op: TfOperator) -> None:
    """Raise UserError for an operator that is known on bytes only."""
    kinds = {work.model.tensors[i].dtype for i in (*op.inputs, *op.outputs) if i >= 0}
    if "INT16" in kinds and op.kind == "HARD_SWISH":
        raise UserError(
            "no runtime of TensorFlow Lite has HARD_SWISH of int16",
            hint="quantize its activations to int8",
        )
    if "INT16" in kinds and op.kind not in _OF_16_BITS:
        raise UserError(
            f"{op.kind} of int16 is not supported", hint="quantize its activations to int8"
        )


def _read_borders(work: TfliteImport) -> set[int]:
    """Make the graph's inputs; operators that only turn real numbers into integers there are
    skipped, and the borders become their integers."""
    model, skipped = work.model, set()
    called = [end_name(model, index) or f"input_{n}" for n, index in enumerate(model.inputs)]
    for index, name in zip(model.inputs, input_names(called), strict=True):
        tensor, skips = model.tensors[index], False
        readers = [op for op in model.operators if index in op.inputs]
        quantizes = len(readers) == 1 and readers[0].kind == "QUANTIZE"
        if tensor.dtype == "FLOAT32" and quantizes and readers[0].outputs:
            skips = True
            skipped.add(readers[0].index)
            work.notes.append(f"the input is what {readers[0].name} gives: integers")
            index = readers[0].outputs[0]
            tensor = model.tensors[index]
        try:
            qtype = quantized(tensor)
            if skips and work.runtime is Runtime.XNNPACK:
                # Its QUANTIZE of real numbers, see reals.
                qtype = replace(qtype, rounding=Rounding.HALF_EVEN)
                work.inverted.append(name)
            edge = Tensor(name, frame_shape(tensor), qtype)
        except UserError as error:
            half = any(t.dtype == "FLOAT16" for t in model.tensors)
            reason = error.reason + (" (its weights are float16)" if half else "")
            layer = readers[0].name if readers else None
            raise UserError(reason, layer=layer, hint=error.hint) from None
        work.inputs.append(edge)
        work.edges[index] = replace(edge, low=edge.type.min)
    return skipped
