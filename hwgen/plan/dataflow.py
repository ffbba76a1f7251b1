"""Plan of the dataflow architecture: units in stream order with all their numbers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from ..errors import UserError
from ..ir import Graph, Tensor, ops
from . import latency
from .events import FRAMES, Deadlock, Simulation, Timing, sink, source, steady_interval
from .folding import Folding, choose_for_interval, choose_for_multipliers, folding
from .stages import Stage, stages_of, window_of
from .units import (
    ArgMaxUnit,
    ConvUnit,
    DenseUnit,
    RegroupUnit,
    RequantUnit,
    StreamPoolUnit,
    StreamShape,
    Unit,
    WindowPoolUnit,
    beats_of,
    with_capacity,
)

SCHEMA = 1
INPUT_FIFO = 2
"""Beats held behind the input port; two sustain one a cycle."""

Progress = Callable[[str], None]


@dataclass(frozen=True)
class DataflowPlan:
    """Units of a network in stream order. ``input`` is the stream at the input port."""

    graph: Graph
    input: StreamShape
    units: tuple[Unit, ...]

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
            {name: level(until) for name, level in sim.levels.items()},
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
        queue = sim.queue("input.fifo", INPUT_FIFO)
        entry = queue
        sim.processes.append(source(queue, frames * self.input.beats))
        for unit in self.units:
            queue = unit.simulate(sim, queue)
        out_beats = self.units[-1].output.beats
        sim.processes.append(sink(queue, frames * out_beats))
        sim.run()
        ends = tuple(queue.pop[(f + 1) * out_beats - 1] for f in range(frames))
        first = tuple(entry.push[f * self.input.beats] for f in range(frames))
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
    entry = stream
    units: list[Unit] = []
    for stage in stages:
        stream = _regrouped(units, stage, stream, chosen.get(stage.name))
        unit = _unit(stage, stream, chosen.get(stage.name))
        units.append(unit)
        stream = unit.output
    last = graph.tensors[graph.outputs[0]].hwc
    if stream.channels * stream.pixels != last[0] * last[1] * last[2]:
        raise AssertionError("the units lose elements")
    return DataflowPlan(graph, entry, tuple(_generous(unit) for unit in units))


def _regrouped(
    units: list[Unit], stage: Stage, stream: StreamShape, chosen: Folding | None
) -> StreamShape:
    """The stream as the stage wants it; adds a Regroup where it differs."""
    height, width, channels = stage.input.hwc
    lanes = stream.lanes
    if isinstance(stage.op, ops.Dense):
        assert chosen is not None
        lanes = chosen.simd
    elif isinstance(stage.op, ops.ArgMax):
        lanes = 1
    elif channels != stream.channels:
        lanes = min(lanes, channels)
    wanted = StreamShape(height * width, channels, lanes, stream.bits)
    same_beats = lanes == stream.lanes and (
        channels == stream.channels or (stream.channels % lanes == 0 and channels % lanes == 0)
    )
    if not same_beats:
        units.append(RegroupUnit(f"{stage.name}_in", (), stream, wanted, 0))
    return wanted


def _unit(stage: Stage, stream: StreamShape, chosen: Folding | None) -> Unit:
    height, width, channels = stage.output.hwc
    bits = stage.output.type.width

    def out(lanes: int) -> StreamShape:
        return StreamShape(height * width, channels, lanes, bits)

    op = stage.op
    if isinstance(op, (ops.Conv2D, ops.Dense)):
        assert chosen is not None
        return _mac_unit(stage, stream, out(chosen.lanes), chosen)
    common = {"name": stage.name, "layers": stage.layers, "input": stream, "fifo": 1}
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
    assert isinstance(op, ops.Requantize)
    multiplies = needs_multiplier(op, stage.input)
    return RequantUnit(
        **common, output=out(stream.lanes), delay=latency.requantizer(multiplies, channels),
        multiplies=multiplies, parameter_bits=_parameter_bits(op),
    )  # fmt: skip


def _mac_unit(stage: Stage, stream: StreamShape, output: StreamShape, chosen: Folding) -> Unit:
    op, requant = stage.op, stage.requant
    assert isinstance(op, (ops.Conv2D, ops.Dense)) and requant is not None
    acc = op.infer(stage.name, [stage.input])
    outputs = op.weights.shape[-1]
    common: dict[str, Any] = {
        "name": stage.name,
        "layers": stage.layers,
        "input": stream,
        "output": output,
        "fifo": 1,
        "fold": (chosen.pe, chosen.simd, chosen.pixels),
        "taps": op.weights.size // outputs,
        "outputs": outputs,
        "multiplies": needs_multiplier(requant, acc),
        "weight_bits": op.weight_type.width,
        "acc_bits": acc.type.width + (not acc.type.signed),
        "parameter_bits": _parameter_bits(requant),
        "shadow": 1,
    }
    if isinstance(op, ops.Dense):
        return DenseUnit(**common)
    geometry = window_of(stage, stream.lanes, chosen.pixels)
    return ConvUnit(**common, geometry=geometry, rows=1, parallel=True, windows=1)


def needs_multiplier(op: ops.Requantize, x: Tensor) -> bool:
    """Whether the channels have multipliers other than one common power of two."""
    values = set(op.mult.tolist())
    first = next(iter(values))
    return len(values) > 1 or first <= 0 or first & (first - 1) != 0


def _parameter_bits(op: ops.Requantize) -> int:
    wide = np.concatenate([np.atleast_1d(op.mult), np.atleast_1d(op.bias)])
    return 2 * max(int(v).bit_length() for v in wide.tolist())


def _generous(unit: Unit) -> Unit:
    for field in unit.capacities:
        unit = with_capacity(unit, field, unit.generous(field))
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
    say(f"interval {target} with generous buffers, bound {plan.interval_bound}")
    knobs = [(i, f) for i, unit in enumerate(plan.units) for f in unit.capacities]
    knobs.sort(key=lambda knob: -_saving(plan.units[knob[0]], knob[1]))

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
        low, high = units[index].smallest(field), units[index].generous(field)
        while high - low > 1:
            middle = (low + high) // 2
            trial = _set(units, index, field, middle)
            if replace(plan, units=trial).interval(frames) <= target:
                high = middle
            else:
                low = middle
        say(f"{units[index].name}: {field} {high}")
        return _set(units, index, field, high)

    return replace(plan, units=lowered(plan.units, knobs)) if knobs else plan


def _saving(unit: Unit, field: str) -> int:
    if field == "parallel":
        return 1 << 62  # rotating rows costs logic, which bits do not show
    return unit.memory_bits - with_capacity(unit, field, unit.smallest(field)).memory_bits


def _set(units: tuple[Unit, ...], index: int, field: str, value: int) -> tuple[Unit, ...]:
    return (*units[:index], with_capacity(units[index], field, value), *units[index + 1 :])


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
            unit = with_capacity(unit, field, value)
        units.append(unit)
    return replace(plan, units=tuple(units))


__all__ = [
    "DEFAULT_MULTIPLIERS",
    "INPUT_FIFO",
    "DataflowPlan",
    "plan_dataflow",
    "size_buffers",
    "steady_interval",
]
