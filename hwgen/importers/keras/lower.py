"""Steps as a graph.

Between an accumulator and its quantizer a map (``Affine``: kernel scales, biases that do not fit
the accumulator, clips) may be pending; a quantizer applies all of it with one rounding.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Any

import numpy as np

from ...errors import UserError
from ...ir import Graph, Node, Op, Tensor
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
from ...numeric import MAX_TENSOR_WIDTH, Overflow, QType, Rounding, parse_type, type_for_range
from ..affine import Affine, clip_codes, exact, fraction_bits, log2_exact, nearest, requantize
from .flow import INPUT, Flow
from .functions import Function, rounding_of, staircase
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
    Stairs,
    Step,
)

DEFAULT_INPUT = "u8.8"


@dataclass(frozen=True)
class Words:
    """What a library calls things, for messages: the layer that quantizes its input, and how
    scales become ones that are exact."""

    library: str
    quantizer: str
    plain_scales: str | None = None


QKERAS = Words("QKeras", "QActivation", 'use alpha=1 or "auto_po2"')

_BIAS_BITS = 32
"""Widest bias that is stored with its layer; any other is added where the result is rounded."""

_FLOAT32_EXACT = 25
"""Widest signed accumulator whose sums float32 always holds exactly."""

_ASSUMED = f"input type {DEFAULT_INPUT} assumed: the model does not say it (set --input-type)"


def lower(
    name: str,
    input_name: str,
    input_shape: tuple[int, ...],
    flow: Flow,
    input_type: QType | None,
    words: Words = QKERAS,
) -> Graph:
    """The graph of a flow of steps. Raises UserError naming the layer, in the library's words."""
    flow, qtype, note = _input_type(flow, input_type)
    work = _Lowering(Tensor(input_name, input_shape, qtype), flow, words, [note])
    for index, step in enumerate(flow.steps):
        if index in work.values:
            continue
        try:
            work.run(index, step)
        except UserError as error:
            layer = error.layer or step.name
            raise UserError(error.reason, layer=layer, hint=error.hint) from None
        except ValueError as error:
            raise step.layer.error(str(error)) from None
    graph = work.graph(name)
    unstated = input_type is not None or note == _ASSUMED
    return replace(graph, unstated=(graph.inputs[0].name,)) if unstated else graph


def _input_type(flow: Flow, given: QType | None) -> tuple[Flow, QType, str]:
    """The flow without a quantizer that only says the input's type; the type; a note."""
    if given is not None:
        if given.scale is not None:
            raise UserError(
                f"input type {given} has a scale", hint="give fractional bits, as in u8.8"
            )
        return flow, given, f"input type {given}, as given"
    first = flow.steps[0] if flow.readers(INPUT) == [0] else None
    if isinstance(first, Quantize):
        quantizer = first.quantizer
        if quantizer.grid == quantizer.type.frac and not quantizer.binary:
            note = (
                f"input type {quantizer.type} from the first quantizer ({first.name}), which is "
                "left out: the input is its result"
            )
            return flow.without_first(), quantizer.type, note
    quantizers = [flow.steps[reader] for reader in flow.readers(INPUT)]
    if quantizers and all(isinstance(step, (Quantize, Casting)) for step in quantizers):
        types = [t for step in quantizers for t in _types(step)]
        wide = Cast(tuple(types), np.array([0])).type
        names = ", ".join(step.name for step in quantizers)
        return flow, wide, f"input type {wide}, which holds every type of its quantizers ({names})"
    return flow, parse_type(DEFAULT_INPUT), _ASSUMED


def _types(step: Step) -> tuple[QType, ...]:
    """The types that a quantizer brings elements to."""
    if isinstance(step, Quantize):
        return (step.quantizer.type,)
    assert isinstance(step, Casting)
    return step.types


@dataclass(frozen=True, eq=False)
class _Value:
    """A step's result: an edge and what is still to be done to it.

    ``name`` is that of the layer whose output it is once nothing is pending.
    """

    name: str
    edge: Tensor
    pending: Affine

    @classmethod
    def done(cls, name: str, edge: Tensor) -> _Value:
        """An edge to which nothing is left to do."""
        return cls(name, edge, Affine.identity(edge.channels))


@dataclass
class _Lowering:
    """The graph so far. ``values`` : of the steps done, and of INPUT.

    ``unscaled`` are nodes whose edges lack what is pending, ``wanted`` names of nodes; until the
    end a node is named by its number.
    """

    input: Tensor
    flow: Flow
    words: Words
    notes: list[str]
    nodes: list[Node] = field(default_factory=list)
    wanted: list[str] = field(default_factory=list)
    values: dict[int, _Value] = field(default_factory=dict)
    settled: dict[_Value, _Value] = field(default_factory=dict)
    unscaled: list[int] = field(default_factory=list)
    layer: str | None = None
    """The layer that is lowered now."""

    def __post_init__(self) -> None:
        self.values[INPUT] = _Value.done(self.input.name, self.input)

    def run(self, index: int, step: Step) -> None:
        """Lower one step; those after it are looked at for the quantizer."""
        before, self.layer = len(self.nodes), step.name
        inputs = [self.values[source] for source in self.flow.sources[index]]
        if isinstance(step, Join):
            value = self._join(step, inputs)
        elif len(inputs) > 1:
            raise step.layer.error(f"has {len(inputs)} inputs, one is needed")
        else:
            value = _LOWERINGS[type(step)](self, step, index, inputs[0])
        self.values[index] = value
        if len(self.nodes) > before and not value.pending.is_identity:
            self.unscaled.append(len(self.nodes) - 1)

    def graph(self, name: str) -> Graph:
        """The finished graph, its nodes under their layers' names."""
        self.layer = None
        result = self.finish(self.values[self.flow.output]).edge
        names = self._names()
        if self.unscaled:
            self.notes.append(
                f"{', '.join(names[str(i)] for i in self.unscaled)}: raw sums; scales, biases or "
                "bounds that are not integers there are applied by the next quantizer"
            )
        names[self.input.name] = self.input.name
        nodes = tuple(
            replace(node, name=names[node.name], inputs=tuple(names[name] for name in node.inputs))
            for node in self.nodes
        )
        return Graph(name, (self.input,), nodes, (names[result.name],), tuple(self.notes)).verify()

    def _names(self) -> dict[str, str]:
        """Final names: the last node of a layer takes its name, those before it NAME_acc."""
        taken, names = {self.input.name}, {}
        for key, wanted in reversed(list(enumerate(self.wanted))):
            name, ending = wanted, "_out" if wanted == self.input.name else "_acc"
            if name in taken:
                name += ending
            while name in taken:
                name += "_"
            taken.add(name)
            names[str(key)] = name
        return names

    def add(self, name: str, op: Op, *edges: Tensor) -> Tensor:
        """Append a node that reads these edges; gives its own."""
        key = str(len(self.nodes))
        self.nodes.append(Node(key, op, tuple(edge.name for edge in edges), self.layer or name))
        self.wanted.append(name)
        return op.infer(key, list(edges))

    def settle(self, value: _Value) -> _Value:
        """Apply what is pending, exactly, for a reader that is no quantizer."""
        if value.pending.is_identity:
            return value
        if value not in self.settled:
            try:
                op = exact(value.pending, value.edge)
            except UserError as error:
                more = f", or {scales}" if (scales := self.words.plain_scales) else ""
                hint = f"put a {self.words.quantizer} after it{more}"
                raise UserError(error.reason, layer=value.name, hint=hint) from None
            edge = self.add(value.name, op, value.edge)
            self.settled[value] = _Value.done(value.name, edge)
        return self.settled[value]

    def narrow(self, value: _Value) -> Tensor:
        """The edge of a value once nothing is pending, for a reader of at most 32 bits."""
        edge = self.settle(value).edge
        if edge.type.width <= MAX_TENSOR_WIDTH:
            return edge
        steps = [s for s in self.flow.steps if s.name == value.name and isinstance(s, Linear)]
        floats = any(s.layer.config.get("bias_quantizer", "none") is None for s in steps)
        why = ", because its bias has no quantizer and is a float32" if floats else ""
        raise UserError(
            f"its exact sums take {edge.type.width} bits{why}; at most {MAX_TENSOR_WIDTH} can be "
            "read by the next layer",
            layer=value.name,
            hint=f"{'give it a bias_quantizer, or ' if floats else ''}put a "
            f"{self.words.quantizer} after it",
        )

    def finish(self, value: _Value) -> _Value:
        """The network's result: exact where 32 bits hold it, else rounded to as many."""
        if _fits(value):
            return self.settle(value)
        op = nearest(value.pending, value.edge)
        edge = self.add(value.name, op, value.edge)
        self.notes.append(
            f"{value.name}: the exact values of the output take more than {MAX_TENSOR_WIDTH} bits, "
            "because scales or biases are not multiples of a common power of two; it is rounded "
            f"to multiples of 2**{-edge.type.frac}"
        )
        return _Value.done(value.name, edge)

    def ends(self, index: int) -> bool:
        """Whether behind a step the elements are only seen under other shapes."""
        steps = [index, *self.flow.following(index)]
        only = all(isinstance(self.flow.steps[n], (Shape, SoftmaxStep)) for n in steps[1:])
        return only and steps[-1] == self.flow.output

    def next_quantizer(self, index: int) -> tuple[int | None, list[int]]:
        """The next quantizer that only monotone steps separate from a step, and those steps."""
        between: list[int] = []
        for following in self.flow.following(index):
            step = self.flow.steps[following]
            if isinstance(step, Quantize):
                return following, between
            maximum = isinstance(step, Pooling) and step.op is MaxPool
            if not (maximum or isinstance(step, (Clip, Shape))):
                break
            between.append(following)
        return None, between

    def _join(self, step: Join, inputs: list[_Value]) -> _Value:
        if len(inputs) < 2:
            raise step.layer.error("joins one input only")
        edges = [self.narrow(value) for value in inputs]
        if step.op is Concat:
            edges = [self.add(step.name, op, e) if op else e for op, e in _common_type(edges)]
        return _Value.done(step.name, self.add(step.name, step.op(), *edges))

    def _linear(self, step: Linear, index: int, value: _Value) -> _Value:
        x = self.narrow(value)
        kernel, dense = step.kernel, step.stride is None
        if dense and len(x.shape) != 1:
            raise step.layer.error(
                f"a dense layer on an input of shape {x.shape} is not supported",
                "put a Flatten before it",
            )
        self.notes += kernel.notes
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
        edge = self.add(step.name, op, x)
        if edge.type.width > _FLOAT32_EXACT:
            self.notes.append(
                f"{step.name}: sums can need {edge.type.width} bits, more than the float32 "
                f"of {self.words.library} holds exactly; here they are exact"
            )
        if bias is None:
            return _Value(step.name, edge, Affine(kernel.scale, step.bias))
        return _Value.done(step.name, edge)

    def _norm(self, step: Norm, index: int, value: _Value) -> _Value:
        found, between = self.next_quantizer(index)
        if found is None:
            raise step.layer.error(
                "no quantizer follows this batch normalization",
                f"put a {self.words.quantizer} between it and the next layer",
            )
        pending, edge = value.pending, value.edge
        if pending.clips:
            raise step.layer.error(
                "a batch normalization after a ReLU whose input has scales or biases of its own "
                "is not supported",
                f"put a {self.words.quantizer} between them",
            )
        following = self.flow.steps[found]
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
        clips = [s for i in between if isinstance(s := self.flow.steps[i], Clip)]
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
        result = _Value.done(name, self.add(name, op, edge))
        if len(clips) == len(between):
            self.values |= dict.fromkeys([*between, found], result)
        return result

    def _clip(self, step: Clip, index: int, value: _Value) -> _Value:
        edge = value.edge
        high = None if step.high is None else step.high * Fraction(2) ** edge.type.frac
        if not value.pending.is_identity or (high is not None and high.denominator != 1):
            return _Value(step.name, edge, value.pending.clipped(Fraction(0), step.high))
        reached = high is not None and high <= edge.type.max
        op = Relu(int(high) if high is not None and reached else None)
        return _Value.done(step.name, self.add(step.name, op, edge))

    def _quantize(self, step: Quantize, index: int, value: _Value) -> _Value:
        q = step.quantizer
        if not _commutes(q):
            value = self.settle(value)
        op = requantize(value.pending, value.edge.type.frac, q.type, q.grid, q.binary)
        return _Value.done(step.name, self.add(step.name, op, value.edge))

    def _casting(self, step: Casting, index: int, value: _Value) -> _Value:
        x = self.settle(value).edge
        return _Value.done(step.name, self.add(step.name, Cast(step.types, step.index), x))

    def _scale(self, step: Scale, index: int, value: _Value) -> _Value:
        value = self.settle(value)
        channels = value.edge.channels
        if step.axis not in (-1, len(value.edge.shape)) or len(step.scale) != channels:
            raise step.layer.error(
                f"has factors for axis {step.axis} with {len(step.scale)} channels, its input has "
                f"shape {value.edge.shape}",
                "normalize the last axis",
            )
        result = _Value(step.name, value.edge, Affine(step.scale, step.offset))
        # What is pending must be increasing.
        return result if min(step.scale) > 0 else self.settle(result)

    def _stairs(self, step: Stairs, index: int, value: _Value) -> _Value:
        return self._staircase(step, step.function, value)

    def _staircase(self, step: Step, function: Function, value: _Value) -> _Value:
        if function.note:
            self.notes.append(f"{step.name}: {function.note}")
        op = staircase(function, value.pending, value.edge)
        return _Value.done(step.name, self.add(step.name, op, value.edge))

    def _curve(self, step: Curve, index: int, value: _Value) -> _Value:
        found = next(self.flow.following(index), None)
        following = None if found is None else self.flow.steps[found]
        if step.function.squashes and self.ends(index):
            self.notes.append(
                f"{step.name}: the {step.function.squashes} at the end is left out; the output is "
                "its input, in the same order"
            )
            return value
        if found is None or not isinstance(following, (Quantize, Stairs)):
            raise step.layer.error(
                "is a function of real numbers that no quantizer follows at once",
                f"put a {self.words.quantizer} behind it",
            )
        outer = (
            rounding_of(following.quantizer)
            if isinstance(following, Quantize)
            else following.function
        )
        result = self._staircase(following, step.function.then(outer), value)
        self.values[found] = result
        return result

    def _pooling(self, step: Pooling, index: int, value: _Value) -> _Value:
        edge = value.edge
        if len(edge.shape) != 3:
            raise step.layer.error(f"pools an input of shape {edge.shape}, not an image")
        kernel = step.kernel or (edge.shape[0], edge.shape[1])
        window = (kernel, step.stride, step.padding)
        if step.op is MaxPool:
            # What is pending is monotone, so that pooling may come first.
            op = MaxPool(*window)
            return _Value(step.name, self.add(step.name, op, edge), value.pending)
        if step.factor is not None:
            return self._scaled_sum(step, window, step.factor(kernel[0] * kernel[1]), value)
        found, between = self.next_quantizer(index)
        following = None if found is None else self.flow.steps[found]
        if (
            value.pending.is_identity
            and isinstance(following, Quantize)
            and _plain(following.quantizer)
            and (not between or _commutes(following.quantizer))
        ):
            # Where other steps stand between, the quantizer stays there as well: idempotent.
            name = step.name if between else following.name
            op = AvgPool(*window, type=following.quantizer.type)
            result = _Value.done(name, self.add(name, op, edge))
            if found is not None and not between:
                self.values[found] = result
            else:
                self.notes.append(f"{name}: rounded already as {following.name} does")
            return result
        if value.pending.clips:
            value = self.settle(value)
            edge = value.edge
        pool = AvgPool(*window, type=edge.type)
        bits = [log2_exact(Fraction(int(n))) for n in np.unique(pool.divisors(edge))]
        if any(b is None for b in bits):
            raise step.layer.error(
                f"its average over {kernel[0]} x {kernel[1]} is not a binary fraction "
                "and nothing can round it once: a quantizer must follow and its input have no "
                "scales of its own",
                f"put a {self.words.quantizer} before it and after it",
            )
        extra = max(b for b in bits if b is not None)
        t = edge.type
        wide = QType(t.signed, t.width + extra, t.frac + extra, Rounding.FLOOR, Overflow.WRAP)
        return _Value(
            step.name, self.add(step.name, AvgPool(*window, type=wide), edge), value.pending
        )

    def _scaled_sum(self, step: Pooling, window: Any, factor: Fraction, value: _Value) -> _Value:
        """The sum of each window times a factor; what is added to each element is in the sum."""
        if value.pending.clips or any(value.pending.offset):
            value = self.settle(value)
        pool = SumPool(*window)
        if len(np.unique(pool.counts(value.edge))) > 1:
            raise step.layer.error(
                "windows that reach over the border are averaged over fewer elements, but have the "
                "quantized factor of all",
                'use padding="valid"',
            )
        edge = self.add(step.name, pool, value.edge)
        scale = tuple(s * factor for s in value.pending.scale)
        return _Value(step.name, edge, replace(value.pending, scale=scale))

    def _border(self, step: Border, index: int, value: _Value) -> _Value:
        # Zeros stay zeros only once everything else is done.
        value = self.settle(value) if isinstance(step.op, Pad) else value
        if value.edge.type.width > MAX_TENSOR_WIDTH:
            self.narrow(_Value.done(value.name, value.edge))
        return _Value(step.name, self.add(step.name, step.op, value.edge), value.pending)

    def _shape(self, step: Shape, index: int, value: _Value) -> _Value:
        shape = step.resolve(value.edge.shape)
        op = Flatten() if len(shape) == 1 else Reshape(shape)
        if self.ends(index) and not _fits(value):
            value = self.finish(value)
        if value.edge.type.width > MAX_TENSOR_WIDTH:
            self.narrow(_Value.done(value.name, value.edge))
        try:
            pending = value.pending.tiled(shape[-1])
        except UserError as error:
            raise step.layer.error(
                error.reason, f"put a {self.words.quantizer} before it"
            ) from None
        return _Value(step.name, self.add(step.name, op, value.edge), pending)

    def _softmax(self, step: SoftmaxStep, index: int, value: _Value) -> _Value:
        if index != self.flow.output:
            raise step.layer.error("a softmax before the end of the network is not supported")
        self.notes.append(
            f"{step.name}: the softmax at the end is left out; the output is its input, in the "
            "same order of classes"
        )
        return value


_LOWERINGS: dict[type[Step], Callable[[_Lowering, Any, int, _Value], _Value]] = {
    Linear: _Lowering._linear,
    Norm: _Lowering._norm,
    Clip: _Lowering._clip,
    Quantize: _Lowering._quantize,
    Casting: _Lowering._casting,
    Scale: _Lowering._scale,
    Stairs: _Lowering._stairs,
    Curve: _Lowering._curve,
    Pooling: _Lowering._pooling,
    Border: _Lowering._border,
    Shape: _Lowering._shape,
    RowAxis: _Lowering._shape,
    SoftmaxStep: _Lowering._softmax,
}


def _fits(value: _Value) -> bool:
    """Whether 32 bits hold a value once what is pending is done."""
    try:
        done = exact(value.pending, value.edge).type
    except UserError:
        return False
    return (value.edge.type if value.pending.is_identity else done).width <= MAX_TENSOR_WIDTH


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
