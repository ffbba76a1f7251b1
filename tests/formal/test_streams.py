"""The stream contract of every component, and its use of the queues and memories in it.

A producer holds a beat that it offers until it is taken, and does not wait for ready to offer it.
Sources keep to that; sinks do whatever they like. Queues hold it for all time (test_fifo.py); here
the components around them are searched to a depth at which they have seen several frames or the
solver's time is spent.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from amaranth.hdl import Assert, Assume, Cat, Elaboratable, Module, Signal, Value, signed, unsigned
from amaranth.lib import stream, wiring
from amaranth.lib.wiring import In, Out
from amaranth.sim import Simulator

from hwgen.gateware.bus.axis import InputPort, OutputPort
from hwgen.gateware.common.counter import delay_line
from hwgen.gateware.common.float32 import ONE as ONE_FLOAT
from hwgen.gateware.common.multiplier import WideMultiplier
from hwgen.gateware.common.softmax import ONE, Softmax
from hwgen.gateware.stream.join_fork import Add, Concat, Fork
from hwgen.gateware.stream.softmax_table import SoftmaxTable
from hwgen_sim import (
    bench_border,
    bench_conv,
    bench_dense,
    bench_elementwise,
    bench_pool,
    bench_table,
    bench_window,
)

from .prover import prove
from .watched import watching

S3 = signed(3)


class Ports(wiring.Component):
    """Both AXI ports back to back; tlast, tkeep and tdata are the payload."""

    def __init__(self) -> None:
        self.source = InputPort(S3, lanes=2, beats=3, fifo=2)
        self.sink = OutputPort(S3, lanes=2, pixels=2, channels=3)
        payload = len(self.sink.tdata) + len(self.sink.tkeep) + 1
        super().__init__(
            {
                "enable": In(1),
                "i": In(stream.Signature(len(self.source.tdata) + 1)),
                "o": Out(stream.Signature(payload)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        m.submodules.source, m.submodules.sink = source, sink = self.source, self.sink
        wiring.connect(m, source.o, sink.i)
        m.d.comb += [
            source.enable.eq(self.enable),
            Cat(source.tdata, source.tlast).eq(self.i.payload),
            source.tvalid.eq(self.i.valid),
            self.i.ready.eq(source.tready),
            self.o.payload.eq(Cat(sink.tdata, sink.tkeep, sink.tlast)),
            self.o.valid.eq(sink.tvalid),
            sink.tready.eq(self.o.ready),
        ]
        return m


class Contract(Elaboratable):
    """A component between sources that keep the contract and sinks that are free."""

    def __init__(self, dut: wiring.Component) -> None:
        self.dut = dut
        self.ports: list[Signal] = []

    def elaborate(self, platform):
        m = Module()
        m.submodules.dut = self.dut
        for name, member in self.dut.signature.members.items():
            port = getattr(self.dut, name)
            if member.is_signature and member.flow is In:
                self._source(m, name, port)
            elif member.is_signature:
                self._sink(m, name, port)
            elif member.flow is In:
                self._free(m, name, port)
        return m

    def _free(self, m: Module, name: str, port) -> Signal:
        signal = Signal(len(Value.cast(port)), name=f"free_{name}")
        self.ports.append(signal)
        m.d.comb += Value.cast(port).eq(signal)
        return signal

    def _source(self, m: Module, name: str, port) -> None:
        valid = self._free(m, f"{name}_valid", port.valid)
        payload = self._free(m, f"{name}_payload", port.payload)
        waits, last = Signal(name=f"{name}_waits"), Signal.like(payload, name=f"{name}_last")
        m.d.sync += [waits.eq(valid & ~port.ready), last.eq(payload)]
        with m.If(waits):
            m.d.comb += Assume(valid & (payload == last))

    def _sink(self, m: Module, name: str, port) -> None:
        self._free(m, f"{name}_ready", port.ready)
        payload = Value.cast(port.payload)
        waits, last = Signal(name=f"{name}_waits"), Signal.like(payload, name=f"{name}_last")
        m.d.sync += [waits.eq(port.valid & ~port.ready), last.eq(payload)]
        with m.If(waits):
            m.d.comb += [Assert(port.valid), Assert(payload == last)]


BENCHES = (
    bench_border, bench_conv, bench_dense, bench_elementwise, bench_pool, bench_table, bench_window
)  # fmt: skip

COMPONENTS = {
    **{
        f"{bench.__name__.rpartition('_')[2]}_{case.name}": case.make
        for bench in BENCHES
        for case in bench.CASES
    },
    "fork": lambda: Fork(S3, 2, (1, 3)),
    "add": lambda: Add((S3, S3), (0, 1), signed(5), 2, 3),
    "concat": lambda: Concat(S3, (2, 4), 2, 2),
    "softmax": lambda: Softmax("s", unsigned(1), 2, (ONE, 9), unsigned(8), 2),
    "softmax_table": lambda: SoftmaxTable(
        "s", unsigned(1), 1, (ONE_FLOAT, 9), unsigned(8), 0, 1, 256
    ),
    "ports": Ports,
}

DEPTH = {"add": 14, "elementwise_requant_shift": 12, "border_pad_top": 14, "table_search_one": 12}
DEPTH |= {"table_table": 11} | {name: 11 for name in COMPONENTS if name.startswith("table_cast")}
"""Where cycles are dear: sums, or memories read, in every beat."""
DEPTH |= {"softmax": 66, "softmax_table": 60}  # their first results come after 60 and 46


def _sums(self: WideMultiplier, platform) -> Module:
    """In a multiplier's place: what is offered when does not depend on products."""
    m = Module()
    total = self.a + self.b
    m.d.comb += self.p.eq(delay_line(m, total, self.LATENCY, "total"))
    return m


def outputs(dut: wiring.Component) -> list[str]:
    """Names of the streams that a component offers."""
    members = dut.signature.members.items()
    return [name for name, member in members if member.is_signature and member.flow is Out]


@pytest.mark.parametrize("name", COMPONENTS)
def test_offers_are_held(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    proof = Contract(COMPONENTS[name]())
    if name == "softmax":
        monkeypatch.setattr(WideMultiplier, "elaborate", _sums)
    with watching():
        assert prove(proof, proof.ports, DEPTH.get(name, 20), tmp_path, "bmc") == "PASS"


@pytest.mark.parametrize("name", COMPONENTS)
def test_valid_does_not_wait_for_ready(name: str) -> None:
    dut = COMPONENTS[name]()
    design = Contract(dut)
    simulator = Simulator(design)
    simulator.add_clock(1e-6)
    waiting = set(outputs(dut))

    async def sources_only(ctx) -> None:
        for port in design.ports:
            ctx.set(port, 1 if "ready" not in port.name else 0)
        for _ in range(400):
            await ctx.tick()
            waiting.difference_update(o for o in list(waiting) if ctx.get(getattr(dut, o).valid))
            if not waiting:
                return

    simulator.add_testbench(sources_only)
    simulator.run()
    assert not waiting, f"no offer at {sorted(waiting)} before a sink was ready"
