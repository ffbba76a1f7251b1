"""Steps as a graph: what each becomes."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from typing import Any

import numpy as np

from ...errors import UserError
from ...ir import Graph, Op, Tensor
from ...ir.ops import (
    AvgPool,
    BatchNorm,
    Cast,
    Concat,
    Conv2D,
    Dense,
    Flatten,
    MaxPool,
    Pad,
    Relu,
    Requantize,
    Reshape,
    SumPool,
)
from ...numeric import MAX_TENSOR_WIDTH, Overflow, QType, Rounding, type_for_range
from ..affine import Affine, clip_codes, fraction_bits, log2_exact, requantize
from .architecture import KerasInput
from .flow import INPUT, Flow
from .functions import Function, multi_threshold, rounding_of
from .inputs import input_of
from .quantizer import ActivationQuantizer
from .steps import (
    Border,
    Casting,
    Clip,
    Curve,
    Join,
    Linear,
    Norm,
    Pooling,
    Quantize,
    RowAxis,
    Scale,
    Shape,
    SoftmaxStep,
    Step,
    StepFunction,
)
from .work import QKERAS, KerasImport, Value, Words, fits

_BIAS_BITS = 32
"""Widest bias that is stored with its layer; any other is added where the result is rounded."""

_FLOAT32_EXACT = 25
"""Widest signed accumulator whose sums float32 always holds exactly."""


def lower(
    name: str,
    inputs: Sequence[KerasInput],
    flow: Flow,
    input_type: QType | None,
    words: Words = QKERAS,
) -> Graph:
    """The graph of a flow of steps. Raises UserError naming the layer, in the source's words."""
    tensors, notes, unstated = [], [], []
    for n, each in enumerate(inputs):
        source = input_of(flow, INPUT - n, input_type)
        flow = source.flow
        tensors.append(Tensor(each.name, each.shape, source.type))
        notes.append(f"{each.name}: {source.note}" if len(inputs) > 1 else source.note)
        if not source.stated:
            unstated.append(each.name)
    work = KerasImport(tuple(tensors), flow, words, notes)
    for index, step in enumerate(work.flow.steps):
        if index in work.values:
            continue
        try:
            _lower_step(work, index, step)
        except UserError as error:
            layer = error.layer or step.name
            raise UserError(error.reason, layer=layer, hint=error.hint) from None
        except ValueError as error:
            raise step.layer.error(str(error)) from None
    return replace(work.graph(name), unstated=tuple(unstated))


def _lower_step(work: KerasImport, index: int, step: Step) -> None:
    """Lower one step; those after it are looked at for the quantizer."""
    before, work.layer = len(work.nodes), step.name
    inputs = [work.values[source] for source in work.flow.sources[index]]
    if isinstance(step, Join):
        value = _join(work, step, inputs)
    elif len(inputs) > 1:
        raise step.layer.error(f"has {len(inputs)} inputs, one is needed")
    else:
        value = _LOWERINGS[type(step)](work, step, index, inputs[0])
    work.values[index] = value
    if len(work.nodes) > before and not value.pending.is_identity:
        work.unscaled.append(len(work.nodes) - 1)


def _join(work: KerasImport, step: Join, inputs: list[Value]) -> Value:
    if len(inputs) < 2:
        raise step.layer.error("joins one input only")
    edges = [work.narrow(value) for value in inputs]
    if step.op is Concat:
        edges = [work.add(step.name, op, e) if op else e for op, e in _common_type(edges)]
    return Value.done(step.name, work.add(step.name, step.op(), *edges))


def _linear(work: KerasImport, step: Linear, index: int, value: Value) -> Value:
    x = work.narrow(value)
    kernel, dense = step.kernel, step.stride is None
    if dense and len(x.shape) != 1:
        raise step.layer.error(
            f"a dense layer on an input of shape {x.shape} is not supported",
            "put a Flatten before it",
        )
    work.notes += kernel.notes
    uniform = all(scale == 1 for scale in kernel.scale)
    bias = _stored_bias(step.bias) if uniform else None
    common: dict[str, Any] = {"weights": kernel.codes, "weight_type": kernel.type}
    if bias is not None and np.any(bias[0]):
        common |= {"bias": bias[0], "bias_frac": bias[1]}
    if step.stride is None:
        op: Op = Dense(**common)
    else:
        window = {"stride": step.stride, "padding": step.padding, "dilation": step.dilation}
        op = Conv2D(**common, **window, groups=step.groups)
    edge = work.add(step.name, op, x)
    if edge.type.width > _FLOAT32_EXACT:
        work.notes.append(
            f"{step.name}: sums can need {edge.type.width} bits, more than the float32 "
            f"of {work.words.name} holds exactly; here they are exact"
        )
    if bias is None:
        return Value(step.name, edge, Affine(kernel.scale, step.bias))
    return Value.done(step.name, edge)


def _norm(work: KerasImport, step: Norm, index: int, value: Value) -> Value:
    found, between = work.next_quantizer(index)
    if found is None:
        raise step.layer.error(
            "no quantizer follows this batch normalization",
            f"put a {work.words.quantizer} between it and the next layer",
        )
    pending, edge = value.pending, value.edge
    if pending.clips:
        raise step.layer.error(
            "a batch normalization after a ReLU whose input has scales or biases of its own "
            "is not supported",
            f"put a {work.words.quantizer} between them",
        )
    following = work.flow.steps[found]
    assert isinstance(following, Quantize)
    quantizer = following.quantizer
    if quantizer.binary:
        raise step.layer.error(
            "a quantizer of 1 bit after a batch normalization is not supported yet"
        )
    if step.axis not in (-1, len(edge.shape)) or len(step.scale) != edge.channels:
        raise step.layer.error(
            f"normalizes axis {step.axis} with {len(step.scale)} channels, its input has "
            f"shape {edge.shape}",
            "normalize the last axis",
        )
    clip, name = None, step.name
    clips = [s for i in between if isinstance(s := work.flow.steps[i], Clip)]
    if len(clips) < len(between) and not _plain(quantizer):
        raise step.layer.error(
            f"is separated from the quantizer {following.name!r}, which has an alpha",
            "use alpha=1 there",
        )
    if len(clips) == len(between):
        # Nothing else stands between: the quantizer and its clips happen here. Otherwise they
        # stay where they are as well, which changes nothing: all of it is monotone.
        bounds = Affine.identity(1)
        for other in clips:
            bounds = bounds.clipped(Fraction(0), other.high)
        clip = clip_codes(quantizer.type, quantizer.grid, bounds.low, bounds.high)
        name = following.name
    unit = 2.0 ** (quantizer.grid - quantizer.type.frac)
    inner = np.array([float(s) for s in pending.scale])
    bias = np.array([float(b) for b in pending.offset])
    offset = (step.scale * bias + step.offset) * unit
    op = BatchNorm(step.scale * inner * unit, offset, quantizer.type, clip)
    result = Value.done(name, work.add(name, op, edge))
    if len(clips) == len(between):
        work.values |= dict.fromkeys([*between, found], result)
    return result


def _clip(work: KerasImport, step: Clip, index: int, value: Value) -> Value:
    edge = value.edge
    high = None if step.high is None else step.high * Fraction(2) ** edge.type.frac
    if not value.pending.is_identity or (high is not None and high.denominator != 1):
        return Value(step.name, edge, value.pending.clipped(Fraction(0), step.high))
    reached = high is not None and high <= edge.type.max
    op = Relu(int(high) if high is not None and reached else None)
    return Value.done(step.name, work.add(step.name, op, edge))


def _quantize(work: KerasImport, step: Quantize, index: int, value: Value) -> Value:
    q = step.quantizer
    if not _commutes(q):
        value = work.settle(value)
    op = requantize(value.pending, value.edge.type.frac, q.type, q.grid, q.binary)
    return Value.done(step.name, work.add(step.name, op, value.edge))


def _casting(work: KerasImport, step: Casting, index: int, value: Value) -> Value:
    x = work.settle(value).edge
    return Value.done(step.name, work.add(step.name, Cast(step.types, step.index), x))


def _scale(work: KerasImport, step: Scale, index: int, value: Value) -> Value:
    value = work.settle(value)
    channels = value.edge.channels
    if step.axis not in (-1, len(value.edge.shape)) or len(step.scale) != channels:
        raise step.layer.error(
            f"has factors for axis {step.axis} with {len(step.scale)} channels, its input has "
            f"shape {value.edge.shape}",
            "normalize the last axis",
        )
    result = Value(step.name, value.edge, Affine(step.scale, step.offset))
    # What is pending must be increasing.
    return result if min(step.scale) > 0 else work.settle(result)


def _step_function(work: KerasImport, step: StepFunction, index: int, value: Value) -> Value:
    return _multi_threshold(work, step, step.function, value)


def _multi_threshold(work: KerasImport, step: Step, function: Function, value: Value) -> Value:
    if function.note:
        work.notes.append(f"{step.name}: {function.note}")
    op = multi_threshold(function, value.pending, value.edge)
    return Value.done(step.name, work.add(step.name, op, value.edge))


def _curve(work: KerasImport, step: Curve, index: int, value: Value) -> Value:
    found = next(work.flow.following(index), None)
    following = None if found is None else work.flow.steps[found]
    if step.function.squashes and work.ends(index):
        work.notes.append(
            f"{step.name}: the {step.function.squashes} at the end is left out; the output is "
            "its input, in the same order"
        )
        return value
    if found is None or not isinstance(following, (Quantize, StepFunction)):
        raise step.layer.error(
            "is a function of real numbers that no quantizer follows at once",
            f"put a {work.words.quantizer} behind it",
        )
    outer = (
        rounding_of(following.quantizer) if isinstance(following, Quantize) else following.function
    )
    result = _multi_threshold(work, following, step.function.then(outer), value)
    work.values[found] = result
    return result


def _pooling(work: KerasImport, step: Pooling, index: int, value: Value) -> Value:
    edge = value.edge
    if len(edge.shape) != 3:
        raise step.layer.error(f"pools an input of shape {edge.shape}, not an image")
    kernel = step.kernel or (edge.shape[0], edge.shape[1])
    window = (kernel, step.stride, step.padding)
    if step.op is MaxPool:
        # What is pending is monotone, so that pooling may come first.
        op = MaxPool(*window)
        return Value(step.name, work.add(step.name, op, edge), value.pending)
    if step.factor is not None:
        return _scaled_sum(work, step, window, step.factor(kernel[0] * kernel[1]), value)
    found, between = work.next_quantizer(index)
    following = None if found is None else work.flow.steps[found]
    if (
        value.pending.is_identity
        and isinstance(following, Quantize)
        and _plain(following.quantizer)
        and (not between or _commutes(following.quantizer))
    ):
        # Where other steps stand between, the quantizer stays there as well: idempotent.
        name = step.name if between else following.name
        op = AvgPool(*window, type=following.quantizer.type)
        result = Value.done(name, work.add(name, op, edge))
        if found is not None and not between:
            work.values[found] = result
        else:
            work.notes.append(f"{name}: rounded already as {following.name} does")
        return result
    if value.pending.clips:
        value = work.settle(value)
        edge = value.edge
    pool = AvgPool(*window, type=edge.type)
    bits = [log2_exact(Fraction(int(n))) for n in np.unique(pool.divisors(edge))]
    if any(b is None for b in bits):
        raise step.layer.error(
            f"its average over {kernel[0]} x {kernel[1]} is not a binary fraction "
            "and nothing can round it once: a quantizer must follow and its input have no "
            "scales of its own",
            f"put a {work.words.quantizer} before it and after it",
        )
    extra = max(b for b in bits if b is not None)
    t = edge.type
    wide = QType(t.signed, t.width + extra, t.frac + extra, Rounding.FLOOR, Overflow.WRAP)
    return Value(step.name, work.add(step.name, AvgPool(*window, type=wide), edge), value.pending)


def _scaled_sum(
    work: KerasImport, step: Pooling, window: Any, factor: Fraction, value: Value
) -> Value:
    """The sum of each window times a factor; what is added to each element is in the sum."""
    if value.pending.clips or any(value.pending.offset):
        value = work.settle(value)
    pool = SumPool(*window)
    if len(np.unique(pool.counts(value.edge))) > 1:
        raise step.layer.error(
            "windows that reach over the border are averaged over fewer elements, but have the "
            "quantized factor of all",
            'use padding="valid"',
        )
    edge = work.add(step.name, pool, value.edge)
    scale = tuple(s * factor for s in value.pending.scale)
    return Value(step.name, edge, replace(value.pending, scale=scale))


def _border(work: KerasImport, step: Border, index: int, value: Value) -> Value:
    # Zeros stay zeros only once everything else is done.
    value = work.settle(value) if isinstance(step.op, Pad) else value
    if value.edge.type.width > MAX_TENSOR_WIDTH:
        work.narrow(Value.done(value.name, value.edge))
    return Value(step.name, work.add(step.name, step.op, value.edge), value.pending)


def _shape(work: KerasImport, step: Shape, index: int, value: Value) -> Value:
    shape = step.resolve(value.edge.shape)
    op = Flatten() if len(shape) == 1 else Reshape(shape)
    if work.ends(index) and not fits(value):
        value = work.finish(value)
    if value.edge.type.width > MAX_TENSOR_WIDTH:
        work.narrow(Value.done(value.name, value.edge))
    try:
        pending = value.pending.tiled(shape[-1])
    except UserError as error:
        raise step.layer.error(error.reason, f"put a {work.words.quantizer} before it") from None
    return Value(step.name, work.add(step.name, op, value.edge), pending)


def _softmax(work: KerasImport, step: SoftmaxStep, index: int, value: Value) -> Value:
    if index not in work.flow.outputs or work.flow.readers(index):
        raise step.layer.error("a softmax before the end of the network is not supported")
    work.notes.append(
        f"{step.name}: the softmax at the end is left out; the output is its input, in the "
        "same order of classes"
    )
    return value


_LOWERINGS: dict[type[Step], Callable[[KerasImport, Any, int, Value], Value]] = {
    Linear: _linear,
    Norm: _norm,
    Clip: _clip,
    Quantize: _quantize,
    Casting: _casting,
    Scale: _scale,
    StepFunction: _step_function,
    Curve: _curve,
    Pooling: _pooling,
    Border: _border,
    Shape: _shape,
    RowAxis: _shape,
    SoftmaxStep: _softmax,
}


def _common_type(edges: list[Tensor]) -> list[tuple[Op | None, Tensor]]:
    """Each edge with what brings it, exactly, to a type that all of them fit (None: nothing)."""
    frac = max(edge.type.frac for edge in edges)
    ends = [end << (frac - edge.type.frac) for edge in edges for end in edge.range]
    if all(edge.type == edges[0].type for edge in edges):
        return [(None, edge) for edge in edges]
    common = type_for_range(min(ends), max(ends), frac)
    common = replace(common, rounding=Rounding.FLOOR, overflow=Overflow.SATURATE)
    factors = [1 << (frac - edge.type.frac) for edge in edges]
    ops = [Requantize.scaled(common, mult=factor) for factor in factors]
    return list(zip(ops, edges, strict=True))


def _commutes(quantizer: ActivationQuantizer) -> bool:
    """Whether a clip may happen in its codes: it saturates, and rounds as clips are rounded."""
    saturates = quantizer.type.overflow in (Overflow.SATURATE, Overflow.SATURATE_SYMMETRIC)
    return saturates and quantizer.type.rounding is Rounding.HALF_EVEN


def _plain(quantizer: ActivationQuantizer) -> bool:
    """Whether the type alone says what the quantizer does."""
    return quantizer.grid == quantizer.type.frac and not quantizer.binary


def _stored_bias(bias: tuple[Fraction, ...]) -> tuple[np.ndarray[Any, Any], int] | None:
    """Integers and their fractional bits; None where they take more than 32 bits."""
    frac = fraction_bits(bias)
    codes = [int(b * Fraction(2) ** frac) for b in bias]
    if any(not -(1 << (_BIAS_BITS - 1)) <= c < 1 << (_BIAS_BITS - 1) for c in codes):
        return None
    return np.array(codes, dtype=np.int64), frac
