"""The model's inputs as edges: their shapes, and the integers that they are."""

from __future__ import annotations

import zlib
from pathlib import Path
from zipfile import BadZipFile

import numpy as np

from ...errors import UserError
from ...ir import Arrangement, Tensor
from ...numeric import Overflow, QType, Rounding, parse_type, type_text
from ..ends import input_names
from ..limits import check_elements
from .file import OxInput, OxNode
from .integers import EXAMPLE
from .qdq import integer_type, scale_and_zero
from .qonnx import QUANTIZERS
from .shape import REARRANGING
from .work import OnnxImport, Value, canonical

DEFAULT_INPUT = "u8.8"
DEFAULT_INTEGERS = "u8.0"

_DAMAGED = (OSError, ValueError, IndexError, KeyError, EOFError, OverflowError, TypeError,
            BadZipFile, zlib.error)  # fmt: skip
"""What NumPy raises for an array file that is damaged, or holds no numbers."""

_OF_IMAGES = ("Conv", "ConvTranspose", "MaxPool", "AveragePool", "Pad", "Resize", "Upsample",
              "DepthToSpace", "SpaceToDepth", "BatchNormalization", "PRelu")  # fmt: skip
"""Endings of operators of (1, channels, rows, columns); what has three axes is an image of one
column."""
_OF_ELEMENTS = ("QuantizeLinear", "DequantizeLinear", "Quant", "Trunc", "Identity", "Cast",
                "Dropout", "Relu", "Clip", "Add", "Sub", "Mul", "Div", "Sigmoid", "Tanh",
                "RequantShift")  # fmt: skip
"""Endings of operators that leave elements where they are."""
_KEEPING = (*REARRANGING, "Identity", "Dropout", "Slice", "Split", "Gather", "MaxPool", "Resize",
            "Upsample", "Pad", "Relu", "Clip")  # fmt: skip
"""Operators whose result is the same whether they stand before a quantizer or behind it."""

_REALS = ("float", "double", "float16")
"""Types of inputs that are real numbers."""
_QLINEAR_INPUTS = {"QLinearAdd": (0, 3), "QLinearMul": (0, 3)}


def read_inputs(work: OnnxImport, path: Path, given: QType | None) -> None:
    """Make the graph's inputs. Raises UserError for shapes that are not fixed."""
    model = work.model
    names = input_names([described.name for described in model.inputs])
    for name, described in zip(names, model.inputs, strict=True):
        shape = _fixed(described)
        qtype, note, unstated = _type(work, path, described, given)
        where, ours = _arranged(work, described.name, shape)
        edge = Tensor(name, ours, qtype, qtype.min)
        if note:
            work.notes.append(f"{name}: {note}")
        if unstated:
            work.unstated.append(name)
        work.arrange(name, where, ours)
        work.inputs.append(edge)
        work.taken.add(name)
        scale = 2.0**-qtype.frac if qtype.scale is None else qtype.scale
        work.known[described.name] = Value(
            edge, where, np.array([scale], np.float32), qtype.zero_point,
            codes=described.dtype.lstrip("u").startswith("int"), apart="its input is not quantized",
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


def _arranged(
    work: OnnxImport, name: str, shape: tuple[int, ...]
) -> tuple[np.ndarray, tuple[int, ...]]:
    """Places of the file's elements in the edge, and the edge's shape: what its first reader takes
    without moving them, where an order of axes gives that; else channels last, no batch."""
    wanted = _first_order(work, name, shape)
    if wanted is not None:
        where = np.empty(wanted.size, np.int32)
        where[wanted.reshape(-1)] = np.arange(wanted.size)
        where = where.reshape(shape)
        if Arrangement.found(where, wanted.shape) is not None:
            return where, wanted.shape
    if len(shape) == 4:
        if shape[0] != 1:
            raise UserError(f"a batch of {shape[0]} is not supported", hint="export a batch of 1")
        _, channels, rows, columns = shape
        ours = (rows, columns, channels)
        return canonical(ours).transpose(2, 0, 1)[np.newaxis], ours
    if len(shape) > 4:
        raise UserError(f"an input of {len(shape)} axes is not supported")
    ours = shape[1:] if len(shape) > 1 and shape[0] == 1 else shape
    return canonical(ours).reshape(shape), ours


def _first_order(work: OnnxImport, name: str, shape: tuple[int, ...]) -> np.ndarray | None:
    """Places in the file of the elements that the first operator that needs an order reads, in the
    shape and order of its edge; None where none does."""
    places = {name: canonical(shape)}
    for node in work.model.nodes:
        where = next((places[n] for n in node.inputs if n in places), None)
        if where is None or not node.outputs:
            continue
        if node.kind in REARRANGING:
            try:
                places[node.outputs[0]] = REARRANGING[node.kind](work, node, where)
            except (UserError, ValueError, IndexError):  # It will be said where it is read.
                return None
        elif node.kind.endswith(_OF_IMAGES) and where.ndim in (3, 4) and where.shape[0] == 1:
            image = where if where.ndim == 4 else where[..., np.newaxis]
            return image[0].transpose(1, 2, 0)
        elif node.kind.endswith(_OF_ELEMENTS):
            places[node.outputs[0]] = where
    return None


def _type(
    work: OnnxImport, path: Path, described: OxInput, given: QType | None
) -> tuple[QType, str | None, bool]:
    """The type of an input, a note, and whether the file does not say it."""
    places = _readers(work, described)
    readers = [None if place is None else _stored(work, *place) for place in places]
    stored = [qtype for qtype in readers if qtype is not None]
    if stored and len(stored) == len(readers):
        if all(t == stored[0] for t in stored):
            if given is not None:
                raise UserError("an input type was given, but the file says its own")
            return (
                stored[0],
                f"integers of {type_text(stored[0])}, as its quantizer gives them",
                False,
            )
        if given is None:
            raise UserError(f"input {described.name!r} is quantized in two ways",
                            hint="say with --input-type what it is before it is quantized, or "
                            "quantize it once")  # fmt: skip
    integers = described.dtype in ("int8", "uint8", "int16", "uint16", "int32")
    if described.dtype not in _REALS and not integers:
        raise UserError(f"input {described.name!r} is {described.dtype}, which is not supported")
    if given is not None:
        if given.scale is not None:
            raise UserError(f"input type {given} has a scale",
                            hint="give fractional bits, as in u8.8")  # fmt: skip
        return given, f"type {given}, as given", True
    if integers:
        return integer_type(np.zeros(1, described.dtype)), None, False
    if work.integer:
        return _integers(work, path, described)
    if any(place and place[0].kind == "BipolarQuant" for place in places):
        raise UserError(f"input {described.name!r} is quantized to two levels (BipolarQuant), "
                        "which is no type of an input",
                        hint="say with --input-type what it is before, as s8.4")  # fmt: skip
    note = f"type {DEFAULT_INPUT} assumed: the model does not say it (set --input-type)"
    return parse_type(DEFAULT_INPUT), note, True


def _readers(work: OnnxImport, described: OxInput) -> list[tuple[OxNode, int] | None]:
    """What reads an input, and at which place, None for an output. Operators that keep values, or
    bound them, are passed: what a quantizer behind them makes is the same where it stands before
    them. So is a Cast of real numbers, which are float32 to every quantizer."""
    found: list[tuple[OxNode, int] | None] = []
    names = [described.name]
    keeping = (*_KEEPING, "Cast") if described.dtype in _REALS else _KEEPING
    while names:
        reading = names.pop()
        found += [None] * work.model.outputs.count(reading)
        for node in work.model.nodes:
            for position in (n for n, read in enumerate(node.inputs) if read == reading):
                if (position == 0 and node.kind in keeping) or node.kind == "Concat":
                    names += [out for out in node.outputs if out]
                elif node.kind != "Shape":
                    found.append((node, position))
    return found


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


def _integers(work: OnnxImport, path: Path, described: OxInput) -> tuple[QType, str, bool]:
    """Deeploy keeps an example beside the network; its sign says the type."""
    beside = path.with_name(EXAMPLE)
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
        return qtype, f"type {qtype}, from {beside.name} beside the model", False
    note = f"type {DEFAULT_INTEGERS} assumed: the model does not say it (set --input-type)"
    return parse_type(DEFAULT_INTEGERS), note, True
