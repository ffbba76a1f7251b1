"""Units of the dataflow architecture as data: sizes, bounds, and their event processes.

Each unit reads one stream and writes one. ``bounds`` are the beats a frame takes at each of its
resources; the largest over all units is the interval bound of the accelerator.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from ..geometry import WindowGeometry
from . import latency
from .drain_events import drain_process
from .events import Process, Queue, Simulation
from .window_events import WindowEvents, window_events


def beats_of(elements: int, lanes: int) -> int:
    """Beats that carry this many elements."""
    return -(-elements // lanes)


@dataclass(frozen=True)
class StreamShape:
    """How a tensor is streamed: pixels of ``channels`` elements of ``bits``, ``lanes`` a beat."""

    pixels: int
    channels: int
    lanes: int
    bits: int

    @property
    def beats(self) -> int:
        """Beats of a frame."""
        return self.pixels * beats_of(self.channels, self.lanes)


@dataclass(frozen=True)
class Unit:
    """What all units have: a name, the graph's layers they carry out, their two streams.

    ``fifo``: entries of the output FIFO.
    """

    kind: ClassVar[str]
    capacities: ClassVar[tuple[str, ...]] = ("fifo",)
    """Fields that the event model sizes."""

    name: str
    layers: tuple[str, ...]
    input: StreamShape
    output: StreamShape
    fifo: int

    @property
    def bounds(self) -> dict[str, int]:
        """Beats of a frame at each resource."""
        return {"input": self.input.beats, "output": self.output.beats}

    @property
    def macs(self) -> int:
        """Multiply-accumulates of a frame."""
        return 0

    @property
    def pe(self) -> int:
        """Outputs at a time, 0 where there are no multipliers."""
        return 0

    @property
    def simd(self) -> int:
        """Products summed at a time, 0 where there are no multipliers."""
        return 0

    @property
    def multipliers(self) -> int:
        """MAC lanes."""
        return 0

    @property
    def requant_multipliers(self) -> int:
        """Multipliers of the requantizers."""
        return 0

    @property
    def busy(self) -> int:
        """Cycles a frame in which the unit takes or makes something."""
        return self.bounds.get("compute", self.input.beats)

    @property
    def memory_bits(self) -> int:
        """Bits of buffers and parameter memories."""
        return self.fifo * self.output.lanes * self.output.bits

    def smallest(self, field: str) -> int:
        """Least capacity that can work at all."""
        return 1

    def generous(self, field: str) -> int:
        """A capacity beyond which more does not help.

        Behind a pool or a stride results come in bursts, a row at a time.
        """
        return latency.requantizer(True) + 6 + self.burst

    @property
    def burst(self) -> int:
        """Beats that leave faster than the frame's average."""
        return 0

    def choices(self) -> dict[str, Any]:
        """What a plan file states of this unit."""
        out: dict[str, Any] = {"name": self.name, "kind": self.kind, "layers": list(self.layers)}
        out["lanes"] = self.output.lanes
        for field in self.capacities:
            out[field] = getattr(self, field)
        return out

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        """Add this unit's processes; returns its output queue."""
        raise AssertionError(f"{self.kind} has no event model")


@dataclass(frozen=True)
class MacUnit(Unit):
    """Common to units with a MAC array and a drain.

    fold : (pe, simd, pixels). taps, outputs : of the weight matrix. multiplies : whether the
    requantizers need multipliers. shadow : words of finished accumulators. Bits of a weight, an
    accumulator, and a channel's requantization parameters.
    """

    fold: tuple[int, int, int]
    taps: int
    outputs: int
    multiplies: bool
    weight_bits: int
    acc_bits: int
    parameter_bits: int
    shadow: int

    @property
    def pe(self) -> int:
        return self.fold[0]

    @property
    def simd(self) -> int:
        return self.fold[1]

    @property
    def pixels(self) -> int:
        """Output pixels computed side by side."""
        return self.fold[2]

    @property
    def tap_folds(self) -> int:
        """Cycles for all taps of one output fold."""
        return beats_of(self.taps, self.simd)

    @property
    def out_folds(self) -> int:
        """Folds of the outputs."""
        return beats_of(self.outputs, self.pe)

    @property
    def multipliers(self) -> int:
        return self.pe * self.simd * self.pixels

    @property
    def requant_multipliers(self) -> int:
        return self.output.lanes if self.multiplies else 0

    @property
    def macs(self) -> int:
        return self.output.pixels * self.taps * self.outputs

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {"compute": self.compute, "requant": self.output.beats}

    @property
    def compute(self) -> int:
        """MAC array cycles of a frame."""
        raise AssertionError

    @property
    def memory_bits(self) -> int:
        folds = self.tap_folds * self.out_folds
        return (
            super().memory_bits
            + folds * self.pe * self.simd * self.weight_bits
            + self.shadow * self.pe * self.pixels * self.acc_bits
            + self.outputs * self.parameter_bits
        )

    def choices(self) -> dict[str, Any]:
        return super().choices() | {"pe": self.pe, "simd": self.simd, "pixels": self.pixels}

    def word_beats(self) -> Iterator[int]:
        """Beats in which each shadow word leaves, for ever."""
        while True:
            for out_fold in range(self.out_folds):
                width = min(self.pe, self.outputs - out_fold * self.pe)
                yield beats_of(width, self.output.lanes)

    def drain(self, sim: Simulation, shadow: Queue, words: int) -> Queue:
        """Add the drain; returns the output queue."""
        out = sim.queue(f"{self.name}.fifo", self.fifo)
        delay = latency.requantizer(self.multiplies)
        sim.processes.append(drain_process(shadow, out, words, self.word_beats(), delay))
        return out


@dataclass(frozen=True)
class ConvUnit(MacUnit):
    """Ring of rows, window, MAC array, drain. See gateware Conv.

    rows, parallel, windows : of the ring and of the window queue.
    """

    kind: ClassVar[str] = "conv"
    capacities: ClassVar[tuple[str, ...]] = ("rows", "parallel", "windows", "shadow", "fifo")

    geometry: WindowGeometry
    rows: int
    parallel: bool
    windows: int

    @property
    def compute(self) -> int:
        rows = self.geometry.out_size[0]
        return rows * self.geometry.groups * self.tap_folds * self.out_folds

    @property
    def memory_bits(self) -> int:
        row = self.geometry.row_beats * self.geometry.lanes * self.input.bits
        return super().memory_bits + self.rows * row

    def smallest(self, field: str) -> int:
        if field == "rows":
            return rows_needed(self.geometry)
        return 0 if field == "parallel" else 1

    def generous(self, field: str) -> int:
        if field == "rows":
            return 2 * self.geometry.kernel[0] + self.geometry.stride[0] + 1
        if field == "windows":
            return self.geometry.window_columns + 2
        if field == "parallel":
            return 1
        if field == "shadow":
            return latency.mac(self.simd) + 4
        return super().generous(field)

    @property
    def burst(self) -> int:
        g = self.geometry
        return self.output.beats // g.out_size[0] if g.stride[0] > 1 else 0

    def word_beats(self) -> Iterator[int]:
        if self.pixels == 1:
            yield from super().word_beats()
        beats = beats_of(self.outputs, self.output.lanes)
        last = self.geometry.out_size[1] - (self.geometry.groups - 1) * self.pixels
        while True:
            for _ in range(self.geometry.groups - 1):
                yield self.pixels * beats
            yield last * beats

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        g = self.geometry
        events = window_events(
            sim, self.name, g, source, self.rows, self.parallel, self.windows
        )
        shadow = sim.queue(f"{self.name}.shadow", self.shadow)
        windows = sim.frames * g.out_size[0] * g.groups
        sim.processes.append(self._compute(sim, events, shadow, windows))
        return self.drain(sim, shadow, windows * self.out_folds)

    def _compute(
        self, sim: Simulation, events: WindowEvents, shadow: Queue, windows: int
    ) -> Process:
        work = sim.work(self.name)
        head, consumed, push, pop = events.head, events.consumed, shadow.push, shadow.pop
        folds, cycles, depth = self.out_folds, self.tap_folds, shadow.depth
        delay = latency.mac(self.simd)
        time, word = -1, 0
        for window in range(windows):
            while len(head) <= window:
                yield
            begin = max(time + 1, head[window] + 1)
            work.starved += begin - time - 1
            work.issued.append(begin)
            time = begin - 1
            for _ in range(folds):
                ready = time = time + cycles
                if word >= depth:
                    while len(pop) <= word - depth:
                        yield
                    time = max(time, pop[word - depth] + 1)
                work.blocked += time - ready
                push.append(time + delay)
                word += 1
            consumed.append(time)


@dataclass(frozen=True)
class DenseUnit(MacUnit):
    """Input-stationary matrix product, drain. See gateware Dense."""

    kind: ClassVar[str] = "dense"
    capacities: ClassVar[tuple[str, ...]] = ("shadow", "fifo")

    @property
    def compute(self) -> int:
        return self.tap_folds * self.out_folds

    @property
    def memory_bits(self) -> int:
        psums = self.out_folds * self.pe * self.acc_bits if self.out_folds > 1 else 0
        return super().memory_bits + psums

    def generous(self, field: str) -> int:
        if field == "shadow":
            return self.out_folds + latency.mac(self.simd) + 2
        return super().generous(field)

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        shadow = sim.queue(f"{self.name}.shadow", self.shadow)
        sim.processes.append(self._compute(sim, source, shadow))
        return self.drain(sim, shadow, sim.frames * self.out_folds)

    def _compute(self, sim: Simulation, source: Queue, shadow: Queue) -> Process:
        work = sim.work(self.name)
        pushed, popped, push, pop = source.push, source.pop, shadow.push, shadow.pop
        folds, depth, delay = self.out_folds, shadow.depth, latency.mac(self.simd)
        time, word = -1, 0
        for _ in range(sim.frames):
            for beat in range(self.tap_folds):
                while len(pushed) <= len(popped):
                    yield
                begin = max(time + 1, pushed[len(popped)] + 1)
                work.starved += begin - time - 1
                work.issued.append(begin)
                if beat < self.tap_folds - 1:
                    time = begin + folds - 1
                else:
                    time = begin - 1
                    for _ in range(folds):
                        time += 1
                        if word >= depth:
                            while len(pop) <= word - depth:
                                yield
                            work.blocked += max(0, pop[word - depth] + 1 - time)
                            time = max(time, pop[word - depth] + 1)
                        push.append(time + delay)
                        word += 1
                popped.append(time)


@dataclass(frozen=True)
class BeatUnit(Unit):
    """Common to units that take a beat a cycle and answer some of them a fixed time later."""

    delay: int

    def completes(self) -> list[bool]:
        """For each input beat of a frame, whether it gives an output beat."""
        return [True] * self.input.beats

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        out = sim.queue(f"{self.name}.fifo", self.fifo)
        sim.processes.append(self._take(sim, source, out))
        return out

    def _take(self, sim: Simulation, source: Queue, out: Queue) -> Process:
        work = sim.work(self.name)
        pushed, popped, push, pop = source.push, source.pop, out.push, out.pop
        completes, depth = self.completes(), out.depth
        time = -1
        for _ in range(sim.frames):
            for gives in completes:
                while len(pushed) <= len(popped):
                    yield
                begin = max(time + 1, pushed[len(popped)] + 1)
                work.starved += begin - time - 1
                time = begin
                if gives:
                    n = len(push)
                    if n >= depth:
                        while len(pop) <= n - depth:
                            yield
                        time = max(time, pop[n - depth] + 1)
                        work.blocked += time - begin
                    push.append(time + self.delay)
                popped.append(time)


@dataclass(frozen=True)
class StreamPoolUnit(BeatUnit):
    """Pool without overlap. See gateware StreamPool."""

    kind: ClassVar[str] = "stream_pool"

    geometry: WindowGeometry
    partial_bits: int

    burst = ConvUnit.burst

    def completes(self) -> list[bool]:
        g = self.geometry
        rows, columns = (_last_of_window(g, axis) for axis in (0, 1))
        return [r and c for r in rows for c in columns for _ in range(g.beats)]

    @property
    def memory_bits(self) -> int:
        g = self.geometry
        partial = g.out_size[1] * g.beats * g.lanes * self.partial_bits
        return super().memory_bits + partial


def _last_of_window(g: WindowGeometry, axis: int) -> list[bool]:
    """For each coordinate, whether it is the last real one of a window."""
    size, kernel, stride = g.size[axis], g.kernel[axis], g.stride[axis]
    last = [False] * size
    for window in range(g.out_size[axis]):
        last[min(size - 1, window * stride - g.pads[axis][0] + kernel - 1)] = True
    return last


@dataclass(frozen=True)
class RequantUnit(BeatUnit):
    """Requantizers on a stream. See gateware Requant."""

    kind: ClassVar[str] = "requant"

    multiplies: bool
    parameter_bits: int

    @property
    def requant_multipliers(self) -> int:
        return self.output.lanes if self.multiplies else 0

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {"requant": self.input.beats}

    @property
    def memory_bits(self) -> int:
        return super().memory_bits + self.output.channels * self.parameter_bits


@dataclass(frozen=True)
class ArgMaxUnit(BeatUnit):
    """Index of the largest channel. See gateware ArgMax."""

    kind: ClassVar[str] = "argmax"

    def completes(self) -> list[bool]:
        pixel = [False] * (self.input.channels - 1) + [True]
        return pixel * self.input.pixels


@dataclass(frozen=True)
class WindowPoolUnit(Unit):
    """Pool with overlap: ring of rows and window. See gateware WindowPool."""

    kind: ClassVar[str] = "window_pool"
    capacities: ClassVar[tuple[str, ...]] = ("rows", "parallel", "windows", "fifo")

    geometry: WindowGeometry
    rows: int
    parallel: bool
    windows: int

    @property
    def bounds(self) -> dict[str, int]:
        return super().bounds | {"compute": self.output.beats}

    @property
    def memory_bits(self) -> int:
        row = self.geometry.row_beats * self.geometry.lanes * self.input.bits
        return super().memory_bits + self.rows * row

    smallest = ConvUnit.smallest
    burst = ConvUnit.burst

    def generous(self, field: str) -> int:
        if field == "rows":
            return 2 * self.geometry.kernel[0] + self.geometry.stride[0] + 1
        if field == "windows":
            return self.geometry.window_columns + 2
        return 1 if field == "parallel" else super().generous(field)

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        g = self.geometry
        events = window_events(
            sim, self.name, g, source, self.rows, self.parallel, self.windows
        )
        out = sim.queue(f"{self.name}.fifo", self.fifo)
        sim.processes.append(self._reduce(sim, events, out))
        return out

    def _reduce(self, sim: Simulation, events: WindowEvents, out: Queue) -> Process:
        work = sim.work(self.name)
        head, consumed, push, pop = events.head, events.consumed, out.push, out.pop
        delay = latency.window_pool(self.geometry.kernel[0] * self.geometry.kernel[1])
        time = -1
        for window in range(sim.frames * self.output.pixels):
            while len(head) <= window:
                yield
            begin = max(time + 1, head[window] + 1)
            work.starved += begin - time - 1
            work.issued.append(begin)
            time = begin - 1
            for _ in range(self.geometry.beats):
                time += 1
                n = len(push)
                if n >= out.depth:
                    while len(pop) <= n - out.depth:
                        yield
                    work.blocked += max(0, pop[n - out.depth] + 1 - time)
                    time = max(time, pop[n - out.depth] + 1)
                push.append(time + delay)
            consumed.append(time)


@dataclass(frozen=True)
class RegroupUnit(Unit):
    """Change of lanes or of pixel size. See gateware Regroup."""

    kind: ClassVar[str] = "regroup"
    capacities: ClassVar[tuple[str, ...]] = ()

    @property
    def capacity(self) -> int:
        """Elements it can hold."""
        a, b = self.input.lanes, self.output.lanes
        return a + b + max(a, b) - 1

    @property
    def memory_bits(self) -> int:
        return self.capacity * self.input.bits

    def simulate(self, sim: Simulation, source: Queue) -> Queue:
        # Not a FIFO of beats: its level counts elements, its room follows from that.
        out = sim.queue(f"{self.name}.fifo", 0)
        sizes_in, sizes_out = _beat_sizes(self.input), _beat_sizes(self.output)
        out.weight_in = lambda n: sizes_out[n % len(sizes_out)]
        out.weight_out = out.weight_in
        del sim.levels[f"{self.name}.fifo"]
        sim.levels[f"{self.name}.elements"] = lambda until: _element_high_water(
            source.pop, out.pop, sizes_in, sizes_out, until
        )
        sim.processes.append(self._take(sim, source, out, sizes_in, sizes_out))
        return out

    def _take(
        self, sim: Simulation, source: Queue, out: Queue, sizes_in: list[int], sizes_out: list[int]
    ) -> Process:
        pushed, popped, push, pop = source.push, source.pop, out.push, out.pop
        lanes, capacity = self.input.lanes, self.capacity
        work = sim.work(self.name)
        time, taken, offered = -1, 0, 0
        given, givens = 0, 0
        for beat in range(sim.frames * len(sizes_in)):
            while len(pushed) <= beat:
                yield
            begin = max(time + 1, pushed[beat] + 1)
            work.starved += begin - time - 1
            time = begin
            # Room for a whole beat, counting what had left before this cycle.
            while taken - given + lanes > capacity:
                while len(pop) <= givens:
                    yield
                time = max(time, pop[givens] + 1)
                given += sizes_out[givens % len(sizes_out)]
                givens += 1
            work.blocked += time - begin
            taken += sizes_in[beat % len(sizes_in)]
            popped.append(time)
            while offered + sizes_out[len(push) % len(sizes_out)] <= taken:
                offered += sizes_out[len(push) % len(sizes_out)]
                push.append(time)


def _beat_sizes(stream: StreamShape) -> list[int]:
    """Elements of each beat of a frame."""
    beats = beats_of(stream.channels, stream.lanes)
    pixel = [stream.lanes] * (beats - 1) + [stream.channels - (beats - 1) * stream.lanes]
    return pixel * stream.pixels


def _element_high_water(
    taken: list[int], given: list[int], sizes_in: list[int], sizes_out: list[int], until: int
) -> int:
    level = most = n_out = 0
    for n, time in enumerate(taken):
        if time + 1 >= until:
            break
        level += sizes_in[n % len(sizes_in)]
        while n_out < len(given) and given[n_out] <= time:
            level -= sizes_out[n_out % len(sizes_out)]
            n_out += 1
        most = max(most, level)
    return most


def rows_needed(geometry: WindowGeometry) -> int:
    """Rows that a window spans at most: the smallest ring."""
    return max(geometry.rows_waited(row) + 1 for row in range(geometry.out_size[0]))


def with_capacity(unit: Unit, field: str, value: int) -> Unit:
    """The unit with one capacity changed."""
    return replace(unit, **{field: bool(value) if field == "parallel" else value})


__all__ = [
    "ArgMaxUnit",
    "ConvUnit",
    "DenseUnit",
    "MacUnit",
    "RegroupUnit",
    "RequantUnit",
    "StreamPoolUnit",
    "StreamShape",
    "Unit",
    "WindowPoolUnit",
    "beats_of",
    "rows_needed",
    "with_capacity",
]
