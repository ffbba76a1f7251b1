"""The model's inputs as edges: their shapes, and the integers that they are."""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ...errors import UserError
from ...ir import Tensor
from ...numeric import Overflow, QType, Rounding, parse_type
from ..limits import check_elements
from .file import OxInput, OxModel, OxNode
from .qdq import integer_type, scale_and_zero
from .qonnx import QUANTIZERS
from .work import OnnxImport, Value, canonical

DEFAULT_INPUT = "u8.8"
DEFAULT_INTEGERS = "u8.0"

_DAMAGED = (OSError, ValueError, IndexError, KeyError, EOFError, OverflowError, TypeError,
            BadZipFile, zlib.error)  # fmt: skip
"""What NumPy raises for an array file that is damaged, or holds no numbers."""

_OF_ROWS = ("LinearConv", "MaxPool", "AveragePool")
"""Operators of images; what has three axes is then an image of one column."""

_QLINEAR_INPUTS = {"QLinearAdd": (0, 3), "QLinearMul": (0, 3)}


def read_inputs(work: OnnxImport, path: Path, given: QType | None) -> None:
    """Make the graph's inputs. Raises UserError for shapes that are not fixed."""
    model = work.model
    for number, described in enumerate(model.inputs):
        name = "input" if len(model.inputs) == 1 else f"input_{number}"
        shape = _fixed(described)
        qtype, note = _type(work, path, described, given)
        where, ours = _arranged(shape, model)
        edge = Tensor(name, ours, qtype, qtype.min)
        if note:
            work.notes.append(f"{name}: {note}")
        if np.any(np.diff(where.reshape(-1)) != 1):
            work.notes.append(
                f"{name}: shape {list(shape)} of the file is {list(ours)} here, channels last"
            )
        work.inputs.append(edge)
        work.taken.add(name)
        scale = 2.0**-qtype.frac if qtype.scale is None else qtype.scale
        work.known[described.name] = Value(
            edge, where, np.array([scale], np.float32), qtype.zero_point,
            codes=described.dtype in ("int8", "uint8"), apart="its input is not quantized",
        )  # fmt: skip


def _fixed(described: OxInput) -> tuple[int, ...]:
    """The shape, a free batch taken as one. Raises UserError where another axis is free."""
    shape = list(described.shape)
    if shape and shape[0] is None:
        shape[0] = 1
    if not shape or any(n is None or n < 1 for n in shape):
        raise UserError(
            f"input {described.name!r} has shape {list(described.shape)}: it must be fixed",
            hint="fix the input shape before export",
        )
    fixed = tuple(int(n) for n in shape if n is not None)
    check_elements(fixed, f"input {described.name!r}")
    return fixed


def _arranged(shape: tuple[int, ...], model: OxModel) -> tuple[np.ndarray, tuple[int, ...]]:
    """Places of the file's elements in the edge, and the edge's shape: channels last, no batch."""
    if len(shape) == 4:
        if shape[0] != 1:
            raise UserError(f"a batch of {shape[0]} is not supported", hint="export a batch of 1")
        _, channels, rows, columns = shape
        ours = (rows, columns, channels)
        return canonical(ours).transpose(2, 0, 1)[np.newaxis], ours
    rows_alone = any(n.kind == "Conv" or n.kind.endswith(_OF_ROWS) for n in model.nodes)
    if len(shape) == 3 and shape[0] == 1 and rows_alone:
        ours = (shape[2], 1, shape[1])
        return canonical(ours)[:, 0].T[np.newaxis], ours
    if len(shape) > 4:
        raise UserError(f"an input of {len(shape)} axes is not supported")
    ours = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    return canonical(ours).reshape(shape), ours


def _type(
    work: OnnxImport, path: Path, described: OxInput, given: QType | None
) -> tuple[QType, str | None]:
    readers = [
        (node, position)
        for node in work.model.nodes
        for position, name in enumerate(node.inputs)
        if name == described.name
    ]
    stored = [t for t in (_stored(work, *reader) for reader in readers) if t is not None]
    if stored and len(stored) == len(readers):
        if any(t != stored[0] for t in stored):
            raise UserError(f"input {described.name!r} is quantized in two ways")
        if given is not None:
            raise UserError("an input type was given, but the file says its own")
        return stored[0], f"integers of {stored[0]}, as its quantizer gives them"
    if described.dtype not in ("float", "double", "float16", "int8", "uint8"):
        raise UserError(f"input {described.name!r} is {described.dtype}, which is not supported")
    if given is not None:
        if given.scale is not None:
            raise UserError(f"input type {given} has a scale",
                            hint="give fractional bits, as in u8.8")  # fmt: skip
        return given, f"type {given}, as given"
    if described.dtype in ("int8", "uint8"):
        return integer_type(np.zeros(1, described.dtype)), None
    if work.integer:
        return _integers(work, path, described)
    note = f"type {DEFAULT_INPUT} assumed: the model does not say it (set --input-type)"
    return parse_type(DEFAULT_INPUT), note


def _stored(work: OnnxImport, node: OxNode, position: int) -> QType | None:
    """The type that a reader of an input says it has, None where it says nothing."""
    if node.kind in ("QuantizeLinear", "DequantizeLinear") or node.kind.startswith(
        ("QLinear", "QGemm")
    ):
        places = _QLINEAR_INPUTS.get(node.kind, (position,))
        if position not in places:
            return None
        scale, zero = scale_and_zero(work, node, position + 1, position + 2)
        return integer_type(zero, float(scale), int(zero))
    describe = QUANTIZERS.get(node.kind)
    return None if describe is None or position else describe(work, node)


def _integers(work: OnnxImport, path: Path, described: OxInput) -> tuple[QType, str]:
    """Deeploy keeps an example beside the network; its sign says the type."""
    beside = path.with_name("inputs.npz")
    if beside.exists():
        try:
            with np.load(beside) as arrays:
                names = list(arrays)
                order = [i.name for i in work.model.inputs].index(described.name)
                key = described.name if described.name in names else names[order]
                low, high = int(arrays[key].min()), int(arrays[key].max())
        except _DAMAGED as error:
            raise UserError(f"{beside.name} beside the model can not be read ({error})") from None
        signed = low < 0
        if not -128 <= low <= high <= (127 if signed else 255):
            raise UserError(f"{beside.name}: integers {low}..{high} do not fit 8 bits")
        qtype = QType(signed, 8, 0, Rounding.HALF_EVEN, Overflow.SATURATE)
        return qtype, f"type {qtype}, from {beside.name} beside the model"
    note = f"type {DEFAULT_INTEGERS} assumed: the model does not say it (set --input-type)"
    return parse_type(DEFAULT_INTEGERS), note
