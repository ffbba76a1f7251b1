"""Steps as a graph.

Between an accumulator and its quantizer a map (``Affine``: kernel scales, biases that do not fit
the accumulator, clips) may be pending; a quantizer applies all of it with one rounding.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import numpy as np

from ...errors import UserError
from ...ir import Graph, Node, Op, Tensor
from ...ir.ops import AvgPool, BatchNorm, Conv2D, Dense, Flatten, MaxPool, Relu, Reshape
from ...numeric import Overflow, QType, Rounding, parse_type
from .affine import Affine, clip_codes, exact, fraction_bits, log2_exact, requantize
from .layers import (
    Clip,
    Linear,
    Norm,
    Pooling,
    Quantize,
    Shape,
    Softmax,
    Step,
    resolve_shape,
)
from .quantizers import ActivationQuantizer

DEFAULT_INPUT = "u8.8"

_BIAS_BITS = 32
"""Widest bias that is stored with its layer; any other is added where the result is rounded."""

_FLOAT32_EXACT = 25
"""Widest signed accumulator whose sums float32 always holds exactly."""


def lower(
    name: str,
    input_name: str,
    input_shape: tuple[int, ...],
    steps: Sequence[Step],
    input_type: QType | None,
) -> Graph:
    """The graph of a chain of steps. Raises UserError naming the layer."""
    steps, qtype, note = _input_type(list(steps), input_type)
    work = _Lowering(Tensor(input_name, input_shape, qtype), [note])
    for index, step in enumerate(steps):
        if index in work.done:
            continue
        before = len(work.nodes)
        try:
            work.run(step, index, steps)
        except UserError as error:
            layer = error.layer or step.name
            raise UserError(error.reason, layer=layer, hint=error.hint) from None
        except ValueError as error:
            raise step.layer.error(str(error)) from None
        if len(work.nodes) > before and not work.pending.is_identity:
            work.unscaled.add(len(work.nodes) - 1)
        if not isinstance(step, Softmax):
            work.last = step.name
    work.settle()
    if names := [work.nodes[i].name for i in sorted(work.unscaled)]:
        work.notes.append(
            f"{', '.join(names)}: raw sums; scales, biases or bounds that are not integers there "
            "are applied by the next quantizer"
        )
    graph = Graph(name, (work.input,), tuple(work.nodes), (work.edge.name,), tuple(work.notes))
    return graph.verify()


def _input_type(steps: list[Step], given: QType | None) -> tuple[list[Step], QType, str]:
    """The steps without a quantizer that only says the input's type; the type; a note."""
    if given is not None:
        if given.scale is not None:
            raise UserError(
                f"input type {given} has a scale", hint="give fractional bits, as in u8.8"
            )
        return steps, given, f"input type {given}, as given"
    first = steps[0] if steps else None
    if isinstance(first, Quantize):
        quantizer = first.quantizer
        if quantizer.grid == quantizer.type.frac and not quantizer.binary:
            note = (
                f"input type {quantizer.type} from the first quantizer ({first.name}), which is "
                "left out: the input is its result"
            )
            return steps[1:], quantizer.type, note
    note = f"input type {DEFAULT_INPUT} assumed: the model does not say it (set --input-type)"
    return steps, parse_type(DEFAULT_INPUT), note


@dataclass
class _Lowering:
    """The graph so far: ``edge`` is the last one, ``pending`` what is still to be done to it.

    ``done`` are steps that others took over, ``unscaled`` nodes whose edges lack what is pending,
    ``last`` is the name of the latest step, whose values the edge has once nothing is pending.
    """

    input: Tensor
    notes: list[str]
    nodes: list[Node] = field(default_factory=list)
    done: set[int] = field(default_factory=set)
    unscaled: set[int] = field(default_factory=set)

    def __post_init__(self) -> None:
        self.edge = self.input
        self.last = self.input.name
        self.names = {self.input.name}
        self.pending = Affine.identity(self.input.channels)

    def run(self, step: Step, index: int, steps: Sequence[Step]) -> None:
        """Lower one step; those after it are looked at for the quantizer."""
        if isinstance(step, Linear):
            self._linear(step)
        elif isinstance(step, Norm):
            self._norm(step, index, steps)
        elif isinstance(step, Clip):
            self._clip(step)
        elif isinstance(step, Quantize):
            self._quantize(step)
        elif isinstance(step, Pooling):
            self._pooling(step, index, steps)
        elif isinstance(step, Shape):
            self._shape(step)
        elif isinstance(step, Softmax):
            self._softmax(step, index, steps)
        else:
            raise AssertionError(f"no lowering of {type(step).__name__}")

    def add(self, name: str, op: Op) -> None:
        """Append an op that reads the last edge; an earlier edge of its name becomes NAME_acc."""
        if name == self.edge.name and self.nodes:
            old, renamed = self.nodes[-1], self._unused(f"{name}_acc")
            self.nodes[-1] = Node(renamed, old.op, old.inputs)
            edge = self.edge
            self.edge = Tensor(renamed, edge.shape, edge.type, edge.low, edge.high)
        elif name in self.names:
            name = self._unused(f"{name}_out")
        self.names.add(name)
        self.nodes.append(Node(name, op, (self.edge.name,)))
        self.edge = op.infer(name, [self.edge])

    def _unused(self, name: str) -> str:
        while name in self.names:
            name += "_"
        self.names.add(name)
        return name

    def settle(self) -> None:
        """Apply what is pending, exactly, for a reader that is no quantizer."""
        if self.pending.is_identity:
            return
        try:
            op = exact(self.pending, self.edge)
        except UserError as error:
            raise UserError(error.reason, layer=self.last, hint=error.hint) from None
        self.add(self.last, op)
        self.pending = Affine.identity(self.edge.channels)

    def _linear(self, step: Linear) -> None:
        self.settle()
        kernel, dense = step.kernel, step.stride is None
        if dense and len(self.edge.shape) != 1:
            raise step.layer.error(
                f"a dense layer on an input of shape {self.edge.shape} is not supported",
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
            op = Conv2D(**common, stride=step.stride, padding=step.padding)
        self.add(step.name, op)
        if bias is None:
            self.pending = Affine(kernel.scale, step.bias)
        else:
            self.pending = Affine.identity(self.edge.channels)
        if self.edge.type.width > _FLOAT32_EXACT:
            self.notes.append(
                f"{step.name}: sums can need {self.edge.type.width} bits, more than the float32 "
                "of QKeras holds exactly; here they are exact"
            )

    def _norm(self, step: Norm, index: int, steps: Sequence[Step]) -> None:
        following, between = _next_quantizer(index, steps)
        if following is None:
            raise step.layer.error(
                "no quantizer follows this batch normalization",
                "put a QActivation between it and the next layer",
            )
        if self.pending.clips:
            raise step.layer.error(
                f"a batch normalization after a ReLU whose input {self.edge.name!r} has scales "
                "or biases of its own is not supported",
                "put a QActivation between them",
            )
        quantizer = following.quantizer
        if quantizer.binary:
            raise step.layer.error(
                "a quantizer of 1 bit after a batch normalization is not supported yet"
            )
        if step.axis not in (-1, len(self.edge.shape)) or len(step.scale) != self.edge.channels:
            raise step.layer.error(
                f"normalizes axis {step.axis} with {len(step.scale)} channels, its input has "
                f"shape {self.edge.shape}",
                "normalize the last axis",
            )
        clip, name = None, step.name
        clips = [s for s in between if isinstance(s, Clip)]
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
            self.done |= set(range(index + 1, index + len(between) + 2))
        unit = 2.0 ** (quantizer.grid - quantizer.type.frac)
        inner = np.array([float(s) for s in self.pending.scale])
        bias = np.array([float(b) for b in self.pending.offset])
        offset = (step.scale * bias + step.offset) * unit
        self.add(name, BatchNorm(step.scale * inner * unit, offset, quantizer.type, clip))
        self.pending = Affine.identity(self.edge.channels)

    def _clip(self, step: Clip) -> None:
        high = None if step.high is None else step.high * Fraction(2) ** self.edge.type.frac
        if not self.pending.is_identity or (high is not None and high.denominator != 1):
            self.pending = self.pending.clipped(Fraction(0), step.high)
            return
        reached = high is not None and high <= self.edge.type.max
        self.add(step.name, Relu(int(high) if high is not None and reached else None))

    def _quantize(self, step: Quantize) -> None:
        q = step.quantizer
        op = requantize(self.pending, self.edge.type.frac, q.type, q.grid, q.binary)
        self.add(step.name, op)
        self.pending = Affine.identity(self.edge.channels)

    def _pooling(self, step: Pooling, index: int, steps: Sequence[Step]) -> None:
        if len(self.edge.shape) != 3:
            raise step.layer.error(f"pools an input of shape {self.edge.shape}, not an image")
        if step.op is MaxPool:
            # What is pending is monotone, so that pooling may come first.
            self.add(step.name, MaxPool(step.kernel, step.stride, step.padding))
            return
        following, between = _next_quantizer(index, steps)
        if self.pending.is_identity and following is not None and _plain(following.quantizer):
            # Where other steps stand between, the quantizer stays there as well: idempotent.
            name = step.name if between else following.name
            self.add(name, _average(step, following.quantizer.type))
            self.done |= set() if between else {index + 1}
            return
        if self.pending.clips:
            self.settle()
        pool = _average(step, self.edge.type)
        bits = [log2_exact(Fraction(int(n))) for n in np.unique(pool.divisors(self.edge))]
        if any(b is None for b in bits):
            raise step.layer.error(
                f"its average over {step.kernel[0]} x {step.kernel[1]} is not a binary fraction "
                "and nothing can round it once: a quantizer must follow and its input have no "
                "scales of its own",
                "put a QActivation before it and after it",
            )
        extra = max(b for b in bits if b is not None)
        t = self.edge.type
        wide = QType(t.signed, t.width + extra, t.frac + extra, Rounding.FLOOR, Overflow.WRAP)
        self.add(step.name, _average(step, wide))

    def _shape(self, step: Shape) -> None:
        shape = resolve_shape(step, self.edge.size)
        self.pending = self.pending.tiled(shape[-1])
        self.add(step.name, Flatten() if step.shape is None else Reshape(shape))

    def _softmax(self, step: Softmax, index: int, steps: Sequence[Step]) -> None:
        if index + 1 < len(steps):
            raise step.layer.error("a softmax before the end of the network is not supported")
        self.notes.append(
            f"{step.name}: the softmax at the end is left out; the output is its input, in the "
            "same order of classes"
        )


def _next_quantizer(index: int, steps: Sequence[Step]) -> tuple[Quantize | None, list[Step]]:
    """The next quantizer that only monotone steps separate from ``index``, and those steps."""
    between: list[Step] = []
    for step in steps[index + 1 :]:
        if isinstance(step, Quantize):
            return step, between
        maximum = isinstance(step, Pooling) and step.op is MaxPool
        if not (maximum or isinstance(step, (Clip, Shape))):
            break
        between.append(step)
    return None, between


def _plain(quantizer: ActivationQuantizer) -> bool:
    """Whether the type alone says what the quantizer does."""
    return quantizer.grid == quantizer.type.frac and not quantizer.binary


def _average(step: Pooling, qtype: QType) -> AvgPool:
    return AvgPool(step.kernel, step.stride, step.padding, type=qtype)


def _stored_bias(bias: tuple[Fraction, ...]) -> tuple[np.ndarray[Any, Any], int] | None:
    """Integers and their fractional bits; None where they take more than 32 bits."""
    frac = fraction_bits(bias)
    codes = [int(b * Fraction(2) ** frac) for b in bias]
    if any(not -(1 << (_BIAS_BITS - 1)) <= c < 1 << (_BIAS_BITS - 1) for c in codes):
        return None
    return np.array(codes, dtype=np.int64), frac
