"""The register port keeps the rules of AXI4-Lite, whatever its master does within them.

Proven for runs of any length, by induction: address and data come in any order with any delays;
every write is carried out and answered once, in order, with its own address and data, and not
before both are here; every read is answered once with what the register was then.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from amaranth.hdl import (
    Assert,
    Assume,
    Cat,
    Elaboratable,
    Fragment,
    Module,
    Signal,
    Value,
)

from hwgen.gateware.bus.axilite import Register, RegisterPort

from .prover import prove, signals_of
from .test_axi import free, stays

MAP = (
    Register("A", 0, "rw", 0, "written"),
    Register("B", 4, "ro", 0, "read"),
    Register("C", 8, "rw", 0, "written too"),
)
COUNT = 3
"""Bits of the proof's counters: more than there may be under way."""


class PortProof(Elaboratable):
    """A port, a master that keeps what it offers, and counters beside its five channels."""

    def __init__(self) -> None:
        self.ports: list[Signal] = []

    def elaborate(self, platform):
        m = Module()
        dut = RegisterPort(MAP, 4)
        m.submodules.dut = fragment = Fragment.get(dut, None)
        state = signals_of(fragment)
        for channel, payload in (
            ("aw", (dut.awaddr,)), ("w", (dut.wdata, dut.wstrb)), ("ar", (dut.araddr,))
        ):  # fmt: skip
            self._offers(m, channel, getattr(dut, f"{channel}valid"),
                         getattr(dut, f"{channel}ready"), payload)  # fmt: skip
        for name in ("bready", "rready", "value_A", "value_B", "value_C"):
            free(self.ports, m, getattr(dut, name), name)
        stays(m, dut.bvalid, dut.bready, dut.bresp, "b")
        stays(m, dut.rvalid, dut.rready, Cat(dut.rdata, dut.rresp), "r")
        m.d.comb += [Assert(dut.bresp == 0), Assert(dut.rresp == 0)]
        self._writes(m, dut, state)
        self._reads(m, dut)
        return m

    def _offers(self, m: Module, name: str, valid: Value, ready: Value, payload) -> None:
        """What the master offers stays until it is taken."""
        offered = free(self.ports, m, valid, f"{name}valid")
        given = Cat(free(self.ports, m, value, f"{name}{n}") for n, value in enumerate(payload))
        waits = Signal(name=f"{name}_waits")
        before = Signal(len(given), name=f"{name}_before")
        m.d.sync += [waits.eq(offered & ~ready), before.eq(given)]
        with m.If(waits):
            m.d.comb += Assume(offered & (given == before))

    def _writes(self, m: Module, dut: RegisterPort, state: dict[str, Signal]) -> None:
        addresses, data, done, answers = (
            _counter(m, name, passes)
            for name, passes in (
                ("addresses", dut.awvalid & dut.awready), ("data", dut.wvalid & dut.wready),
                ("done", state["write"]), ("answers", dut.bvalid & dut.bready),
            )
        )  # fmt: skip
        m.d.comb += [
            # Every address and every word is one write, and every write has one answer.
            Assert(addresses == _sum(done, state["has_address"])),
            Assert(data == _sum(done, state["has_data"])),
            Assert(done == _sum(answers, dut.bvalid)),
            # Nothing is refused for ever.
            Assert(dut.awready | (addresses != answers)),
            Assert(dut.wready | (data != answers)),
        ]
        with m.If(state["write"]):
            m.d.comb += [Assert(addresses != done), Assert(data != done)]
        late = Signal(name="late")
        m.d.sync += late.eq((addresses != answers) & (data != answers) & ~dut.bvalid)
        with m.If(late):
            m.d.comb += Assert(dut.bvalid)
        self._nth(m, dut, state, addresses, data, done)

    def _nth(self, m: Module, dut: RegisterPort, state, addresses, data, done) -> None:
        """The n-th write has the n-th address and the n-th word, for every n."""
        n, before = Signal(COUNT, name="chosen"), Signal(COUNT, name="chosen_before")
        begun = Signal(name="begun")
        self.ports.append(n)
        m.d.sync += [before.eq(n), begun.eq(1)]
        with m.If(begun):
            m.d.comb += Assume(n == before)
        address, word = Signal(4, name="nth_address"), Signal(36, name="nth_word")
        with m.If(dut.awvalid & dut.awready & (addresses == n)):
            m.d.sync += address.eq(dut.awaddr)
        with m.If(dut.wvalid & dut.wready & (data == n)):
            m.d.sync += word.eq(Cat(dut.wdata, dut.wstrb))
        with m.If((done == n) & state["has_address"]):
            m.d.comb += Assert(state["address"] == address)
        with m.If((done == n) & state["has_data"]):
            m.d.comb += Assert(Cat(dut.data, dut.strobe) == word)
        for written, offset in ((dut.write_A, 0), (dut.write_C, 8)):
            with m.If(written):
                m.d.comb += Assert(state["write"])
            with m.If((done == n) & state["write"]):
                m.d.comb += Assert(written == (address[2:] == offset >> 2))

    def _reads(self, m: Module, dut: RegisterPort) -> None:
        asked = _counter(m, "asked", dut.arvalid & dut.arready)
        answered = _counter(m, "answered", dut.rvalid & dut.rready)
        expected = Signal(32, name="expected")
        m.d.comb += [
            Assert(asked == _sum(answered, dut.rvalid)),
            Assert(dut.arready | (asked != answered)),
        ]
        with m.If(dut.arvalid & dut.arready):
            m.d.sync += expected.eq(0)
            for register in MAP:
                with m.If(dut.araddr >> 2 == register.offset >> 2):
                    m.d.sync += expected.eq(getattr(dut, f"value_{register.name}"))
        with m.If(dut.rvalid):
            m.d.comb += Assert(dut.rdata == expected)


def _counter(m: Module, name: str, event: Value) -> Signal:
    """How often it has happened before this cycle."""
    count = Signal(COUNT, name=f"{name}_count")
    m.d.sync += count.eq(count + event)
    return count


def _sum(count: Value, one: Value) -> Value:
    return (count + one)[:COUNT]


def test_the_rules_are_kept(tmp_path: Path) -> None:
    proof = PortProof()
    assert prove(proof, proof.ports, 2, tmp_path, "prove") == "PASS"


def _answers_an_address(port: RegisterPort, m: Module) -> None:
    with m.If(port.awvalid & port.awready):
        m.d.sync += port.bvalid.eq(1)


def _withdraws_its_answer(port: RegisterPort, m: Module) -> None:
    with m.If(port.bvalid):
        m.d.sync += port.bvalid.eq(0)


def _takes_data_twice(port: RegisterPort, m: Module) -> None:
    m.d.comb += port.wready.eq(1)


def _keeps_no_data(port: RegisterPort, m: Module) -> None:
    with m.If(port.wvalid):
        m.d.sync += port.data.eq(port.wdata)


def _never_answers_again(port: RegisterPort, m: Module) -> None:
    m.d.comb += port.awready.eq(0)


def _changes_what_was_read(port: RegisterPort, m: Module) -> None:
    with m.If(port.rvalid):
        m.d.sync += port.rdata.eq(port.value_A)


@pytest.mark.parametrize(
    "fault",
    [_answers_an_address, _withdraws_its_answer, _takes_data_twice, _keeps_no_data,
     _never_answers_again, _changes_what_was_read],
)  # fmt: skip
def test_faults_are_found(
    fault: Callable[[RegisterPort, Module], None], tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    original = RegisterPort._write

    def faulty(self: RegisterPort, m: Module) -> None:
        original(self, m)
        fault(self, m)

    monkeypatch.setattr(RegisterPort, "_write", faulty)
    proof = PortProof()
    assert prove(proof, proof.ports, 6, tmp_path, "bmc") == "FAIL"
