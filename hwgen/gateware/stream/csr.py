"""Control and status registers of the dataflow architecture. ``REGISTERS`` is their definition."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..bus.axilite import (
    MAGIC,
    Bits,
    Register,
    RegisterPort,
    identity,
    identity_values,
    lite_members,
    serve,
)
from ..common.counter import delay_line

__all__ = ["ADDRESS_BITS", "MAGIC", "REGISTERS", "VERSION", "ControlStatus"]

VERSION = 1
"""The version of this register map."""

REGISTERS = (
    *identity(VERSION),
    Register(
        "CONTROL", 0x10, "rw", 1, "Control.",
        (
            Bits("ENABLE", 0, 1, "1: frames are accepted. 0: none begins, those inside finish."),
            Bits("CLEAR", 1, 1, "Writing 1 clears the sticky errors; reads 0."),
        ),
    ),
    Register(
        "STATUS", 0x14, "ro", 1, "Status.",
        (
            Bits("IDLE", 0, 1, "1: no frame is inside."),
            Bits("SHORT", 8, 1, "Sticky: a frame ended before its last element."),
            Bits("LONG", 9, 1, "Sticky: a frame went on after its last element."),
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
    enable (out). Latencies are those of RegisterPort; an event acts 1 cycle later.
    """

    def __init__(self, model_hash: int) -> None:
        self.model_hash = model_hash
        super().__init__(
            lite_members(ADDRESS_BITS)
            | {
                "started": In(1), "done": In(1), "short": In(1), "long": In(1),
                "enable": Out(1, init=1),
            }
        )  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        port = RegisterPort(REGISTERS, ADDRESS_BITS)
        # A register for each event, so that no path leads from the streams to the counters.
        started, done, short, long = (
            delay_line(m, getattr(self, name), 1, name)
            for name in ("started", "done", "short", "long")
        )
        writes = port.write_CONTROL & port.strobe[0]
        with m.If(writes):
            m.d.sync += self.enable.eq(port.data[0])
        values = identity_values(VERSION, self.model_hash) | {"CONTROL": self.enable}
        values |= self._counters(m, started, done)
        values |= self._status(m, short, long, writes & port.data[1])
        serve(m, self, port, values)
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

    def _status(self, m: Module, short: Value, long: Value, clear: Value) -> dict:
        short_seen, long_seen = Signal(name="short_seen"), Signal(name="long_seen")
        with m.If(clear):
            m.d.sync += [short_seen.eq(0), long_seen.eq(0)]
        with m.If(short):
            m.d.sync += short_seen.eq(1)
        with m.If(long):
            m.d.sync += long_seen.eq(1)
        return {"STATUS": Cat(self._idle, Const(0, 7), short_seen, long_seen)}
