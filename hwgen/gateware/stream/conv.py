"""Conv: what convolution units for streams of pixels have in common."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from amaranth.hdl import Module, Signal, Value
from amaranth.lib import wiring
from amaranth.lib.wiring import In, Out

from ...contract.geometry import WindowGeometry
from ...numeric.division import ceil_div
from ..common.counter import Counter, delay_line, index_shape
from ..common.mac import MacArray, MacParameters
from ..common.memory import Rom, rom_latency
from ..common.requantizer import RequantParameters
from ..common.streams import connect, element, positive, stream_of
from .drain import Drain


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
    tap_folds, out_folds = ceil_div(taps, simd), ceil_div(outputs, pe)
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


class Conv(wiring.Component):
    """Common to convolutions: MAC array, requantizers; where the taps come from is the subclass's.

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
    ring_level, shadow_level, level (out): rows, words and beats held.

    A window's work takes ceil(taps / simd) * ceil(outputs / pe) cycles; windows follow each
    other without a gap. From the issue of a fold's last taps to the shadow FIFO:
    ``operand_latency`` + ``mac.latency``.
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
        self.kernel = tuple(ceil_div(k, d) for k, d in zip(geometry.kernel, dilation, strict=True))
        taps = self.kernel[0] * self.kernel[1] * (geometry.channels // groups)
        if len(weights) != taps:
            raise ValueError(f"{len(weights)} rows of weights for {taps} taps")
        if not 1 <= pe <= parameters.channels or not 1 <= mac.simd <= taps:
            raise ValueError(f"folding {pe} x {mac.simd} does not suit the layer")
        positive(lanes=lanes, rows=depths.rows, shadow=depths.shadow, fifo=depths.fifo)
        self.name, self.geometry, self.weights, self.pe = name, geometry, weights, pe
        self.mac, self.parameters, self.lanes = mac, parameters, lanes
        self.depths, self.pad_value, self.taps = depths, pad_value, taps
        super().__init__(
            {
                "i": In(stream_of(mac.x, geometry.lanes)),
                "o": Out(stream_of(element(parameters.out), lanes)),
                "issue": Out(1),
                "ring_level": Out(index_shape(depths.rows + 1)),
                "shadow_level": Out(index_shape(depths.shadow + 1)),
                "level": Out(index_shape(depths.fifo + 1)),
            }
            | self.members()
        )

    def members(self) -> dict[str, wiring.Member]:
        """Members of the subclass's own."""
        return {}

    @property
    def operand_latency(self) -> int:
        """Cycles from issue to operands: those of the weights' ROM, or more."""
        return rom_latency(self.folds)

    @property
    def folds(self) -> int:
        """Words of weights, each the work of a cycle."""
        return ceil_div(self.taps, self.mac.simd) * ceil_div(self.parameters.channels, self.pe)

    def matrix(self) -> Sequence[Sequence[int]]:
        """The weights, taps in the order in which they are worked on."""
        return self.weights

    def elaborate(self, platform):
        m = Module()
        g, d = self.geometry, self.depths
        m.submodules.array = array = MacArray(self.mac, self.pe, g.pixels, shared=self.groups == 1)
        m.submodules.drain = drain = Drain(
            self.name, self.mac.acc_shape, self.pe, g.pixels, self.lanes, self.parameters,
            g.out_size[1], d.shadow, d.fifo,
        )  # fmt: skip
        connect(m, drain.o, wiring.flipped(self.o))
        m.d.comb += [
            self.shadow_level.eq(drain.shadow_level),
            self.level.eq(drain.level),
            drain.push.eq(array.done),
            drain.acc.eq(array.acc),
        ]
        tap_fold = Counter(ceil_div(self.taps, self.mac.simd), "tap_fold")
        out_fold = Counter(ceil_div(self.parameters.channels, self.pe), "out_fold")
        fold = Counter(self.folds, "fold")
        issue, ready = Signal(name="issuing"), Signal(name="taps_ready")
        m.d.comb += [
            issue.eq(ready & (~tap_fold.last | drain.room)),
            self.issue.eq(issue),
            drain.take.eq(issue & tap_fold.last),
        ]
        with m.If(issue):
            fold.step(m)
            tap_fold.step(m)
            with m.If(tap_fold.last):
                out_fold.step(m)
        operands = self._read(m, issue, fold, tap_fold, drain.room, ready)
        m.submodules.weights = rom = Rom(
            f"{self.name}_weights",
            self.pe * self.mac.simd * self.mac.stored.width,
            fold_weights(self.matrix(), self.pe, self.mac, True),
        )
        latency = self.operand_latency
        m.d.comb += [
            rom.addr.eq(delay_line(m, fold.value, latency - rom.latency, "fold_late", data=True)),
            array.w.eq(rom.data),
            array.x.eq(operands),
            array.enable.eq(delay_line(m, issue, latency, "enable")),
            array.first.eq(delay_line(m, tap_fold.value == 0, latency, "first", data=True)),
            array.last.eq(delay_line(m, tap_fold.last, latency, "last")),
        ]
        return m

    def _read(
        self,
        m: Module,
        issue: Value,
        fold: Counter,
        tap_fold: Counter,
        room: Value,
        ready: Signal,
    ) -> Value:
        """The taps of each fold that is issued, ``operand_latency`` cycles later.

        Sets ``ready`` where the taps of the fold under way are there.
        """
        raise AssertionError("a convolution reads its taps somewhere")
