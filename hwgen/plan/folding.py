"""Folding: how many outputs, taps and pixels each MAC unit works on at a time.

The interval of the whole is that of its slowest unit, so for a given interval each unit takes
its cheapest folding that is quick enough; the search over intervals is exact.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import gcd

from ..errors import OptionError, UserError
from ..ir import ops
from . import latency
from .stages import Stage, sliced_lanes
from .units import beats_of

MAX_PIXELS = 8
"""Most output pixels that a unit computes side by side."""
WIDE, WIDE_DEPTHWISE = 8192, 1024
"""Bits of a window beyond which it is not kept in registers.

Reading its taps from the ring allows fewer foldings, but those that depthwise layers need.
"""


def reads_ring(stage: Stage) -> bool:
    """Whether a stage's windows are wide: its taps are better read straight from the ring."""
    op, x = stage.op, stage.input
    if not isinstance(op, ops.Conv2D) or op.accumulator is not None:
        return False
    channels = x.hwc[2]
    bits = op.reach[0] * op.reach[1] * channels * x.type.width
    if op.groups == 1:
        return bits > WIDE
    return op.groups == channels == op.weights.shape[-1] and bits > WIDE_DEPTHWISE


def ring_chunk(stage: Stage, pe: int, simd: int) -> tuple[int, bool] | None:
    """Channels read from the ring at a time, and whether all rows of the kernel are read at once;
    None where the ring does not suit this stage and folding."""
    op = stage.op
    if not isinstance(op, ops.Conv2D) or op.accumulator is not None:
        return None
    channels, rows = stage.input.hwc[2], op.kernel[0]
    if op.groups > 1:
        depthwise = op.groups == channels == op.weights.shape[-1]
        suits = depthwise and channels % pe == 0 and simd in (1, rows)
        return (pe, simd == rows > 1) if suits else None
    if channels % simd == 0:
        return simd, False
    if simd % rows == 0 and channels % (simd // rows) == 0:
        return simd // rows, True
    return None


@dataclass(frozen=True, order=True)
class Folding:
    """One way to fold a MAC stage: cost first, so that the smallest is the best.

    lanes : requantizers. cycles : of a frame, the larger of MAC array and output beats.
    ring : how the taps are read from the ring of rows, as ``ring_chunk`` says; None where
    windows are kept in registers.
    """

    multipliers: int
    lanes: int
    cycles: int
    pe: int
    simd: int
    pixels: int
    ring: tuple[int, bool] | None = None


def foldings(stage: Stage) -> list[Folding]:
    """All useful foldings of a MAC stage: for each number of folds the narrowest unit."""
    op = stage.op
    assert isinstance(op, (ops.Conv2D, ops.Dense))
    outputs = op.weights.shape[-1]
    taps = op.weights.size // outputs
    out_folds = {beats_of(outputs, pe) for pe in range(1, outputs + 1)}
    tap_folds = {beats_of(taps, simd) for simd in range(1, taps + 1)}
    simds = [beats_of(taps, k) for k in sorted(tap_folds)]
    if op.accumulator is not None:
        simds = [min(op.accumulator.group, taps)]
    result = []
    for m in sorted(out_folds):
        pe = beats_of(outputs, m)
        for simd in simds:
            if reads_ring(stage):
                if ring_chunk(stage, pe, simd) is not None:
                    result.append(folding(stage, pe, simd, 1))
                continue
            for pixels in _pixel_choices(stage, pe == outputs):
                result.append(folding(stage, pe, simd, pixels))
    return result


def _pixel_choices(stage: Stage, all_outputs: bool) -> range:
    if isinstance(stage.op, ops.Dense) or not all_outputs:
        return range(1, 2)
    return range(1, min(MAX_PIXELS, stage.output.hwc[1]) + 1)


def folding(stage: Stage, pe: int, simd: int, pixels: int, ring: bool | None = None) -> Folding:
    """The folding with its requantizer lanes and cycles.

    ring : whether taps are read from the ring of rows; where the windows are wide unless given.

    Raises ValueError where the ring does not suit this folding.
    """
    read = None
    if reads_ring(stage) if ring is None else ring:
        read = ring_chunk(stage, pe, simd)
        if read is None or pixels > 1:
            raise ValueError("the ring does not suit this folding")
    op = stage.op
    assert isinstance(op, (ops.Conv2D, ops.Dense))
    outputs = op.weights.shape[-1]
    tap_folds = beats_of(op.weights.size // outputs, simd)
    height, width, _ = stage.output.hwc
    compute = height * beats_of(width, pixels) * tap_folds * beats_of(outputs, pe)
    lanes = requant_lanes(outputs, pe, pixels, tap_folds)
    out_beats = height * width * beats_of(outputs, lanes)
    return Folding(pe * simd * pixels, lanes, max(compute, out_beats), pe, simd, pixels, read)


def stated_folding(stage: Stage, pe: int, simd: int, pixels: int, ring: bool) -> Folding:
    """A folding that a plan file states, as ``folding`` gives it; numbers from 1 on.

    Raises UserError whose reason begins with the number that can not be: ``simd: ...``.
    """
    op = stage.op
    assert isinstance(op, (ops.Conv2D, ops.Dense))
    outputs = op.weights.shape[-1]
    taps = op.weights.size // outputs
    for name, value, most, what in (("pe", pe, outputs, "outputs"), ("simd", simd, taps, "taps")):
        if value > most:
            raise UserError(
                f"{name}: {value} is more than the {most} {what} of this layer",
                hint=f"state 1 to {most}",
            )
    if op.accumulator is not None and simd != (group := min(op.accumulator.group, taps)):
        raise UserError(
            f"simd: {simd} is stated, its accumulator sums {group} products exactly",
            hint=f"state {group}",
        )
    most = _pixel_choices(stage, pe == outputs)[-1]
    if pixels > most:
        raise UserError(
            f"pixels: {pixels} is more than the {most} of this layer with a pe of {pe}",
            hint=f"state 1 to {most}" if most > 1 else "state 1",
        )
    try:
        return folding(stage, pe, simd, pixels, ring)
    except ValueError:
        raise UserError(
            f"kind: taps can not be read from the ring {simd} at a time for {pe} outputs",
            hint="take those of a plan.json that hwgen build wrote for this network",
        ) from None


def requant_lanes(outputs: int, pe: int, pixels: int, tap_folds: int) -> int:
    """Fewest requantizers that take a word apart before the next one is finished.

    They divide ``pe``, so that beats never cross words, unless a word has all outputs.
    """
    candidates = range(1, pe + 1) if pe >= outputs else [n for n in range(1, pe + 1) if pe % n == 0]
    for lanes in candidates:
        if pixels * beats_of(min(pe, outputs), lanes) <= tap_folds:
            return lanes
    return pe


def stream_floor(stages: list[Stage]) -> int:
    """Fewest cycles a frame can take on streams of at most one pixel a beat."""
    floor = 1
    for stage in stages:
        for tensor in (*stage.inputs, stage.output):
            height, width, channels = tensor.hwc
            beats = height * width
            if isinstance(stage.op, ops.ArgMax) and tensor is stage.input:
                beats *= channels
            floor = max(floor, beats)
        if isinstance(stage.op, ops.Concat):
            floor = max(floor, stage.output.size // gcd(*(x.channels for x in stage.inputs)))
        if isinstance(stage.op, ops.Slice):
            floor = max(floor, stage.input.size // (sliced_lanes(stage) or stage.input.channels))
    return floor


def fixed_cycles(stage: Stage) -> int:
    """Cycles of a frame in a unit that no folding makes quicker, 0 where streams alone count."""
    if not isinstance(stage.op, ops.Softmax):
        return 0
    height, width, channels = stage.input.hwc
    return height * width * latency.softmax(channels)[1]


def choose_for_interval(stages: list[Stage], interval: int) -> dict[str, Folding]:
    """Fewest multipliers with which every stage keeps to ``interval`` cycles.

    Raises OptionError when a stage or a stream can not.
    """
    floor = stream_floor(stages)
    if interval < floor:
        raise OptionError(
            f"an interval of {interval} cycles is below what the streams allow: "
            f"{floor} cycles at one pixel a beat",
            hint=f"ask for --interval {floor} or more",
        )
    chosen = {}
    for stage in stages:
        if isinstance(stage.op, (ops.Conv2D, ops.Dense)):
            options = foldings(stage)
            quick = [f for f in options if f.cycles <= interval]
            least = min(f.cycles for f in options)
            if quick:
                chosen[stage.name] = min(quick)
        else:
            least = fixed_cycles(stage)
        if least > interval:
            raise OptionError(
                f"can not keep to an interval of {interval} cycles, {least} at best",
                layer=stage.name,
                hint=f"ask for --interval {least} or more",
            )
    return chosen


def choose_for_multipliers(stages: list[Stage], budget: int) -> dict[str, Folding]:
    """The smallest interval within ``budget`` multipliers, then the fewest at that interval.

    Raises OptionError when the budget is below one multiplier for each MAC stage.
    """
    macs = _mac_stages(stages)
    options = {stage.name: foldings(stage) for stage in macs}
    least = sum(min(f.multipliers for f in options[stage.name]) for stage in macs)
    if budget < least:
        raise OptionError(
            f"{budget} multipliers are too few: this network needs at least {least} "
            "(one for each layer that multiplies, more where an accumulator states a group)",
            hint=f"give --multipliers {least} or more",
        )
    quickest = _quickest(stages, options)
    cycles = (max(quickest, f.cycles) for fs in options.values() for f in fs)
    intervals = sorted({quickest, *cycles})

    def cost(interval: int) -> int:
        return sum(
            min(f.multipliers for f in fs if f.cycles <= interval) for fs in options.values()
        )

    low, high = 0, len(intervals) - 1
    while low < high:
        middle = (low + high) // 2
        if cost(intervals[middle]) <= budget:
            high = middle
        else:
            low = middle + 1
    return choose_for_interval(stages, intervals[low])


def useful_multipliers(stages: list[Stage]) -> tuple[int, int]:
    """The fewest multipliers that a network needs, and the most that it can use."""
    options = {stage.name: foldings(stage) for stage in _mac_stages(stages)}
    fewest = sum(min(fs).multipliers for fs in options.values())
    chosen = choose_for_interval(stages, _quickest(stages, options))
    return fewest, sum(f.multipliers for f in chosen.values())


def _quickest(stages: list[Stage], options: dict[str, list[Folding]]) -> int:
    """Cycles of a frame with as many multipliers as can be used."""
    slowest = max((min(f.cycles for f in fs) for fs in options.values()), default=0)
    return max(stream_floor(stages), *map(fixed_cycles, stages), slowest)


def _mac_stages(stages: list[Stage]) -> list[Stage]:
    return [s for s in stages if isinstance(s.op, (ops.Conv2D, ops.Dense))]
