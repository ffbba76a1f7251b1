"""Registers over AXI4-Lite: a map as a table, and the slave that any map is served by."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..common.counter import reg

MAGIC = 0x4857474E
"""ASCII "HWGN"."""


@dataclass(frozen=True)
class Bits:
    """Bits of a register: first bit, number of bits, meaning."""

    name: str
    bit: int
    width: int
    doc: str


@dataclass(frozen=True)
class Register:
    """One 32-bit register. access: "ro" or "rw"; reset: value after reset."""

    name: str
    offset: int
    access: str
    reset: int
    doc: str
    fields: tuple[Bits, ...] = ()


def identity(version: int, of: str = "model") -> tuple[Register, ...]:
    """The registers that every map begins with. of : what the hash identifies."""
    return (
        Register("ID", 0x00, "ro", MAGIC, 'Identity: ASCII "HWGN".'),
        Register("VERSION", 0x04, "ro", version, "Version of this register map."),
        Register("HASH_LO", 0x08, "ro", 0, f"Hash of the {of}, bits 31..0."),
        Register("HASH_HI", 0x0C, "ro", 0, f"Hash of the {of}, bits 63..32."),
    )


def identity_values(version: int, model_hash: int) -> dict[str, int]:
    """What they read."""
    return {
        "ID": MAGIC,
        "VERSION": version,
        "HASH_LO": model_hash & 0xFFFFFFFF,
        "HASH_HI": model_hash >> 32,
    }


def lite_members(address_bits: int) -> dict[str, wiring.Member]:
    """A slave's AXI4-Lite port as flat signals."""
    return {
        "awaddr": In(address_bits), "awvalid": In(1), "awready": Out(1),
        "wdata": In(32), "wstrb": In(4), "wvalid": In(1), "wready": Out(1),
        "bresp": Out(2), "bvalid": Out(1), "bready": In(1),
        "araddr": In(address_bits), "arvalid": In(1), "arready": Out(1),
        "rdata": Out(32), "rresp": Out(2), "rvalid": Out(1), "rready": In(1),
    }  # fmt: skip


class RegisterPort(wiring.Component):
    """AXI4-Lite slave in front of registers that someone else keeps.

    Parameters
    ----------
    registers : the map; address_bits : of byte addresses.

    Members
    -------
    AXI4-Lite as flat signals. value_NAME (in): what register NAME reads. write_NAME (out), of
    those that are "rw": ``data`` is written to it in this cycle, in the bytes of ``strobe``.

    A read answers 1 cycle after its address, a write 2 cycles after address and data, whichever of
    them comes last: they are taken in any order, one of each, and the register is written in the
    cycle between. Reads and writes follow each other every second cycle. Writes to read-only
    registers are ignored; what is beyond the map reads 0. No AXI4-Lite output depends on an input
    within a cycle (AMBA AXI, A3.1.1).
    """

    def __init__(self, registers: Sequence[Register], address_bits: int) -> None:
        if any(register.offset >> address_bits for register in registers):
            raise ValueError(f"a register is beyond addresses of {address_bits} bits")
        self.registers, self.address_bits = tuple(registers), address_bits
        members = lite_members(address_bits) | {"data": Out(32), "strobe": Out(4)}
        for register in registers:
            members[f"value_{register.name}"] = In(32)
            if register.access == "rw":
                members[f"write_{register.name}"] = Out(1)
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        m.d.comb += self.arready.eq(~self.rvalid)
        with m.If(self.rvalid & self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(self.arvalid & self.arready):
            m.d.sync += [self.rvalid.eq(1), self.rdata.eq(0)]
            with m.Switch(self.araddr[2:]):
                for register in self.registers:
                    with m.Case(register.offset >> 2):
                        m.d.sync += self.rdata.eq(getattr(self, f"value_{register.name}"))
        self._write(m)
        return m

    def _write(self, m: Module) -> None:
        """Address and data wait for each other, each in registers of its own."""
        write = Signal(name="write")
        has_address, has_data = Signal(name="has_address"), Signal(name="has_data")
        address = reg(self.address_bits, "address")
        m.d.comb += [
            self.awready.eq(~has_address),
            self.wready.eq(~has_data),
            write.eq(has_address & has_data & ~self.bvalid),
        ]
        with m.If(~has_address):
            m.d.sync += [has_address.eq(self.awvalid), address.eq(self.awaddr)]
        with m.If(~has_data):
            m.d.sync += [
                has_data.eq(self.wvalid),
                self.data.eq(self.wdata),
                self.strobe.eq(self.wstrb),
            ]
        with m.If(self.bvalid & self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(write):
            m.d.sync += [self.bvalid.eq(1), has_address.eq(0), has_data.eq(0)]
        for register in self.registers:
            if register.access == "rw":
                m.d.comb += getattr(self, f"write_{register.name}").eq(
                    write & (address[2:] == register.offset >> 2)
                )

    def written(self, old: Value) -> Value:
        """What a register holds after a write, by bytes."""
        return Cat(
            Mux(self.strobe[n], self.data[8 * n : 8 * n + 8], old[8 * n : 8 * n + 8])
            for n in range(4)
        )


def serve(m: Module, component: wiring.Component, port: RegisterPort, values: dict) -> None:
    """Let a component with the same AXI4-Lite port be served by ``port``, from these values."""
    m.submodules.port = port
    for name in lite_members(port.address_bits):
        ours, theirs = getattr(component, name), getattr(port, name)
        inward = port.signature.members[name].flow == In
        m.d.comb += theirs.eq(ours) if inward else ours.eq(theirs)
    for register in port.registers:
        m.d.comb += getattr(port, f"value_{register.name}").eq(values[register.name])
