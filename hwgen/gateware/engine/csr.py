"""Control and status registers of the tiled engine."""

from __future__ import annotations

from amaranth.hdl import Cat, Const, Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...contract.engine import EngineShape
from ...contract.features import Feature
from ...contract.isa import ErrorCode
from ..bus.axi import ADDRESS_BITS as BUS_ADDRESS_BITS
from ..bus.axi import LAYER_BITS
from ..bus.axilite import (
    Bits,
    Register,
    RegisterPort,
    identity,
    identity_values,
    lite_members,
    serve,
)
from ..common.counter import delay_line
from .fetch.fetcher import CODE_BITS

VERSION = 0x1_0004
"""Version of this register map: 1 in the upper half says that it is a tiled engine's."""
ALIGNMENT = 32
"""Bytes that addresses of the memory image and of programs are multiples of."""
_EVERYWHERE = (1 << BUS_ADDRESS_BITS) - ALIGNMENT

REGISTERS = (
    *identity(VERSION, "engine"),
    Register(
        "CONTROL", 0x10, "rw", 0, "Control.",
        (
            Bits("START", 0, 1, "Writing 1 runs the program; reads 0."),
            Bits("CLEAR", 1, 1, "Writing 1 clears DONE, REFUSED and ERROR; reads 0."),
            Bits("IRQ_ENABLE", 2, 1, "1: the interrupt is high while DONE is."),
        ),
    ),
    Register(
        "STATUS", 0x14, "ro", 1, "Status.",
        (
            Bits("IDLE", 0, 1, "1: no program runs."),
            Bits("DONE", 1, 1, "Sticky: a program came to its end or to an error."),
            Bits("REFUSED", 2, 1, "Sticky: START was written while a program ran."),
            Bits("ERROR", 8, 8, "How the last run ended: 0 well, else a code."),
        ),
    ),
    Register("ERROR_LAYER", 0x18, "ro", 0, "Layer of the descriptor that ERROR is about."),
    Register(
        "MEM_BASE", 0x1C, "rw", 0,
        "Address of the memory image, a multiple of 32. This and the following three keep their "
        "value while a program runs.",
    ),
    Register(
        "MEM_LIMIT", 0x20, "rw", 0,
        "Bytes of the memory image: nothing beyond is read or written. It ends at 2^32 at most.",
    ),
    Register("WRITE_FROM", 0x24, "rw", 0, "Byte of the image below which nothing is written."),
    Register("PROGRAM", 0x28, "rw", 0, "Byte of the image where the program begins: of 32."),
    Register("CYCLES", 0x2C, "ro", 0, "Cycles of the last run, from START to DONE."),
    Register("READ_BEATS", 0x30, "ro", 0, "Beats read from memory in the last run."),
    Register("WRITE_BEATS", 0x34, "ro", 0, "Beats written to memory in the last run."),
    Register(
        "SHAPE", 0x38, "ro", 0, "The engine.",
        (
            Bits("PE", 0, 8, "Output channels at a time."),
            Bits("SIMD", 8, 8, "Ifmap values that each takes a cycle."),
            Bits("BUS", 16, 4, "Logarithm of the bytes of a beat of memory."),
            Bits("TILES", 24, 8, "Tile units: arrays, each with all of the memories below."),
        ),
    ),
    Register("FEATURE_BYTES", 0x3C, "ro", 0, "Bytes of the feature-map memory."),
    Register("WEIGHT_WORDS", 0x40, "ro", 0, "Words of weights, PE * SIMD bytes each."),
    Register("PSUM_WORDS", 0x44, "ro", 0, "Words of psums, PE sums each."),
    Register("PARAMETER_WORDS", 0x48, "ro", 0, "Words of parameters, PE records each."),
    Register(
        "PROGRAM_END", 0x4C, "rw", _EVERYWHERE,
        "Byte of the image behind the program, of 32: nothing from there on is read as program. "
        "After reset the program ends with the image. Keeps its value while a program runs.",
    ),
    Register("REQUANTIZERS", 0x50, "ro", 0, "Sums that are requantized at a time."),
    Register(
        "WITHOUT", 0x54, "ro", 0, "What the engine does not have.",
        tuple(
            Bits(feature.name, n, 1, f"1: it has no {feature}.")
            for n, feature in enumerate(Feature)
        ),
    ),
    Register(
        "ENGINE_LO", 0x58, "rw", 0,
        "What HASH_LO reads on the engine that the program was made for. Where this or ENGINE_HI "
        "is another here START ends the run at once, with the error IDENTITY. Keeps its value "
        "while a program runs.",
    ),
    Register("ENGINE_HI", 0x5C, "rw", 0, "The same of HASH_HI."),
)  # fmt: skip

ADDRESS_BITS = 7


def shape_values(shape: EngineShape) -> dict[str, int]:
    """What the registers about an engine's shape read."""
    bus = shape.bus_bytes.bit_length() - 1
    return {
        "SHAPE": shape.pe | shape.simd << 8 | bus << 16 | shape.tiles << 24,
        "FEATURE_BYTES": shape.feature_bytes,
        "WEIGHT_WORDS": shape.weight_words,
        "PSUM_WORDS": shape.psum_words,
        "PARAMETER_WORDS": shape.parameter_words,
        "REQUANTIZERS": shape.requantizers,
        "WITHOUT": sum(1 << n for n, f in enumerate(Feature) if f in shape.lacks),
    }


class TiledControl(wiring.Component):
    """AXI4-Lite slave with the registers of this file.

    Parameters
    ----------
    shape : of the engine; model_hash : 64 bits.

    Members
    -------
    AXI4-Lite as flat signals. start (out), for one cycle, never while a program runs. base, limit,
    lowest, program, program_end (out): MEM_BASE, MEM_LIMIT, WRITE_FROM, PROGRAM, PROGRAM_END. done
    (in), for one cycle; error, layer (in): as they are then. read_beat, write_beat (in): events.
    irq (out).

    Latencies are those of RegisterPort; ``start`` comes a cycle after its write. CYCLES counts
    from ``start`` to ``done``, the latter's cycle included. Where the program was made for another
    engine there is no start: the run is done, and nothing was counted in it.
    """

    def __init__(self, shape: EngineShape, model_hash: int) -> None:
        self.shape, self.model_hash = shape, model_hash
        super().__init__(
            lite_members(ADDRESS_BITS)
            | {
                "start": Out(1), "done": In(1), "error": In(CODE_BITS), "layer": In(LAYER_BITS),
                "base": Out(BUS_ADDRESS_BITS), "limit": Out(BUS_ADDRESS_BITS),
                "lowest": Out(BUS_ADDRESS_BITS), "program": Out(BUS_ADDRESS_BITS),
                "program_end": Out(BUS_ADDRESS_BITS, init=_EVERYWHERE),
                "read_beat": In(1), "write_beat": In(1), "irq": Out(1),
            }
        )  # fmt: skip

    def elaborate(self, platform):
        m = Module()
        port = RegisterPort(REGISTERS, ADDRESS_BITS)
        running, irq_enable = Signal(name="running"), Signal(name="irq_enable")
        writes = port.write_CONTROL & port.strobe[0]
        starts, clears = Signal(name="starts"), Signal(name="clears")
        # Compared as it was a cycle ago: a write to CONTROL comes later behind another one.
        ours = Signal(name="made_for_this")
        made_for = {name: Signal(32, name=name.lower()) for name in ("ENGINE_LO", "ENGINE_HI")}
        m.d.sync += ours.eq(Cat(made_for.values()) == self.model_hash)
        m.d.comb += [
            starts.eq(writes & port.data[0]),
            clears.eq(writes & port.data[1]),
        ]
        m.d.sync += self.start.eq(starts & ~running & ours)
        with m.If(writes):
            m.d.sync += irq_enable.eq(port.data[2])
        values = identity_values(VERSION, self.model_hash) | shape_values(self.shape)
        values |= {"CONTROL": Cat(Const(0, 2), irq_enable)}
        values |= self._status(m, running, starts, clears, ours, irq_enable)
        values |= self._region(m, port, running, made_for)
        values |= self._counters(m, running, starts)
        serve(m, self, port, values)
        return m

    def _status(self, m: Module, running, starts, clears, ours, irq_enable: Value) -> dict:
        done, refused = Signal(name="done_seen"), Signal(name="refused_seen")
        error, layer = Signal(CODE_BITS, name="error_kept"), Signal(LAYER_BITS, name="layer_kept")
        foreign = Signal(name="foreign")
        m.d.sync += foreign.eq(starts & ~running & ~ours)
        with m.If(clears):
            m.d.sync += [done.eq(0), refused.eq(0), error.eq(0), layer.eq(0)]
        with m.If(starts & running):
            m.d.sync += refused.eq(1)
        with m.Elif(starts):
            m.d.sync += [
                running.eq(ours),
                done.eq(0),
                error.eq(ErrorCode.NONE),
                layer.eq(0),
            ]
        # A cycle later, so that the interrupt rises.
        with m.If(foreign):
            m.d.sync += [done.eq(1), error.eq(ErrorCode.IDENTITY)]
        with m.If(self.done):
            m.d.sync += [running.eq(0), done.eq(1), error.eq(self.error), layer.eq(self.layer)]
        m.d.sync += self.irq.eq(done & irq_enable)
        status = Cat(~running, done, refused, Const(0, 5), error)
        return {"STATUS": status, "ERROR_LAYER": layer}

    def _region(
        self, m: Module, port: RegisterPort, running: Value, made_for: dict[str, Signal]
    ) -> dict:
        outputs = {
            "MEM_BASE": self.base, "MEM_LIMIT": self.limit, "WRITE_FROM": self.lowest,
            "PROGRAM": self.program, "PROGRAM_END": self.program_end, **made_for,
        }  # fmt: skip
        low = (ALIGNMENT - 1).bit_length()
        for name, output in outputs.items():
            with m.If(getattr(port, f"write_{name}") & ~running):
                m.d.sync += output.eq(port.written(output))
                if name in ("MEM_BASE", "PROGRAM", "PROGRAM_END"):
                    m.d.sync += output[:low].eq(0)
        return dict(outputs)

    def _counters(self, m: Module, running: Value, starts: Value) -> dict:
        """Counters of the last run; events act a cycle later, as the start does."""
        events = {
            "CYCLES": Const(1),
            "READ_BEATS": delay_line(m, self.read_beat, 1, "read_beat"),
            "WRITE_BEATS": delay_line(m, self.write_beat, 1, "write_beat"),
        }
        values = {}
        for name, event in events.items():
            count = Signal(32, name=name.lower())
            with m.If(starts & ~running):
                m.d.sync += count.eq(0)
            with m.If(self.start):
                m.d.sync += count.eq(event)
            with m.Elif(running & event):
                m.d.sync += count.eq(count + 1)
            values[name] = count
        return values
