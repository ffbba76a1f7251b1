"""Conv: a convolution unit for streams of pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Array, Cat, Const, Module, Mux, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ..geometry import WindowGeometry
from .counter import Counter, datum, delayed, index_shape
from .drain import Drain
from .mac import MacArray, MacParameters
from .memory import Rom
from .requantizer import RequantParameters
from .ring import RowRing
from .streams import beats_of, connect, element, positive, stream_of
from .window import WindowAssembler


@dataclass(frozen=True)
class Depths:
    """Capacities of a unit's buffers; the event model chooses them.

    rows : of the ring. parallel : the ring reads all kernel rows at once. windows : queued for
    the MAC array. shadow : words of finished accumulators. fifo : beats at the output.
    """

    rows: int = 0
    parallel: bool = True
    windows: int = 1
    shadow: int = 2
    fifo: int = 2


def fold_weights(
    weights: Sequence[Sequence[int]], pe: int, mac: MacParameters, inner_taps: bool
) -> list[int]:
    """Words of fold after fold of a (taps, outputs) matrix: pe x simd weights as they are stored.

    The first weight is at the least significant end; where a fold is not full is a filler.

    Folds follow each other with the tap folds fastest (``inner_taps``, convolution) or the
    output folds fastest (dense).
    """
    taps, outputs, simd = len(weights), len(weights[0]), mac.simd
    tap_folds, out_folds = beats_of(taps, simd), beats_of(outputs, pe)
    width = mac.stored.width

    def word(tap_fold: int, out_fold: int) -> int:
        codes = [
            mac.encode(weights[t][o] if t < taps and o < outputs else mac.filler)
            for o in range(out_fold * pe, (out_fold + 1) * pe)
            for t in range(tap_fold * simd, (tap_fold + 1) * simd)
        ]
        return int("".join(f"{code:0{width}b}" for code in reversed(codes)), 2)

    if inner_taps:
        return [word(t, o) for o in range(out_folds) for t in range(tap_folds)]
    return [word(t, o) for t in range(tap_folds) for o in range(out_folds)]


SELECT_LATENCY = 2
"""Cycles of a choice among the taps: a ROM, read meanwhile, takes as many at least."""
_SELECT = 4
"""Choices that the first register selects among."""


def select(m: Module, choices: Sequence[Value], index: Value, shape, name: str) -> Value:
    """One of many values in two steps: registered groups, and the group with the rest of index.

    The result follows ``index`` by one cycle, for the user to register once more.
    """
    groups = []
    for start in range(0, len(choices), _SELECT):
        group = datum(shape, f"{name}_{len(groups)}")
        m.d.sync += group.eq(Array(choices[start : start + _SELECT])[index[:2]])
        groups.append(group)
    if len(groups) == 1:
        return groups[0]
    rest = datum(index_shape(len(groups)), f"{name}_group")
    m.d.sync += rest.eq(index[2:])
    return Array(groups)[rest]


ZERO, ONE = Const(0, 1), Const(1, 1)
"""What stands for a tap where there is none."""


class Conv(wiring.Component):
    """Ring of rows, window, MAC array, requantizers.

    Parameters
    ----------
    name : prefix of image names.
    geometry : of the window; its ``pixels`` are computed side by side.
    weights : (taps, outputs) integers, taps in (kernel row, kernel column, channel of the group)
        order; dilation, groups : as of ir Conv2D, the window's kernel spans the dilated taps.
    pe : outputs at a time; ``mac.simd`` taps at a time.
    mac, parameters : arithmetic of the MAC array and of the requantizers; lanes of the latter.
    pad_value : what a padded position holds.
    depths : capacities.

    Members
    -------
    i, o : streams. issue (out): the MAC array is given work in this cycle.
    ring_level, window_level, shadow_level, level (out): rows, windows, words and beats held.

    A window's work takes ceil(taps / simd) * ceil(outputs / pe) cycles; windows follow each
    other without a gap. From the issue of a fold's last taps to the shadow FIFO: ROM latency +
    ``mac.latency``.
    """

    def __init__(
        self,
        name: str,
        geometry: WindowGeometry,
        weights: Sequence[Sequence[int]],
        pe: int,
        mac: MacParameters,
        parameters: RequantParameters,
        lanes: int,
        depths: Depths,
        pad_value: int = 0,
        dilation: tuple[int, int] = (1, 1),
        groups: int = 1,
    ) -> None:
        if geometry.channels % groups or parameters.channels % groups:
            raise ValueError(f"{groups} groups do not divide the channels")
        self.dilation, self.groups = dilation, groups
        kernel = [beats_of(k, d) for k, d in zip(geometry.kernel, dilation, strict=True)]
        taps = kernel[0] * kernel[1] * (geometry.channels // groups)
        if len(weights) != taps:
            raise ValueError(f"{len(weights)} rows of weights for {taps} taps")
        if not 1 <= pe <= parameters.channels or not 1 <= mac.simd <= taps:
            raise ValueError(f"folding {pe} x {mac.simd} does not suit the layer")
        positive(lanes=lanes, rows=depths.rows, windows=depths.windows)
        positive(shadow=depths.shadow, fifo=depths.fifo)
        self.name, self.geometry, self.weights, self.pe = name, geometry, weights, pe
        self.mac, self.parameters, self.lanes = mac, parameters, lanes
        self.depths, self.pad_value, self.taps = depths, pad_value, taps
        super().__init__(
            {
                "i": In(stream_of(mac.x, geometry.lanes)),
                "o": Out(stream_of(element(parameters.out), lanes)),
                "issue": Out(1),
                "ring_level": Out(index_shape(depths.rows + 1)),
                "window_level": Out(index_shape(depths.windows + 1)),
                "shadow_level": Out(index_shape(depths.shadow + 1)),
                "level": Out(index_shape(depths.fifo + 1)),
            }
        )

    def elaborate(self, platform):
        m = Module()
        g, d = self.geometry, self.depths
        m.submodules.ring = ring = RowRing(self.mac.x, g, d.rows, d.parallel)
        m.submodules.window = window = WindowAssembler(
            self.mac.x, g, d.parallel, d.windows, early=True
        )
        m.submodules.array = array = MacArray(self.mac, self.pe, g.pixels, shared=self.groups == 1)
        m.submodules.drain = drain = Drain(
            self.name, self.mac.acc_shape, self.pe, g.pixels, self.lanes, self.parameters,
            g.out_size[1], d.shadow, d.fifo,
        )  # fmt: skip
        connect(m, wiring.flipped(self.i), ring.i)
        connect(m, ring.o, window.i)
        connect(m, drain.o, wiring.flipped(self.o))
        m.d.comb += [
            self.ring_level.eq(ring.level),
            self.window_level.eq(window.level),
            self.shadow_level.eq(drain.shadow_level),
            self.level.eq(drain.level),
            drain.push.eq(array.done),
            drain.acc.eq(array.acc),
        ]

        tap_fold = Counter(beats_of(self.taps, self.mac.simd), "tap_fold")
        out_fold = Counter(beats_of(self.parameters.channels, self.pe), "out_fold")
        fold = Counter(tap_fold.length * out_fold.length, "fold")
        issue = Signal(name="issuing")
        m.d.comb += [
            issue.eq(window.o.valid & (~tap_fold.last | drain.room)),
            self.issue.eq(issue),
            drain.take.eq(issue & tap_fold.last),
            window.o.ready.eq(issue & fold.last),
        ]
        with m.If(issue):
            fold.step(m)
            tap_fold.step(m)
            with m.If(tap_fold.last):
                out_fold.step(m)
        self._free(m, issue, fold, tap_fold, drain.room, window.free)
        words = fold_weights(self.weights, self.pe, self.mac, True)
        m.submodules.weights = rom = Rom(
            f"{self.name}_weights", self.pe * self.mac.simd * self.mac.stored.width, words
        )
        chosen = tap_fold if self.groups == 1 else fold
        operands = self._operands(m, window.o.payload, chosen.value)
        ahead = rom.latency - SELECT_LATENCY
        m.d.comb += [
            rom.addr.eq(fold.value),
            array.w.eq(rom.data),
            array.x.eq(delayed(m, operands, ahead, "x", data=True)),
            array.enable.eq(delayed(m, issue, rom.latency, "enable")),
            array.first.eq(delayed(m, tap_fold.value == 0, rom.latency, "first", data=True)),
            array.last.eq(delayed(m, tap_fold.last, rom.latency, "last")),
        ]
        return m

    def _free(
        self, m: Module, issue: Value, fold: Counter, tap_fold: Counter, room: Value, free: Value
    ) -> None:
        """Give a window's place back: a cycle before its last fold where that is sure to follow.

        It is when it does not wait for room, which only a fold's last taps take.
        """
        if tap_fold.length == 1:
            m.d.comb += free.eq(issue & fold.last)
            return
        freed, early = Signal(name="freed"), Signal(name="freed_early")
        m.d.comb += [
            early.eq(issue & (fold.value == fold.length - 2) & room),
            free.eq(early | (issue & fold.last & ~freed)),
        ]
        with m.If(issue):
            m.d.sync += freed.eq(early)

    def _operands(self, m: Module, window, index: Value) -> Value:
        """The ``simd`` taps of this fold for every pixel (and PE), padded positions replaced.

        They come SELECT_LATENCY cycles later.
        """
        g = self.geometry
        padded = any(max(p) > 0 for p in g.pads) or self._overhangs
        operands, made = [], {}
        for pixel in range(g.pixels):
            taps, inside = self._flat_taps(window, pixel * g.stride[1])
            for pe in range(1 if self.groups == 1 else self.pe):
                for lane in range(self.mac.simd):
                    mine = self._taps_of(pe, lane)
                    # PEs of one group see the same taps.
                    key = (pixel, *mine)
                    if key in made:
                        operands.append(made[key])
                        continue
                    name = f"tap{len(operands)}"
                    values = [ZERO if t is None else taps[t] for t in mine]
                    value = select(m, values, index, self.mac.x, name)
                    if padded:
                        real = [ONE if t is None else inside[t] for t in mine]
                        real = select(m, real, index, 1, f"real_{name}")
                        value = Mux(real, value, self.pad_value)
                    operand = datum(self.mac.x, f"operand{len(operands)}")
                    m.d.sync += operand.eq(value)
                    operands.append(operand)
                    made[key] = operand
        return Cat(*operands)

    def _taps_of(self, pe: int, lane: int) -> list[int | None]:
        """Which tap of the window a lane works on, fold by fold.

        Without groups only the taps' folds count. Beyond the last tap the weight is a filler: any
        tap will do if that is zero, else none. Beyond the last output any will do.
        """
        channels = self.geometry.channels // self.groups
        outputs = self.parameters.channels // self.groups
        first = range(0, self.parameters.channels, self.pe) if self.groups > 1 else (0,)
        result: list[int | None] = []
        for fold in first:
            group = min(fold + pe, self.parameters.channels - 1) // outputs
            for start in range(0, self.taps, self.mac.simd):
                if start + lane >= self.taps and self.mac.filler:
                    result.append(None)
                    continue
                place, channel = divmod(min(start + lane, self.taps - 1), channels)
                result.append(place * self.geometry.channels + group * channels + channel)
        return result

    @property
    def _overhangs(self) -> bool:
        """Whether a group of pixels may reach beyond the row (its results are dropped)."""
        return self.geometry.virtual_steps > 0

    def _flat_taps(self, window, offset: int) -> tuple[list[Value], list[Value]]:
        """Taps in (row, column, channel) order from column ``offset`` on, and whether inside."""
        g = self.geometry
        taps, inside = [], []
        for row in range(0, g.kernel[0], self.dilation[0]):
            for column in range(0, g.kernel[1], self.dilation[1]):
                real = window.rows[row] & window.columns[offset + column]
                for channel in range(g.channels):
                    taps.append(window.taps[offset + column][row][channel])
                    inside.append(real)
        return taps, inside
