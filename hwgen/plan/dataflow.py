"""Plan of the dataflow architecture: units in stream order with all their numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from math import gcd
from typing import Any

from ..errors import UserError
from ..ir import Graph, Tensor, ops
from ..numeric import PowerCode
from . import latency
from .events import FRAMES, Deadlock, Simulation, Timing, steady_interval
from .folding import (
    Folding,
    choose_for_interval,
    choose_for_multipliers,
    folding,
    reads_ring,
    ring_chunk,
)
from .recurrences import Kind
from .stages import INPUT, Stage, output_stream, sliced_lanes, stages_of, window_of
from .units import (
    AddUnit,
    ArgMaxUnit,
    CastUnit,
    ConcatUnit,
    ConvUnit,
    CropUnit,
    DenseUnit,
    ForkUnit,
    MulUnit,
    PadUnit,
    RegroupUnit,
    RequantUnit,
    RescaleUnit,
    RingConvUnit,
    StaircaseUnit,
    StreamPoolUnit,
    StreamShape,
    Unit,
    UpsampleUnit,
    WindowPoolUnit,
    beats_of,
)

SCHEMA = 1
INPUT_FIFO = 2
"""Beats held behind the input port; two sustain one a cycle."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class DataflowPlan:
    """Units of a network in topological order.

    ``input`` is the stream at the input port, ``result`` the name of the one at the output port.
    """

    graph: Graph
    input: StreamShape
    units: tuple[Unit, ...]
    result: str

    @property
    def output(self) -> StreamShape:
        """The stream at the output port."""
        return next(unit.output for unit in self.units if self.result in unit.streams)

    @property
    def interval_bound(self) -> int:
        """Largest number of beats a frame takes at any resource of any unit."""
        own = [max(unit.bounds.values()) for unit in self.units]
        return max([self.input.beats, *own])

    @property
    def multipliers(self) -> int:
        """MAC lanes of all units."""
        return sum(unit.multipliers for unit in self.units)

    @property
    def requant_multipliers(self) -> int:
        """Multipliers of all requantizers."""
        return sum(unit.requant_multipliers for unit in self.units)

    @property
    def memory_bits(self) -> int:
        """Bits of all buffers and parameter memories."""
        bits = INPUT_FIFO * self.input.lanes * self.input.bits
        return bits + sum(unit.memory_bits for unit in self.units)

    def timing(self, frames: int = FRAMES) -> Timing:
        """Run the event model. Raises Deadlock when a buffer is too small."""
        sim, ends, first = self._simulate(frames)
        until = ends[-1] + 1
        return Timing(
            ends,
            first,
            {name: int(level(until)) for name, level in sim.levels.items()},
            {name: work.starved for name, work in sim.activity.items()},
            {name: work.blocked for name, work in sim.activity.items()},
        )

    def interval(self, frames: int) -> float:
        """Interval after so many frames, infinite where a buffer is too small to go on."""
        try:
            return steady_interval(self._simulate(frames)[1])
        except Deadlock:
            return float("inf")

    def _simulate(self, frames: int) -> tuple[Simulation, tuple[int, ...], tuple[int, ...]]:
        """Run all units; returns each frame's last output and first input as well."""
        sim = Simulation(frames)
        queue = sim.queue("input.fifo", INPUT_FIFO, self.input.beats)
        entry = queue
        sim.process(Kind.SOURCE, self.input.beats, queue.push, queue.pop, queue.depth)
        queues = {INPUT: queue}
        for unit in self.units:
            outputs = unit.run(sim, [queues[name] for name in unit.sources])
            queues.update(zip(unit.streams, outputs, strict=True))
        queue, out_beats = queues[self.result], self.output.beats
        sim.process(Kind.SINK, out_beats, queue.push, queue.pop)
        sim.run()
        ends = tuple(sim.entries(queue.pop)[out_beats - 1 :: out_beats].tolist())
        first = tuple(sim.entries(entry.push)[:: self.input.beats].tolist())
        return sim, ends, first

    def to_json(self) -> dict[str, Any]:
        """The choices of the plan; with the graph they give the plan again."""
        return {
            "schema": SCHEMA,
            "arch": "dataflow",
            "input_lanes": self.input.lanes,
            "units": [unit.choices() for unit in self.units],
        }


def plan_dataflow(
    graph: Graph,
    multipliers: int | None = None,
    interval: int | None = None,
    choices: dict[str, Any] | None = None,
    progress: Progress | None = None,
) -> DataflowPlan:
    """Plan a legal graph from a multiplier budget, a target interval, or a plan file's choices.

    With none of them: as many multipliers as the default budget, 64. Raises UserError when it
    can not be done.
    """
    stages = stages_of(graph)
    if choices is not None:
        return _from_choices(graph, stages, choices)
    if interval is not None:
        chosen = choose_for_interval(stages, interval)
    else:
        budget = DEFAULT_MULTIPLIERS if multipliers is None else multipliers
        chosen = choose_for_multipliers(stages, budget)
    plan = assemble(graph, stages, chosen)
    return size_buffers(plan, progress)


DEFAULT_MULTIPLIERS = 64


def assemble(
    graph: Graph, stages: list[Stage], chosen: dict[str, Folding], input_lanes: int | None = None
) -> DataflowPlan:
    """Units for the chosen foldings, buffers generous, lanes changed where units disagree."""
    target = max([f.cycles for f in chosen.values()], default=0)
    first = graph.inputs[0]
    height, width, channels = first.hwc
    if input_lanes is None:
        fits = (n for n in range(1, channels) if height * width * beats_of(channels, n) <= target)
        input_lanes = next(fits, channels if target else 1)
        if not target:
            input_lanes = 1
    stream = StreamShape(height * width, channels, input_lanes, first.type.width)
    result = output_stream(graph, stages)
    assembly = _Assembly(stages, result, target)
    assembly.add_streams((INPUT,), stream)
    for stage in stages:
        assembly.add(stage, chosen.get(stage.name))
    return DataflowPlan(graph, stream, tuple(assembly.units), assembly.take(result))


class _Assembly:
    """Units as they are put together, and the streams that they give.

    target : beats of a frame that cost nothing, since another unit takes as long.
    """

    def __init__(self, stages: list[Stage], result: str, target: int) -> None:
        self.units: list[Unit] = []
        self.target = target
        self._names = {stage.name for stage in stages}
        self._shapes: dict[str, StreamShape] = {}
        readers = Counter(name for stage in stages for name in stage.sources)
        readers[result] += 1
        self._readers = readers
        # Streams of each stage that nobody has taken yet: one, or those of its fork.
        self._free: dict[str, list[str]] = {}

    def add_streams(self, names: tuple[str, ...], shape: StreamShape) -> None:
        """What a stage or the input port gives; a fork follows where it has several readers."""
        (name,) = names
        count = self._readers[name]
        self._shapes[name] = shape
        self._free[name] = [name]
        if count > 1:
            fork = ForkUnit(self._fresh(f"{name}_fork"), (), names, shape, shape, 0, (0,) * count)
            self._append(fork)
            self._free[name] = list(fork.streams)

    def take(self, source: str) -> str:
        """A stream of this source that nobody reads yet."""
        return self._free[source].pop(0)

    def add(self, stage: Stage, chosen: Folding | None) -> None:
        """The unit of a stage, behind a Regroup for each input that is not as it wants it."""
        taken = [self.take(source) for source in stage.sources]
        shapes = [self._shapes[name] for name in taken]
        lanes = _lanes(stage, shapes, chosen, self.target)
        inputs, sources = [], []
        for n, (name, shape, tensor) in enumerate(zip(taken, shapes, stage.inputs, strict=True)):
            wanted = _wanted(tensor, shape, lanes)
            if not _same_beats(shape, wanted):
                suffix = "" if len(taken) == 1 else str(n)
                fresh = self._fresh(f"{stage.name}_in{suffix}")
                regroup = RegroupUnit(fresh, (), (name,), shape, wanted, 0)
                self._append(regroup)
                name = regroup.name
            inputs.append(wanted)
            sources.append(name)
        unit = _unit(stage, tuple(sources), inputs, chosen)
        self._append(unit)
        self.add_streams(unit.streams, unit.output)

    def _fresh(self, name: str) -> str:
        """A name that no stage and no unit bears."""
        while name in self._names:
            name += "_"
        self._names.add(name)
        return name

    def _append(self, unit: Unit) -> None:
        self.units.append(_generous(unit))
        for name in unit.streams:
            self._shapes[name] = unit.output


def _lanes(
    stage: Stage, shapes: list[StreamShape], chosen: Folding | None, target: int
) -> int | None:
    """Lanes that all inputs of a stage need; None where each may stay as it is."""
    if isinstance(stage.op, ops.Dense):
        assert chosen is not None
        return chosen.simd
    if isinstance(stage.op, ops.Conv2D) and reads_ring(stage):
        return _ring_lanes(stage, chosen, target)
    if isinstance(stage.op, ops.ArgMax):
        return 1
    if isinstance(stage.op, ops.Slice):
        return sliced_lanes(stage)
    if isinstance(stage.op, ops.Concat):
        common = gcd(*(x.channels for x in stage.inputs))
        beats = stage.output.size
        return next(
            n
            for n in range(1, common + 1)
            if common % n == 0 and (n == common or beats // n <= target)
        )
    return None if len(shapes) == 1 else max(shape.lanes for shape in shapes)


def _ring_lanes(stage: Stage, chosen: Folding | None, target: int) -> int:
    """Lanes of a ring whose words are read in chunks: as few as bring a frame in time."""
    assert chosen is not None
    read = ring_chunk(stage, chosen.pe, chosen.simd)
    assert read is not None
    height, width, channels = stage.input.hwc
    return next(
        n
        for n in range(read[0], channels + 1, read[0])
        if channels % n == 0 and (n == channels or height * width * (channels // n) <= target)
    )


def _wanted(tensor: Tensor, shape: StreamShape, lanes: int | None) -> StreamShape:
    """An input's stream as a stage wants it."""
    height, width, channels = tensor.hwc
    lanes = shape.lanes if lanes is None else lanes
    return StreamShape(height * width, channels, min(lanes, channels), shape.bits)


def _same_beats(a: StreamShape, b: StreamShape) -> bool:
    """Whether beats of one stream are those of the other, whatever counts as a pixel."""
    whole = a.channels % a.lanes == 0 and b.channels % b.lanes == 0
    return a.lanes == b.lanes and (a.channels == b.channels or whole)


def _unit(
    stage: Stage, sources: tuple[str, ...], inputs: list[StreamShape], chosen: Folding | None
) -> Unit:
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
    if reads_ring(stage):
        read = ring_chunk(stage, chosen.pe, chosen.simd)
        assert read is not None
        return RingConvUnit(**common, geometry=geometry, rows=1, parallel=read[1], windows=0)
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


def _generous(unit: Unit) -> Unit:
    for field in unit.capacities:
        unit = unit.with_capacity(field, unit.generous(field))
    return unit


def size_buffers(plan: DataflowPlan, progress: Progress | None = None) -> DataflowPlan:
    """The smallest capacities with which the interval is that of generous ones.

    Each group of capacities is lowered at once where that costs nothing, else its halves, down
    to a bisection of single ones; the costly ones go first.
    """
    say = progress or (lambda text: None)
    for frames in (SIZING_FRAMES, FRAMES):
        sized = _sized(plan, frames, say)
        if frames == FRAMES or sized.interval(FRAMES) <= plan.interval(FRAMES):
            return sized
    raise AssertionError


SIZING_FRAMES = 4
"""Frames that usually show the steady state; the result is checked with FRAMES."""


def _sized(plan: DataflowPlan, frames: int, say: Progress) -> DataflowPlan:
    target = plan.interval(frames)
    say(f"interval {target:g} with generous buffers, bound {plan.interval_bound}")
    knobs = [(i, f) for i, unit in enumerate(plan.units) for f in unit.capacities]
    knobs.sort(key=lambda knob: -_saving(plan.units[knob[0]], knob[1]))
    # Windows and rows cost more than their bits: queues may grow for them, not the other way.
    plan = _lowered(plan, [k for k in knobs if k[1] in WINDOWED], target, frames, say)
    plan = trimmed(plan, frames)
    return _lowered(plan, [k for k in knobs if k[1] not in WINDOWED], target, frames, say)


WINDOWED = ("rows", "parallel", "windows")
"""Capacities of a sliding window."""


def _lowered(
    plan: DataflowPlan, knobs: list[tuple[int, str]], target: float, frames: int, say: Progress
) -> DataflowPlan:
    """Each of some capacities as small as the interval allows, one after the other."""

    def lowered(units: tuple[Unit, ...], group: list[tuple[int, str]]) -> tuple[Unit, ...]:
        trial = units
        for index, field in group:
            trial = _set(trial, index, field, trial[index].smallest(field))
        if trial == units or replace(plan, units=trial).interval(frames) <= target:
            return trial
        if len(group) > 1:
            middle = len(group) // 2
            return lowered(lowered(units, group[:middle]), group[middle:])
        index, field = group[0]
        low, high = units[index].smallest(field), units[index].capacity(field)
        while high - low > 1:
            middle = (low + high) // 2
            trial = _set(units, index, field, middle)
            if replace(plan, units=trial).interval(frames) <= target:
                high = middle
            else:
                low = middle
        say(f"{units[index].name}: {field} {high}")
        return _set(units, index, field, high)

    group = [(i, f) for i, f in knobs if plan.units[i].capacity(f) != plan.units[i].smallest(f)]
    return replace(plan, units=lowered(plan.units, group)) if group else plan


def trimmed(plan: DataflowPlan, frames: int) -> DataflowPlan:
    """The plan with queues as deep as leaves every event of a run of so many frames as it was."""
    sim, _, _ = plan._simulate(frames)
    units = []
    for unit in plan.units:
        for field in unit.capacities:
            queue = sim.queues.get(f"{unit.name}.{field}")
            enough = None if queue is None else queue.sufficient
            if enough is not None:
                enough = max(enough, unit.smallest(field))
                unit = unit.with_capacity(field, min(unit.capacity(field), enough))
        units.append(unit)
    return replace(plan, units=tuple(units))


def _saving(unit: Unit, field: str) -> int:
    if field == "parallel":
        return 1 << 62  # rotating rows costs logic, which bits do not show
    return unit.memory_bits - unit.with_capacity(field, unit.smallest(field)).memory_bits


def _set(units: tuple[Unit, ...], index: int, field: str, value: int) -> tuple[Unit, ...]:
    return (*units[:index], units[index].with_capacity(field, value), *units[index + 1 :])


def _from_choices(graph: Graph, stages: list[Stage], choices: dict[str, Any]) -> DataflowPlan:
    """The plan that a plan file states. Raises UserError where it does not fit the network."""
    if choices.get("schema") != SCHEMA or choices.get("arch") != "dataflow":
        raise UserError(f"not a plan of the dataflow architecture with schema {SCHEMA}")
    by_name = {c.get("name"): c for c in choices.get("units", []) if isinstance(c, dict)}
    chosen = {}
    for stage in stages:
        if not isinstance(stage.op, (ops.Conv2D, ops.Dense)):
            continue
        choice = by_name.get(stage.name)
        if choice is None:
            raise UserError("the plan has no unit for this layer", layer=stage.name)
        try:
            fold = (int(choice["pe"]), int(choice["simd"]), int(choice["pixels"]))
            chosen[stage.name] = folding(stage, *fold)
            if reads_ring(stage) and ring_chunk(stage, *fold[:2]) is None:
                raise ValueError
        except (KeyError, TypeError, ValueError, ZeroDivisionError):
            raise UserError(
                "the plan's pe, simd, pixels are not usable", layer=stage.name
            ) from None
    lanes = choices.get("input_lanes")
    if not isinstance(lanes, int) or not 1 <= lanes <= graph.inputs[0].hwc[2]:
        raise UserError(f"the plan's input_lanes {lanes!r} do not fit the input")
    plan = assemble(graph, stages, chosen, lanes)
    units = []
    for unit in plan.units:
        for field in unit.capacities:
            value = by_name.get(unit.name, {}).get(field)
            if not isinstance(value, int) or not unit.smallest(field) <= value <= 1 << 20:
                raise UserError(f"the plan's {field} {value!r} is not usable", layer=unit.name)
            unit = unit.with_capacity(field, value)
        units.append(unit)
    return replace(plan, units=tuple(units))


__all__ = [
    "DEFAULT_MULTIPLIERS",
    "INPUT_FIFO",
    "DataflowPlan",
    "plan_dataflow",
    "size_buffers",
    "steady_interval",
    "trimmed",
]
