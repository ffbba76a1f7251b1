"""Unit benches: components with expected beats, many of them side by side in one design.

A case is a component with one input and one output stream, the beats that go in and those that
must come out. ``Bundle`` puts the cases of all families into one design; each family's cocotb
module drives its own cases, one after the other.
The same cases are made in the simulator as outside it: they follow from seeds.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib import import_module
from pathlib import Path
from typing import Any

import cocotb
import numpy as np
from amaranth.hdl import ClockDomain, ClockSignal, Module, ResetSignal
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from hwgen.archs.dataflow.lower import lower_unit
from hwgen.emit.verilog import to_verilog
from hwgen.gateware.common.streams import element
from hwgen.ir import Graph, Node, Op, Tensor, execute
from hwgen.plan.dataflow.assembly import assemble
from hwgen.plan.dataflow.plan import DataflowPlan
from hwgen.plan.dataflow.rules import Folding, MacRule
from hwgen.plan.dataflow.stages import stages_of
from hwgen.plan.dataflow.units import StreamShape

from .runner import Build, build, test
from .streams import ALWAYS, Gaps, Sink, Source, check_equal, internal, reset, stream

FAMILIES = (
    "fifo", "requantizer", "mac", "window", "pool", "conv", "dense", "elementwise", "table",
    "border", "softmax", "ports", "memory", "compute", "fetch", "result",
)  # fmt: skip
"""Each has a module bench_FAMILY with a function ``parts`` that gives components by name."""

QUIET_LIMIT = 500
TAIL = 30
"""Cycles in which nothing more may come."""

Pair = tuple[Gaps, Gaps]
"""Gaps of source and sink."""

GAPS = tuple(
    cocotb.Param((source, sink), f"{source.mode}_{sink.mode}")
    for source, sink in (
        (ALWAYS, ALWAYS),
        (Gaps("random", 1), ALWAYS),
        (ALWAYS, Gaps("random", 2)),
        (Gaps("bursty", 3), Gaps("bursty", 4)),
    )
)
"""What each case is driven with."""

STEADY = GAPS[:2]
"""Those with a sink that is always ready, for what can not be held up."""


@dataclass(frozen=True)
class UnitCase:
    """A component and what it must do.

    Parameters
    ----------
    name : in the design. make : gives the component, with streams ``i`` and ``o``.
    beats, want : payloads in and out. masks : bits of each output that count (default: all).
    frame_out : output beats of a frame.
    completes, latency : output n comes ``latency`` cycles after input beat completes[n] is taken,
    when the sink is always ready; where ``undisturbed`` is set, only with the source always
    willing as well.
    ends : cycle of each frame's last beat out, counted from the first beat offered, no gaps.
    steady : without gaps the source is never held up (True), or it is (False).
    stalls : the output can be held up.
    """

    name: str
    make: Callable[[], wiring.Component]
    beats: Sequence[int]
    want: Sequence[int]
    masks: Sequence[int] | None = None
    frame_out: int = 1
    completes: Sequence[int] = ()
    latency: int = 0
    undisturbed: bool = False
    ends: tuple[int, ...] | None = None
    steady: bool | None = None
    stalls: bool = True


class Bundle(wiring.Component):
    """Components side by side; each one's members are ports prefixed with its name and ``__``.

    Each has a clock and a reset of its own, clk_NAME and rst_NAME: a simulator spends no time on
    those whose clocks rest.
    """

    def __init__(self, parts: dict[str, wiring.Component]) -> None:
        self.parts = parts
        clocks = {f"{signal}_{name}": In(1) for name in parts for signal in ("clk", "rst")}
        super().__init__({name: Out(part.signature) for name, part in parts.items()} | clocks)

    def elaborate(self, platform: Any) -> Module:
        """One submodule a part, with a clock domain around it."""
        m = Module()
        for name, part in self.parts.items():
            m.submodules[f"part_{name}"] = clocked = Module()
            clocked.domains.sync = ClockDomain(local=True)
            clk, rst = clock_of(self, name)
            clocked.d.comb += [ClockSignal().eq(clk), ResetSignal().eq(rst)]
            clocked.submodules.part = part
            wiring.connect(m, wiring.flipped(getattr(self, name)), part)
        return m


def clock_of(design: Any, name: str) -> tuple[Any, Any]:
    """Clock and reset of a part, of a Bundle or of its simulation."""
    return getattr(design, f"clk_{name}"), getattr(design, f"rst_{name}")


def write_units(folder: Path, families: Sequence[str] = FAMILIES) -> None:
    """One design with all components of some families: Verilog, and memory images in mem/."""
    parts: dict[str, wiring.Component] = {}
    for family in families:
        parts |= import_module(_module(family)).parts()
    design = to_verilog(Bundle(parts), "units")
    (folder / "mem").mkdir(parents=True, exist_ok=True)
    for name, image in design.images.items():
        (folder / "mem" / name).write_text(image.to_hex())
    for name, text in design.sources.items():
        (folder / name).write_text(text)


def build_units(simulator: str, folder: Path) -> Build:
    """What ``write_units`` left in a folder, compiled. Errors as of runner.build."""
    sources = sorted(folder.glob("*.v"))
    return build(sources, "units", simulator, folder / simulator, mem_dir=folder / "mem")


def run_units(built: Build, families: Sequence[str] = FAMILIES) -> dict[str, tuple[str, ...]]:
    """Run the benches of families of a design; the tests of each, all of which passed.

    All run in one simulation, whose start takes longer than most of them. Raises BenchError when a
    case fails.
    """
    ran = test(built, [_module(family) for family in families], built.path / "run")
    return {
        family: tuple(test for test in ran.tests if test.startswith(f"{_module(family)}."))
        for family in families
    }


def _module(family: str) -> str:
    """The module of a family's bench."""
    return f"{__package__}.bench_{family}"


def by_name(cases: Sequence[UnitCase]) -> dict[str, wiring.Component]:
    """The components of cases: ``parts`` of a family that has nothing else."""
    return {case.name: case.make() for case in cases}


def choices(cases: Sequence[UnitCase]) -> list[cocotb.Param]:
    """Cases as values of a test's parameter, under their names."""
    return [cocotb.Param(case, case.name) for case in cases]


async def run_case(dut: Any, case: UnitCase, gaps: Pair) -> None:
    """Drive a case in the simulator and check all it says."""
    source_gaps, sink_gaps = gaps
    dut._log.info(f"{case.name}: source {source_gaps}, sink {sink_gaps}")
    i_valid, i_ready, i_fields = internal(dut, f"{case.name}__i")
    o_valid, o_ready, o_fields = internal(dut, f"{case.name}__o")
    source = Source(i_valid, i_ready, i_fields, [(beat,) for beat in case.beats], source_gaps)
    ready = o_ready if case.stalls else None
    sink = Sink(o_valid, ready, o_fields, len(case.want), sink_gaps, case.name)
    clk, rst = clock_of(dut, case.name)
    await reset(clk, rst, [i_valid, *i_fields, o_ready])
    await stream(clk, [source], [sink], QUIET_LIMIT, tail=TAIL)
    check_equal(sink.rows[0], case.want, len(o_fields[0]), case.masks)
    if sink_gaps.mode == "always":
        _check_times(case, source.taken, sink.times, source_gaps.mode == "always")


def _check_times(case: UnitCase, taken: list[int], times: list[int], willing: bool) -> None:
    """Latency, and without any gaps the initiation interval and the ends of frames."""
    if willing or not case.undisturbed:
        for n, index in enumerate(case.completes):
            late = times[n] - taken[index]
            assert late == case.latency, f"beat {n} comes after {late} cycles, not {case.latency}"
    if not willing:
        return
    if case.steady is not None:
        held_up = taken[-1] - taken[0] != len(taken) - 1
        assert held_up != case.steady, f"{len(taken)} beats took {taken[-1] - taken[0] + 1} cycles"
    if case.ends is not None:
        ends = tuple(times[case.frame_out - 1 :: case.frame_out])
        assert ends == case.ends, f"frames end in {ends}, the event model says {case.ends}"


def words(values: np.ndarray, shape: StreamShape, fill: int = -1) -> list[int]:
    """Payloads of frames; lanes without an element hold ``fill``."""
    mask = (1 << shape.bits) - 1
    beats = []
    for pixel in values.reshape(-1, shape.channels).tolist():
        for start in range(0, len(pixel), shape.lanes):
            part = pixel[start : start + shape.lanes]
            part += [fill] * (shape.lanes - len(part))
            beats.append(join([value & mask for value in part], shape.bits))
    return beats


def join(values: Sequence[int], bits: int) -> int:
    """Unsigned values of so many bits side by side, the first lowest."""
    return sum(value << (bits * n) for n, value in enumerate(values))


def used(shape: StreamShape, frames: int) -> list[int]:
    """For each beat a mask of the lanes that hold an element."""
    return words(-np.ones((frames, shape.pixels, shape.channels), np.int64), shape, fill=0)


def random_codes(tensor: Tensor, frames: int, seed: int) -> np.ndarray:
    """Integers over an edge's whole range, its extremes among them more often than by chance."""
    rng = np.random.default_rng(seed)
    low, high = tensor.range
    shape = (frames, *tensor.shape)
    values = rng.integers(low, high + 1, shape)
    return np.where(rng.random(shape) < 0.2, rng.choice([low, high], shape), values)


def planned(
    name: str,
    x: Tensor,
    ops: Sequence[Op],
    *,
    fold: tuple[int, int, int] | None = None,
    lanes: int = 1,
    smallest: bool = False,
    frames: int = 3,
    seed: int = 0,
) -> UnitCase:
    """The unit that the dataflow architecture makes of one layer; golden and event model judge.

    ``fold`` : pe, simd, pixels of a MAC layer. lanes : of the input. ``smallest``: buffers as
    small as can work, else generous.
    """
    nodes = []
    for n, op in enumerate(ops):
        nodes.append(Node(f"{name}_{n}", op, (f"{name}_{n - 1}" if n else x.name,)))
    graph = Graph(name, (x,), tuple(nodes), (nodes[-1].name,)).verify()
    plan = plan_of(graph, fold, lanes, smallest)
    unit = plan.units[0]
    values = random_codes(x, frames, seed)
    golden = np.asarray(execute(graph, {x.name: values})[graph.outputs[0]])
    return UnitCase(
        name=name,
        make=lambda: lower_unit(unit, graph, element(x.type)),
        beats=words(values, unit.input),
        want=words(golden, unit.output),
        masks=used(unit.output, frames),
        frame_out=unit.output.beats,
        # The model's input passes a FIFO first, which takes a cycle.
        ends=tuple(end - 1 for end in plan.timing(frames).ends),
    )


def plan_of(
    graph: Graph, fold: tuple[int, int, int] | None, lanes: int, smallest: bool
) -> DataflowPlan:
    """Plan of a graph that is one unit."""
    stages = stages_of(graph)
    chosen: dict[str, Folding] = {}
    if fold is not None:
        assert isinstance(stages[0].rule, MacRule)
        chosen[stages[0].name] = stages[0].rule.folding(stages[0], *fold)
    plan = assemble(graph, stages, chosen, {graph.inputs[0].name: lanes})
    if len(plan.units) != 1:
        raise ValueError(f"{graph.name}: {lanes} lanes do not suit the unit")
    unit = plan.units[0]
    if smallest:
        for field in unit.capacities:
            unit = unit.with_capacity(field, unit.smallest(field))
    return replace(plan, units=(unit,))
