"""Control and status registers over AXI4-Lite. ``REGISTERS`` is their one definition."""

from __future__ import annotations

from dataclasses import dataclass

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from .counter import delayed

MAGIC = 0x4857474E
"""ASCII "HWGN"."""
VERSION = 1
"""Of this register map."""


@dataclass(frozen=True)
class Field:
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
    fields: tuple[Field, ...] = ()


REGISTERS = (
    Register("ID", 0x00, "ro", MAGIC, 'Identity: ASCII "HWGN".'),
    Register("VERSION", 0x04, "ro", VERSION, "Version of this register map."),
    Register("HASH_LO", 0x08, "ro", 0, "Hash of the model, bits 31..0."),
    Register("HASH_HI", 0x0C, "ro", 0, "Hash of the model, bits 63..32."),
    Register(
        "CONTROL", 0x10, "rw", 1, "Control.",
        (
            Field("ENABLE", 0, 1, "1: frames are accepted. 0: none begins, those inside finish."),
            Field("CLEAR", 1, 1, "Writing 1 clears the sticky errors; reads 0."),
        ),
    ),
    Register(
        "STATUS", 0x14, "ro", 1, "Status.",
        (
            Field("IDLE", 0, 1, "1: no frame is inside."),
            Field("SHORT", 8, 1, "Sticky: a frame ended before its last element."),
            Field("LONG", 9, 1, "Sticky: a frame went on after its last element."),
        ),
    ),
    Register("FRAMES", 0x18, "ro", 0, "Frames finished since reset, modulo 2^32."),
    Register(
        "LATENCY", 0x1C, "ro", 0,
        "Cycles from the first ifmap beat to the last ofmap beat of the last frame measured, "
        "both counted. One frame is measured at a time.",
    ),
    Register("INTERVAL", 0x20, "ro", 0, "Cycles between the ends of the last two frames."),
)  # fmt: skip

ADDRESS_BITS = 6


class ControlStatus(wiring.Component):
    """AXI4-Lite slave with the registers of this file.

    Parameters: ``model_hash`` 64 bits.

    Members: AXI4-Lite as flat signals; started, done, short, long (in): events of the ports;
    enable (out). A read answers 1 cycle after its address, a write 1 cycle after address and data.
    An event acts 1 cycle later. Writes to read-only registers and reads beyond the map are ignored
    and give 0.
    """

    def __init__(self, model_hash: int) -> None:
        self.model_hash = model_hash
        super().__init__(
            {
                "awaddr": In(ADDRESS_BITS), "awvalid": In(1), "awready": Out(1),
                "wdata": In(32), "wstrb": In(4), "wvalid": In(1), "wready": Out(1),
                "bresp": Out(2), "bvalid": Out(1), "bready": In(1),
                "araddr": In(ADDRESS_BITS), "arvalid": In(1), "arready": Out(1),
                "rdata": Out(32), "rresp": Out(2), "rvalid": Out(1), "rready": In(1),
                "started": In(1), "done": In(1), "short": In(1), "long": In(1),
                "enable": Out(1, init=1),
            }
        )  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        # A register for each event, so that no path leads from the streams to the counters.
        started, done, short, long = (
            delayed(m, getattr(self, name), 1, name)
            for name in ("started", "done", "short", "long")
        )
        values = self._counters(m, started, done)
        values |= self._status(m, short, long)
        self._read(m, values)
        self._write(m)
        return m

    def _counters(self, m: Module, started: Value, done: Value) -> dict:
        frames, begun = Signal(32, name="frames"), Signal(32, name="begun")
        latency, interval = Signal(32, name="latency"), Signal(32, name="interval")
        since_start, since_end = Signal(32, name="since_start"), Signal(32, name="since_end")
        measuring = Signal(name="measuring")
        measured = Signal(32, name="measured_frame")
        m.d.sync += [
            since_start.eq(since_start + 1),
            since_end.eq(since_end + 1),
            begun.eq(begun + started),
        ]
        with m.If(done):
            m.d.sync += [frames.eq(frames + 1), interval.eq(since_end), since_end.eq(1)]
        # The comparison takes a cycle of its own.
        ended = Signal(name="measured_ended")
        m.d.sync += ended.eq(done & measuring & ~ended & (frames == measured))
        with m.If(ended):
            m.d.sync += [latency.eq(since_start), measuring.eq(0)]
        with m.If(started & (~measuring | ended)):
            m.d.sync += [measuring.eq(1), measured.eq(begun), since_start.eq(1)]
        self._idle = begun == frames
        return {"FRAMES": frames, "LATENCY": latency, "INTERVAL": interval}

    def _status(self, m: Module, short: Value, long: Value) -> dict:
        short_seen, long_seen = Signal(name="short_seen"), Signal(name="long_seen")
        self._clear = Signal(name="clear")
        with m.If(self._clear):
            m.d.sync += [short_seen.eq(0), long_seen.eq(0)]
        with m.If(short):
            m.d.sync += short_seen.eq(1)
        with m.If(long):
            m.d.sync += long_seen.eq(1)
        low, high = self.model_hash & 0xFFFFFFFF, self.model_hash >> 32
        return {
            "ID": Const(MAGIC, 32),
            "VERSION": Const(VERSION, 32),
            "HASH_LO": Const(low, 32),
            "HASH_HI": Const(high, 32),
            "CONTROL": self.enable,
            "STATUS": Cat(self._idle, Const(0, 7), short_seen, long_seen),
        }

    def _read(self, m: Module, values: dict) -> None:
        m.d.comb += self.arready.eq(~self.rvalid)
        with m.If(self.rvalid & self.rready):
            m.d.sync += self.rvalid.eq(0)
        with m.If(self.arvalid & self.arready):
            m.d.sync += [self.rvalid.eq(1), self.rdata.eq(0)]
            with m.Switch(self.araddr[2:]):
                for register in REGISTERS:
                    with m.Case(register.offset >> 2):
                        m.d.sync += self.rdata.eq(values[register.name])

    def _write(self, m: Module) -> None:
        accept = Signal(name="write")
        control = next(r for r in REGISTERS if r.name == "CONTROL")
        m.d.comb += [
            accept.eq(self.awvalid & self.wvalid & ~self.bvalid),
            self.awready.eq(accept),
            self.wready.eq(accept),
        ]
        with m.If(self.bvalid & self.bready):
            m.d.sync += self.bvalid.eq(0)
        with m.If(accept):
            m.d.sync += self.bvalid.eq(1)
            with m.If((self.awaddr[2:] == control.offset >> 2) & self.wstrb[0]):
                m.d.sync += self.enable.eq(self.wdata[0])
                m.d.comb += self._clear.eq(self.wdata[1])
