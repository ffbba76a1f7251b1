"""The multiply-accumulate array: PE x SIMD x pixels lanes of any operand widths."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from amaranth.hdl import Module, Mux, Shape, Signal, Value, signed, unsigned
from amaranth.lib import data, wiring
from amaranth.lib.wiring import In, Out

from ...numeric.powers import PowerCode
from ...numeric.types import QType
from .counter import delay_line, index_shape, reg
from .dot import SignTaps, adder_tree, agreement, dot_latency
from .memory import SimpleDualPort
from .multiplier import Multiplier, PowerMultiplier
from .requantizer import overflowed, rounding_increment
from .streams import positive


@dataclass(frozen=True)
class MacParameters:
    """What a MAC array computes with.

    x, w : shapes of the operands. acc : type of the accumulator. exact : the accumulator can not
    overflow, else its rounding (by ``drop`` bits of the products' fraction) and its overflow act
    at every addition. simd : products summed exactly before that. powers : the code in which
    weights are stored, powers of two; None: they are integers. signs : every x is -1, 0 or +1
    and every weight +1 or -1 times one power of two, so that products are counted.
    """

    x: Shape
    w: Shape
    acc: QType
    simd: int
    exact: bool = True
    drop: int = 0
    powers: PowerCode | None = None
    signs: bool = False

    def __post_init__(self) -> None:
        if self.signs and (self.powers is None or self.powers.width != 1):
            raise ValueError("signs can only be counted where weights are signs")

    @property
    def stored(self) -> Shape:
        """Shape of a stored weight."""
        return self.w if self.powers is None else unsigned(self.powers.width)

    def encode(self, weight: int) -> int:
        """A weight as it is stored."""
        mask = (1 << self.stored.width) - 1
        return weight & mask if self.powers is None else self.powers.encode(weight)

    @property
    def filler(self) -> int:
        """A weight for a place where there is none."""
        return 0 if self.powers is None else self.powers.filler

    @property
    def acc_shape(self) -> Shape:
        """Accumulators are always signed."""
        return signed(self.acc.width + (0 if self.acc.signed else 1))

    @property
    def latency(self) -> int:
        """Cycles from operands to accumulator: multiplier, adder tree, accumulation."""
        return dot_latency(self.simd) + 1

    @property
    def psum_read_latency(self) -> int:
        """Cycles from operands to a psum's being read: two cycles before they are added to it, for
        the memory and its output register."""
        return self.latency - 3

    @property
    def psum_write_latency(self) -> int:
        """Cycles from operands to a psum's being written: a cycle after they are added to it."""
        return self.latency


class ProcessingElement(wiring.Component):
    """A dot product of ``simd`` operands, and ``psums`` accumulators taken in turn.

    Members
    -------
    x, w (in, simd each): operands. enable (in): a dot product is finished in this cycle. first
    (in): its sum starts at zero; resumes (in): it goes on from the psum memory; neither: from the
    dot product before. read, read_slot (in): two cycles before ``resumes``; write, write_slot (in):
    a cycle after ``enable``. passes_now, passes_before (in): a cycle before ``resumes``, its sum is
    the accumulator of that cycle, or of the one before it, rather than what was read. count (in,
    with ``signs``): how many of its x are not 0. acc (out): the accumulator written in the cycle
    before.

    Latency as MacParameters says; ``first`` and ``enable`` are given ``latency - 1`` cycles after
    their operands. Initiation interval 1.
    """

    def __init__(self, parameters: MacParameters, psums: int) -> None:
        self.parameters, self.psums = parameters, psums
        simd = parameters.simd
        members: dict[str, Any] = {
            "x": In(data.ArrayLayout(parameters.x, simd)),
            "w": In(data.ArrayLayout(parameters.stored, simd)),
            "enable": In(1),
            "first": In(1),
            "resumes": In(1),
            "read": In(1),
            "read_slot": In(index_shape(psums)),
            "write": In(1),
            "write_slot": In(index_shape(psums)),
            "passes_now": In(1),
            "passes_before": In(1),
            "acc": Out(parameters.acc_shape),
        }
        if parameters.signs:
            members["count"] = In(range(simd + 1))
        super().__init__(members)

    def elaborate(self, platform):
        m = Module()
        total = self._dot(m)
        acc = reg(self.parameters.acc_shape, "accumulator")
        m.d.comb += self.acc.eq(acc)
        previous: Value = acc
        if self.psums > 1:
            previous = self._psum_memory(m)
        start = Signal(self.parameters.acc_shape, name="start")
        m.d.comb += start.eq(Mux(self.first, 0, previous))
        with m.If(self.enable):
            m.d.sync += acc.eq(self._accumulated(m, start, total))
        return m

    def _dot(self, m: Module) -> Value:
        p = self.parameters
        if p.powers is None or not p.signs:
            return adder_tree(m, [self._product(m, n) for n in range(p.simd)])
        agrees = [agreement(m, self.x[n], self.w[n], f"agrees{n}") for n in range(p.simd)]
        return ((adder_tree(m, agrees) << 1) - self.count) << p.powers.low

    def _product(self, m: Module, lane: int) -> Value:
        p = self.parameters
        multiplier = Multiplier(p.x, p.w) if p.powers is None else PowerMultiplier(p.x, p.powers)
        m.submodules[f"mul{lane}"] = multiplier
        m.d.comb += [multiplier.a.eq(self.x[lane]), multiplier.b.eq(self.w[lane])]
        return multiplier.p

    def _accumulated(self, m: Module, start: Value, total: Value) -> Value:
        p = self.parameters
        if p.exact:
            return start + total
        value = (start << p.drop) + total
        wide = Signal(signed(value.shape().width + 1), name="wide")
        m.d.comb += wide.eq(value)
        rounded_value = (wide >> p.drop) + rounding_increment(wide, p.drop, p.acc.rounding)
        rounded = Signal(signed(rounded_value.shape().width), name="rounded")
        m.d.comb += rounded.eq(rounded_value)
        return overflowed(rounded, p.acc)

    def _psum_memory(self, m: Module) -> Value:
        """Partial sums of all slots; returns where a sum goes on from.

        Block RAM has the output register. A sum that is not in the memory when it is read was the
        accumulator a short while ago.
        """
        shape = self.parameters.acc_shape
        m.submodules.psum = psum = SimpleDualPort(shape.width, self.psums)
        before = delay_line(m, self.acc, 1, "accumulator", data=True)
        passed, passes = reg(shape, "passed"), reg(1, "passes")
        m.d.comb += [
            psum.w_en.eq(self.write),
            psum.w_addr.eq(self.write_slot),
            psum.w_data.eq(self.acc),
            psum.r_en.eq(self.read),
            psum.r_addr.eq(self.read_slot),
        ]
        m.d.sync += [
            passes.eq(self.passes_now | self.passes_before),
            passed.eq(Mux(self.passes_now, self.acc, before)),
        ]
        word = delay_line(m, psum.r_data, 1, "word", data=True)
        stored = Signal(shape, name="stored")
        m.d.comb += stored.eq(Mux(passes, passed, word))
        return Mux(self.resumes, stored, self.acc)


class MacArray(wiring.Component):
    """``pixels`` x ``pe`` processing elements; pixels share weights, PEs share ifmap values.

    ``shared`` False: each PE has ifmap values of its own.

    Members
    -------
    x (in): simd values for each pixel (or each PE of each pixel, pixel-major); w (in): simd
    weights for each PE; enable, first, last, and with psums > 1 resumes, saves, slot (in): with the
    operands. A sum starts at zero (``first``), goes on from the psum memory (``resumes``), or, with
    neither, from the operands before; it goes to the psum memory (``saves``) or not, to ``slot``.
    done (out): all accumulators hold a result that was marked ``last``; acc (out): pixel-major,
    pixel * pe + element. psum_read, psum_write (out): a word of the psum memory is.

    Latency ``parameters.latency`` cycles from operands to done, those of its psum_read_latency and
    psum_write_latency to psum_read and psum_write; initiation interval 1. A slot that was saved may
    be resumed by any operands behind the next ones; before it can be read in the memory, its sum is
    passed on beside that.
    """

    def __init__(
        self,
        parameters: MacParameters,
        pe: int,
        pixels: int = 1,
        psums: int = 1,
        shared: bool = True,
    ) -> None:
        positive(pe=pe, pixels=pixels, psums=psums, simd=parameters.simd)
        self.parameters, self.pe, self.pixels, self.psums = parameters, pe, pixels, psums
        simd, self.sets = parameters.simd, pixels if shared else pixels * pe
        super().__init__(
            {
                "x": In(data.ArrayLayout(data.ArrayLayout(parameters.x, simd), self.sets)),
                "w": In(data.ArrayLayout(data.ArrayLayout(parameters.stored, simd), pe)),
                "enable": In(1),
                "first": In(1),
                "last": In(1),
                "resumes": In(1),
                "saves": In(1),
                "slot": In(index_shape(psums)),
                "acc": Out(data.ArrayLayout(parameters.acc_shape, pixels * pe)),
                "done": Out(1),
                "psum_read": Out(1),
                "psum_write": Out(1),
            }
        )

    def elaborate(self, platform):
        m = Module()
        ahead = self.parameters.latency - 1
        enable = delay_line(m, self.enable, ahead, "enable")
        first = delay_line(m, self.first, ahead, "first", data=True)
        m.d.comb += self.done.eq(
            delay_line(m, self.enable & self.last, self.parameters.latency, "last")
        )
        psums = self._psums(m) if self.psums > 1 else {}
        counts = self._counts(m)
        for pixel in range(self.pixels):
            for pe in range(self.pe):
                element = ProcessingElement(self.parameters, self.psums)
                m.submodules[f"pe{pixel}_{pe}"] = element
                mine = (pixel * self.pe + pe) * self.sets // (self.pixels * self.pe)
                if self.parameters.signs:
                    m.d.comb += element.count.eq(counts[mine])
                m.d.comb += [
                    element.x.eq(self.x[mine]),
                    element.w.eq(self.w[pe]),
                    element.first.eq(first),
                    element.enable.eq(enable),
                    *(getattr(element, name).eq(value) for name, value in psums.items()),
                    self.acc[pixel * self.pe + pe].eq(element.acc),
                ]
        return m

    def _psums(self, m: Module) -> dict[str, Value]:
        """What the psum memories of all elements are told.

        What is read when, or a cycle before, it is written comes from the accumulator.
        """
        before, after = self.parameters.psum_read_latency, self.parameters.psum_write_latency
        resumes = delay_line(m, self.enable & self.resumes, before, "resumes")
        saves = delay_line(m, self.enable & self.saves, after - 1, "saves")
        slots = [delay_line(m, self.slot, before, "slot", data=True)]
        for n in range(1, after - before + 1):
            slots.append(delay_line(m, slots[-1], 1, f"slot_behind{n}", data=True))
        read_slot, saved_slot, write_slot = slots[0], slots[-2], slots[-1]
        write, resumed = delay_line(m, saves, 1, "write"), delay_line(m, resumes, 1, "resumed")
        # A cycle before it is written, and when: in time for a register.
        written_next, written = Signal(name="written_next"), Signal(name="written")
        m.d.comb += [
            written_next.eq(saves & (saved_slot == read_slot)),
            written.eq(write & (write_slot == read_slot)),
            self.psum_read.eq(resumes),
            self.psum_write.eq(write),
        ]
        return {
            # No word is asked for that is being written.
            "read": resumes & ~written,
            "read_slot": read_slot,
            "passes_now": delay_line(m, written_next, 1, "passes_now", data=True),
            "passes_before": delay_line(m, written, 1, "passes_before", data=True),
            "resumes": delay_line(m, resumed, 1, "resumes_now"),
            "write": write,
            "write_slot": write_slot,
        }

    def _counts(self, m: Module) -> list[Value]:
        """Give, with ``signs``, how many operands of each set are not 0: all its PEs share that."""
        p = self.parameters
        counts = []
        for n in range(self.sets if p.signs else 0):
            m.submodules[f"taps{n}"] = taps = SignTaps(p.x, p.simd)
            m.d.comb += taps.x.eq(self.x[n])
            counts.append(taps.count)
        return counts
