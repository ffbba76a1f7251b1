"""Dense: a fully connected unit, input-stationary."""

from __future__ import annotations

from collections.abc import Sequence

from amaranth.hdl import Cat, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...numeric.division import ceil_div
from ..common.counter import Counter, delay_line, index_shape
from ..common.mac import MacArray, MacParameters
from ..common.memory import Rom
from ..common.requantizer import RequantParameters
from ..common.streams import connect, element, positive, stream_of
from .conv import Depths, fold_weights
from .drain import Drain


class Dense(wiring.Component):
    """Each beat of inputs stays while all outputs take it up; partial sums wait in a memory.

    Parameters
    ----------
    name : prefix of image names. weights : (inputs, outputs) integers.
    pe : outputs at a time; ``mac.simd`` inputs at a time, the lanes of the input stream.
    mac, parameters, lanes, depths : as of Conv.

    Members
    -------
    i, o : streams; a frame is one pixel of all inputs. issue (out): the MAC array is given work.
    shadow_level, level (out): words and beats held.

    A beat takes ceil(outputs / pe) cycles; beats follow each other without a gap. No input
    buffer, no replay. From the issue of the last inputs to the shadow FIFO: ROM latency +
    ``mac.latency``.
    """

    def __init__(
        self,
        name: str,
        weights: Sequence[Sequence[int]],
        pe: int,
        mac: MacParameters,
        parameters: RequantParameters,
        lanes: int,
        depths: Depths,
    ) -> None:
        if not 1 <= pe <= parameters.channels or not 1 <= mac.simd <= len(weights):
            raise ValueError(f"folding {pe} x {mac.simd} does not suit the layer")
        positive(lanes=lanes, shadow=depths.shadow, fifo=depths.fifo)
        self.name, self.weights, self.pe, self.mac = name, weights, pe, mac
        self.parameters, self.lanes, self.depths = parameters, lanes, depths
        super().__init__(
            {
                "i": In(stream_of(mac.x, mac.simd)),
                "o": Out(stream_of(element(parameters.out), lanes)),
                "issue": Out(1),
                "shadow_level": Out(index_shape(depths.shadow + 1)),
                "level": Out(index_shape(depths.fifo + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        d = self.depths
        in_beat = Counter(ceil_div(len(self.weights), self.mac.simd), "in_beat")
        out_fold = Counter(ceil_div(self.parameters.channels, self.pe), "out_fold")
        fold = Counter(in_beat.length * out_fold.length, "fold")
        m.submodules.array = array = MacArray(self.mac, self.pe, psums=out_fold.length)
        m.submodules.drain = drain = Drain(
            self.name, self.mac.acc_shape, self.pe, 1, self.lanes, self.parameters, 1,
            d.shadow, d.fifo,
        )  # fmt: skip
        connect(m, drain.o, wiring.flipped(self.o))
        issue = Signal(name="issuing")
        m.d.comb += [
            issue.eq(self.i.valid & (~in_beat.last | drain.room)),
            self.issue.eq(issue),
            self.i.ready.eq(issue & out_fold.last),
            drain.take.eq(issue & in_beat.last),
            drain.push.eq(array.done),
            drain.acc.eq(array.acc),
            self.shadow_level.eq(drain.shadow_level),
            self.level.eq(drain.level),
        ]
        with m.If(issue):
            fold.step(m)
            out_fold.step(m)
            with m.If(out_fold.last):
                in_beat.step(m)
        words = fold_weights(self.weights, self.pe, self.mac, False)
        m.submodules.weights = rom = Rom(
            f"{self.name}_weights", self.pe * self.mac.simd * self.mac.stored.width, words
        )
        operands = self._operands(in_beat.last)
        first = delay_line(m, in_beat.value == 0, rom.latency, "first", data=True)
        last = delay_line(m, in_beat.last, rom.latency, "last")
        m.d.comb += [
            rom.addr.eq(fold.value),
            array.w.eq(rom.data),
            array.x.eq(delay_line(m, operands, rom.latency, "x", data=True)),
            array.enable.eq(delay_line(m, issue, rom.latency, "enable")),
            array.first.eq(first),
            array.last.eq(last),
            # Outputs take their turns: a sum is never that of the step before.
            array.resumes.eq(~first),
            array.saves.eq(~last),
            array.slot.eq(delay_line(m, out_fold.value, rom.latency, "slot", data=True)),
        ]
        return m

    def _operands(self, last: Value) -> Value:
        """The inputs of a beat, zero beyond the last one where the weights can not be zero."""
        simd = self.mac.simd
        used = len(self.weights) - (ceil_div(len(self.weights), simd) - 1) * simd
        if self.mac.filler == 0 or used == simd:
            return Value.cast(self.i.payload)
        lanes = [Value.cast(self.i.payload[n]) for n in range(simd)]
        return Cat(*lanes[:used], *(Mux(last, 0, lane) for lane in lanes[used:]))
