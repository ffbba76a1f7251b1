"""Units of chosen foldings, connected: forks where a stream has several readers, changes of lanes
where units disagree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from ...identifiers import suffixes
from ...ir import Graph, Tensor
from ...numeric import ceil_div
from .plan import DataflowPlan
from .ports import INPUT, OUTPUT, Port, input_streams
from .rules import Folding, Place, Stage
from .stages import output_streams
from .units import ForkUnit, RegroupUnit, StreamShape, Unit


def assemble(
    graph: Graph,
    stages: list[Stage],
    chosen: dict[str, Folding],
    input_lanes: Mapping[str, int] | None = None,
) -> DataflowPlan:
    """Units for the chosen foldings, buffers generous, lanes changed where units disagree.

    input_lanes : elements of a beat at the ports of inputs, by the inputs' names; as few as bring a
    frame in time where nothing is said.
    """
    fixed = (stage.rule.fixed_cycles(stage) for stage in stages)
    target = max([*(f.cycles for f in chosen.values()), *fixed], default=0)
    stated, streams = input_lanes or {}, input_streams(graph)
    results = output_streams(graph, stages)
    assembly = _Assembly(stages, [*streams.values()], [*results.values()], target)
    inputs = []
    for x, suffix in zip(graph.inputs, suffixes([*streams]), strict=True):
        height, width, channels = x.hwc
        lanes = stated.get(x.name) or _fewest_lanes(height * width, channels, target)
        shape = StreamShape(height * width, channels, lanes, x.type.width)
        inputs.append(Port(INPUT, x.name, suffix, streams[x.name], shape))
        assembly.add_streams((streams[x.name],), shape)
    for stage in stages:
        assembly.add(stage, chosen.get(stage.name))
    outputs = []
    for (name, source), suffix in zip(results.items(), suffixes([*results]), strict=True):
        stream = assembly.take(source)
        outputs.append(Port(OUTPUT, name, suffix, stream, assembly.shape_of(stream)))
    return DataflowPlan(graph, tuple(inputs), tuple(assembly.units), tuple(outputs))


def _fewest_lanes(pixels: int, channels: int, target: int) -> int:
    """Lanes of an input with which a frame takes no more beats than cost nothing."""
    if not target:
        return 1
    fits = (n for n in range(1, channels) if pixels * ceil_div(channels, n) <= target)
    return next(fits, channels)


class _Assembly:
    """Units as they are put together, and the streams that they give.

    inputs : streams from the ports. results : the streams that go to ports. target : beats of a
    frame that cost nothing, since another unit takes as long.
    """

    def __init__(
        self, stages: list[Stage], inputs: list[str], results: list[str], target: int
    ) -> None:
        self.units: list[Unit] = []
        self.target = target
        self._names = {*inputs, *(stage.name for stage in stages)}
        self._shapes: dict[str, StreamShape] = {}
        self._readers = Counter(name for stage in stages for name in stage.sources)
        self._readers.update(results)
        # Streams of each stage that nobody has taken yet: one, or those of its fork.
        self._free: dict[str, list[str]] = {}

    def add_streams(self, names: tuple[str, ...], shape: StreamShape) -> None:
        """What a stage or an input's port gives; a fork follows where it has several readers."""
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

    def shape_of(self, stream: str) -> StreamShape:
        """How a stream comes."""
        return self._shapes[stream]

    def add(self, stage: Stage, chosen: Folding | None) -> None:
        """The unit of a stage, behind a Regroup for each input that is not as it wants it."""
        taken = tuple(self.take(source) for source in stage.sources)
        shapes = tuple(self._shapes[name] for name in taken)
        lanes = stage.rule.lanes(stage, Place(taken, shapes, chosen), self.target)
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
        unit = stage.rule.unit(stage, Place(tuple(sources), tuple(inputs), chosen))
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


def _wanted(tensor: Tensor, shape: StreamShape, lanes: int | None) -> StreamShape:
    """An input's stream as a stage wants it."""
    height, width, channels = tensor.hwc
    lanes = shape.lanes if lanes is None else lanes
    return StreamShape(height * width, channels, min(lanes, channels), shape.bits)


def _same_beats(a: StreamShape, b: StreamShape) -> bool:
    """Whether beats of one stream are those of the other, whatever counts as a pixel."""
    whole = a.channels % a.lanes == 0 and b.channels % b.lanes == 0
    return a.lanes == b.lanes and (a.channels == b.channels or whole)


def _generous(unit: Unit) -> Unit:
    for field in unit.capacities:
        unit = unit.with_capacity(field, unit.generous(field))
    return unit
