"""The unit of each stage: the dataflow architecture's numbers for every op."""

from __future__ import annotations

from typing import Any

import numpy as np

from ..errors import UserError
from ..ir import Tensor, ops
from ..numeric import Overflow, PowerCode
from . import latency
from .folding import Folding
from .stages import Stage, window_of
from .units import (
    AddUnit,
    ArgMaxUnit,
    CastUnit,
    ConcatUnit,
    ConvUnit,
    CropUnit,
    DenseUnit,
    MulUnit,
    PadUnit,
    RequantUnit,
    RescaleUnit,
    RingConvUnit,
    SoftmaxUnit,
    StaircaseUnit,
    StreamPoolUnit,
    StreamShape,
    Unit,
    UpsampleUnit,
    WindowPoolUnit,
    beats_of,
)


def unit_of(
    stage: Stage, sources: tuple[str, ...], inputs: list[StreamShape], chosen: Folding | None
) -> Unit:
    """The unit of a stage, which reads these streams; ``chosen`` where it multiplies."""
    stream = inputs[0]
    height, width, channels = stage.output.hwc
    bits = stage.output.type.width

    def out(lanes: int) -> StreamShape:
        return StreamShape(height * width, channels, lanes, bits)

    op = stage.op
    if isinstance(op, (ops.Conv2D, ops.Dense)):
        assert chosen is not None
        return _mac_unit(stage, sources, stream, out(chosen.lanes), chosen)
    common: dict[str, Any] = {
        "name": stage.name,
        "layers": stage.layers,
        "sources": sources,
        "input": stream,
        "fifo": 1,
    }
    if isinstance(op, ops.Add):
        return AddUnit(**common, output=out(stream.lanes), inputs=tuple(inputs))
    if isinstance(op, ops.Mul):
        return MulUnit(**common, output=out(stream.lanes), inputs=tuple(inputs))
    if isinstance(op, ops.Slice):
        kept = _kept(op, stage.input, stream.lanes)
        return CropUnit(**common, output=out(stream.lanes), delay=0, kept=kept)
    if isinstance(op, ops.Concat):
        return ConcatUnit(**common, output=out(stream.lanes), inputs=tuple(inputs))
    if isinstance(op, ops.Pad):
        size = stage.input.hwc[:2]
        return PadUnit(
            **common, output=out(stream.lanes), inputs=(stream,), size=size, pads=op.pads
        )
    if isinstance(op, ops.Upsample):
        columns = stage.input.hwc[1]
        return UpsampleUnit(**common, output=out(stream.lanes), columns=columns, factor=op.factor)
    if isinstance(op, ops.Pool):
        geometry = window_of(stage, stream.lanes)
        if all(s >= k for s, k in zip(op.stride, op.kernel, strict=True)):
            return StreamPoolUnit(
                **common, output=out(stream.lanes), delay=latency.STREAM_POOL,
                geometry=geometry, partial_bits=bits,
            )  # fmt: skip
        return WindowPoolUnit(
            **common, output=out(stream.lanes), geometry=geometry, rows=1, parallel=True, windows=1
        )
    if isinstance(op, ops.ArgMax):
        return ArgMaxUnit(**common, output=out(1), delay=latency.ARGMAX)
    if isinstance(op, ops.Softmax):
        return SoftmaxUnit(**common, output=out(1))
    if isinstance(op, ops.Staircase):
        delay = latency.staircase(stage.input.type.width, *op.rows.shape)
        return StaircaseUnit(
            **common, output=out(stream.lanes), delay=delay, parameter_bits=op.parameters_bits
        )
    if isinstance(op, ops.Cast):
        positions = len(op.rows(stage.input))
        beats = positions * beats_of(channels, stream.lanes)
        return CastUnit(
            **common, output=out(stream.lanes), delay=latency.cast(beats, len(op.types)),
            positions=positions, types=len(op.types),
        )  # fmt: skip
    if isinstance(op, ops.Rescale):
        _check_significand(stage.name, op, stage.input)
        delay = _rescale_latency(op, stage.input)
        return RescaleUnit(
            **common, output=out(stream.lanes), delay=delay, multiplies=True,
            parameter_bits=beats_of(op.parameters_bits, channels),
        )  # fmt: skip
    assert isinstance(op, ops.Requantize)
    multiplies = needs_multiplier(op, stage.input)
    return RequantUnit(
        **common, output=out(stream.lanes), delay=latency.requantizer(multiplies, channels),
        multiplies=multiplies, parameter_bits=_parameter_bits(op),
    )  # fmt: skip


def _kept(op: ops.Slice, x: Tensor, lanes: int) -> tuple[tuple[bool, ...], ...]:
    """Which rows, columns and beats of a pixel a slice keeps."""
    missing = (1,) * (3 - len(x.shape))
    start, size, step = (
        (*(default for _ in missing), *numbers)
        for default, numbers in ((0, op.start), (1, op.size), (1, op.step))
    )
    wanted = [range(a, a + n * by, by) for a, n, by in zip(start, size, step, strict=True)]
    rows, columns, channels = x.hwc
    return (
        tuple(n in wanted[0] for n in range(rows)),
        tuple(n in wanted[1] for n in range(columns)),
        tuple(n in wanted[2] for n in range(0, channels, lanes)),
    )


def _check_significand(layer: str, op: ops.Rescale, x: Tensor) -> None:
    """Raises UserError where a float rule's result may be larger than its significand holds.

    Such a result loses low bits, which the rescaler does not imitate: its own must be those that
    saturate.
    """
    if op.scaling.fixed_point:
        return
    bits, qtype = op.scaling.precision, op.type
    rows = (np.broadcast_to(a, x.channels).tolist() for a in (op.mult, op.shift, op.bias))
    mult, shift, bias = rows
    sizes = [max(abs(x.type.min + b), abs(x.type.max + b)) for b in bias]
    most = max(size * m >> s for size, m, s in zip(sizes, mult, shift, strict=True))
    kept = max(abs(qtype.low - op.offset), abs(qtype.max - op.offset))
    if most >> bits and (kept >> bits or qtype.overflow is Overflow.WRAP):
        raise UserError(
            f"{op.scaling} rounds its products to {bits} bits, results of up to "
            f"{most.bit_length()} are not supported where {qtype} keeps more than it or wraps",
            layer=layer,
            hint=f"let the output saturate to at most {bits} bits",
        )


def _rescale_latency(op: ops.Rescale, x: Tensor) -> int:
    precision = 0 if op.scaling.fixed_point else op.scaling.precision
    ends = (x.type.min + int(op.bias.min()), x.type.max + int(op.bias.max()))
    return latency.rescale(x.channels, precision, max(map(abs, ends)) > 1 << precision)


def _mac_unit(
    stage: Stage,
    sources: tuple[str, ...],
    stream: StreamShape,
    output: StreamShape,
    chosen: Folding,
) -> Unit:
    op, requant = stage.op, stage.requant
    assert isinstance(op, (ops.Conv2D, ops.Dense)) and requant is not None
    acc = op.infer(stage.name, [stage.input])
    powers = PowerCode.of(op.weights, op.weight_type.width)
    outputs = op.weights.shape[-1]
    common: dict[str, Any] = {
        "name": stage.name,
        "layers": stage.layers,
        "sources": sources,
        "input": stream,
        "output": output,
        "fifo": 1,
        "fold": (chosen.pe, chosen.simd, chosen.pixels),
        "taps": op.weights.size // outputs,
        "outputs": outputs,
        "multiplies": needs_multiplier(requant, acc),
        "weight_bits": powers.width if powers else op.weight_type.width,
        "acc_bits": acc.type.width + (not acc.type.signed),
        "parameter_bits": _parameter_bits(requant),
        "shadow": 1,
    }
    if isinstance(op, ops.Dense):
        return DenseUnit(**common)
    geometry = window_of(stage, stream.lanes, chosen.pixels)
    if chosen.ring is not None:
        parallel = chosen.ring[1]
        return RingConvUnit(**common, geometry=geometry, rows=1, parallel=parallel, windows=0)
    return ConvUnit(**common, geometry=geometry, rows=1, parallel=True, windows=1)


def needs_multiplier(op: ops.Requantize, x: Tensor) -> bool:
    """Whether the channels have multipliers other than one common power of two, or pivots."""
    if op.pivot is not None:
        return True
    values = set(op.mult.tolist())
    first = next(iter(values))
    return len(values) > 1 or first <= 0 or first & (first - 1) != 0


def _parameter_bits(op: ops.Requantize) -> int:
    arrays = [a for a in (op.mult, op.bias, op.pivot, op.below) if a is not None]
    return len(arrays) * max(int(v).bit_length() for a in arrays for v in a.tolist())
