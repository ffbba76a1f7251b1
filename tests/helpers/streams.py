"""Drives one component with an input and an output stream, in Amaranth's own simulator."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from amaranth.hdl import ClockDomain, Elaboratable, Module, Shape, Value
from amaranth.lib.wiring import Component
from amaranth.sim import Simulator

from .pysim import pattern


def join(elements: Sequence[int], width: int) -> int:
    """Elements as one unsigned number, the first at the least significant end."""
    return sum((value % (1 << width)) << (width * n) for n, value in enumerate(elements))


def split(word: int, shape: Shape, count: int) -> list[int]:
    """The elements of a payload."""
    width = shape.width
    raw = [word >> (width * n) & ((1 << width) - 1) for n in range(count)]
    return [v - (1 << width) if shape.signed and v >> (width - 1) else v for v in raw]


def beats(pixels: Sequence[Sequence[int]], lanes: int, width: int) -> list[int]:
    """Payloads of pixels, each in ceil(channels / lanes) beats; unused lanes are all ones."""
    words = []
    for pixel in pixels:
        for start in range(0, len(pixel), lanes):
            part = list(pixel[start : start + lanes])
            words.append(join(part + [-1] * (lanes - len(part)), width))
    return words


def pixels(words: Sequence[int], channels: int, lanes: int, shape: Shape) -> list[list[int]]:
    """The inverse of ``beats``; unused lanes are ignored."""
    count = -(-channels // lanes)
    result = []
    for start in range(0, len(words), count):
        elements: list[int] = []
        for word in words[start : start + count]:
            elements += split(word, shape, lanes)
        result.append(elements[:channels])
    return result


@dataclass
class Trace:
    """What was seen: cycles in which beats were taken, output payloads, samples of ``watch``."""

    taken: list[int] = field(default_factory=list)
    given: list[int] = field(default_factory=list)
    words: list[int] = field(default_factory=list)
    watched: list[tuple[int, ...]] = field(default_factory=list)


def drive(
    component: Component | Elaboratable,
    source_port: Any,
    sink_port: Any,
    words: Sequence[int],
    outputs: int,
    source: Iterator[bool] | None = None,
    sink: Iterator[bool] | None = None,
    watch: Sequence[Value] = (),
    used: Callable[[int], int] | None = None,
    limit: int = 20_000,
) -> Trace:
    """Send payloads to ``source_port`` and take so many from ``sink_port``.

    Asserts that an offered output stays until it is taken; ``used`` gives the bits of the n-th
    one that count, all when None.
    """
    source, sink = source or pattern("always", 0), sink or pattern("always", 0)
    trace = Trace()
    payload_in, payload_out = (Value.cast(p.payload) for p in (source_port, sink_port))

    async def process(ctx: Any) -> None:
        sent, cycle, offered = 0, 0, False
        held = None
        while sent < len(words) or len(trace.words) < outputs:
            offered = sent < len(words) and (offered or next(source))
            ready = next(sink)
            ctx.set(source_port.valid, offered)
            if offered:
                ctx.set(payload_in, words[sent])
            ctx.set(sink_port.ready, ready)
            _, _, taken, valid, word, *watched = await ctx.tick().sample(
                source_port.ready, sink_port.valid, payload_out, *watch
            )
            word &= used(len(trace.words)) if used else (1 << len(payload_out)) - 1
            trace.watched.append(tuple(watched))
            if held is not None:
                assert valid and word == held, f"cycle {cycle}: the payload was not kept"
            held = word if valid and not ready else None
            if offered and taken:
                trace.taken.append(cycle)
                sent, offered = sent + 1, False
            if valid and ready:
                trace.given.append(cycle)
                trace.words.append(word)
            cycle += 1
            assert cycle < limit, f"stuck: {sent} sent, {len(trace.words)} of {outputs} came"

    run(component, process)
    return trace


def run(component: Elaboratable, process: Any, *background: Any) -> None:
    """Run one test process to its end, and others beside it until then."""
    m = Module()
    m.domains.sync = ClockDomain()  # also where nothing is clocked
    m.submodules.dut = component
    sim = Simulator(m)
    sim.add_clock(1e-6)
    for other in background:
        sim.add_testbench(other, background=True)
    sim.add_testbench(process)
    sim.run()


def together(**submodules: Elaboratable) -> Module:
    """Several components side by side, stepped by one clock."""
    m = Module()
    for name, submodule in submodules.items():
        m.submodules[name] = submodule
    return m
